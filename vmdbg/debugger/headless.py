"""A guest run to its end without an interface: serial port to standard output, exit status as the contract's section 7."""

import signal
import sys
from pathlib import Path

from vmdbg.debugger.causes import triple_fault
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.serial_input import SerialInput
from vmdbg.debugger.session import Session
from vmdbg.debugger.stop import Stop
from vmdbg.monitor.guest import Guest

POWERED_OFF, TRIPLE_FAULT, HALTED, LIMIT, USER_BREAK, ERROR = 0, 70, 72, 74, 76, 78
STATUS = {"idle": POWERED_OFF, "shutdown": TRIPLE_FAULT, "halt": HALTED, "limit": LIMIT, "pause": USER_BREAK, "error": ERROR}


def run_headless(guest: Guest, limit: int | None = None, input_file: Path | None = None) -> int:
    """Run until the guest ends, is idle, or `limit` instructions are done; the exit status.

    What comes from `input_file`, else from standard input, goes to the serial port.  An idle guest has ended: nothing is
    due, and nobody can give it input.
    """
    out = sys.stdout.buffer
    session = open_bare(guest, lambda byte: out.write(bytes((byte,))))
    source = SerialInput(session, input_file)

    def between() -> None:
        out.flush()
        source.pump()

    session.between = between
    before = signal.signal(signal.SIGINT, lambda *_: session.interrupt())
    try:
        with source:
            stop = session.run(limit)
            while stop.has("idle") and source.wait():
                left = None if limit is None else limit - session.instructions
                if left == 0:
                    break
                stop = session.run(left)
    finally:
        signal.signal(signal.SIGINT, before)
        out.flush()
    if not stop.has("exit") and not stop.has("idle"):
        print(f"vmdbg: {stop.text}, after {stop.position:,} steps", file=sys.stderr)
        if stop.has("shutdown"):
            print("\n".join([*triple_fault(session), *where(session)]), file=sys.stderr)
    return status(stop)


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
