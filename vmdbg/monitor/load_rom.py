"""Firmware: an image that ends at 4 GiB, where the CPU starts after reset (SDM vol. 3, 9.1.4); also below 1 MiB, as chipsets have it."""

from pathlib import Path

from vmdbg.monitor.guest import Guest, GuestError, Options, Piece

LARGEST, UNIT, LOW_END, LOW_SIZE, RESET = 16 << 20, 0x1000, 1 << 20, 0x20000, 16
JUMPS = (0xEA, 0xE9, 0xEB)


def is_rom(image: bytes) -> bool:
    """Whether it is whole 64-KiB units and jumps where a CPU starts."""
    return 0 < len(image) <= LARGEST and len(image) % 0x10000 == 0 and image[-RESET] in JUMPS


def load_rom(path: Path, image: bytes, options: Options) -> Guest:
    """The last 128 KiB of it are in RAM below 1 MiB too: that is what firmware makes writable for itself."""
    if len(image) % UNIT or len(image) > LARGEST:
        raise GuestError(f"{path}: firmware of {len(image):,} bytes: a multiple of 4,096, at most {LARGEST >> 20} MiB, was expected")
    low = image[-LOW_SIZE:]
    pieces = (Piece(LOW_END - len(low), low, len(low)),)
    return Guest(path, "firmware", 16, (1 << 32) - RESET, pieces, options.memory, cpus=options.cpus, rom=image)
