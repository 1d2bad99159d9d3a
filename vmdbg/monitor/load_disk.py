"""Disk images, which a BIOS boots: hard disks, floppies and CD-ROMs, recognised by their first sectors.

55 AA at 1FE   a boot sector: of a floppy if the file has the size of one, or says so in a BIOS parameter block, else of a hard disk
CD001 at 8001  ISO 9660; a CD that boots has an El Torito record in the next sector (El Torito 1.0)
"""

from pathlib import Path

from vmdbg.monitor.guest import Guest, GuestError, Options
from vmdbg.monitor.load_flat import BOOT_SECTOR, SECTOR_SIZE, is_boot_sector

# Sectors of each kind of floppy, and its type in CMOS byte 10 (1: 360 KB, 2: 1.2 MB, 3: 720 KB, 4: 1.44 MB, 5: 2.88 MB)
FLOPPIES = {320: 1, 360: 1, 640: 3, 720: 1, 1280: 3, 1440: 3, 2400: 2, 2880: 4, 3360: 4, 3444: 4, 5760: 5}
CYLINDER = 16 * 63  # sectors: no disk is smaller
HEAD = 0x9800  # bytes of a file in which everything stands by which it is recognised
ISO, ISO_MARK, EL_TORITO, EL_TORITO_MARK = 0x8001, b"CD001", 0x8807, b"EL TORITO SPECIFICATION"
SECTORS_16, SECTORS_32, DRIVE, SIGNATURE = 0x13, 0x20, 0x24, 0x26  # in the BIOS parameter block of a FAT12 or FAT16 volume


def is_iso(image: bytes) -> bool:
    """A CD-ROM that boots, or one that nothing else could boot."""
    if image[ISO : ISO + len(ISO_MARK)] != ISO_MARK:
        return False
    return image[EL_TORITO : EL_TORITO + len(EL_TORITO_MARK)] == EL_TORITO_MARK or not is_boot_sector(image)


def floppy_size(image: bytes, size: int) -> int | None:
    """Sectors of the floppy that a file of `size` bytes is; None: it is none.  image: its first sector, or more."""
    if size % SECTOR_SIZE == 0 and size // SECTOR_SIZE in FLOPPIES:
        return size // SECTOR_SIZE
    if image[SIGNATURE] in (0x28, 0x29) and image[DRIVE] == 0:
        said = int.from_bytes(image[SECTORS_16 : SECTORS_16 + 2], "little") or int.from_bytes(image[SECTORS_32 : SECTORS_32 + 4], "little")
        if said in FLOPPIES and size <= said * SECTOR_SIZE:
            return said
    return None


def smallest_floppy(size: int) -> int | None:
    """Sectors of the smallest floppy with room for `size` bytes, but 1.44 MB at least."""
    return next((n for n in FLOPPIES if n >= 2880 and n * SECTOR_SIZE >= size), None)


def is_disk(image: bytes) -> bool:
    """A boot sector that is no ELF file's first page."""
    return is_boot_sector(image) and image[:4] != b"\x7fELF"


def is_floppy(image: bytes, size: int) -> bool:
    return is_disk(image) and floppy_size(image, size) is not None


def load_floppy(path: Path, image: bytes, options: Options) -> Guest:
    """Drive A, whatever its first sector is."""
    size = path.stat().st_size
    if smallest_floppy(size) is None:
        raise GuestError(f"{path}: {size:,} bytes are more than a floppy holds")
    return booted(path, "floppy image", options, "floppy", floppy=str(path))


def load_disk(path: Path, image: bytes, options: Options) -> Guest:
    """The first hard disk; --disk and --cdrom come behind it."""
    if not is_boot_sector(image) and options.cdrom is None:
        raise GuestError(f"{path}: no boot sector: its first {SECTOR_SIZE} bytes do not end in 55 AA")
    one = path.stat().st_size <= SECTOR_SIZE
    return booted(path, "boot sector" if one else "disk image", options, "disk", disks=(str(path), *options.disks))


def load_iso(path: Path, image: bytes, options: Options) -> Guest:
    """The CD-ROM drive."""
    if options.cdrom is not None:
        raise GuestError(f"{path}: the guest is a CD-ROM already: --cdrom makes two")
    if image[EL_TORITO : EL_TORITO + len(EL_TORITO_MARK)] != EL_TORITO_MARK:
        raise GuestError(f"{path}: a CD-ROM that does not boot: it has no El Torito record")
    return booted(path, "CD-ROM image", options, "cdrom", cdrom=str(path))


def booted(path: Path, format: str, options: Options, boot: str, **media) -> Guest:
    """Nothing is loaded: the BIOS does it."""
    return Guest(path, format, 16, BOOT_SECTOR, (), options.memory, cpus=options.cpus, boot=boot, **media)
