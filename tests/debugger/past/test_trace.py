"""Trace files: what was recorded opens in another process and runs the same; damage is named, and what is before it is there."""

import errno
import random
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.debugger.past.test_history import BOUND, digest, echo, often, session  # noqa: F401
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past import trace_writer
from vmdbg.debugger.past.trace import HEADER, MAGIC, TraceError, frame, read_frames
from vmdbg.debugger.past.trace_reader import open_trace, read_trace, verify
from vmdbg.debugger.past.trace_writer import TraceWriter
from vmdbg.machine.device_state import decode, encode
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load_flat import load_flat

TOP = Path(__file__).parents[3]
LOOP = bytes.fromhex("b8 00 00 40 a3 00 80 eb fa".replace(" ", ""))  # again: inc ax; mov [8000h], ax; jmp again


def never(sentence: str) -> None:
    raise AssertionError(sentence)


def record(s, path: Path) -> TraceWriter:
    return TraceWriter(path, s, never)


@pytest.fixture
def recorded(tmp_path) -> Path:
    """dual_mode from its start to its end, by the threaded engine."""
    s, path = session("dual_mode"), tmp_path / "dual_mode.trace"
    writer = record(s, path)
    while not s.stop.has("idle"):
        s.run(1500)
    writer.close("the end")
    return path


def test_it_opens_and_runs_the_same_threaded(recorded):
    """Another session over the file: the same positions in the same states, the same words, and all checkpoints equal."""
    trace = read_trace(recorded)
    assert trace.damage is None and trace.done is not None and len(trace.checkpoints) > 5
    straight, replayed = session("dual_mode"), open_trace(trace)
    assert replayed.position == 0 and digest(replayed) == digest(straight) and replayed.monitor.log == b""
    for position in (1, 777, 9000, trace.end - 1):
        straight.step(position - straight.position)
        replayed.goto(position)
        assert digest(replayed) == digest(straight)
    assert replayed.monitor.log == straight.monitor.log
    replayed.goto(50)
    assert digest(replayed) != digest(straight)
    assert verify(open_trace(trace)) is None


def test_inputs_are_in_it(tmp_path):
    s = echo(tmp_path)
    writer = record(s, tmp_path / "trace")
    s.step(100)
    for byte in b"xyz":
        s.give("serial", bytes([byte]))
        s.step(200)
    end = digest(s)
    writer.close("enough")
    replayed = open_trace(read_trace(tmp_path / "trace"), engine="plain")
    assert len(replayed.history.line.inputs) == 3
    replayed.goto(700)
    assert replayed.monitor.log == b"xyz" and digest(replayed) == end
    assert verify(replayed) is None


