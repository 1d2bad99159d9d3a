"""What debugging costs, on a boot of Linux: recording it, watching it, going back in it, breakpoints that never stop it.

    measure -> boots (plain, recorded, watched, in turn) -> journeys in the last one -> costs of what is armed -> QEMU's debugger

Boots and costs are seconds of CPU of the thread that owns the session, journeys milliseconds by the clock and of that CPU.
"""

import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from vmdbg.bench import armed, boot, latency, remote, workloads
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past.history import BOUND
from vmdbg.debugger.past.trace_writer import TraceWriter
from vmdbg.debugger.session import Session
from vmdbg.debugger.vm_exits import Exits
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

POINTS, SEED = 50, 4  # of the journeys
REPEATS = 2  # of each boot; the best counts
COLUMNS = 120  # of the timeline that is watched


class Late(Exception):
    """A boot has not ended within boot.LONGEST seconds."""


def measure(kernel: Path | None, initrd: Path | None, installed: dict[str, str | None], progress=lambda text: None) -> dict:
    """Figures as JSON has them: `missing` says why there are none of Linux."""
    progress("single steps")
    figures: dict = dict(steps=latency.steps())
    progress("start")
    figures["start"] = latency.start(REPEATS)
    qemu = bool(installed.get("qemu"))
    if qemu:
        progress("QEMU's gdb stub")
        figures["qemu_steps"] = remote.stub_steps(workloads.ALL[0])
    with tempfile.TemporaryDirectory() as scratch:
        linux = boot.find(kernel, initrd, Path(scratch))
        if isinstance(linux, str):
            return figures | dict(missing=linux)
        try:
            session, figures["recording"] = boots(linux, Path(scratch), progress)
        except Late:
            return figures | dict(missing=f"Linux does not end within {boot.LONGEST} s")
        progress("journeys")
        figures["journeys"] = journeys(session)
        figures["search"] = armed.search(session)
        progress("breakpoints")
        figures["armed"] = armed.costs(session)
        if qemu:
            progress("QEMU's record and replay")
            figures["qemu_back"] = remote.steps_back(linux)
    return figures


# ---- boots


class Spent:
    """CPU seconds of a thread, and of the whole process, since it was made."""

    def __init__(self, thread: int):
        self._clock = time.pthread_getcpuclockid(thread)
        self._began = self._now()

    def _now(self) -> tuple[float, float]:
        return time.clock_gettime(self._clock), time.process_time()

    def so_far(self) -> dict[str, float]:
        thread, process = (now - began for now, began in zip(self._now(), self._began))
        return dict(thread=thread, process=process)


def machine(linux: boot.Linux, history: int = 0) -> Session:
    options = Options(boot.MEGABYTES << 20, append=boot.COMMAND_LINE, initrd=str(linux.initrd), bits=32)
    session = open_bare(load_guest(linux.kernel, options), history=history)
    session.warp = True
    return session


def recorded(linux: boot.Linux, trace: Path) -> tuple[Session, TraceWriter]:
    session = machine(linux, BOUND)
    return session, TraceWriter(trace, session, lambda sentence: None)


def boots(linux: boot.Linux, folder: Path, progress: Callable[[str], None]) -> tuple[Session, dict]:
    """The session of the last recorded boot, at its end, and what the boots cost; Late."""
    spent: dict[str, list[dict[str, float]]] = dict(plain=[], recorded=[], watched=[])
    for _ in range(REPEATS):
        progress("a boot of Linux")
        session = machine(linux)
        spent["plain"].append(run(session))
        progress("a boot of Linux, watched")
        spent["watched"].append(watched(linux, folder / "trace"))
        progress("a boot of Linux, recorded")
        session, writer = recorded(linux, folder / "trace")
        spent["recorded"].append(run(session))
        writer.close("done")
    seconds = {name: min(f["thread"] for f in found) for name, found in spent.items()}
    process = {name: min(f["process"] for f in found) for name, found in spent.items()}
    history = session.history
    assert history is not None
    return session, dict(
        instructions=session.instructions,
        seconds={name: round(s, 2) for name, s in seconds.items()},
        process={name: round(s, 2) for name, s in process.items()},
        recording=percent(seconds["recorded"], seconds["plain"]),
        watching=percent(seconds["watched"], seconds["recorded"]),
        checkpoints=len(history.line.saved),
        trace=(folder / "trace").stat().st_size,
    )


def percent(more: float, less: float) -> float:
    """By how much one is more than another."""
    return round(100 * (more / max(less, 1e-6) - 1), 1)


def run(session: Session) -> dict[str, float]:
    """What a session spends until its guest has ended; Late."""
    late = threading.Timer(boot.LONGEST, session.interrupt)
    late.start()
    spent = Spent(threading.get_ident())
    stop = session.run()
    late.cancel()
    if stop.has("pause"):
        raise Late
    return spent.so_far()


def watched(linux: boot.Linux, trace: Path) -> dict[str, float]:
    """The same in the app's thread, which posts snapshots with a timeline 25 times a second to somebody who takes them; Late."""
    from vmdbg.ui.protocol import Answered, Refused, Taken
    from vmdbg.ui.session_thread import SessionThread

    said: SimpleQueue = SimpleQueue()

    def opening() -> Session:
        session, writer = recorded(linux, trace)
        writers.append(writer)
        return session

    def post(message) -> None:
        thread.seen() if isinstance(message, Taken) else said.put(message)

    writers: list[TraceWriter] = []
    thread = SessionThread(opening, post)
    thread.look_at_timeline(COLUMNS)
    thread.start()
    thread.submit(":")  # answered once it is there
    try:
        said.get(timeout=boot.LONGEST)
        spent = Spent(thread.ident or 0)
        thread.submit("continue")
        while not isinstance(message := said.get(timeout=boot.LONGEST), (Answered, Refused)):
            pass
        found = spent.so_far()
    except Empty:
        raise Late from None
    finally:
        thread.end()
        thread.join()
    writers[0].close("done")
    if isinstance(message, Refused):
        raise Late
    return found


# ---- journeys


def journeys(session: Session) -> dict:
    """To random points, and from each of them a step back, to the trap before, and to the VM exit before."""
    history = session.history
    assert history is not None
    history.leave_end()
    took: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, journey: Callable[..., object], *where: int) -> None:
        began = time.perf_counter(), time.thread_time()
        journey(*where)
        took.setdefault(name, []).append((time.perf_counter() - began[0], time.thread_time() - began[1]))

    numbers = random.Random(SEED)
    for _ in range(POINTS):
        point = numbers.randrange(history.first + 1, history.line.end)
        timed("goto", session.goto, point)
        timed("reverse_step", session.reverse_step)
        timed("previous_trap", session.previous_trap)
        session.goto(point)
        with session.stopping_at(Exits()):
            timed("previous_exit", session.reverse_run)
    return {name: figures_of(found) for name, found in took.items()}


def figures_of(took: list[tuple[float, float]]) -> dict:
    clock, cpu = (sorted(1000 * seconds for seconds in each) for each in zip(*took))
    middle = len(clock) // 2
    return dict(
        count=len(clock),
        median=round(clock[middle], 2),
        worst=round(clock[-1], 2),
        cpu_median=round(cpu[middle], 2),
        cpu_worst=round(cpu[-1], 2),
    )
