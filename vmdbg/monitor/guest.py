"""What a loader leaves: where the guest starts, in which mode, and what is known about its names."""

from dataclasses import dataclass
from pathlib import Path


class GuestError(Exception):
    """The guest cannot be read or does not fit; the message is one sentence for the user."""


@dataclass(frozen=True)
class Options:
    """How to load a guest where its content does not say: addresses are guest-physical, None is the format's own."""

    memory: int = 64 << 20  # bytes
    load_address: int | None = None
    entry: int | None = None
    bits: int | None = None  # 16, 32 or 64


@dataclass(frozen=True)
class Guest:
    """A guest in memory: `bits` is the mode it starts in (real, flat protected, long on an identity map)."""

    path: Path
    format: str
    bits: int
    entry: int  # linear
    extents: tuple[tuple[int, int], ...]  # [first, end) of what was loaded, guest-physical
    boot_drive: int | None = None  # in DL, for a boot sector
