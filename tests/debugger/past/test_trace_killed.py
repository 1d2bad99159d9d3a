"""kill -9 at any moment of a recording, and files that can grow no more: what was promised is there, and runs as it ran."""

import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.debugger.past.test_history import BOUND
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past.trace_reader import open_trace, read_trace, verify
from vmdbg.debugger.past.trace_writer import TraceWriter
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load_flat import load_flat

TOP = Path(__file__).parents[3]
PROMISED = 1.0  # seconds of running that may be lost
# mov dx,3fdh; again: inc dword [di]; add di,4; and di,ffch; in al,dx; test al,1; jz again; mov dl,f8h; in al,dx; out dx,al; mov dl,fdh
CODE = bytes.fromhex("ba fd03 66ff05 83c704 81e7fc0f ec a801 74f1 b2f8 ec ee b2fd ebe9".replace(" ", ""))
REPORT = struct.Struct("<Qd")


def guest(folder: Path):
    path = folder / "loop"
    path.write_bytes(CODE)
    return load_flat(path, CODE, Options(memory=1 << 20, bits=16))


def record(folder: Path, path: Path, pipe: int, seed: int) -> None:
    """In a process of its own: run for ever, recorded; tell what has been reached, give bytes now and then."""
    s, r = open_bare(guest(folder), history=BOUND), random.Random(seed)
    TraceWriter(path, s, lambda sentence: os.abort())

    def between() -> None:
        os.write(pipe, REPORT.pack(s.position, s.history._seconds))
        if r.random() < 0.3:
            s.give("serial", bytes([r.randrange(256)]))

    s.between = between
    s.run()


def kill_one(folder: Path, seed: int) -> tuple[int, int]:
    """Kill a recording at a random moment; the positions that the file ends at, and that had been reached."""
    path, moment = folder / f"killed{seed}", random.Random(seed).uniform(0.0, 0.4)
    end, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(end)
            record(folder, path, pipe, seed)
        finally:
            os._exit(1)
    os.close(pipe)
    reports = os.read(end, REPORT.size)  # it runs
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    while more := os.read(end, 1 << 16):
        reports += more
    os.close(end)
    reached, seconds = REPORT.unpack(reports[-REPORT.size :])
    trace = read_trace(path)
    assert trace.done is None and trace.checkpoints[-1][0]["seconds"] >= seconds - PROMISED
    s = open_trace(trace)
    s.goto(trace.end)
    assert s.position == trace.end and verify(open_trace(trace)) is None
    path.unlink()
    return trace.end, reached


def test_killed_threaded(tmp_path):
    for seed in range(3):
        kill_one(tmp_path, seed)


@pytest.mark.slow
def test_killed_often_threaded(tmp_path):
    """1,000 times."""
    ends = [kill_one(tmp_path, seed)[0] for seed in range(1000)]
    assert len(set(ends)) > 10  # how many depends on how fast it runs


def test_a_file_that_may_not_grow_threaded(tmp_path):
    """The recording ends with one sentence, the guest does not; what was written opens, up to the frame that did not fit."""

    def recorded(path: Path, most: int) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "vmdbg", "record", "dual_mode", "-o", str(path)]
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=TOP, preexec_fn=limit)

    whole = recorded(tmp_path / "whole", 1 << 30)
    size, path = (tmp_path / "whole").stat().st_size - 500, tmp_path / "trace"
    found = recorded(path, size)
    assert (found.returncode, found.stdout) == (whole.returncode, whole.stdout)
    assert found.stderr == f"vmdbg: {path}: the recording has ended: file too large\n" + whole.stderr
    assert path.stat().st_size == size
    trace = read_trace(path)
    assert trace.damage is not None and "the file ends within" in trace.damage.why
    s = open_trace(trace)
    s.goto(trace.end)
    assert verify(s) is None
