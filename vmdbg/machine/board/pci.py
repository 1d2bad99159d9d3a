"""PCI: configuration mechanism 1 and configuration space (PCI Local Bus Specification 3.0, 3.2.2.3 and chapter 6).

    CF8 address: enable 31, bus 23:16, device 15:11, function 10:8, register 7:2    CFC..CFF data

Bus 0 is the only one.  A function that is absent reads as all ones.  A base address register keeps only the bits that its
size leaves, so writing all ones and reading back tells the size; moving one moves the ports or the memory behind it.
"""

from collections.abc import Callable

import numpy as np

ADDRESS, DATA, PORTS = 0xCF8, 0xCFC, 4
ENABLE = 0x80000000
VENDOR, DEVICE, COMMAND, STATUS, REVISION, CLASS, HEADER_TYPE, BARS, SUBSYSTEM, CAPABILITIES, LINE, PIN = (
    0x00, 0x02, 0x04, 0x06, 0x08, 0x09, 0x0E, 0x10, 0x2C, 0x34, 0x3C, 0x3D
)  # fmt: skip
IO_ENABLE, MEMORY_ENABLE, BUS_MASTER, INTERRUPT_DISABLE = 0x1, 0x2, 0x4, 0x400
MULTIFUNCTION = 0x80

FUNCTION = np.dtype([("space", "u1", 256), ("writable", "u1", 256)])
BUS = np.dtype([("address", "<u4")])


class Function:
    """One function's configuration space: `space` are its 256 bytes, `writable` the bits that a write changes.

    `changed(first, count)` is called after a write.  bar() gives it a range of ports or memory.
    """

    def __init__(self, vendor: int, device: int, class_code: int, revision: int = 0, changed: Callable[[int, int], None] | None = None):
        """class_code: class, subclass, interface, as 24 bits."""
        self.state = np.zeros((), FUNCTION)
        self.changed = changed
        self.regions: dict[int, Region] = {}
        self.set(VENDOR, 2, vendor)
        self.set(DEVICE, 2, device)
        self.set(REVISION, 1, revision)
        self.set(CLASS, 3, class_code)
        self.allow(COMMAND, 2, IO_ENABLE | MEMORY_ENABLE | BUS_MASTER | INTERRUPT_DISABLE)
        self.allow(LINE, 1, 0xFF)

    def set(self, register: int, width: int, value: int) -> None:
        """Give a register its value."""
        self.state["space"][register : register + width] = np.frombuffer(value.to_bytes(width, "little"), np.uint8)

    def allow(self, register: int, width: int, mask: int) -> None:
        """Let the guest change these bits of a register."""
        self.state["writable"][register : register + width] = np.frombuffer(mask.to_bytes(width, "little"), np.uint8)

    def get(self, register: int, width: int) -> int:
        return int.from_bytes(self.state["space"][register : register + width].tobytes(), "little")

    def bar(self, number: int, size: int, space, device, io: bool) -> None:
        """Base address register `number`: `size` (a power of 2) ports or bytes, where `device` answers in `space`.

        space: machine.ports, or what has attach and ranges as it has.
        """
        register = BARS + 4 * number
        self.set(register, 4, 1 if io else 0)
        self.allow(register, 4, 0x100000000 - size)
        self.regions[register] = Region(size, space, device, io)

    def read(self, register: int, width: int) -> int:
        return self.get(register, min(width, 256 - register))

    def write(self, register: int, width: int, value: int) -> None:
        width = min(width, 256 - register)
        old, mask = self.get(register, width), int.from_bytes(self.state["writable"][register : register + width].tobytes(), "little")
        self.set(register, width, old & ~mask | value & mask & (1 << 8 * width) - 1)
        self._place()
        if self.changed is not None:
            self.changed(register, width)

    def _place(self) -> None:
        command = self.get(COMMAND, 2)
        for register, region in self.regions.items():
            enabled = command & (IO_ENABLE if region.io else MEMORY_ENABLE)
            region.place(self.get(register, 4) & ~0xF if enabled else 0)


class Region:
    """What stands behind a base address register, and where it is now; 0: nowhere."""

    def __init__(self, size: int, space, device, io: bool):
        self.size, self.space, self.device, self.io = size, space, device, io
        self.address = 0

    def place(self, address: int) -> None:
        if address == self.address:
            return
        self.space.detach(self.device)
        self.address = address
        if address:
            self.space.attach(address, self.size, self.device, behind=True)  # what has a fixed place keeps it


class PciBus:
    """Bus 0 and the ports that lead to it: attach `address` at ADDRESS and `data` at DATA."""

    def __init__(self):
        self.state = np.zeros((), BUS)
        self.functions: dict[tuple[int, int], Function] = {}
        self.address, self.data = AddressPort(self), DataPort(self)

    def plug(self, device: int, function: int, what: Function) -> None:
        """Put a function at 00:device.function."""
        self.functions[device, function] = what
        if function and (device, 0) in self.functions:
            self.functions[device, 0].set(HEADER_TYPE, 1, MULTIFUNCTION)

    def selected(self) -> Function | None:
        """The function that CF8 addresses."""
        address = int(self.state["address"])
        if not address & ENABLE or address >> 16 & 0xFF:
            return None
        return self.functions.get((address >> 11 & 0x1F, address >> 8 & 7))


class AddressPort:
    """CF8: only 32-bit accesses reach it."""

    def __init__(self, bus: PciBus):
        self.bus = bus

    def read(self, offset: int, width: int) -> int:
        return int(self.bus.state["address"]) if offset == 0 and width == 4 else (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        if offset == 0 and width == 4:
            self.bus.state["address"] = value & ~0x7F000003 & 0xFFFFFFFF


class DataPort:
    """CFC to CFF: the bytes of the selected register."""

    def __init__(self, bus: PciBus):
        self.bus = bus

    def read(self, offset: int, width: int) -> int:
        function, width = self.bus.selected(), min(width, 4 - offset)
        if function is None:
            return (1 << 8 * width) - 1
        return function.read((int(self.bus.state["address"]) & 0xFC) + offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        function = self.bus.selected()
        if function is not None:
            function.write((int(self.bus.state["address"]) & 0xFC) + offset, min(width, 4 - offset), value)


def host_bridge(changed: Callable[[int, int], None] | None = None) -> Function:
    """The 440FX (Intel 82441FX data sheet): 8086:1237, with PAM registers at 59h-5Fh."""
    f = Function(0x8086, 0x1237, 0x060000, 2, changed)
    f.allow(PAM, 7, int.from_bytes(bytes([0x30] + [0x33] * 6), "little"))
    f.allow(0x72, 1, 0x7F)  # SMRAM
    f.set(0x72, 1, 2)
    return f


PAM = 0x59
