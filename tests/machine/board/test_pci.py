"""PCI configuration, register by register."""

from vmdbg.machine.board.acpi import Acpi
from vmdbg.machine.board.isa_bridge import ide_function, isa_bridge, power_management
from vmdbg.machine.board.pci import BARS, COMMAND, HEADER_TYPE, Function, PciBus, host_bridge
from vmdbg.machine.board.reset_ports import ResetControl
from vmdbg.machine.machine import Map


def bus():
    b = PciBus()
    b.plug(0, 0, host_bridge())
    b.plug(1, 0, isa_bridge())
    b.plug(1, 1, ide_function())
    return b


def config(b, device, function, register, width=4, value=None):
    b.address.write(0, 4, 0x80000000 | device << 11 | function << 8 | register & 0xFC)
    if value is None:
        return b.data.read(register & 3, width)
    return b.data.write(register & 3, width, value)


def test_functions_are_found_and_others_read_as_ones():
    b = bus()
    assert config(b, 0, 0, 0) == 0x12378086
    assert config(b, 1, 0, 0) == 0x70008086
    assert config(b, 1, 1, 2, 2) == 0x7010
    assert config(b, 1, 0, HEADER_TYPE, 1) == 0x80
    assert [config(b, d, f, 0) for d, f in ((1, 2), (2, 0), (31, 7))] == [0xFFFFFFFF] * 3
    b.address.write(0, 4, 0x80010000)  # bus 1
    assert b.data.read(0, 4) == 0xFFFFFFFF
    b.address.write(0, 4, 0)  # not enabled
    assert b.data.read(0, 4) == 0xFFFFFFFF


def test_the_address_port_takes_only_32_bits():
    b = bus()
    b.address.write(0, 4, 0xFFFFFFFF)
    assert b.address.read(0, 4) == 0x80FFFFFC
    b.address.write(0, 1, 0x12)
    b.address.write(2, 2, 0x1234)
    assert b.address.read(0, 4) == 0x80FFFFFC
    assert b.address.read(0, 1) == 0xFF


def test_identity_is_read_only():
    b = bus()
    for register in range(0, 0x10, 4):
        before = config(b, 0, 0, register)
        config(b, 0, 0, register, 4, 0xFFFFFFFF)
        assert config(b, 0, 0, register) & ~0x407 == before & ~0x407


class Nothing:
    def read(self, offset, width):
        return offset

    def write(self, offset, width, value):
        pass


def test_a_bar_tells_its_size_and_moves_its_ports():
    ports, device, f = Map(), Nothing(), Function(0x1AF4, 0x1000, 0x010000)
    f.bar(0, 64, ports, device, io=True)
    f.write(BARS, 4, 0xFFFFFFFF)
    assert f.read(BARS, 4) == 0xFFFFFFC1
    f.write(BARS, 4, 0xC000)
    assert ports.find(0xC000) is None
    f.write(COMMAND, 2, 1)
    assert ports.find(0xC03F) == (device, 0x3F)
    f.write(BARS, 4, 0xD000)
    assert ports.find(0xC000) is None
    assert ports.read(0xD005, 1) == 5
    f.write(COMMAND, 2, 0)
    assert ports.ranges == []


def test_power_management_moves():
    ports = Map()
    acpi = Acpi(lambda: 0, lambda: None)
    f = power_management(ports, acpi, 0x600)
    assert ports.find(0x604) == (acpi, 4)
    f.write(0x40, 4, 0xB000)
    assert f.read(0x40, 4) == 0xB001
    assert ports.find(0x604) is None
    assert ports.find(0xB008) == (acpi, 8)


def test_reset_control_needs_a_rising_bit():
    resets = []
    port = ResetControl(resets.append)
    port.write(0, 1, 2)
    assert (port.read(0, 1), resets) == (2, [])
    port.write(0, 1, 6)
    assert resets == [True]
