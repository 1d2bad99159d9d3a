"""Registers of the local APIC that the core reads without asking a device: the same values, and only while they are there."""

import pytest

from vmdbg.machine.board.lapic import DFR, ICR, ICR_HIGH, ID, LDR, SVR, VERSION
from vmdbg.machine.board.pc import Pc
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import DS

READ, PLACE = "67 66 a1", 0x7000  # mov eax, [disp32]


def board() -> tuple[Machine, Pc]:
    m = Machine(1 << 20, cpus=2, engine="plain")
    pc = Pc(m, lambda byte: None)
    for n, lapic in enumerate(pc.lapics):
        for register, value in ((SVR, 0x1FF), (LDR, 0x03000000 << n), (DFR, 0x0FFFFFFF), (ICR_HIGH, 0x01000000), (ICR, 0xC4030 + n)):
            lapic.write(register, 4, value)
    return m, pc


def read(m: Machine, n: int, address: int) -> int:
    """EAX after vCPU n has read 32 bits."""
    m.write_physical(PLACE, bytes.fromhex(READ) + address.to_bytes(4, "little"))
    cpu = m.cpus[n]
    cpu.seg_selector[1], cpu.seg_base[1], cpu.seg_limit[DS], cpu.rip = 0, 0, 0xFFFFFFFF, PLACE
    for k, other in enumerate(m.cpus):
        other.activity, other.turn = int(k != n), int(k == n)
    m.run(1)
    return int(cpu.gpr[0]) & 0xFFFFFFFF


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("register", [ID, VERSION, LDR, DFR, SVR, ICR, ICR_HIGH])
def test_they_are_what_the_device_says(register, n, monkeypatch):
    m, pc = board()
    expected = pc.lapics[n].read(register, 4)
    asked = []
    monkeypatch.setattr(m.device_memory, "read", lambda address, width: asked.append(address) or 0)
    assert (read(m, n, 0xFEE00000 + register), asked) == (expected, [])


def test_where_the_apic_is_not_they_are_not_either():
    m, pc = board()
    assert read(m, 0, 0xFEE01020) == 0xFFFFFFFF
    m.cpus[0].apic_base = 0xFEE00100  # off
    pc.lapics[0].write_msr(0x1B, 0xFEE00100)
    assert read(m, 0, 0xFEE00030) == 0xFFFFFFFF
