"""The standard board: a PC with one function that builds it, and the wires between its devices.

IRQ n --+-- 8259s --- INTR --+-- LINT0 of every local APIC --- vCPU
        |                    +-- I/O APIC input 0
        +-- I/O APIC input n (IRQ 0: input 2) --- bus --- local APICs
"""

from collections.abc import Callable, Sequence

from vmdbg.machine.board import coprocessor, pins
from vmdbg.machine.board.acpi_tables import PCI_INTERRUPTS
from vmdbg.machine.board.apic_bus import ApicBus
from vmdbg.machine.board.chipset import Chipset
from vmdbg.machine.board.coprocessor import Coprocessor
from vmdbg.machine.board.debug_port import DebugPort
from vmdbg.machine.board.exit_port import ExitPort
from vmdbg.machine.board.i8042 import I8042
from vmdbg.machine.board.ioapic import Ioapic
from vmdbg.machine.board.lapic import Lapic
from vmdbg.machine.board.pic import Pic
from vmdbg.machine.board.pit import Pit, Port61
from vmdbg.machine.board.port92 import Port92
from vmdbg.machine.board.post_port import PostPort
from vmdbg.machine.board.power_up import PowerUp
from vmdbg.machine.board.quiet_registers import quiet_registers
from vmdbg.machine.board.rtc import Rtc
from vmdbg.machine.board.shutdown_port import FIRST as SHUTDOWN_PORT
from vmdbg.machine.board.shutdown_port import ShutdownPort
from vmdbg.machine.board.test_device import LATCH, LINES, MEMORY, SIZE, TestDevice
from vmdbg.machine.board.uart import Uart
from vmdbg.machine.board.vga_text import FIRST_PORT, PORTS, VgaText
from vmdbg.machine.board.virtio_console import VirtioConsole

LAPIC_BASE, IOAPIC_BASE, PAGE = 0xFEE00000, 0xFEC00000, 0x1000
TIMER, KEYBOARD, COM2, COM1, CLOCK, MOUSE = 0, 1, 3, 4, 8, 12  # IRQs


class Pc:
    """The devices of a board, by name.

    `say(byte)` gets what leaves COM1 and the debug ports; `start` is the time of day at clock 0, in seconds since 1970, UTC;
    `end(status)` is called when the guest powers off, resets a machine without firmware (both 0) or writes its exit status;
    `say_second` gets what leaves COM2; `drives`, `firmware` and `cards` are the chipset's.  `console` is where what somebody types
    arrives: COM1, or a console among the cards.
    """

    def __init__(
        self,
        machine,
        say: Callable[[int], object],
        start: int = 0,
        end: Callable[[int], None] | None = None,
        drives: tuple = (None, None, None, None),
        firmware: dict[str, bytes] | None = None,
        cards: Sequence[Callable] = (),
        say_second: Callable[[int], object] | None = None,
    ):
        self.machine = machine
        self.say = say
        self.start = start
        self.end = end or leave
        self.drives, self.firmware, self.card_makers = drives, firmware, tuple(cards)
        self.say_second = say_second or (lambda byte: None)
        self.apic_pages: set[int] = set()
        self.power_up: PowerUp | None = None
        build(self)
        if firmware is not None:
            self.power_up = PowerUp(self)
            self.power_up.remember()

    def clock(self) -> int:
        """Virtual nanoseconds."""
        return self.machine.clock

    def irq(self, n: int) -> Callable[[bool], None]:
        """The line of IRQ n, 0-15, to both kinds of controllers; they hear of changes only."""
        pic, ioapic, at = self.pic.irq(n), self.ioapic, 2 if n == 0 else n

        def line(level: bool) -> None:
            if ioapic.level(at) != level:
                pic(level)
                ioapic.set_line(at, level)

        return line

    def acknowledge(self, cpu: int) -> int:
        """The vCPU takes the interrupt that was announced to it."""
        return self.lapics[cpu].acknowledge()

    def running(self) -> int:
        """The vCPU whose turn it is: the one that accesses a device now."""
        cpus = self.machine.cpus
        return next(n for n, c in enumerate(cpus) if int(c.turn)) if len(cpus) > 1 else 0

    def place_apic(self, base: int) -> None:
        """Registers of local APICs at physical address `base`."""
        if base not in self.apic_pages:
            self.apic_pages.add(base)
            self.machine.claim(base, PAGE, ApicPage(self, base))

    def set_a20(self, on: bool) -> None:
        """The A20 gate: two devices move it."""
        self.keyboard.gate(on)
        self.port92.gate(on)
        pins.set_a20(self.machine, on)

    def ignore_coprocessor(self, n: int) -> None:
        """IGNNE# of vCPU n."""
        self.machine.cpus[n].ignne = 1

    def reset(self, full: bool = False) -> None:
        """The reset line of the CPUs, or of everything; without firmware, which would start anew, the machine ends."""
        if self.power_up is None:
            self.end(0)
        elif full:
            self.power_up.reset()
        else:
            self.power_up.reset_cpus()


class ApicPage:
    """A page at which local APICs answer, each to its own vCPU; to the others it is what lies below: RAM or nothing."""

    def __init__(self, pc: Pc, base: int):
        self.pc, self.base = pc, base

    def _lapic(self) -> Lapic | None:
        n = self.pc.running()
        return self.pc.lapics[n] if int(self.pc.machine.cpus[n].apic_base) & ~0xFFF == self.base else None

    def read(self, offset: int, width: int) -> int:
        lapic = self._lapic()
        if lapic is not None:
            return lapic.read(offset, width)
        below = self.pc.machine.read_physical(self.base + offset, width)
        return (1 << 8 * width) - 1 if below is None else int.from_bytes(below, "little")

    def write(self, offset: int, width: int, value: int) -> None:
        lapic = self._lapic()
        if lapic is not None:
            lapic.write(offset, width, value)
        else:
            self.pc.machine.write_physical(self.base + offset, value.to_bytes(width, "little"))


