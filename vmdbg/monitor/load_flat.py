"""Flat images: bytes at an address."""

from pathlib import Path

from vmdbg.monitor.guest import Guest, GuestError, Options, Piece

BOOT_SECTOR, SECTOR_SIZE = 0x7C00, 512
MIB = 1 << 20


def is_boot_sector(image: bytes) -> bool:
    """Whether the first sector ends in 55 AA (BIOS Boot Specification 1.01, 6.5.1)."""
    return len(image) >= SECTOR_SIZE and image[510:512] == b"\x55\xaa"


def load_flat(path: Path, image: bytes, options: Options) -> Guest:
    """The whole file at `load_address` (7C00 for 16 bits, else 1 MiB), started at `entry` (its first byte)."""
    bits = options.bits or 32
    first = options.load_address if options.load_address is not None else BOOT_SECTOR if bits == 16 else MIB
    entry = options.entry if options.entry is not None else first
    end = first + len(image)
    if end > options.memory:
        raise GuestError(f"{path}: {len(image):,} bytes at {first:#x} do not fit into {options.memory >> 20} MiB of memory (--memory)")
    if bits == 16 and entry > 0xFFFFF:
        raise GuestError(f"{path}: entry {entry:#x} is out of reach in real mode, which ends at 0xfffff")
    if entry >= options.memory:
        raise GuestError(f"{path}: entry {entry:#x} is outside the {options.memory >> 20} MiB of memory (--memory)")
    return Guest(path, "flat binary", bits, entry, (Piece(first, image, len(image)),), options.memory, cpus=options.cpus)
