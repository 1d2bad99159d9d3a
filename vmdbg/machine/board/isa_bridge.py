"""The PIIX3's functions on PCI (Intel 82371SB data sheet): the ISA bridge with its interrupt routing, and power management.

What a PIIX3 has behind ISA (timers, interrupt controllers, CMOS) are devices of their own; function 1 (IDE) is too.
"""

from collections.abc import Callable

from vmdbg.machine.board.pci import Function

Line = Callable[[bool], None]

PIRQ, PM_BASE, PM_ENABLE = 0x60, 0x40, 0x80
ISA_CLASS, PM_CLASS, IDE_CLASS = 0x060100, 0x068000, 0x010100
IDE_TIMING = 0x40
DEVICE_B, APMC_ENABLED = 0x58, 1 << 25  # DEVACTB


def isa_bridge(routed: Callable[[int, int], None] | None = None) -> Function:
    """8086:7000.  `routed(register, width)` after a write; PIRQRCA to PIRQRCD at 60h: bit 7 off, bits 3:0 the IRQ."""
    f = Function(0x8086, 0x7000, ISA_CLASS, 0, routed)
    f.set(PIRQ, 4, 0x80808080)
    f.allow(PIRQ, 4, 0x8F8F8F8F)
    f.allow(0x4E, 2, 0xFFFF)  # XBCS
    f.set(0x4E, 2, 0x0003)
    f.set(0x06, 2, 0x0200)
    return f


class Pirqs:
    """Where INTA to INTD of the devices on bus 0 arrive: at PIRQA to PIRQD in turn, and from there at an IRQ.

    `irq(n)` is the line of IRQ n, `initial` the IRQs of PIRQA to PIRQD, if firmware is taken to have set them up.
    """

    PINS, OFF = 4, 0x80

    def __init__(self, irq: Callable[[int], Line], initial: tuple[int, ...] | None = None):
        self.irq = irq
        self.function = isa_bridge(lambda register, width: self.update())
        self.raised: set[tuple[int, int]] = set()  # (PIRQ, device) of the lines that are up
        self.driven: set[int] = set()  # IRQs
        for n, number in enumerate(initial or ()):
            self.function.set(PIRQ + n, 1, number)

    def line(self, device: int, pin: int = 0) -> Line:
        """The line of INTA to INTD (0 to 3) of a device."""
        where = ((device - 1 + pin) % self.PINS, device)

        def drive(level: bool) -> None:
            (self.raised.add if level else self.raised.discard)(where)
            self.update()

        return drive

    def update(self) -> None:
        routes = [self.function.get(PIRQ + n, 1) for n in range(self.PINS)]
        wanted = {routes[n] & 0xF for n, _ in self.raised if not routes[n] & self.OFF}
        changed, self.driven = self.driven ^ wanted, wanted
        for n in sorted(changed):
            self.irq(n)(n in wanted)


def power_management(ports, acpi, first: int) -> Function:
    """8086:7113 (82371AB, function 3): the registers of `acpi` at PMBA (40h), enabled by bit 0 of 80h; at `first` to begin with."""

    def place(register: int, width: int) -> None:
        ports.detach(acpi)
        base = f.get(PM_BASE, 4) & 0xFFC0
        if f.get(PM_ENABLE, 1) & 1 and base:
            ports.attach(base, 64, acpi)

    f = Function(0x8086, 0x7113, PM_CLASS, 3, place)
    f.set(PM_BASE, 4, first | 1)
    f.allow(PM_BASE, 4, 0xFFC0)
    f.set(PM_ENABLE, 1, 1)
    f.allow(PM_ENABLE, 1, 1)
    f.set(DEVICE_B, 4, APMC_ENABLED)  # as if SMM were set up already: there is none, and firmware must not wait for it
    f.set(0x3D, 1, 1)
    place(0, 0)
    return f


def ide_function() -> Function:
    """8086:7010, function 1: both channels in compatibility mode, no bus master; IDETIM at 40h switches them on."""
    f = Function(0x8086, 0x7010, IDE_CLASS)
    f.set(IDE_TIMING, 4, 0x80008000)
    f.allow(IDE_TIMING, 4, 0xF3FFF3FF)
    return f
