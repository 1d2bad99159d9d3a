"""What a loader leaves: where the guest starts, in which mode, and what is known about its names."""

from dataclasses import dataclass
from pathlib import Path


class GuestError(Exception):
    """The guest cannot be read or does not fit; the message is one sentence for the user."""


@dataclass(frozen=True)
class Options:
    """How to load a guest where its content does not say: addresses are guest-physical, None is the format's own."""

    memory: int = 256 << 20  # bytes
    load_address: int | None = None
    entry: int | None = None
    bits: int | None = None  # 16, 32 or 64
    format: str | None = None  # one of load.FORMATS; None: by content
    append: str | None = None  # command line
    initrd: str | None = None  # a file
    modules: tuple[str, ...] = ()  # "FILE" or "FILE ARGUMENTS" each
    cpus: int = 1
    disks: tuple[str, ...] = ()  # files, at most 3
    cdrom: str | None = None
    virtio_disks: tuple[str, ...] = ()
    virtio_console: bool = False
    write_disks: bool = False  # what the guest writes goes to the files
    com2: str | None = None  # a file for what leaves COM2


@dataclass(frozen=True)
class Piece:
    """`data` at guest-physical `address`, followed by zeros up to `size` bytes."""

    address: int
    data: bytes
    size: int


@dataclass(frozen=True)
class Guest:
    """A guest to be put into memory: `bits` is the mode it starts in (real, flat protected, long on an identity map)."""

    path: Path
    format: str
    bits: int
    entry: int  # linear, and physical: there is no paging yet, or it is the identity
    pieces: tuple[Piece, ...]
    memory: int  # bytes
    cpus: int = 1
    registers: tuple[tuple[int, int], ...] = ()  # number (state.RAX ...) and value of general registers
    selectors: tuple[int, int] | None = None  # of code and data, where the boot protocol fixes them: 8, 16 or 24; segments for 16 bits
    boot: str | None = None  # what the BIOS boots: "disk", "floppy" or "cdrom"
    disks: tuple[str, ...] = ()  # files, at most 3
    floppy: str | None = None
    cdrom: str | None = None
    virtio_disks: tuple[str, ...] = ()
    virtio_console: bool = False
    write_disks: bool = False  # what the guest writes goes to the files
    com2: str | None = None  # a file for what leaves COM2
    rom: bytes | None = None  # firmware that ends at 4 GiB: everything starts at the reset vector
    firmware_files: tuple[tuple[str, bytes], ...] = ()  # what fw_cfg has for it

    def place(self, ram) -> None:
        """Copy the pieces into `ram` (bytes)."""
        for p in self.pieces:
            ram[p.address : p.address + p.size] = 0
            ram[p.address : p.address + len(p.data)] = bytearray(p.data)
