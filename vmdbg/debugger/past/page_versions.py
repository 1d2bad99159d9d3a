"""What pages held at checkpoints: numbered versions, compressed in a thread of their own while the machine runs on."""

import queue
import threading
from collections.abc import Iterator

import numpy as np
import zstandard

PAGE = 4096
LEVEL = -1  # unpacked twice as fast as at level 1, and an eighth larger
PIECE = 1024  # pages that are unpacked at once
BUFFERS, LEAST_ROOM = 4, 4096
REST = 1.0  # seconds without work after which the thread ends
ORIGIN = 0  # the version of a page that no checkpoint holds: what it was at the start


class PageVersions:
    """Versions are numbered from 1; `size` is what they take, in bytes, once they are compressed."""

    def __init__(self):
        self._data: list[bytes | memoryview | None] = [None]  # a zstandard frame, or, until it is made, 4096 bytes of a buffer
        self._buffers: list[np.ndarray] = []  # that are free, the last used one last: memory that was touched before is much faster
        self.size = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[int, np.ndarray]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition(self._lock)
        self._waiting = 0
        self._piece = np.empty((PIECE, PAGE), np.uint8)

    def room(self, count: int) -> np.ndarray:
        """A buffer of `count` pages to be filled and given to `add`."""
        with self._lock:
            for n in reversed(range(len(self._buffers))):
                if len(self._buffers[n]) >= count:
                    return self._buffers.pop(n)[:count]
        return np.empty((max(1 << count.bit_length(), LEAST_ROOM), PAGE), np.uint8)[:count]  # what is not touched costs nothing

    def add(self, contents: np.ndarray) -> np.ndarray:
        """The numbers of new versions, one for each row of 4096 bytes; `contents` is not the caller's any more."""
        first = len(self._data)
        with self._lock:
            self._data.extend(memoryview(row) for row in contents)
            self.size += contents.size
            self._waiting += 1
            self._queue.put((first, contents))
            if self._thread is None:
                self._thread = threading.Thread(target=self._compress, name="page versions", daemon=True)
                self._thread.start()
        return np.arange(first, first + len(contents), dtype=np.int32)

    def add_compressed(self, pieces: list[bytes]) -> np.ndarray:
        """As add, for versions that come out of a trace."""
        first = len(self._data)
        with self._lock:
            self._data.extend(pieces)
            self.size += sum(map(len, pieces))
        return np.arange(first, first + len(pieces), dtype=np.int32)

    def _compress(self) -> None:
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
        while True:
            try:
                first, contents = self._queue.get(timeout=REST)
            except queue.Empty:
                with self._lock:
                    if self._queue.empty():
                        self._thread = None
                        return
                continue
            pieces = compress(compressor, contents)
            with self._lock:
                for n, piece in enumerate(pieces, first):
                    if self._data[n] is not None:  # not forgotten meanwhile
                        self._data[n] = piece
                        self.size += len(piece) - PAGE
                if contents.base is not None and len(self._buffers) < BUFFERS:
                    self._buffers.append(contents.base)
                self._waiting -= 1
                self._idle.notify_all()

    def settle(self) -> None:
        """Wait until everything is compressed."""
        with self._lock:
            while self._waiting:
                self._idle.wait()

    def compressed(self, versions: np.ndarray) -> list[bytes]:
        """The data of versions, as add_compressed takes it."""
        self.settle()
        return [bytes(self._data[n] or b"") for n in versions.tolist()]

    def get(self, versions: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Which of the versions (none may be ORIGIN), and a row of 4096 bytes for each, in pieces that hold until the next one.

        zstandard.ZstdError if one is damaged.
        """
        for at in range(0, len(versions), PIECE):
            part = slice(at, min(at + PIECE, len(versions)))
            contents = self._piece[: part.stop - at]
            with self._lock:
                data = [self._data[n] for n in versions[part].tolist()]
                raw = [n for n, d in enumerate(data) if isinstance(d, memoryview)]
                for n in raw:
                    contents[n] = data[n]
            if raw:
                packed = [n for n, d in enumerate(data) if isinstance(d, bytes)]
                contents[packed] = unpack(data, np.empty((len(packed), PAGE), np.uint8))
            else:
                unpack(data, contents)
            yield part, contents

    def forget(self, versions: np.ndarray) -> None:
        with self._lock:
            for n in versions.tolist():
                self.size -= len(self._data[n] or b"")
                self._data[n] = None


def unpack(data: list, contents: np.ndarray) -> np.ndarray:
    """The rows that frames stand for."""
    frames = b"".join(d for d in data if isinstance(d, bytes))
    reader = zstandard.ZstdDecompressor().stream_reader(frames, read_across_frames=True)
    if len(contents) and reader.readinto(contents.data.cast("B")) != contents.size:
        raise zstandard.ZstdError("a page is cut off")
    return contents


def compress(compressor: zstandard.ZstdCompressor, contents: np.ndarray) -> list[bytes]:
    """A frame for each row."""
    if not len(contents):
        return []
    places = np.empty((len(contents), 2), "<u8")
    places[:, 0], places[:, 1] = np.arange(len(contents)) * PAGE, PAGE
    found = compressor.multi_compress_to_buffer(zstandard.BufferWithSegments(contents.data, places.tobytes()))
    return [found[n].tobytes() for n in range(len(found))]
