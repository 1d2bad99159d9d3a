"""A bare PC: one machine, its first devices, and a guest that owns them."""

from collections.abc import Callable

from vmdbg.machine.board import acpi_tables, mp_table
from vmdbg.machine.board.acpi import PM1_EVENT, Acpi
from vmdbg.machine.board.debug_port import DebugPort
from vmdbg.machine.board.exit_port import ExitPort
from vmdbg.machine.board.isa_bridge import isa_bridge, power_management
from vmdbg.machine.board.pci import ADDRESS, DATA, PORTS, PciBus, host_bridge
from vmdbg.machine.board.post_port import PostPort
from vmdbg.machine.board.reset_ports import RESET_PORT, ResetControl
from vmdbg.machine.board.uart import Uart
from vmdbg.machine.board.vga_text import FIRST_PORT, VgaText
from vmdbg.machine.board.vga_text import PORTS as VGA_PORTS
from vmdbg.monitor.guest import Guest
from vmdbg.monitor.start import start

LOG_SIZE = 1 << 20  # bytes of output that are kept for the views


class Bare:
    """A PC that runs one guest: the boot path of a BIOS or a boot loader, without either.

    `serial(byte)` is called with every byte that leaves COM1 or a debug port; the last LOG_SIZE of them are in `log`.
    """

    name = "bare"

    def __init__(self, machine, guest: Guest, serial: Callable[[int], object] | None = None):
        """`machine` has guest.memory bytes of RAM and CPUs in reset state."""
        self.machine = machine
        self.guest = guest
        self.log = bytearray()
        self.serial = serial
        self.uart = Uart(self._say)
        self.vga = VgaText()
        self.post = PostPort()
        ports = machine.ports
        ports.attach(0x80, 1, self.post)
        ports.attach(0xE9, 1, DebugPort(self._say))
        ports.attach(0xF4, 4, ExitPort(leave))
        ports.attach(FIRST_PORT, VGA_PORTS, self.vga)
        ports.attach(0x3F8, 8, self.uart)
        ports.attach(0x402, 1, DebugPort(self._say))
        self.acpi = Acpi(lambda: machine.clock, lambda: leave(0))
        self.pci = PciBus()
        self.pci.plug(0, 0, host_bridge())
        self.pci.plug(1, 0, isa_bridge())
        self.pci.plug(1, 3, power_management(ports, self.acpi, PM1_EVENT))
        ports.attach(ADDRESS, PORTS, self.pci.address)
        ports.attach(DATA, PORTS, self.pci.data)
        ports.attach(RESET_PORT, 1, ResetControl(lambda: leave(0)))
        machine.timers.append(self.acpi)
        self._firmware_tables()
        guest.place(machine.ram)
        if guest.rom is not None:
            machine.add_rom(guest.rom)
        start(machine.cpus[0], machine.ram, guest)

    def _firmware_tables(self) -> None:
        """ACPI and MP tables where firmware would have left them, except where the guest itself is firmware."""
        if self.guest.rom is None:
            cpus = len(self.machine.cpus)
            for at, data in ((acpi_tables.RSDP, acpi_tables.tables(cpus)), (mp_table.POINTER, mp_table.tables(cpus))):
                self.machine.ram[at : at + len(data)] = bytearray(data)

    def _say(self, byte: int) -> None:
        if len(self.log) >= 2 * LOG_SIZE:
            del self.log[:LOG_SIZE]
        self.log.append(byte)
        if self.serial is not None:
            self.serial(byte)


def leave(status: int) -> None:
    """The guest ends the run."""
    from vmdbg.machine.machine import Leave

    raise Leave(status)
