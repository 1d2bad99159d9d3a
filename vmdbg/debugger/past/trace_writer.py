"""Writing a trace while the session runs: frames go to the file from a thread of their own."""

import queue
import struct
import threading
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from hashlib import sha256
from pathlib import Path

import zstandard

from vmdbg.debugger.past.history import History
from vmdbg.debugger.past.timeline import Input, Line, Saved
from vmdbg.debugger.past.trace import MAGIC, VERSION, TraceError, frame
from vmdbg.machine.device_state import encode
from vmdbg.monitor.guest import Guest

CHUNK = 1 << 20  # bytes of a disk in one frame
LEVEL = 3


@cache
def semantics() -> str:
    """What decides how the machine runs: a digest of its sources, as 16 hexadecimal digits."""
    from vmdbg.machine import core

    h = sha256()
    machine = Path(core.__file__).parent
    for path in sorted({*core.sources(), *machine.rglob("*.py")}):
        h.update(path.name.encode() + path.read_bytes())
    return h.hexdigest()[:16]


def media(guest: Guest) -> list[str]:
    """The files of its disks, in the order in which a trace numbers them."""
    alone = [name for name in (guest.floppy, guest.cdrom) if name is not None]
    return [*guest.disks, *alone, *guest.virtio_disks]


def describe(guest: Guest) -> dict:
    """A guest as a value: without its pieces, and without names of files."""
    found = {f.name: getattr(guest, f.name) for f in fields(guest)}
    counts = dict(
        disks=len(guest.disks), floppy=guest.floppy is not None, cdrom=guest.cdrom is not None, virtio_disks=len(guest.virtio_disks)
    )
    return found | dict(path=guest.path.name, pieces=(), com2=None, write_disks=False) | counts


class TraceWriter:
    """Records a session's history from its first checkpoint on; `failed(sentence)` is called once if the file takes no more.

    TraceError if it cannot be made.
    """

    def __init__(self, path: Path, session, failed: Callable[[str], None]):
        self.path, self.failed = path, failed
        self.history: History = session.history
        self.transcript = session.monitor.transcript
        self._told = 0
        self._queue: queue.SimpleQueue[Callable[[], list[bytes]] | None] = queue.SimpleQueue()
        self._bad = False
        try:
            self._file = path.open("wb", buffering=0)
            self._put(MAGIC + self._head(session))
            for data in disk_frames(session.monitor.guest):
                self._put(data)
            for saved in self.history.line.saved:  # before anything runs: from here on there is something to open
                self._put(self._text() + self._checkpoint(saved))
        except OSError as e:
            raise TraceError(f"{path}: {e.strerror or e}") from None
        self._thread = threading.Thread(target=self._write, name="trace", daemon=True)
        self._thread.start()
        self.history.taken, self.history.given = self._taken, self._given

    def _head(self, session) -> bytes:
        symbols = session.symbols
        head = dict(
            version=VERSION,
            semantics=semantics(),
            guest=describe(session.monitor.guest),
            symbols={name: address - symbols.slide & (1 << 64) - 1 for name, address in symbols.table.items()},
            slide=symbols.slide,
            monitor=session.monitor.name,
        )
        return frame(b"HEAD", encode(head))

    # ---- in the session's thread

    def _taken(self, line: Line, saved: Saved) -> None:
        """A checkpoint at the end of the line; one that begins another line is the end of what this file can hold."""
        text = self._text()
        self._queue.put(lambda: [text, self._checkpoint(saved)])

    def _text(self) -> bytes:
        """The frame of what the guest said since the last one, if anything."""
        said = self.transcript.tail(self.transcript.said - self._told)
        self._told = self.transcript.said
        return frame(b"TEXT", said) if said else b""

    def _given(self, line: Line, given: Input) -> None:
        data = frame(b"INPT", encode((given.position, given.clock, given.what, given.value, given.acknowledged)))
        self._queue.put(lambda: [data])

    def close(self, reason: str) -> None:
        """The end of the recording."""
        history = self.history
        if history.live and history.keep.possible():
            history.take()
        end = frame(b"DONE", encode(dict(position=history.position, reason=reason)))
        self._queue.put(lambda: [end])
        self._queue.put(None)
        self._thread.join()
        self._file.close()
        history.taken = history.given = None

    # ---- in the thread that writes

    def _checkpoint(self, saved: Saved) -> bytes:
        facts = encode(
            dict(
                position=saved.position,
                clock=saved.clock,
                inputs=saved.inputs,
                events=saved.events,
                seconds=saved.seconds,
                state=saved.state,
            )
        )
        pieces = self.history.versions.compressed(saved.versions)
        lengths = struct.pack(f"<{len(pieces)}I", *map(len, pieces))
        head = struct.pack("<I", len(facts)) + facts + struct.pack("<I", len(pieces))
        return frame(b"CKPT", head + saved.pages.astype("<u4").tobytes() + lengths + b"".join(pieces))

    def _write(self) -> None:
        while (make := self._queue.get()) is not None:
            if self._bad:
                continue
            try:
                for data in make():
                    self._put(data)
            except OSError as e:
                self._bad = True
                self.failed(f"{self.path}: the recording has ended: {(e.strerror or str(e)).lower()}")

    def _put(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            done += self._file.write(data[done:])


def disk_frames(guest: Guest):
    """What is on the disks and the CD-ROM, zeros left out."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    for number, name in enumerate(media(guest)):
        size = Path(name).stat().st_size
        yield frame(b"DISK", struct.pack("<IQ", number, size) + compressor.compress(b""))
        with open(name, "rb") as f:
            at = 0
            while data := f.read(CHUNK):
                if data.count(0) != len(data):
                    yield frame(b"DISK", struct.pack("<IQ", number, at) + compressor.compress(data))
                at += len(data)
