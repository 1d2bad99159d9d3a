"""What segment and selector instructions do in protected mode, from states made by hand."""

import pytest

from vmdbg.machine.descriptor import refresh_mode
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import CS, DS, SS

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
