"""Disks, floppies and CD-ROMs, as bytes, whose boot sectors say which drive they came from."""

import struct

# mov al, dl; shr al, 4; out F4, al
SAY_DRIVE = bytes.fromhex("88d0 c0e804 e6f4")


def status(drive: int) -> int:
    """The exit status that says so."""
    return drive >> 4 << 1 | 1


def sector(code: bytes = SAY_DRIVE) -> bytes:
    return code.ljust(510, b"\0") + b"\x55\xaa"


def floppy(code: bytes = SAY_DRIVE, sectors: int = 2880) -> bytes:
    return sector(code).ljust(sectors * 512, b"\0")


def iso(boot_image: bytes, medium: int = 0, count: int = 4, segment: int = 0) -> bytes:
    """ISO 9660 with one El Torito entry: descriptors at 16, catalogue at 20, the image from 21 on (sectors of 2048 bytes)."""
    primary = b"\1CD001\1".ljust(2048, b"\0")
    record = (b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", 20)).ljust(2048, b"\0")
    end = b"\xffCD001\1".ljust(2048, b"\0")
    validation = bytearray(struct.pack("<BBH24sHBB", 1, 0, 0, b"vmdbg", 0, 0x55, 0xAA))
    struct.pack_into("<H", validation, 28, -sum(struct.unpack("<16H", validation)) & 0xFFFF)
    entry = struct.pack("<BBHBBHI", 0x88, medium, segment, 0, 0, count, 21).ljust(32, b"\0")
    catalogue = (bytes(validation) + entry).ljust(2048, b"\0")
    return bytes(16 * 2048) + primary + record + end + bytes(2048) + catalogue + boot_image.ljust(-(-len(boot_image) // 2048) * 2048, b"\0")


def partitioned(code: bytes = SAY_DRIVE, heads: int = 16, track: int = 63, cylinders: int = 4) -> bytes:
    """A disk whose partition table was made for this geometry."""
    size = heads * track * cylinders
    image = bytearray(sector(code).ljust(size * 512, b"\0"))
    struct.pack_into("<8BII", image, 0x1BE, 0x80, 1, 1, 0, 0x0C, heads - 1, track, cylinders - 1, track, size - track)
    return bytes(image)