def build(pc: Pc) -> None:
    """The board, device by device."""
    make_interrupt_controllers(pc)  # who tells the vCPUs
    make_timers(pc)  # what happens by itself
    make_keyboard(pc)  # and the A20 gate, and the reset line
    make_console(pc)  # serial port, screen, debug ports
    make_chipset(pc)  # PCI, disks, ACPI, fw_cfg, the reset port
    make_exits(pc)  # how guests end the run
    make_test_device(pc)  # what test suites bring themselves elsewhere


def make_interrupt_controllers(pc: Pc) -> None:
    machine = pc.machine
    bus = pc.bus = ApicBus()
    pc.ioapic = Ioapic(bus)
    pc.lapics = []
    pc.pic = Pic(lambda level: tell(pc, level))
    for n in range(len(machine.cpus)):
        pc.lapics.append(Lapic(n, pins.Core(machine, n), bus, pc.clock, pc.pic.acknowledge, pc.place_apic))
        machine.set_apic_registers(n, quiet_registers(pc.lapics[n]))
    pc.lapics[0].virtual_wire()
    pc.coprocessor = Coprocessor(pc.irq(coprocessor.IRQ), pc.ignore_coprocessor)
    machine.coprocessor = pc.coprocessor
    machine.ports.attach(coprocessor.PORT, 1, pc.coprocessor)
    machine.ports.attach(0x20, 2, pc.pic.chip(0))
    machine.ports.attach(0xA0, 2, pc.pic.chip(1))
    machine.ports.attach(0x4D0, 2, pc.pic.elcr())
    machine.claim(IOAPIC_BASE, PAGE, pc.ioapic)
    pc.place_apic(LAPIC_BASE)
    machine.controller, machine.apics = pc, pc.lapics
    machine.timers += pc.lapics


def tell(pc: Pc, level: bool) -> None:
    """INTR of the 8259s."""
    for lapic in pc.lapics:
        lapic.lint(0)(level)
    pc.ioapic.set_line(0, level)


def make_timers(pc: Pc) -> None:
    machine = pc.machine
    pc.pit = Pit(pc.clock, pc.irq(TIMER))
    pc.rtc = Rtc(pc.clock, pc.irq(CLOCK), pc.start, machine.memory_size)
    pc.rtc.state["ram"][0x5F] = len(machine.cpus) - 1  # where SeaBIOS reads how many vCPUs there are
    machine.ports.attach(0x40, 4, pc.pit)
    machine.ports.attach(0x61, 1, Port61(pc.pit))
    machine.ports.attach(0x70, 2, pc.rtc)
    machine.timers += [pc.pit, pc.rtc]


def make_keyboard(pc: Pc) -> None:
    ports = pc.machine.ports
    pc.keyboard = I8042(pc.irq(KEYBOARD), pc.irq(MOUSE), pc.set_a20, pc.reset)
    pc.port92 = Port92(pc.set_a20, pc.reset)
    ports.attach(0x60, 1, pc.keyboard)
    ports.attach(0x64, 1, Command(pc.keyboard))
    ports.attach(0x92, 1, pc.port92)


class Command:
    """Port 64, which lies four ports behind port 60."""

    def __init__(self, keyboard: I8042):
        self.keyboard = keyboard

    def read(self, offset: int, width: int) -> int:
        return self.keyboard.read(4, width)

    def write(self, offset: int, width: int, value: int) -> None:
        self.keyboard.write(4, width, value)


def make_console(pc: Pc) -> None:
    ports = pc.machine.ports
    pc.console = pc.uart = Uart(pc.say, pc.irq(COM1))
    pc.second_uart = Uart(pc.say_second, pc.irq(COM2))
    pc.vga = VgaText()
    pc.post = PostPort()
    ports.attach(0x80, 1, pc.post)
    ports.attach(0xE9, 1, DebugPort(pc.say))
    ports.attach(FIRST_PORT, PORTS, pc.vga)
    ports.attach(0x2F8, 8, pc.second_uart)
    ports.attach(0x3F8, 8, pc.uart)
    ports.attach(0x402, 1, DebugPort(pc.say))


def make_chipset(pc: Pc) -> None:
    pc.chipset = Chipset(pc.machine, pc.irq, lambda: pc.end(0), pc.reset, pc.drives, pc.firmware, pc.card_makers)
    pc.acpi, pc.pci = pc.chipset.acpi, pc.chipset.pci
    pc.console = next((card for card in pc.chipset.cards if isinstance(card, VirtioConsole)), pc.uart)
    if pc.firmware is None:
        for line in sorted(set(PCI_INTERRUPTS)):  # level-triggered, as firmware leaves them
            pc.pic.elcr().write(line >> 3, 1, pc.pic.elcr().read(line >> 3, 1) | 1 << (line & 7))


def make_exits(pc: Pc) -> None:
    ports = pc.machine.ports
    ports.attach(0xF4, 4, ExitPort(pc.end))
    ports.attach(SHUTDOWN_PORT, 1, ShutdownPort(lambda: pc.end(0)))


def make_test_device(pc: Pc) -> None:
    pc.test_device = TestDevice(pc.irq)
    pc.machine.ports.attach(LATCH, 12, pc.test_device)
    pc.machine.ports.attach(LINES, 24, pc.test_device.lines)
    pc.machine.claim(MEMORY, SIZE, pc.test_device.memory)


def leave(status: int) -> None:
    """The run ends."""
    from vmdbg.machine.machine import Leave

    raise Leave(status)
