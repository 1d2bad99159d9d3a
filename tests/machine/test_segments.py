"""What segment and selector instructions do in protected mode, from states made by hand."""

from pathlib import Path

import pytest

from vmdbg.machine.descriptor import refresh_mode
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import CS, DS, GS, RSP, SS, TR
from vmdbg.monitor.guest import Guest, Piece
from vmdbg.monitor.start import start

CODE, DATA, WRITABLE, READ_ONLY = 0x1000, 0x2000, 0xC093, 0xC091


def protected(code: str, ds: int = WRITABLE) -> Machine:
    """32-bit protected mode, ring 0, flat segments, `code` at 1000h; faults stop."""
    m = Machine(1 << 16, engine="plain")
    cpu = m.cpus[0]
    cpu.cr0 = int(cpu.cr0) | 1
    for seg in range(6):
        cpu.seg_selector[seg], cpu.seg_base[seg], cpu.seg_limit[seg], cpu.seg_attr[seg] = 0x10, 0, 0xFFFFFFFF, WRITABLE
    cpu.seg_selector[CS], cpu.seg_attr[CS], cpu.seg_attr[DS] = 8, 0xC09B, ds
    cpu.seg_attr[SS] = WRITABLE
    cpu.rip = CODE
    refresh_mode(cpu)
    m.ram[CODE : CODE + len(bytes.fromhex(code))] = list(bytes.fromhex(code))
    m.intercept(range(32))
    return m


@pytest.mark.parametrize(
    "ds, value, reason, after",
    [
        (WRITABLE, 0xFFF0, "budget", 0xFFF2),
        (WRITABLE, 0xFFF3, "budget", 0xFFF3),
        (READ_ONLY, 0xFFF0, "trap", 0xFFF0),
        (READ_ONLY, 0xFFF3, "budget", 0xFFF3),
    ],
)
def test_arpl_writes_only_what_changes(ds, value, reason, after):
    m = protected("63 1d 00 20 00 00", ds)  # arpl [2000h], bx
    m.cpus[0].gpr[3] = 2
    m.write_physical(DATA, value.to_bytes(2, "little"))
    assert m.run(1, resume=False).reason == reason
    assert m.read_physical(DATA, 2) == after.to_bytes(2, "little")


@pytest.mark.parametrize(
    "kind, pcid, reason", [(2, 0, "budget"), (2, 1 << 12, "trap"), (3, 1 << 63, "trap"), (4, 0, "trap"), (0, 5, "trap")]
)
def test_invpcid_looks_at_reserved_bits_of_every_type(kind, pcid, reason):
    m = protected("66 0f 38 82 05 00 20 00 00")  # invpcid eax, [2000h]
    m.cpus[0].gpr[0] = kind
    m.write_physical(DATA, pcid.to_bytes(8, "little") + bytes(8))
    assert m.run(1, resume=False).reason == reason


@pytest.mark.parametrize("code", ["f3 6c", "f3 6e", "f3 6d"])
def test_a_repeat_of_no_iterations_still_asks_for_the_port(code):
    """No bitmap allows port 0 at CPL 3: #GP(0), although ECX is 0 (observed on Zen)."""
    m = protected(code)
    cpu = m.cpus[0]
    cpu.cpl, cpu.seg_limit[TR] = 3, 0x67
    for seg in range(6):
        cpu.seg_attr[seg] = int(cpu.seg_attr[seg]) | 0x60
    assert m.run(1, resume=False).reason == "trap" and int(cpu.vector) == 13


@pytest.mark.parametrize("code", ["0f 00 15 00 00 00 00", "0f 00 05 00 00 00 00", "0f 02 05 00 00 00 00", "63 05 00 00 00 00"])
def test_the_mode_comes_before_the_operand(code):
    """LLDT, SLDT, LAR, ARPL in real mode, with an operand beyond the limit of DS."""
    m = protected(code)
    cpu = m.cpus[0]
    cpu.cr0 = int(cpu.cr0) & ~1
    cpu.seg_limit[DS] = 0
    refresh_mode(cpu)
    cpu.bits = 32
    assert m.run(1, resume=False).reason == "trap" and int(cpu.vector) == 6


def test_a_segment_that_becomes_null_on_a_return_keeps_its_base():
    """IRETQ to CPL 3 with DPL 0 in GS: unusable, but 64-bit code still finds GS.base."""
    m = Machine(4 << 20, engine="plain")
    guest = Guest(Path("code"), "flat", 64, 0x100000, (Piece(0x100000, b"\x48\xcf", 2),), 4 << 20)
    guest.place(m.ram)
    cpu = m.cpus[0]
    start(cpu, m.ram, guest)
    gdt = m.ram[int(cpu.gdtr_base) : int(cpu.gdtr_base) + 32].view("<u8")
    gdt[2] |= 3 << 45
    gdt[3] |= 3 << 45
    cpu.seg_base[GS] = 0x12345678
    m.ram[0x8000:0x8028].view("<u8")[:] = (0x200000, 0x1B, 2, 0x9000, 0x13)
    cpu.gpr[RSP] = 0x8000
    assert m.run(1).reason == "budget"
    assert (int(cpu.cpl), int(cpu.seg_selector[GS]), int(cpu.seg_base[GS])) == (3, 0, 0x12345678)
    assert int(cpu.seg_attr[GS]) & 0x10000  # unusable


@pytest.mark.parametrize("code, after", [("90", 0x20001), ("eb 00", 2), ("66 eb 00", 0x20003), ("3c 00", 0x20002)])
def test_only_branches_cut_eip_in_16_bit_code(code, after):
    """EIP has 32 bits: in a 16-bit code segment longer than 64 KiB execution goes on behind it (the host's CPU and Bochs do)."""
    m = Machine(1 << 18, engine="plain")
    cpu = m.cpus[0]
    cpu.cr0 = int(cpu.cr0) | 1
    cpu.seg_selector[CS], cpu.seg_base[CS], cpu.seg_limit[CS], cpu.seg_attr[CS] = 8, 0, 0xFFFFFFFF, 0x809B
    cpu.rip = 0x20000
    refresh_mode(cpu)
    m.write_physical(0x20000, bytes.fromhex(code))
    assert m.run(1, resume=False).reason == "budget"
    assert int(cpu.rip) == after
