"""Interrupts from outside: timers fire at their exact step, wake HLT, respect IF and the shadow, in any slicing."""

import pytest

from vmdbg.machine.machine import Machine
from vmdbg.monitor.guest import Guest, Piece
from vmdbg.monitor.start import start

BASE, HANDLER, VECTOR = 0x1000, 0x2000, 0x21


class Metronome:
    """A timer and its controller: raises INTR every `period` ns until acknowledged."""

    def __init__(self, machine: Machine, period: int):
        self.machine, self.period, self.next = machine, period, period
        machine.timers.append(self)
        machine.controller = self

    def deadline(self):
        return self.next

    def advance(self, clock):
        while self.next <= clock:
            self.next += self.period
        self.machine.set_intr(0, True)

    def acknowledge(self, cpu):
        self.machine.set_intr(0, False)
        return VECTOR


def machine(code: str, period: int) -> Machine:
    """A plain machine in real mode; the handler of VECTOR counts in [3000h] and notes CX in [3002h]."""
    m = Machine(1 << 20, engine="plain")
    data = bytes.fromhex(code)
    guest = Guest("code", "flat", 16, BASE, (Piece(BASE, data, len(data)),), 1 << 20)
    guest.place(m.ram)
    start(m.cpus[0], m.ram, guest)
    handler = bytes.fromhex("ff 06 00 30 89 0e 02 30 cf")  # inc word [3000h]; mov [3002h], cx; iret
    m.write_physical(HANDLER, handler)
    m.write_physical(VECTOR * 4, HANDLER.to_bytes(4, "little"))
    Metronome(m, period)
    return m


def word(m: Machine, at: int) -> int:
    return int.from_bytes(m.read_physical(at, 2), "little")


def test_the_interrupt_comes_at_its_step():
    """inc cx; jmp: after 100 steps CX is 50."""
    m = machine("31 c9 41 eb fd", 101)
    m.run(101 + 4)
    assert word(m, 0x3000) == 1
    assert word(m, 0x3002) == 50


@pytest.mark.parametrize("slices", [[1] * 400, [7] * 58, [399, 1]])
def test_slices_change_nothing(slices):
    whole, sliced = (machine("31 c9 41 f4 eb fc", 37) for _ in range(2))
    whole.run(sum(slices))
    for n in slices:
        sliced.run(n)
    assert whole.ram.tobytes() == sliced.ram.tobytes()
    assert (whole.position, whole.clock) == (sliced.position, sliced.clock)


def test_hlt_sleeps_until_the_interrupt():
    """hlt; jmp: time passes, steps do not."""
    m = machine("f4 eb fd", 1000)
    m.run(10)
    assert word(m, 0x3000) >= 1
    assert m.clock > 1000


def test_cli_holds_it_off_and_the_shadow_one_more():
    """cli; 20 nops; sti; inc cx; hlt: the handler sees the INC done."""
    m = machine("fa 31 c9" + "90" * 20 + "fb 41 f4", 20)
    m.run(30)
    assert word(m, 0x3000) == 1
    assert word(m, 0x3002) == 1


def test_a_port_access_is_not_stopped_at_twice():
    """A breakpoint on IN stops once, though a device answers in the middle of the instruction."""
    m = machine("90 e4 77 90 f4", 1000)
    m.set_breakpoints([BASE + 1])
    assert m.run(10).reason == "break"
    assert m.run(2).reason == "budget"
    assert int(m.cpus[0].rip) == BASE + 4


def test_nobody_to_acknowledge():
    m = machine("90 90 90", 1000)
    m.timers.clear()
    m.controller = None
    m.set_intr(0, True)
    assert m.run(2).reason == "budget"


def test_nothing_comes_between_a_device_and_its_instruction():
    """The device that IN reads raises INTR: the handler's own IN must not get the first one's value."""

    class Port:
        def __init__(self, m):
            self.m, self.n = m, 0

        def read(self, offset, width):
            self.n += 1
            if self.n == 1:
                self.m.set_intr(0, True)
            return self.n

        def write(self, offset, width, value):
            pass

    m = machine("e4 77 88 c3 90 90 f4", 1000)
    m.ports.attach(0x77, 1, Port(m))
    m.write_physical(HANDLER, bytes.fromhex("88 c2 e4 77 88 c5 cf"))  # mov dl, al; in al, 77h; mov ch, al; iret
    m.run(8)
    first, second = int(m.cpus[0].gpr[2]) & 0xFF, int(m.cpus[0].gpr[1]) >> 8 & 0xFF
    assert (first, second) == (1, 2)
    assert m.ports.find(0x77)[0].n == 2
