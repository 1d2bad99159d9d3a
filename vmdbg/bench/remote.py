"""QEMU's own debugger beside ours: single steps through its gdb stub, and steps back in a run that its rr recorded.

The stub speaks gdb's remote serial protocol ("$" data "#" checksum in two hexadecimal digits, each packet acknowledged by "+"):
`s` steps, `bs` steps back, `c` goes on.  QMP, one JSON value a line, says where a replay is to pause.  Both by sockets in a folder.
"""

import json
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vmdbg.bench import emulators
from vmdbg.bench.boot import COMMAND_LINE, LONGEST, MEGABYTES, Linux
from vmdbg.bench.workloads import Workload

ANSWER = 10  # seconds until an answer is given up
STEPPING = 2  # seconds of single steps
BACK, TRIES = 5, 3  # steps back; replays until one of them takes any
AT = 100_000_000  # instructions from the start of the replay, where they are made
CLUSTER = 1 << 16  # bytes of a qcow2 file's
STEP, STEP_BACK, GO_ON = b"s", b"bs", b"c"


class NoAnswer(Exception):
    """It does not answer, or is not there."""


class Line:
    """A socket to a program that makes it; what is received is kept until it is whole."""

    def __init__(self, path: Path, process: subprocess.Popen):
        self.socket, self.received = socket.socket(socket.AF_UNIX), b""
        last = time.monotonic() + ANSWER
        while True:
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > last or process.poll() is not None:
                    raise NoAnswer from None
                time.sleep(0.01)

    def until(self, end: bytes, more: int = 0, seconds: float = ANSWER) -> bytes:
        """What comes up to `end` and `more` bytes after it."""
        self.socket.settimeout(seconds)
        while (at := self.received.find(end)) < 0 or len(self.received) < at + len(end) + more:
            try:
                data = self.socket.recv(4096)
            except OSError:
                raise NoAnswer from None
            if not data:
                raise NoAnswer
            self.received += data
        cut = at + len(end) + more
        found, self.received = self.received[:cut], self.received[cut:]
        return found

    def put(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            raise NoAnswer from None


def ask_stub(line: Line, packet: bytes, seconds: float = ANSWER) -> bytes:
    """The stub's answer to a packet."""
    line.put(b"$" + packet + b"#%02x" % (sum(packet) & 0xFF))
    found = line.until(b"#", 2, seconds)
    line.put(b"+")
    return found[found.index(b"$") + 1 : found.index(b"#")]


def ask_qmp(line: Line, command: str, **arguments) -> None:
    line.put(json.dumps(dict(execute=command, arguments=arguments)).encode() + b"\n")
    while b'"return"' not in (said := line.until(b"\n")):
        if b'"error"' in said:
            raise NoAnswer


@contextmanager
def started(command: list[str], folder: Path) -> Iterator[subprocess.Popen]:
    """A program that is killed in the end."""
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdin=null, stdout=null, stderr=null, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


# ---- single steps


def stub_steps(workload: Workload) -> dict:
    """Single steps a second by the clock: each a packet and its answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "disk").write_bytes(workload.image(workload.iterations).ljust(emulators.DISK_SIZE, b"\0"))
        command = emulators.qemu(folder, "-gdb", "unix:stub,server=on,wait=off", "-S")
        try:
            with started(command, folder) as process:
                line, count = Line(folder / "stub", process), 0
                began = time.perf_counter()
                while time.perf_counter() - began < STEPPING:
                    if not ask_stub(line, STEP).startswith(b"T"):
                        raise NoAnswer
                    count += 1
                return dict(per_second=round(count / (time.perf_counter() - began)), note="")
        except NoAnswer:
            return dict(per_second=0, note="its gdb stub does not answer")


# ---- steps back


def empty_disk(path: Path, size: int = 64 << 20) -> None:
    """A qcow2 file of version 2, in which QEMU keeps the snapshot of its start: header, table and block of reference counts,
    and an empty first-level table, a cluster each."""
    sizes = (b"QFI\xfb", 2, 0, 0, CLUSTER.bit_length() - 1, size, 0, 1)
    header = struct.pack(">4sIQIIQII", *sizes) + struct.pack(">QQIIQ", 3 * CLUSTER, CLUSTER, 1, 0, 0)
    table, counts = struct.pack(">Q", 2 * CLUSTER), struct.pack(">4H", 1, 1, 1, 1)
    path.write_bytes(b"".join(part.ljust(CLUSTER, b"\0") for part in (header, table, counts, b"")))


def recorder(linux: Linux, mode: str, *more: str) -> list[str]:
    """QEMU booting Linux; mode: record or replay."""
    head = ["qemu-system-x86_64", "-accel", "tcg", "-m", str(MEGABYTES), "-display", "none", "-monitor", "none", "-no-reboot"]
    kernel = ["-kernel", str(linux.kernel), "-initrd", str(linux.initrd), "-append", COMMAND_LINE, "-serial", f"file:{mode}"]
    disk = ["-drive", "file=disk,format=qcow2,if=none,id=img", "-drive", "driver=blkreplay,if=none,image=img,id=replayed"]
    rr = ["-icount", f"shift=auto,rr={mode},rrfile=recording,rrsnapshot=start", "-net", "none"]
    return [*head, *kernel, *disk, "-device", "ide-hd,drive=replayed", *rr, *more]


def steps_back(linux: Linux) -> dict:
    """Milliseconds by the clock of a step back, AT instructions after the start, in a boot that was recorded."""
    with tempfile.TemporaryDirectory() as name:
        folder, took, note = Path(name), [], ""
        empty_disk(folder / "disk")
        _, ended = emulators.spent(recorder(linux, "record"), folder, LONGEST)
        if not ended or not (folder / "recording").exists():
            return dict(figures_of(took), note=f"gave up its recording after {LONGEST} s" if not ended else "it does not record")
        for _ in range(TRIES):
            try:
                go_back(linux, folder, took)
            except NoAnswer:
                note = f"no answer in {ANSWER} s after {len(took)} steps back"
            if took:
                break
        return dict(figures_of(took), note=note)


def go_back(linux: Linux, folder: Path, took: list[float]) -> None:
    """Replay what was recorded in a folder, and note how long each step back takes."""
    for name in ("stub", "qmp"):
        (folder / name).unlink(missing_ok=True)
    more = ("-gdb", "unix:stub,server=on,wait=off", "-S", "-qmp", "unix:qmp,server=on,wait=off")
    with started(recorder(linux, "replay", *more), folder) as process:
        stub, qmp = Line(folder / "stub", process), Line(folder / "qmp", process)
        qmp.until(b"\n")  # its greeting
        ask_qmp(qmp, "qmp_capabilities")
        ask_qmp(qmp, "replay-break", icount=AT)
        ask_stub(stub, GO_ON, LONGEST)
        for _ in range(BACK):
            began = time.perf_counter()
            ask_stub(stub, STEP_BACK)
            took.append(time.perf_counter() - began)


def figures_of(seconds: list[float]) -> dict:
    if not seconds:
        return dict(count=0)
    return dict(count=len(seconds), median=round(1000 * statistics.median(seconds), 2), worst=round(1000 * max(seconds), 2))
