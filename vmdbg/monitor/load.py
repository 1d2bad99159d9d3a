"""From a file to a guest, by what its content is."""

from pathlib import Path

from vmdbg.monitor.guest import Guest, GuestError, Options
from vmdbg.monitor.load_elf import is_elf, load_elf
from vmdbg.monitor.load_flat import is_boot_sector, load_boot_sector, load_flat
from vmdbg.monitor.start import first_tables

SMALLEST, LARGEST = 1 << 20, 3 << 30  # memory in bytes: the legacy area, and where a PC's devices begin


def load_guest(path: Path, options: Options) -> Guest:
    """An ELF file, a boot sector, otherwise (or where options say so) a flat binary; GuestError says why it is none."""
    if not SMALLEST <= options.memory <= LARGEST:
        raise GuestError(f"memory of {options.memory:,} bytes: this PC takes from 1 MiB to 3 GiB")
    image = read_image(path)
    if is_elf(image):
        if options.load_address is not None or options.bits is not None:
            raise GuestError(f"{path}: an ELF file says itself where it goes: --load-address and --bits are for flat binaries")
        guest = load_elf(path, image, options)
    elif is_boot_sector(image) and options == Options(memory=options.memory):
        guest = load_boot_sector(path, image, options)
    else:
        guest = load_flat(path, image, options)
    tables = first_tables(options.memory)
    if guest.bits != 16 and any(p.address + p.size > tables for p in guest.pieces):
        room = options.memory - tables >> 10
        raise GuestError(f"{path}: the last {room} KiB of memory hold the first GDT and page tables: give it more (--memory)")
    return guest


def read_image(path: Path) -> bytes:
    """The bytes of a guest's file; GuestError says in one sentence why there are none."""
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
