"""A bare PC: one machine, its first devices, and a guest that owns them."""

from collections.abc import Callable
from contextlib import suppress

from vmdbg.machine.board import acpi_tables, mp_table, smbios
from vmdbg.machine.board.pc import Pc
from vmdbg.monitor.bios import power_on
from vmdbg.monitor.cards import cards
from vmdbg.monitor.drives import drives
from vmdbg.monitor.guest import Guest, GuestError
from vmdbg.monitor.low_memory import place_low_memory
from vmdbg.monitor.start import start
from vmdbg.monitor.transcript import KEPT, Transcript

MULTIBOOT = ("multiboot", "multiboot2")  # the loader leaves the machine as the BIOS has set it up (Multiboot 0.6.96, 3.2)


class Bare:
    """A PC that runs one guest: disks through the built-in BIOS, kernels as a boot loader would start them.

    `serial(byte)` is called with every byte that leaves COM1 or a debug port; the last of them
    are in `log`, and `sent` counts them all.
    """

    name = "bare"

    def __init__(self, machine, guest: Guest, serial: Callable[[int], object] | None = None):
        """`machine` has guest.memory bytes of RAM and CPUs in reset state."""
        self.machine = machine
        self.guest = guest
        self.transcript = Transcript(serial)
        self.second = Transcript(second_output(guest))
        self.board = Pc(
            machine,
            self.transcript.say,
            drives=drives(guest),
            firmware=firmware_files(guest),
            cards=cards(guest, self.transcript.say),
            say_second=self.second.say,
        )
        self.uart, self.vga = self.board.uart, self.board.vga
        self._firmware_tables()
        if guest.rom is None and (guest.bits == 16 or guest.format in MULTIBOOT):
            power_on(machine, self.board, guest)
        guest.place(machine.ram)
        if guest.rom is not None:
            machine.add_rom(guest.rom)
        start(machine.cpus[0], machine.ram, guest)

    def _firmware_tables(self) -> None:
        """What firmware would have left: low memory, tables (ACPI, MP, SMBIOS); nothing where the guest itself is firmware."""
        if self.guest.rom is None:
            place_low_memory(self.machine.ram)
            cpus = len(self.machine.cpus)
            for at, data in (
                (acpi_tables.RSDP, acpi_tables.tables(cpus)),
                (mp_table.POINTER, mp_table.tables(cpus)),
                (smbios.ENTRY, smbios.tables(self.guest.memory, cpus)),
            ):
                self.machine.ram[at : at + len(data)] = bytearray(data)

    @property
    def log(self) -> bytes:
        """What the guest has said, as far as it is kept."""
        return self.transcript.tail(2 * KEPT)

    @property
    def sent(self) -> int:
        """How many bytes that are since the start."""
        return self.transcript.said

    def state_roots(self) -> dict[str, object]:
        """What checkpoints are made of besides the machine."""
        return dict(board=self.board, transcript=self.transcript, second=self.second)


def firmware_files(guest: Guest) -> dict[str, bytes] | None:
    """What fw_cfg has for firmware; None if there is none."""
    return None if guest.rom is None else {**dict(guest.firmware_files), **smbios.firmware_files(guest.memory, guest.cpus)}


def second_output(guest: Guest) -> Callable[[int], object] | None:
    """What takes the bytes of COM2."""
    if guest.com2 is None:
        return None
    try:
        out = open(guest.com2, "wb", buffering=0)  # for as long as the board is there
    except OSError as e:
        raise GuestError(f"--com2 {guest.com2}: {e.strerror.lower() if e.strerror else e}") from None

    def write(byte: int) -> None:
        with suppress(OSError):  # a host disk that is full
            out.write(bytes((byte,)))

    return write
