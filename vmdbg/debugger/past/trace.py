"""The trace file: a recording by itself, byte by byte.  Numbers are little-endian.

    file    = "VMDBGTRC" frame frame ...
    frame   = kind (4 ASCII letters)  length of the payload (u32)  check (8 bytes)  payload
    check   = BLAKE2b with a digest of 8 bytes over kind, length and payload
    value   = vmdbg/machine/device_state.py, encode: a letter that says what it is, then its bytes
    zstd    = one zstandard frame (RFC 8878)

    HEAD    value: dict. First and once.
              version     1: this layout
              semantics   what the machine that recorded was made of, 16 hexadecimal digits; others may differ and say where
              guest       dict: what monitor.guest.Guest has, without pieces (the first checkpoint has them); of disks how many
              symbols     dict: linear addresses by name; slide: what was added to them
              monitor     "bare"
    DISK    u32 number of the disk (disks, floppy, CD-ROM, virtio disks), u64 place of the content in it in bytes, zstd of at most
            1 MiB. What no frame holds is zero. size: a frame whose content is empty has the size as its place, and comes first.
    CKPT    a checkpoint: u32 length of the value, value: dict of
              position clock inputs events    as debugger.timeline.Saved has them; seconds: of running up to here
              state                           zstd of machine.checkpoint.Checkpoints.state
            then u32 count; count times u32: numbers of pages, ascending (RAM, then disks, 4096 bytes each);
            count times u32: lengths; count times zstd of one page: what they held.
            Pages hold what the last checkpoint before says; before the first: zero, disks what they were.
    INPT    an input: value: tuple (position, clock, what, value, acknowledged) as debugger.timeline.Input has them
    TEXT    bytes that the guest said since the last TEXT, told before the checkpoint or the end that follows
    DONE    value: dict with position and reason. The recording was ended; without it, the process was.

Frames are appended as things happen: a checkpoint every tenth of a second of running, an input at once.  A file that ends in
the middle of a frame, or has a frame whose check fails, is good up to there.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"VMDBGTRC"
VERSION = 1
HEADER = struct.Struct("<4sI8s")
LARGEST = 1 << 30  # bytes of a payload
KINDS = (b"HEAD", b"DISK", b"CKPT", b"INPT", b"TEXT", b"DONE")


class TraceError(Exception):
    """A file that is no trace, or one that cannot be opened at all; the message is one sentence."""


@dataclass(frozen=True)
class Damage:
    """Where a trace is not good any more, and why."""

    offset: int
    why: str


def check_of(kind: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(kind + struct.pack("<I", len(payload)) + payload, digest_size=8).digest()


def frame(kind: bytes, payload: bytes) -> bytes:
    return HEADER.pack(kind, len(payload), check_of(kind, payload)) + payload


def read_frames(path: Path) -> Iterator[tuple[int, bytes, bytes] | Damage]:
    """(offset, kind, payload) of each frame; a Damage is the last. TraceError: it is no trace, or cannot be read."""
    try:
        with path.open("rb") as f:
            if f.read(len(MAGIC)) != MAGIC:
                raise TraceError(f"{path}: not a trace of vmdbg")
            while True:
                offset = f.tell()
                header = f.read(HEADER.size)
                if not header:
                    return
                if len(header) < HEADER.size:
                    yield Damage(offset, "the file ends within the head of a frame")
                    return
                kind, length, check = HEADER.unpack(header)
                if kind not in KINDS or length > LARGEST:
                    yield Damage(offset, "no frame begins here")
                    return
                payload = f.read(length)
                if len(payload) < length:
                    yield Damage(offset, f"the file ends within a frame of kind {kind.decode()}")
                    return
                if check_of(kind, payload) != check:
                    yield Damage(offset, f"the check of a frame of kind {kind.decode()} fails")
                    return
                yield offset, kind, payload
    except OSError as e:
        raise TraceError(f"{path}: {e.strerror or e}") from None
