"""What is on a disk: a host file, mapped.  Writes stay in this process (copy on write) unless the file is opened to be written."""

import mmap
from pathlib import Path


class DiskImage:
    """`sectors` sectors of `sector_size` bytes; what the file lacks at its end reads as 0 and cannot be written to it."""

    def __init__(self, path: Path, sector_size: int = 512, write: bool = False):
        """OSError as the host says; ValueError for an empty file."""
        size = path.stat().st_size
        if not size:
            raise ValueError(f"{path}: an empty file")
        with path.open("r+b" if write else "rb") as f:
            self.map = mmap.mmap(f.fileno(), size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_COPY)
        self.sector_size, self.sectors = sector_size, -(-size // sector_size)

    def read(self, sector: int, count: int = 1) -> bytes:
        n = self.sector_size
        return self.map[sector * n : (sector + count) * n].ljust(count * n, b"\0")

    def write(self, sector: int, data: bytes) -> None:
        at = sector * self.sector_size
        data = data[: max(len(self.map) - at, 0)]
        self.map[at : at + len(data)] = data

    def flush(self) -> None:
        self.map.flush()
