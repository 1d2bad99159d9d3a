"""What a user waits for: single steps, the start, the build."""

import fcntl
import os
import pty
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import vmdbg
from vmdbg.bench import workloads

STEPS = 200_000
TOP = Path(vmdbg.__file__).parents[1]
ROWS, COLUMNS = 40, 120  # of the terminal
FRAME, SNAPSHOT = b"hello16", b"7c00"  # the guest's name is in the first frame, its first instruction with the first snapshot
LONGEST, LONGEST_BUILD = 60, 1800  # seconds

FIRST_INSTRUCTION = """
import sys
from pathlib import Path
from vmdbg.bench.workloads import ALL, guest
from vmdbg.debugger.opening import open_bare
session = open_bare(guest(ALL[0], 1))
session.step()
print("numba" in sys.modules, flush=True)
"""


def environment(**more: str) -> dict[str, str]:
    """Ours, with this program found first, and its bytecode kept as an installed program's is."""
    path = os.pathsep.join([str(TOP), os.environ.get("PYTHONPATH", "")])
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | dict(PYTHONPATH=path, **more)


def steps() -> dict[str, int]:
    """Single steps a second of user CPU time: of a machine, and of a session, by a loop in Python."""
    from vmdbg.debugger.opening import open_bare

    session = open_bare(workloads.guest(workloads.ALL[0], workloads.ALL[0].iterations))
    session.machine.run(10_000)  # past the boot sector
    return dict(machine=rate(session.machine.step, STEPS), session=rate(session.step, STEPS // 10))


def rate(step, count: int) -> int:
    """Calls of step(1) a second."""
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for _ in range(count):
        step(1)
    return round(count / max(resource.getrusage(resource.RUSAGE_SELF).ru_utime - began, 1e-6))


def start(repeats: int) -> dict:
    """Seconds by the clock from starting a process, the core built: to the first instruction done, and in the app to the
    first frame and to the first instruction shown; the best of `repeats`.  `user_cpu`: what the app's start cost.
    """
    instruction, numba = [], False
    for _ in range(repeats):
        began = time.perf_counter()
        said = subprocess.run(
            [sys.executable, "-c", FIRST_INSTRUCTION], capture_output=True, text=True, check=True, env=environment(), timeout=LONGEST
        )
        instruction.append(time.perf_counter() - began)
        numba |= said.stdout.strip() != "False"
    frames = [app() for _ in range(repeats)]
    best = {name: round(min(f[name] for f in frames), 3) for name in frames[0]}
    return dict(first_instruction=round(min(instruction), 3), **best, imports_numba=numba)


def app() -> dict[str, float]:
    """Start the app in a terminal of its own and leave it again."""
    began = time.perf_counter()
    process, terminal = pty.fork()
    if process == 0:
        variables = environment(TERM="xterm-256color", COLORTERM="truecolor")
        os.execvpe(sys.executable, [sys.executable, "-m", "vmdbg", "hello16"], variables)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    shown, times = b"", {}
    while len(times) < 2 and time.perf_counter() - began < LONGEST:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 1 << 16)
            except OSError:  # it has ended
                break
            for name, text in (("first_frame", FRAME), ("first_snapshot", SNAPSHOT)):
                if text in shown and name not in times:
                    times[name] = time.perf_counter() - began
    os.kill(process, signal.SIGKILL)
    usage = os.wait4(process, 0)[2]
    os.close(terminal)
    if len(times) < 2:
        raise RuntimeError("the app did not show its guest: " + shown[-200:].decode(errors="replace"))
    return dict(times, user_cpu=usage.ru_utime)


def build() -> float:
    """Seconds by the clock to build the core into an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "vmdbg", "build"],
            check=True,
            capture_output=True,
            env=environment(VMDBG_CACHE=cache),
            timeout=LONGEST_BUILD,
        )
        return round(time.perf_counter() - began, 1)
