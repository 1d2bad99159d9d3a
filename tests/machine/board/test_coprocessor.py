"""FERR# and IRQ 13, as a guest with CR0.NE clear meets them."""

from vmdbg.machine.board.pc import Pc
from vmdbg.machine.machine import Machine

CODE, HANDLER, DATA = 0x7000, 0x8000, 0x9000
DIVIDE = "db e3 d9 2e 00 90 d9 e8 d9 ee de f9 9b 41 f4"  # fninit; fldcw [9000]; fld1; fldz; fdivp; wait; inc cx; hlt
HANDLED = "50 30 c0 e6 f0 db e2 b0 20 e6 a0 e6 20 58 42 cf"  # push ax; out F0h, 0; fnclex; EOI to both; pop ax; inc dx; iret


class Zeros:
    """A device that reads as zeros."""

    def read(self, offset: int, width: int) -> int:
        return 0

    def write(self, offset: int, width: int, value: int) -> None:
        pass


def machine(interrupts: bool) -> tuple[Machine, Pc]:
    """Real mode at CODE, 8259s as a BIOS leaves them with IRQ 13 open, its handler at HANDLER."""
    m = Machine(1 << 20, engine="plain")
    pc = Pc(m, lambda byte: None)
    for ports, words in (((0x20, 0x21), (0x11, 8, 4, 1, 0xFB)), ((0xA0, 0xA1), (0x11, 0x70, 2, 1, 0xDF))):
        for n, value in enumerate(words):
            m.ports.write(ports[n > 0], 1, value)
    for at, code in ((CODE, DIVIDE), (HANDLER, HANDLED)):
        m.write_physical(at, bytes.fromhex(code))
    m.write_physical(DATA, b"\x7b\x03")  # only division by zero is unmasked
    m.write_physical(0x75 * 4, HANDLER.to_bytes(4, "little"))
    cpu = m.cpus[0]
    cpu.seg_selector[1], cpu.seg_base[1] = 0, 0
    cpu.rip, cpu.gpr[4], cpu.gpr[2] = CODE, 0x7000, 0
    cpu.eflags = 0x202 if interrupts else 2
    return m, pc


def test_an_error_raises_irq_13_and_its_handler_clears_it():
    m, pc = machine(True)
    m.run(200)
    cpu = m.cpus[0]
    assert (int(cpu.gpr[1]) & 0xFFFF, int(cpu.gpr[2]) & 0xFFFF) == (1, 1)  # past WAIT, after one interrupt
    assert (int(cpu.rip), int(cpu.ignne), int(pc.coprocessor.state["requested"])) == (CODE + 15, 0, 0)
    assert not int(pc.ioapic.state["lines"]) >> 13 & 1


def test_an_interrupt_ends_the_wait_after_sti_too():
    """The shadow of STI holds interrupts back until the next instruction is done, and this one waits for them."""
    m, _ = machine(False)
    m.write_physical(CODE, bytes.fromhex(DIVIDE.replace("9b", "fb 9b")))
    m.run(200)
    cpu = m.cpus[0]
    assert (int(cpu.gpr[1]) & 0xFFFF, int(cpu.gpr[2]) & 0xFFFF, int(cpu.rip)) == (1, 1, CODE + 16)


def test_an_operand_that_was_read_from_a_device_does_not_hold_the_interrupt_back():
    """FLD from device memory with an error pending: it is read again after the handler."""
    m, _ = machine(True)
    m.claim(0xA0000, 0x1000, Zeros())
    m.write_physical(CODE, bytes.fromhex(DIVIDE.replace("9b", "68 00 a0 1f d9 06 00 00")))  # push A000h; pop ds; fld [0]
    m.run(200)
    cpu = m.cpus[0]
    assert (int(cpu.gpr[1]) & 0xFFFF, int(cpu.gpr[2]) & 0xFFFF, int(cpu.activity)) == (1, 1, 1)


def test_with_interrupts_off_it_waits_for_ever():
    """The instruction has not happened: neither it nor what follows."""
    m, pc = machine(False)
    assert m.run(200).reason == "halt"
    assert (int(m.cpus[0].rip), int(m.cpus[0].gpr[1]) & 0xFFFF) == (CODE + 12, 0)
    assert int(pc.ioapic.state["lines"]) >> 13 & 1


def test_without_a_board_ignne_answers():
    m = Machine(1 << 20, engine="plain")
    m.write_physical(CODE, bytes.fromhex(DIVIDE))
    m.write_physical(DATA, b"\x7b\x03")
    cpu = m.cpus[0]
    cpu.seg_selector[1], cpu.seg_base[1], cpu.rip, cpu.eflags = 0, 0, CODE, 2
    assert m.run(200).reason == "halt"
    assert int(cpu.gpr[1]) & 0xFFFF == 1
