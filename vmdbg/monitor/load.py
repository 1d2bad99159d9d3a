"""From a file to a guest, by what its content is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vmdbg.monitor.guest import Guest, GuestError, Options
from vmdbg.monitor.load_disk import HEAD, is_disk, is_floppy, is_iso, load_disk, load_floppy, load_iso
from vmdbg.monitor.load_elf import is_elf, load_elf
from vmdbg.monitor.load_flat import load_flat
from vmdbg.monitor.load_linux import is_linux, load_linux
from vmdbg.monitor.load_multiboot import is_multiboot, load_multiboot
from vmdbg.monitor.load_multiboot2 import is_multiboot2, load_multiboot2
from vmdbg.monitor.load_pvh import is_pvh, load_pvh
from vmdbg.monitor.load_rom import is_rom, load_rom
from vmdbg.monitor.read_image import GZIP, LARGEST, check_image, read_head, read_image, read_kernel
from vmdbg.monitor.start import first_tables

SMALLEST = 1 << 20  # memory in bytes: the legacy area
LARGEST_ELF = 1 << 30  # bytes of a file: most of it may be for debuggers
MOST_CPUS, MOST_DISKS, MOST_VIRTIO = 8, 3, 8


@dataclass(frozen=True)
class Format:
    """A kind of guest: whether a file (its bytes, its size) is one, and how it is loaded.

    takes: the options it understands besides memory and cpus.  disk: it is booted by the BIOS, and its first HEAD bytes are
    all that is read of it here.
    """

    matches: Callable[[bytes, int], bool]
    load: Callable[[Path, bytes, Options], Guest]
    takes: frozenset[str] = frozenset()
    disk: bool = False


def by_content(matches: Callable[[bytes], bool]) -> Callable[[bytes, int], bool]:
    return lambda image, size: matches(image)


BOOT = frozenset({"append", "initrd", "modules"})
# In the order in which they are asked: a Linux image has the signature of a boot sector, a disk may have GRUB's multiboot header
FORMATS = {
    "linux": Format(by_content(is_linux), load_linux, frozenset({"append", "initrd", "bits"})),
    "iso": Format(by_content(is_iso), load_iso, disk=True),
    "floppy": Format(is_floppy, load_floppy, disk=True),
    "disk": Format(by_content(is_disk), load_disk, disk=True),
    "multiboot2": Format(by_content(is_multiboot2), load_multiboot2, BOOT),
    "multiboot": Format(by_content(is_multiboot), load_multiboot, BOOT),
    "pvh": Format(by_content(is_pvh), load_pvh, BOOT),
    "elf": Format(by_content(is_elf), load_elf, frozenset({"entry"})),
    "rom": Format(by_content(is_rom), load_rom),
    "flat": Format(lambda image, size: True, load_flat, frozenset({"load_address", "entry", "bits"})),
}
FLAGS = {
    "load_address": "--load-address",
    "entry": "--entry",
    "bits": "--bits",
    "append": "--append",
    "initrd": "--initrd",
    "modules": "--module",
}
FLAVOURS = {
    "linux": "a Linux image",
    "multiboot2": "a multiboot 2 image",
    "multiboot": "a multiboot image",
    "pvh": "a PVH image",
    "elf": "an ELF file",
    "iso": "a CD-ROM image",
    "floppy": "a floppy image",
    "disk": "a disk image",
    "rom": "firmware",
    "flat": "a flat binary",
}


def load_guest(path: Path, options: Options) -> Guest:
    """What the file is (or `options.format` says it is), in memory; GuestError says in one sentence why it is not."""
    if not SMALLEST <= options.memory <= LARGEST:
        raise GuestError(f"memory of {options.memory:,} bytes: this PC takes from 1 MiB to 3 GiB")
    if not 1 <= options.cpus <= MOST_CPUS:
        raise GuestError(f"{options.cpus} CPUs: this PC takes from 1 to {MOST_CPUS}")
    size = check_image(path)
    image = read_head(path, HEAD)
    name = options.format or recognise(image, size, options)
    if not FORMATS[name].disk:
        read = read_image if options.format == "flat" else read_kernel
        image = read(path, max(options.memory, LARGEST_ELF) if image.startswith((b"\x7fELF", GZIP)) else options.memory)
        name = options.format or recognise(image, len(image), options)
        if FORMATS[name].disk:
            raise GuestError(f"{path}: {FLAVOURS[name]} packed by gzip: unpack it first, a disk is read and written in place")
    given = {n for n in ("load_address", "entry", "bits", "append", "initrd", "modules") if getattr(options, n) not in (None, ())}
    if excess := sorted(given - FORMATS[name].takes):
        if not {"append", "initrd", "modules"} & set(excess):
            raise GuestError(
                f"{path}: {FLAVOURS[name]} says itself where it goes: {' and '.join(FLAGS[n] for n in excess)} are for flat binaries"
            )
        raise GuestError(f"{path}: {FLAVOURS[name]} does not take {' and '.join(FLAGS[n] for n in excess)}")
    for medium in (*options.disks, *options.virtio_disks, *([options.cdrom] if options.cdrom is not None else [])):
        check_image(Path(medium))
    if len(options.virtio_disks) > MOST_VIRTIO:
        raise GuestError(f"{len(options.virtio_disks)} virtio disks: this PC takes at most {MOST_VIRTIO}")
    guest = FORMATS[name].load(path, image, options)
    guest = replace(guest, disks=guest.disks or options.disks, cdrom=guest.cdrom or options.cdrom)
    if len(guest.disks) > MOST_DISKS:
        raise GuestError(f"{len(guest.disks)} disks: this PC takes at most {MOST_DISKS}")
    board = ("virtio_disks", "virtio_console", "write_disks", "com2")
    guest = replace(guest, **{name: getattr(options, name) for name in board})
    tables = first_tables(options.memory)
    if guest.bits != 16 and any(p.address + p.size > tables for p in guest.pieces):
        room = options.memory - tables >> 10
        raise GuestError(f"{path}: the last {room} KiB of memory hold the first GDT and page tables: give it more (--memory)")
    return guest


def recognise(image: bytes, size: int, options: Options) -> str:
    """The name of the format; --load-address and --bits, --entry too, make a flat binary of a disk or firmware."""
    name = next(name for name, format in FORMATS.items() if format.matches(image, size))
    placed = options.load_address is not None or options.entry is not None or options.bits is not None
    return "flat" if placed and (name == "rom" or FORMATS[name].disk) else name
