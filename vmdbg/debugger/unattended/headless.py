"""A guest run to its end without an interface: serial port to standard output, exit status as the contract's section 7."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from vmdbg.debugger.causes import triple_fault
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past.history import BOUND
from vmdbg.debugger.past.trace_writer import TraceWriter
from vmdbg.debugger.session import Session
from vmdbg.debugger.slide import settled
from vmdbg.debugger.stop import Stop
from vmdbg.debugger.symbols import Symbols
from vmdbg.debugger.unattended.serial_input import SerialInput
from vmdbg.debugger.unattended.statistics import Statistics
from vmdbg.monitor.guest import Guest

POWERED_OFF, TRIPLE_FAULT, HALTED, LIMIT, USER_BREAK, ERROR = 0, 70, 72, 74, 76, 78
STATUS = {"idle": POWERED_OFF, "shutdown": TRIPLE_FAULT, "halt": HALTED, "limit": LIMIT, "pause": USER_BREAK, "error": ERROR}
BREAKS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the user's: the run ends, and the terminal is left as it was


def run_headless(
    guest: Guest,
    limit: int | None = None,
    input_file: Path | None = None,
    stats: Path | None = None,
    symbols: Symbols | None = None,
    trace: Path | None = None,
) -> int:
    """Run until the guest ends, is idle, or `limit` instructions are done; the exit status.

    What comes from `input_file`, else from standard input, goes to the serial port.  An idle guest has ended: nothing is
    due, and nobody can give it input.  `stats` gets figures of the run as JSON; `symbols` name addresses instead of the
    guest's own; `trace` is a file for a recording.
    """
    out = SerialOutput()
    session = open_bare(guest, out.put, symbols=symbols, history=BOUND if trace is not None else 0)
    writer = TraceWriter(trace, session, complain) if trace is not None else None
    out.closed = session.interrupt
    counting = Statistics(session) if stats is not None else nullcontext()
    source = SerialInput(session, input_file)

    def between() -> None:
        out.flush()
        source.pump()

    session.between, session.more = between, source.wait
    try:
        with breaks(session.interrupt), source, counting:
            stop = session.run(limit)
    finally:
        out.flush()
        if writer is not None:
            writer.close(session.stop.text)
    if not stop.has("exit") and not stop.has("idle") and out.open:
        tell(session, stop)
    found = USER_BREAK if not out.open else status(stop)
    if isinstance(counting, Statistics) and stats is not None:
        stats.write_text(json.dumps(counting.figures(found), indent=2) + "\n")
    return found


def complain(sentence: str) -> None:
    print(f"vmdbg: {sentence}", file=sys.stderr)


@contextmanager
def breaks(enough: Callable[[], object]) -> Iterator[None]:
    """Signals that mean "enough" call this (Session.interrupt) instead of ending the program in the middle."""
    before = {number: signal.signal(number, lambda *_: enough()) for number in BREAKS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class OutputError(Exception):
    """Standard output takes no more, and not because its reader had enough: one sentence."""


class SerialOutput:
    """Standard output, byte by byte; `closed` is called when nobody reads it any more (vmdbg run ... | head)."""

    def __init__(self) -> None:
        self.stream = sys.stdout.buffer if sys.stdout is not None else None
        self.open = True
        self.closed = lambda: None

    def put(self, byte: int) -> None:
        if self.stream is not None and self.open:
            try:
                self.stream.write(bytes((byte,)))
            except OSError as e:
                self._end(e)

    def flush(self) -> None:
        if self.stream is not None and self.open:
            try:
                self.stream.flush()
            except OSError as e:
                self._end(e)

    def _end(self, why: OSError) -> None:
        self.open = False
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python still holds goes there
        self.closed()
        if not isinstance(why, BrokenPipeError):
            raise OutputError(f"standard output: {why.strerror}") from None


def tell(session: Session, stop: Stop) -> None:
    """Why a run stopped, on standard error."""
    place = ""
    if stop.has("limit") or stop.has("pause"):
        session.symbols = settled(session)
        place = f" at {session.place()}"
    if len(session.machine.cpus) > 1:
        place += f" on CPU {session.cpu_index}"
    print(f"vmdbg: {stop.text}{place}, after {stop.position:,} steps", file=sys.stderr)
    if stop.has("shutdown"):
        print("\n".join([*triple_fault(session), *where(session)]), file=sys.stderr)


def status(stop: Stop) -> int:
    """The exit status of a run that stopped so."""
    if stop.exit_code is not None:
        return stop.exit_code
    return next(STATUS[r.kind] for r in stop.reasons if r.kind in STATUS)


def where(session: Session) -> list[str]:
    """The registers at a triple fault."""
    from vmdbg.debugger import views
    from vmdbg.debugger.commands.interpreter import Interpreter

    return views.show_registers(Interpreter(session), "")
