"""A bare PC: one machine, its first devices, and a guest that owns them."""

from collections.abc import Callable
from pathlib import Path

from vmdbg.machine.board.debug_port import DebugPort
from vmdbg.machine.board.exit_port import ExitPort
from vmdbg.machine.board.post_port import PostPort
from vmdbg.machine.board.uart import Uart
from vmdbg.machine.board.vga_text import FIRST_PORT, PORTS, VgaText
from vmdbg.monitor.guest import Guest, GuestError, Options
from vmdbg.monitor.load_elf import is_elf, load_elf
from vmdbg.monitor.load_flat import is_boot_sector, load_boot_sector, load_flat
from vmdbg.monitor.start import start

SMALLEST, LARGEST = 1 << 20, 3 << 30  # memory in bytes: the legacy area, and where a PC's devices begin
LOG_SIZE = 1 << 20  # bytes of output that are kept for the views


class Bare:
    """A PC that runs one guest: the boot path of a BIOS or a boot loader, without either.

    `serial(byte)` is called with every byte that leaves COM1 or a debug port; the last LOG_SIZE of them are in `log`.
    """

    name = "bare"

    def __init__(self, machine, image: bytes, path: Path, options: Options, serial: Callable[[int], None] | None = None):
        """`machine` has options.memory bytes of RAM; `image` is the content of `path`.  GuestError: it does not fit or is damaged."""
        self.machine = machine
        self.options = options
        self.log = bytearray()
        self.serial = serial
        self.guest = load(machine.ram, path, image, options)
        self.uart = Uart(self._say)
        self.vga = VgaText()
        self.post = PostPort()
        ports = machine.ports
        ports.attach(0x80, 1, self.post)
        ports.attach(0xE9, 1, DebugPort(self._say))
        ports.attach(0xF4, 4, ExitPort(machine.leave))
        ports.attach(FIRST_PORT, PORTS, self.vga)
        ports.attach(0x3F8, 8, self.uart)
        ports.attach(0x402, 1, DebugPort(self._say))
        start(machine.cpus[0], machine.ram, self.guest)

    def _say(self, byte: int) -> None:
        if len(self.log) >= 2 * LOG_SIZE:
            del self.log[:LOG_SIZE]
        self.log.append(byte)
        if self.serial is not None:
            self.serial(byte)


def read_image(path: Path, options: Options) -> bytes:
    """The bytes of a guest's file; GuestError says in one sentence why there are none."""
    if not SMALLEST <= options.memory <= LARGEST:
        raise GuestError(f"memory of {options.memory:,} bytes: this PC takes from 1 MiB to 3 GiB")
    try:
        if path.is_dir():
            raise GuestError(f"{path}: a directory, not a guest")
        size = path.stat().st_size
        if path.is_file() and size > LARGEST:
            raise GuestError(f"{path}: {size:,} bytes are more than this PC can have memory (3 GiB)")
        if not path.is_file():
            raise GuestError(f"{path}: not a regular file")
        image = path.read_bytes()
    except OSError as e:
        raise GuestError(f"{path}: {e.strerror.lower() if e.strerror else e}") from None
    except ValueError as e:  # a NUL in the name
        raise GuestError(f"{str(path)!r}: {e}") from None
    if not image:
        raise GuestError(f"{path}: an empty file")
    return image


def load(ram, path: Path, image: bytes, options: Options) -> Guest:
    """Put the guest into memory by what it is: ELF, a boot sector, otherwise (or where options say so) a flat binary."""
    if is_elf(image):
        if options.load_address is not None or options.bits is not None:
            raise GuestError(f"{path}: an ELF file says itself where it goes: --load-address and --bits are for flat binaries")
        return load_elf(ram, path, image, options)
    if is_boot_sector(image) and options == Options(memory=options.memory):
        return load_boot_sector(ram, path, image, options)
    return load_flat(ram, path, image, options)
