"""What the built-in BIOS boots, and as which drive."""

import struct

import pytest

from tests.monitor.bios.caller import BUFFER, Caller
from tests.monitor.bios.media import SAY_DRIVE, floppy, iso, partitioned, sector, status
from tests.monitor.images import multiboot_addresses
from vmdbg.machine.machine import Machine
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import GuestError, Options
from vmdbg.monitor.load import load_guest

MEMORY = 16 << 20
FAT12 = bytes.fromhex("eb3c90") + b"MSDOS5.0" + struct.pack("<HBHBHHBHHHIIBBB", 512, 1, 1, 2, 224, 2880, 0xF0, 9, 18, 2, 0, 0, 0, 0, 0x29)


def run(path, **options) -> int:
    """Exit status."""
    guest = load_guest(path, Options(**{"memory": MEMORY, **options}))
    machine = Machine(guest.memory)
    Bare(machine, guest)
    stop = machine.run(100_000)
    assert stop.reason == "exit", stop
    return stop.exit_code


MEDIA = [
    ("a boot sector", sector(), "boot sector", 0x80),
    ("a disk", partitioned(), "disk image", 0x80),
    ("a disk with a multiboot header", sector() + multiboot_addresses(b"\xf4"), "disk image", 0x80),
    ("a floppy by its size", floppy(), "floppy image", 0x00),
    ("a floppy of 360 KB", floppy(sectors=720), "floppy image", 0x00),
    ("a floppy by its parameter block", sector(FAT12.ljust(62, b"\0") + SAY_DRIVE) + bytes(5 * 512), "floppy image", 0x00),
    ("a CD", iso(sector()), "CD-ROM image", 0xE0),
    ("a CD that loads elsewhere", iso(sector(), segment=0x07C0), "CD-ROM image", 0xE0),
    ("a CD that loads high", iso(sector(), segment=0x2000), "CD-ROM image", 0xE0),
    ("a CD with a floppy", iso(floppy(), medium=2, count=1), "CD-ROM image", 0x00),
    ("a CD with a disk", iso(partitioned(), medium=4, count=1), "CD-ROM image", 0x80),
    ("a hybrid", sector(b"\xf4") + iso(sector())[512:], "CD-ROM image", 0xE0),
]


@pytest.mark.parametrize("name, image, format, drive", MEDIA, ids=[m[0] for m in MEDIA])
def test_threaded_media(tmp_path, name, image, format, drive):
    path = tmp_path / "image"
    path.write_bytes(image)
    assert load_guest(path, Options(memory=MEMORY)).format == format
    assert run(path) == status(drive)


def test_threaded_formats_that_are_said(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(floppy())
    assert run(path, format="disk") == status(0x80)
    path.write_bytes(sector())
    assert run(path, format="floppy") == 1


def test_threaded_a_disk_that_does_not_boot_before_a_cd_that_does(tmp_path):
    path, cd = tmp_path / "image", tmp_path / "cd"
    path.write_bytes(bytes(4096))
    cd.write_bytes(iso(sector()))
    assert run(path, format="disk", cdrom=str(cd)) == status(0xE0)
    path.write_bytes(partitioned())
    assert run(path, cdrom=str(cd)) == status(0x80)


@pytest.mark.parametrize(
    "sectors, geometry", [(2880, (80, 2, 18)), (1440, (80, 2, 9)), (2400, (80, 2, 15)), (720, (40, 2, 9)), (5760, (80, 2, 36))]
)
def test_threaded_floppy_geometry(tmp_path, sectors, geometry):
    path = tmp_path / "image"
    image = bytearray(floppy(sectors=sectors))
    for n in range(1, sectors):
        struct.pack_into("<H", image, 512 * n, n)
    path.write_bytes(image)
    bios = Caller(path)
    r = bios(0x13, ax=0x0800)
    cylinders, heads, track = geometry
    assert (r["carry"], r["cx"] & 0xFFFF, r["dx"] & 0xFFFF) == (0, cylinders - 1 << 8 | track, heads - 1 << 8 | 1)
    for n in (track, track * heads, sectors - 1):
        cylinder, rest = divmod(n, heads * track)
        r = bios(0x13, ax=0x0201, bx=BUFFER, cx=cylinder << 8 | rest % track + 1, dx=rest // track << 8)
        assert (r["carry"], bios.read(BUFFER, "H")) == (0, n)
    assert bios(0x13, ax=0x0201, bx=BUFFER, cx=1 << 8 | track + 1)["carry"]


@pytest.mark.parametrize("heads, track", [(255, 63), (16, 63), (4, 17), (128, 63)])
def test_threaded_disk_geometry_is_that_of_the_partition_table(tmp_path, heads, track):
    path = tmp_path / "image"
    cylinders = max(2, -(-1008 // (heads * track)))
    path.write_bytes(partitioned(heads=heads, track=track, cylinders=cylinders))
    r = Caller(path)(0x13, ax=0x0800, dx=0x80)
    assert (r["dx"] >> 8 & 0xFF, r["cx"] & 0x3F, r["cx"] >> 8 & 0xFF) == (heads - 1, track, cylinders - 1)


def test_threaded_no_emulation_is_told(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(iso(sector()))
    bios = Caller(path)
    assert bios(0x13, ax=0x4B01, dx=0xE0, si=0x600)["carry"] == 0
    assert bios.read(0x600, "BBBBIHHHH") == (0x13, 0, 0xE0, 0, 21, 0, 0, 0x07C0, 4)
    bios.write(0x600, "BBHHHQ", 16, 0, 1, BUFFER, 0, 16)
    assert bios(0x13, ax=0x4200, dx=0xE0, si=0x600)["carry"] == 0
    assert bios.machine.read_physical(BUFFER, 7) == b"\1CD001\1"


REFUSED = [
    (bytes(4096), {"format": "disk"}, "no boot sector"),
    (bytes(6000 * 512), {"format": "floppy"}, "more than a floppy holds"),
    (bytes(0x8001) + b"CD001" + bytes(4096), {}, "does not boot: it has no El Torito record"),
    (iso(sector()), {"cdrom": "IMAGE"}, "--cdrom makes two"),
    (sector(), {"disks": ("IMAGE",) * 3}, "4 disks: this PC takes at most 3"),
    (sector(), {"append": "x"}, "a disk image does not take --append"),
]


@pytest.mark.parametrize("image, options, words", REFUSED, ids=[r[2] for r in REFUSED])
def test_refused(tmp_path, image, options, words):
    path = tmp_path / "image"
    path.write_bytes(image)
    here = {k: str(path) if v == "IMAGE" else tuple(str(path) for _ in v) if isinstance(v, tuple) else v for k, v in options.items()}
    with pytest.raises(GuestError, match=words):
        load_guest(path, Options(memory=MEMORY, **here))
