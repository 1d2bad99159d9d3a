"""Debug exceptions as programs meet them: TF, RF, DR0-DR3 for instructions and data (SDM vol. 3, chapter 17)."""

import pytest

from vmdbg.machine.flags import get_rflags
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import CR0_AM, F_AC, F_RF, F_TF
from vmdbg.monitor.guest import Guest, Piece
from vmdbg.monitor.start import start

BASE = 0x100000
DB, AC = 1, 17


def machine(code: str) -> Machine:
    """A plain machine in flat 64-bit mode at CPL 0 about to run `code`; every #DB and #AC stops before it is delivered."""
    m = Machine(4 << 20, engine="plain")
    data = bytes.fromhex(code)
    guest = Guest("code", "flat", 64, BASE, (Piece(BASE, data, len(data)),), 4 << 20)
    guest.place(m.ram)
    start(m.cpus[0], m.ram, guest)
    m.intercept([DB, AC])
    return m


def test_tf_traps_after_each_instruction():
    """TF set: the trap comes after the next instruction, with DR6.BS to be set."""
    m = machine("90 90 90")
    m.cpus[0].eflags = int(m.cpus[0].eflags) | F_TF
    stop = m.run(10)
    assert (stop.reason, stop.vector) == ("trap", DB)
    assert int(m.cpus[0].rip) == BASE + 1
    assert int(m.cpus[0].pending_db) == 0x4000


def test_an_instruction_breakpoint_is_a_fault_and_rf_passes_it():
    m = machine("90 90 90 90 f4")
    cpu = m.cpus[0]
    cpu.dr[0], cpu.dr[7] = BASE + 2, 0x401
    stop = m.run(10)
    assert (stop.reason, stop.vector, int(cpu.rip)) == ("trap", DB, BASE + 2)
    assert int(cpu.pending_db) == 1
    cpu.pending_db = 0
    cpu.eflags = int(cpu.eflags) | F_RF
    m.intercept([])
    assert m.run(1).reason == "budget"
    assert int(cpu.rip) == BASE + 3
    assert not int(get_rflags(cpu)) & F_RF


def test_mov_ss_loses_the_trap_and_general_detect_comes_alone():
    """mov ss, eax; mov dr6, rdx with TF and DR7.GD: no trap after the first, and the fault of the second is not one of TF too."""
    m = machine("8e d0 0f 23 f2")
    cpu = m.cpus[0]
    cpu.gpr[0], cpu.dr[7] = 0x10, 0x2400
    cpu.eflags = int(cpu.eflags) | F_TF
    stop = m.run(10)
    assert (stop.vector, int(cpu.rip), int(cpu.pending_db)) == (DB, BASE + 2, 0x2000)


def test_after_mov_ss_the_next_instruction_traps():
    m = machine("8e d0 90 90")
    cpu = m.cpus[0]
    cpu.gpr[0] = 0x10
    cpu.eflags = int(cpu.eflags) | F_TF
    stop = m.run(10)
    assert (stop.vector, int(cpu.rip), int(cpu.pending_db)) == (DB, BASE + 3, 0x4000)


@pytest.mark.parametrize("code,hit", [("48 89 03", True), ("48 8b 03", False), ("48 01 03", True)])
def test_a_write_breakpoint_traps_after_writes_only(code, hit):
    """mov [rbx], rax / mov rax, [rbx] / add [rbx], rax with DR1 watching writes to four bytes in the middle of the operand."""
    m = machine(code + "90 90")
    cpu = m.cpus[0]
    cpu.gpr[3] = 0x20000
    cpu.dr[1], cpu.dr[7] = 0x20004, 0x400 | 1 << 2 | 0b1101 << 20
    stop = m.run(2)
    assert (stop.reason == "trap") == hit
    if hit:
        assert int(cpu.rip) == BASE + 3
        assert int(cpu.pending_db) == 2


def test_a_read_write_breakpoint_sees_the_stack():
    """push rax with DR0 watching reads and writes of its slot."""
    m = machine("50 90")
    cpu = m.cpus[0]
    cpu.dr[0], cpu.dr[7] = int(cpu.gpr[4]) - 8, 0x400 | 1 | 0b1011 << 16
    assert m.run(3).vector == DB
    assert int(cpu.rip) == BASE + 1


def test_alignment_is_checked_even_where_the_tlb_would_match():
    """CPL 3, CR0.AM, AC: a misaligned access faults after an aligned one of the same page succeeded."""
    m = machine("8b 03 8b 43 01")
    cpu = m.cpus[0]
    cpu.gpr[3] = 0x20000
    tables = m.ram[int(cpu.cr3) :].view("<u8")
    for n in range(6 * 512):
        if tables[n] & 1:
            tables[n] |= 4
    cpu.cpl = 3
    cpu.cr0 = int(cpu.cr0) | CR0_AM
    cpu.eflags = int(cpu.eflags) | F_AC
    stop = m.run(5)
    assert (stop.reason, stop.vector, int(cpu.rip)) == ("trap", AC, BASE + 2)


def test_a_data_breakpoint_of_mov_ss_comes_with_int1():
    """Real mode, DR0 watching [500h]: mov ss, [500h]; int1; hlt.  The handler (inc cx; iret) runs once, and DR6 shows B0."""
    m = Machine(1 << 20, engine="plain")
    cpu = m.cpus[0]
    m.write_physical(0x7000, bytes.fromhex("8e 16 00 05 f1 f4"))
    m.write_physical(0x8000, bytes.fromhex("41 cf"))
    m.write_physical(4, (0x8000).to_bytes(4, "little"))
    cpu.seg_selector[1], cpu.seg_base[1], cpu.rip, cpu.gpr[4] = 0, 0, 0x7000, 0x6000
    cpu.dr[0], cpu.dr[7] = 0x500, 0x400 | 2 | 0b0111 << 16
    assert m.run(20).reason == "halt"
    assert (int(cpu.gpr[1]) & 0xFFFF, int(cpu.dr[6]) & 0xF, int(cpu.pending_db), int(cpu.rip)) == (1, 1, 0, 0x7006)
