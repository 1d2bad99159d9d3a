"""Opening a trace: what it holds, a session over it, and whether its run still is what it was."""

import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zstandard

import guests
from vmdbg.debugger.dwarf.debug import Debug
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past.history import History, HistoryError
from vmdbg.debugger.past.page_versions import ORIGIN
from vmdbg.debugger.past.timeline import Input, Saved
from vmdbg.debugger.past.trace import VERSION, Damage, TraceError, read_frames
from vmdbg.debugger.session import Session
from vmdbg.debugger.symbols import Symbols, read_symbols
from vmdbg.machine.checkpoint import ARCHITECTURAL
from vmdbg.machine.device_state import StateError, decode
from vmdbg.machine.state import Cpu
from vmdbg.monitor.guest import Guest

CHUNK = 1 << 20
MEDIA = ("disks", "floppy", "cdrom", "virtio_disks")  # of a Guest, as trace_writer.media numbers them
KINDS_OF_INPUT = ("serial", "key", "clock", "register", "memory")


@dataclass
class Trace:
    """What a file holds, up to where it is good."""

    path: Path
    head: dict
    size: int = 0
    disks: list[tuple[int, int, bytes]] = field(default_factory=list)  # number, place, compressed
    checkpoints: list[tuple[dict, np.ndarray, list[bytes]]] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    text: bytes = b""
    done: dict | None = None
    damage: Damage | None = None

    @property
    def first(self) -> int:
        return self.checkpoints[0][0]["position"]

    @property
    def end(self) -> int:
        """The last position that can be come to."""
        last = self.checkpoints[-1][0]["position"]
        return max([last, *(i.position for i in self.inputs[-1:]), *([self.done["position"]] if self.done else [])])


def read_trace(path: Path) -> Trace:
    """TraceError if nothing of it can be opened."""
    trace = None
    try:
        for found in read_frames(path):
            if isinstance(found, Damage):
                if trace is None:
                    raise TraceError(f"{path}: a damaged trace: at byte {found.offset:,} {found.why}")
                trace.damage = found
                break
            offset, kind, payload = found
            if trace is None:
                trace = Trace(path, head_of(path, kind, payload))
                continue
            try:
                add(trace, kind, payload)
            except (StateError, struct.error, ValueError, KeyError, TypeError):
                trace.damage = Damage(offset, f"what a frame of kind {kind.decode()} holds makes no sense")
                break
        if trace is None or not trace.checkpoints:
            where = trace.damage if trace is not None else None
            why = f"at byte {where.offset:,} {where.why}" if where is not None else "it has no checkpoint"
            raise TraceError(f"{path}: a damaged trace: {why}")
        trace.size = path.stat().st_size
    except OSError as e:
        raise TraceError(f"{path}: {e.strerror or e}") from None
    return trace


def head_of(path: Path, kind: bytes, payload: bytes) -> dict:
    try:
        head = decode(payload) if kind == b"HEAD" else None
    except StateError:
        head = None
    if not isinstance(head, dict) or "version" not in head:
        raise TraceError(f"{path}: a trace without its head")
    if head["version"] != VERSION:
        raise TraceError(f"{path}: a trace of version {head['version']}; this program reads version {VERSION}")
    return head


def add(trace: Trace, kind: bytes, payload: bytes) -> None:
    if kind == b"DISK":
        number, place = struct.unpack_from("<IQ", payload)
        trace.disks.append((number, place, payload[12:]))
    elif kind == b"CKPT":
        trace.checkpoints.append(checkpoint_of(payload))
    elif kind == b"INPT":
        found = Input(*decode(payload))
        if found.what not in KINDS_OF_INPUT:
            raise ValueError
        trace.inputs.append(found)
    elif kind == b"TEXT":
        trace.text += payload
    elif kind == b"DONE":
        found = decode(payload)
        if not isinstance(found, dict) or not isinstance(found.get("position"), int) or not isinstance(found.get("reason"), str):
            raise ValueError
        trace.done = found


def checkpoint_of(payload: bytes) -> tuple[dict, np.ndarray, list[bytes]]:
    (size,) = struct.unpack_from("<I", payload)
    facts = decode(payload[4 : 4 + size])
    if not isinstance(facts, dict) or facts.keys() != {"position", "clock", "inputs", "events", "seconds", "state"}:
        raise ValueError
    (count,) = struct.unpack_from("<I", payload, 4 + size)
    at = 8 + size
    pages = np.frombuffer(payload, "<u4", count, at).astype(np.uint32)
    lengths = struct.unpack_from(f"<{count}I", payload, at + 4 * count)
    at += 8 * count
    if at + sum(lengths) != len(payload):
        raise ValueError
    pieces = []
    for length in lengths:
        pieces.append(payload[at : at + length])
        at += length
    return facts, pages, pieces


# ---- a session over it


