"""The drives on the two IDE channels: disks from the first channel's master on, CD-ROM and floppy where the BIOS looks for them.

0 disk   1 disk   2 CD-ROM or disk   3 floppy (as the built-in BIOS has it), or the CD-ROM behind three disks
"""

from pathlib import Path

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.ide_cdrom import SECTOR, Cdrom
from vmdbg.machine.board.ide_disk import Disk
from vmdbg.monitor.guest import Guest, GuestError
from vmdbg.monitor.load_disk import CYLINDER, FLOPPIES, SECTOR_SIZE, floppy_size, smallest_floppy

UNITS = 4


def drives(guest: Guest) -> tuple:
    """Four of Disk, Cdrom or None; GuestError: a file cannot be read, or there are too many."""
    found: list = [None] * UNITS
    try:
        for n, name in enumerate(guest.disks):
            least = CYLINDER if n == 0 and guest.boot == "disk" and not guest.write_disks else 0
            found[n] = Disk(DiskImage(Path(name), write=guest.write_disks, least=least))
        if guest.floppy is not None:
            least = floppy_sectors(Path(guest.floppy))
            found[3] = Disk(DiskImage(Path(guest.floppy), write=guest.write_disks, least=least))
        if guest.cdrom is not None:
            place = next((n for n in (2, 3) if found[n] is None), None)
            if place is None:
                raise GuestError(f"{guest.cdrom}: no IDE channel has room for this drive: at most {UNITS}")
            found[place] = Cdrom(DiskImage(Path(guest.cdrom), SECTOR))
    except OSError as e:
        raise GuestError(f"{e.filename}: {e.strerror.lower() if e.strerror else e}") from None
    except ValueError as e:
        raise GuestError(str(e)) from None
    return tuple(found)


def floppy_sectors(path: Path) -> int:
    """Of the floppy that this file is, or may be the beginning of."""
    size = path.stat().st_size
    with path.open("rb") as f:
        head = f.read(SECTOR_SIZE).ljust(SECTOR_SIZE, b"\0")
    return floppy_size(head, size) or smallest_floppy(size) or 0


def floppy_type(sectors: int) -> int:
    """As CMOS byte 10 has it."""
    return FLOPPIES[sectors]