def test_disks_are_in_it(tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(3 << 20) + b"here" + bytes(100))
    code = tmp_path / "code"
    code.write_bytes(LOOP)
    guest = replace(load_flat(code, LOOP, Options(memory=1 << 20, bits=16)), disks=(str(disk),))
    s = open_bare(guest, engine="plain", history=BOUND)
    record(s, tmp_path / "trace").close("at once")
    disk.unlink()
    image = open_trace(read_trace(tmp_path / "trace"), engine="plain").monitor.board.chipset.channels[0].drives[0].image
    assert image.size == (3 << 20) + 104 and image.read((3 << 20) // 512)[:4] == b"here" and image.read(7) == bytes(512)


def check_damaged(path: Path, whole: dict[int, bytes]) -> None:
    """A damaged file is refused in a sentence, or opens, says where it is damaged, and has what stands before."""
    try:
        trace = read_trace(path)
    except TraceError as e:
        assert "\n" not in str(e) and str(path) in str(e)
        return
    for facts, _pages, _pieces in trace.checkpoints:
        assert whole[facts["position"]] == facts["state"]
    if trace.damage is None:
        assert path.stat().st_size in ends(path)
    else:
        assert trace.damage.why and max(ends(path)) == trace.damage.offset


def ends(path: Path) -> list[int]:
    """Where whole frames end."""
    return [len(MAGIC)] + [f[0] + HEADER.size + len(f[2]) for f in read_frames(path) if isinstance(f, tuple)]


def damage(recorded: Path, r: random.Random, count: int) -> None:
    data = recorded.read_bytes()
    whole = {facts["position"]: facts["state"] for facts, *_ in read_trace(recorded).checkpoints}
    path = recorded.with_name("damaged")
    for n in range(count):
        if n % 2:
            path.write_bytes(data[: r.randrange(len(data))])
        else:
            bad = bytearray(data)
            bad[r.randrange(len(data))] ^= 1 << r.randrange(8)
            path.write_bytes(bad)
        check_damaged(path, whole)


def test_damage_threaded(recorded):
    """Cut off or with a bit flipped anywhere."""
    damage(recorded, random.Random(1), 60)


@pytest.mark.slow
def test_much_damage_threaded(recorded):
    damage(recorded, random.Random(2), 1000)


def test_what_is_before_the_damage_runs_threaded(recorded):
    data = recorded.read_bytes()
    recorded.write_bytes(data[: len(data) * 2 // 3])
    trace = read_trace(recorded)
    s, straight = open_trace(trace), session("dual_mode")
    s.goto(trace.end)
    straight.step(trace.end)
    assert 0 < trace.end and digest(s) == digest(straight) and verify(open_trace(trace)) is None


def reframed(path: Path, change) -> None:
    """The same frames, one of them with other content and a check that is right."""
    frames = [(kind, payload) for _at, kind, payload in read_frames(path)]
    path.write_bytes(MAGIC + b"".join(frame(kind, change(n, kind, payload)) for n, (kind, payload) in enumerate(frames)))


def test_another_run_is_told_apart_threaded(recorded):
    """A register or a page that is not what the run gives: where that is, and what."""
    kinds = [kind for _at, kind, _payload in read_frames(recorded)]
    third = [n for n, kind in enumerate(kinds) if kind == b"CKPT"][3]
    checkpoints = read_trace(recorded).checkpoints

    def other_register(n, kind, payload):
        if n != third:
            return payload
        import zstandard

        (size,) = struct.unpack_from("<I", payload)
        facts = decode(payload[4 : 4 + size])
        state = decode(zstandard.decompress(facts["state"]))
        cpus = bytearray(state["cpus"])
        cpus[3 * 8] ^= 1  # RBX
        facts["state"] = zstandard.compress(encode(state | dict(cpus=bytes(cpus))))
        new = encode(facts)
        return struct.pack("<I", len(new)) + new + payload[4 + size :]

    reframed(recorded, other_register)
    found = verify(open_trace(read_trace(recorded)))
    assert found is not None and found.good == checkpoints[2][0]["position"] and found.position == checkpoints[3][0]["position"]
    assert found.what == "the state of gpr"


@pytest.mark.parametrize(
    "data, words",
    [(b"", "not a trace"), (b"x" * 100, "not a trace"), (MAGIC, "no checkpoint|head"), (MAGIC + frame(b"TEXT", b"a"), "without its head")],
)
def test_what_is_no_trace(tmp_path, data, words):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(TraceError, match=words):
        read_trace(path)


def test_a_later_version_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(MAGIC + frame(b"HEAD", encode(dict(version=9))))
    with pytest.raises(TraceError, match="version 9; this program reads version 1"):
        read_trace(path)


def test_a_full_disk_ends_the_recording_only(tmp_path, monkeypatch):
    """The session goes on, the user hears it once, and the file is good up to there."""
    s, said = session("dual_mode", engine="plain"), []
    writer = TraceWriter(tmp_path / "trace", s, said.append)
    put, room = TraceWriter._put, [3]

    def full(self, data):
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, data)

    monkeypatch.setattr(TraceWriter, "_put", full)
    for _ in range(8):
        s.run(100)
    writer.close("full")
    assert said == [f"{tmp_path / 'trace'}: the recording has ended: no space left on device"]
    assert s.position == 800 and read_trace(tmp_path / "trace").damage is None


def kill_one(tmp_path, seconds: float, number: int) -> int:
    """Record a loop, kill the program, and come to the end of what is there: its position."""
    path, code = tmp_path / f"killed{number}", tmp_path / "loop"
    code.write_bytes(LOOP)
    command = [sys.executable, "-m", "vmdbg", "record", str(code), "--bits", "16", "--memory", "1M", "-o", str(path)]
    process = subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while not path.exists() or path.stat().st_size < 2000:
        time.sleep(0.01)
        assert process.poll() is None
    time.sleep(seconds)
    process.kill()
    process.wait()
    process.stdin.close()
    trace = read_trace(path)
    s = open_trace(trace)
    s.goto(trace.end)
    assert s.position == trace.end and verify(open_trace(trace)) is None
    return trace.end


def test_killed_threaded(tmp_path):
    """kill -9 while it records: what was flushed opens and is right."""
    assert kill_one(tmp_path, 1.5, 0) > 0


def test_the_digest_of_semantics():
    assert len(trace_writer.semantics()) == 16
