"""What is on a disk: a host file, mapped.  Writes stay in this process (copy on write) unless the file is opened to be written."""

import mmap
from pathlib import Path

import numpy as np

PAGE = 4096


class DiskImage:
    """`sectors` sectors of `sector_size` bytes; what the file lacks at its end reads as 0 and cannot be written to it.

    It is a PageStore (device_state.py): checkpoints hold the pages that changed.
    """

    def __init__(self, path: Path, sector_size: int = 512, write: bool = False):
        """OSError as the host says; ValueError for an empty file."""
        size = path.stat().st_size
        if not size:
            raise ValueError(f"{path}: an empty file")
        with path.open("r+b" if write else "rb") as f:
            self.map = mmap.mmap(f.fileno(), size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_COPY)
        self.sector_size, self.sectors = sector_size, -(-size // sector_size)
        self.page_count = -(-size // PAGE)
        self._originals: dict[int, bytes] = {}  # of the pages that were ever written
        self._changed: set[int] = set()

    def read(self, sector: int, count: int = 1) -> bytes:
        n = self.sector_size
        return self.map[sector * n : (sector + count) * n].ljust(count * n, b"\0")

    def write(self, sector: int, data: bytes) -> None:
        at = sector * self.sector_size
        self._put(at, data[: max(len(self.map) - at, 0)])

    def flush(self) -> None:
        self.map.flush()

    def _put(self, at: int, data: bytes) -> None:
        for page in range(at // PAGE, (at + len(data) + PAGE - 1) // PAGE):
            self._originals.setdefault(page, self.map[page * PAGE : (page + 1) * PAGE])
            self._changed.add(page)
        self.map[at : at + len(data)] = data

    # ---- a PageStore

    def begin_interval(self) -> None:
        self._changed.clear()

    def changed_pages(self) -> np.ndarray:
        return np.array(sorted(self._changed), np.int64)

    def get_pages(self, pages: np.ndarray) -> np.ndarray:
        return rows([self.map[n * PAGE : (n + 1) * PAGE] for n in pages.tolist()])

    def origin_pages(self, pages: np.ndarray) -> np.ndarray:
        return rows([self._originals.get(n) or self.map[n * PAGE : (n + 1) * PAGE] for n in pages.tolist()])

    def put_pages(self, pages: np.ndarray, contents: np.ndarray) -> None:
        for n, row in zip(pages.tolist(), contents):
            self._put(n * PAGE, row.tobytes()[: len(self.map) - n * PAGE])


def rows(pieces: list[bytes]) -> np.ndarray:
    """Pages as rows of 4096 bytes."""
    return np.frombuffer(b"".join(p.ljust(PAGE, b"\0") for p in pieces), np.uint8).reshape(-1, PAGE)
