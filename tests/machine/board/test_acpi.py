"""ACPI: fixed hardware register by register, tables by their sums and pointers; MP tables; fw_cfg."""

import struct

import pytest

from vmdbg.machine.board import acpi_tables, aml, mp_table
from vmdbg.machine.board.acpi import CONTROL, ENABLE, FREQUENCY, S5_TYPE, STATUS, TIMER, Acpi
from vmdbg.machine.board.fw_cfg import FwCfg


class Clock:
    now = 0

    def __call__(self):
        return self.now


def acpi():
    clock, off, levels = Clock(), [], []
    return Acpi(clock, lambda: off.append(1), levels.append), clock, off, levels


def test_the_timer_runs_at_its_frequency():
    a, clock, _, _ = acpi()
    for seconds in (0, 1, 1000, 2000):
        clock.now = seconds * 10**9
        assert a.read(TIMER, 4) == seconds * FREQUENCY & 0xFFFFFFFF
    assert a.read(TIMER + 1, 1) == a.read(TIMER, 4) >> 8 & 0xFF


def test_its_highest_bit_interrupts_where_enabled():
    a, clock, _, levels = acpi()
    assert a.deadline() is None
    a.write(ENABLE, 2, 1)
    due = a.deadline()
    assert due == -(-(1 << 31) * 10**9 // FREQUENCY)
    clock.now = due - 1
    a.advance(clock.now)
    assert not levels[-1]
    clock.now = due
    a.advance(clock.now)
    assert levels[-1]
    a.write(STATUS, 2, 1)
    assert (levels[-1], a.read(STATUS, 2)) == (False, 0)


def test_s5_switches_off_and_nothing_else_does():
    a, _, off, _ = acpi()
    assert a.read(CONTROL, 2) == 1
    a.write(CONTROL, 2, S5_TYPE << 10)
    a.write(CONTROL, 2, 0x2000 | 3 << 10)
    a.write(CONTROL + 1, 1, S5_TYPE << 2)
    assert off == []
    a.write(CONTROL + 1, 1, 0x20 | S5_TYPE << 2)
    assert off == [1]


def test_the_power_button_interrupts():
    a, _, _, levels = acpi()
    a.write(ENABLE, 2, 0x100)
    a.press_power()
    assert levels[-1]
    assert a.read(STATUS, 4) == 0x01000100


def table(memory, at):
    offset = at - acpi_tables.RSDP
    found = memory[offset : offset + struct.unpack_from("<I", memory, offset + 4)[0]]
    assert sum(found) & 0xFF == 0, found[:4]
    return found


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_tables_are_summed_and_lead_to_each_other(cpus):
    memory = acpi_tables.tables(cpus)
    assert len(memory) <= acpi_tables.LIMIT - acpi_tables.RSDP
    root = memory[:36]
    assert root[:8] == b"RSD PTR "
    assert (sum(root[:20]) & 0xFF, sum(root) & 0xFF) == (0, 0)
    rsdt, xsdt = struct.unpack_from("<I", root, 16)[0], struct.unpack_from("<Q", root, 24)[0]
    old = struct.unpack("<II", table(memory, rsdt)[36:])
    assert struct.unpack("<QQ", table(memory, xsdt)[36:]) == old
    fadt, madt = (table(memory, at) for at in old)
    assert (fadt[:4], madt[:4], len(fadt)) == (b"FACP", b"APIC", 244)
    facs, dsdt = struct.unpack_from("<II", fadt, 36)
    assert facs % 64 == 0
    assert memory[facs - acpi_tables.RSDP :][:4] == b"FACS"
    assert table(memory, dsdt)[:4] == b"DSDT"
    assert struct.unpack_from("<Q", fadt, 140)[0] == dsdt
    assert madt.count(b"\x00\x08") >= cpus


def test_package_lengths():
    for size in (1, 0x3E, 0x3F, 0x40, 0xFFD, 0xFFE, 0x1000):
        found = aml.length(bytes(size))
        n = found[0] >> 6
        value = found[0] & 0x3F if n == 0 else found[0] & 0xF | sum(b << 4 + 8 * k for k, b in enumerate(found[1:]))
        assert (value, len(found)) == (size + len(found), n + 1)


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_mp_tables(cpus):
    memory = mp_table.tables(cpus)
    assert memory[:4] == b"_MP_"
    assert sum(memory[:16]) & 0xFF == 0
    size, entries = struct.unpack_from("<H", memory, 16 + 4)[0], struct.unpack_from("<H", memory, 16 + 34)[0]
    config = memory[16 : 16 + size]
    assert (config[:4], sum(config) & 0xFF) == (b"PCMP", 0)
    at, kinds = 44, []
    while at < size:
        kinds.append(config[at])
        at += 20 if config[at] == mp_table.PROCESSOR else 8
    assert (at, len(kinds), kinds.count(mp_table.PROCESSOR)) == (size, entries, cpus)


class Memory:
    def __init__(self, size):
        self.data = bytearray(size)

    def read_physical(self, at, n):
        return bytes(self.data[at : at + n]) if at + n <= len(self.data) else None

    def write_physical(self, at, data):
        if at + len(data) > len(self.data):
            return False
        self.data[at : at + len(data)] = data
        return True


def test_fw_cfg_by_ports_and_by_dma():
    memory = Memory(0x1000)
    f = FwCfg(memory, 2, 64 << 20, {"opt/x": b"hello"})
    f.write(0, 2, 0)
    assert bytes(f.read(1, 1) for _ in range(6)) == b"QEMU\0\0"
    f.write(0, 2, 5)
    assert f.read(1, 1) == 2
    f.write(0, 2, 0x19)
    directory = f.take(4 + 64 * 2)
    size, item = struct.unpack_from(">IH", directory, 4 + 64)
    assert directory[4 + 64 + 8 :].startswith(b"opt/x\0")
    memory.write_physical(0x100, struct.pack(">IIQ", item << 16 | 8 | 2, size, 0x200))
    assert f.dma.read(0, 4).to_bytes(4, "little") == b"QEMU"
    f.dma.write(4, 4, int.from_bytes((0x100).to_bytes(4, "big"), "little"))
    assert memory.data[0x200:0x206] == b"hello\0"
    assert memory.data[0x100:0x104] == bytes(4)


def test_fw_cfg_refuses_to_write_outside_memory():
    memory = Memory(0x1000)
    f = FwCfg(memory, 1, 1 << 20)
    for target, length in ((0xFF0, 100), (1 << 63, 4), (0x200, 0xFFFFFFFF)):
        memory.write_physical(0x100, struct.pack(">IIQ", 8 | 2, length, target))
        f.transfer(0x100)
        assert memory.data[0x103] == 1
    f.transfer(1 << 60)
