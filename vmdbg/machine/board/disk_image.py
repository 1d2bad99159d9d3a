"""What is on a disk: a host file, and the pages of it that the guest has changed.

The file stays as it is, unless it was opened to be written: then what is written goes there at once as well.  Either way the
guest reads what it wrote, else what the file held when the page was first written, else the file.
"""

import os
from pathlib import Path

import numpy as np

PAGE = 4096


class DiskImage:
    """`sectors` sectors of `sector_size` bytes; what the file lacks at its end reads as 0 and cannot be written to it.

    It is a PageStore (device_state.py): checkpoints hold the pages that changed.
    """

    def __init__(self, path: Path, sector_size: int = 512, write: bool = False, least: int = 0):
        """least: sectors there are in any case.  OSError as the host says; ValueError for an empty file."""
        self.sector_size = sector_size
        self._writes = write
        self._file = os.open(path, os.O_RDWR if write else os.O_RDONLY)
        self.size = os.fstat(self._file).st_size
        if not self.size:
            os.close(self._file)
            raise ValueError(f"{path}: an empty file")
        self.size = max(self.size, least * sector_size)
        self.sectors = -(-self.size // sector_size)
        self.page_count = -(-self.size // PAGE)
        self._pages: dict[int, bytes] = {}  # that the guest has written
        self._originals: dict[int, bytes] = {}  # of pages that were written to the file: what it held
        self._changed: set[int] = set()

    def read(self, sector: int, count: int = 1) -> bytes:
        """`count` sectors; those beyond the end read as 0."""
        at, size = sector * self.sector_size, count * self.sector_size
        data = self._file_bytes(at, size)
        if not self._pages:
            return data
        whole = bytearray(data)
        for n in range(at // PAGE, min((at + size + PAGE - 1) // PAGE, self.page_count)):
            if n in self._pages:
                first, last = max(n * PAGE, at), min((n + 1) * PAGE, at + size)
                whole[first - at : last - at] = self._pages[n][first - n * PAGE : last - n * PAGE]
        return bytes(whole)

    def write(self, sector: int, data: bytes) -> bool:
        """Whole sectors; those beyond the end go nowhere.  False: the host does not take them."""
        return self._put(sector * self.sector_size, data)

    def flush(self) -> bool:
        """What was written to the file is on the host's disk; False: the host failed."""
        try:
            if self._writes:
                os.fsync(self._file)
        except OSError:
            return False
        return True

    def __del__(self):
        if hasattr(self, "sectors"):  # the file was opened and kept
            os.close(self._file)

    def _file_bytes(self, at: int, size: int) -> bytes:
        """What the file holds; where it ends, was cut or cannot be read any more, zeros."""
        if at >= self.size:
            return bytes(size)
        try:
            return os.pread(self._file, size, at).ljust(size, b"\0")
        except OSError:
            return bytes(size)

    def _put(self, at: int, data: bytes) -> bool:
        data = data[: max(self.size - at, 0)]
        pages = range(at // PAGE, (at + len(data) + PAGE - 1) // PAGE)
        if self._writes:
            for n in pages:
                if n not in self._originals:
                    self._originals[n] = self._file_bytes(n * PAGE, PAGE)
            try:
                done = 0
                while done < len(data):
                    done += os.pwrite(self._file, data[done:], at + done)
            except OSError:
                return False
        for n in pages:
            page = bytearray(self._page(n))
            first, last = max(n * PAGE, at), min((n + 1) * PAGE, at + len(data))
            page[first - n * PAGE : last - n * PAGE] = data[first - at : last - at]
            self._pages[n] = bytes(page)
        self._changed.update(pages)
        return True

    def _page(self, n: int) -> bytes:
        found = self._pages.get(n)
        return self._original(n) if found is None else found

    def _original(self, n: int) -> bytes:
        found = self._originals.get(n)
        return self._file_bytes(n * PAGE, PAGE) if found is None else found

    # ---- a PageStore

    def begin_interval(self) -> None:
        self._changed.clear()

    def changed_pages(self) -> np.ndarray:
        return np.array(sorted(self._changed), np.int64)

    def get_pages(self, pages: np.ndarray) -> np.ndarray:
        return rows([self._page(n) for n in pages.tolist()])

    def origin_pages(self, pages: np.ndarray) -> np.ndarray:
        return rows([self._original(n) for n in pages.tolist()])

    def put_pages(self, pages: np.ndarray, contents: np.ndarray) -> None:
        for n, row in zip(pages.tolist(), contents):
            self._put(n * PAGE, row.tobytes())


def rows(pieces: list[bytes]) -> np.ndarray:
    """Pages as rows of 4096 bytes."""
    return np.frombuffer(b"".join(pieces), np.uint8).reshape(-1, PAGE)