def guest_of(trace: Trace, folder: Path) -> Guest:
    """The guest that was recorded, its disks as files in a folder."""
    facts = dict(trace.head["guest"])
    names = []
    for number in range(facts["disks"] + facts["floppy"] + facts["cdrom"] + facts["virtio_disks"]):
        path = folder / f"disk{number}"
        mine = [d for d in trace.disks if d[0] == number]
        with path.open("wb") as f:
            f.truncate(mine[0][1])
            for _number, place, data in mine[1:]:
                f.seek(place)
                f.write(zstandard.ZstdDecompressor().decompress(data, max_output_size=CHUNK))
        names.append(str(path))
    found: dict = {name: tuple(names.pop(0) for _ in range(facts[name])) for name in MEDIA}
    found |= {name: found[name][0] if found[name] else None for name in ("floppy", "cdrom")}
    return Guest(**facts | found | dict(path=Path(facts["path"]), pieces=(), com2=None, write_disks=False))


def lines_of(trace: Trace) -> Debug | None:
    """The debugging information of the file that was recorded, if it is here with the same symbols: beside the recording, or shipped."""
    name = str(trace.head["guest"]["path"])
    for path in (trace.path.parent / name, Path(name), *(p for p in guests.shipped().values() if p.name == name)):
        try:
            found = read_symbols(path)
        except (OSError, ValueError):
            continue
        if found.debug is not None and found.table == trace.head["symbols"]:
            return found.debug
    return None


def open_trace(trace: Trace, engine: str = "threaded", bound: int = 1 << 40) -> Session:
    """A session at the beginning of what was recorded.  TraceError if this version cannot be in the state it began with."""
    try:
        with tempfile.TemporaryDirectory(prefix="vmdbg-") as folder:  # an open disk image needs its name no more
            guest = guest_of(trace, Path(folder))
            names = Symbols(trace.head["symbols"], trace.head["slide"], True, lines_of(trace))
            session = open_bare(guest, engine=engine, symbols=names, history=bound)
    except (KeyError, TypeError, ValueError, IndexError, zstandard.ZstdError) as e:
        raise TraceError(f"{trace.path}: its guest cannot be made: {type(e).__name__} {str(e)[:80]}") from None
    history = session.history
    assert history is not None
    line = history.line
    history.begin_again()
    for facts, pages, pieces in trace.checkpoints:
        versions = history.versions.add_compressed(pieces)
        line.insert(Saved(pages=pages, versions=versions, **facts))
    line.inputs, line.end = trace.inputs, trace.end
    transcript = session.monitor.transcript
    transcript.kept[:], transcript.heard = trace.text, len(trace.text)
    try:
        history.restore(line.saved[0])
    except StateError as e:
        raise TraceError(f"{trace.path}: recorded by another version of vmdbg, whose machine was another: {e}") from None
    except (zstandard.ZstdError, IndexError, ValueError) as e:
        raise TraceError(f"{trace.path}: its first checkpoint makes no sense: {str(e)[:80]}") from None
    return session


@dataclass(frozen=True)
class Difference:
    """The first checkpoint at which a run was not what was recorded: after position `good`, at `position` or before."""

    good: int
    position: int
    what: str


def verify(session: Session, progress: Callable[[int], None] = lambda position: None) -> Difference | None:
    """Run all of it again and compare with every checkpoint: vCPUs, devices, and every page that either of them changed."""
    history = session.history
    assert history is not None
    saved = list(history.line.saved)
    history.restore(saved[0])
    good = saved[0].position
    for s in saved[1:]:
        try:
            history.meet(s)
        except HistoryError as e:
            return Difference(good, s.position, str(e))
        what = difference(history, s)
        if what is not None:
            return Difference(good, s.position, what)
        history.met(s)
        good = s.position
        progress(good)
    return None


def difference(history: History, saved: Saved) -> str | None:
    """How the machine differs from a checkpoint of its line, if it was as the one before it says."""
    found, recorded = history.keep.state(), zstandard.ZstdDecompressor().decompress(saved.state)
    if found != recorded:
        return "the state of " + " and ".join(parts_that_differ(decode(found), decode(recorded)))
    table = history.line.table(saved, history.keep.page_count)
    pages = np.union1d(history.keep.changed_pages(), saved.pages)
    origin = pages[table[pages] == ORIGIN]
    wrong = origin[(history.keep.get_pages(origin) != history.keep.origin_pages(origin)).any(axis=1)].tolist()
    pages = pages[table[pages] != ORIGIN]
    for part, contents in history.versions.get(table[pages]):
        wrong += pages[part][(history.keep.get_pages(pages[part]) != contents).any(axis=1)].tolist()
    return f"memory at {min(wrong) * 4096:#x}" if wrong else None


def parts_that_differ(found: dict, recorded: dict) -> list[str]:
    """Registers by name, and what else a state is made of."""
    parts = [name for name in found if found[name] != recorded.get(name) and name != "cpus"]
    a, b = found["cpus"], recorded["cpus"]
    for name, (at, word, count) in Cpu.fields.items():
        size = word.bits // 8 * (count or 1)
        for n in range(0, len(a), ARCHITECTURAL):
            if at < ARCHITECTURAL and a[n + at : n + at + size] != b[n + at : n + at + size]:
                parts.append(name)
                break
    return parts
