"""What the trace screen knows without running anything again: what was recorded, given and logged.  Lists of traps, ports and modes are
answers to the command `list`."""

from dataclasses import dataclass

MOST = 10_000  # rows


@dataclass(frozen=True)
class TraceView:
    """`inputs` and `logged` are (position, words), by position; `first` to `end` is recorded."""

    first: int
    end: int
    inputs: tuple[tuple[int, str], ...]
    logged: tuple[tuple[int, str], ...]  # of breakpoints that only trace


def trace_view(session, argument: str, running: bool) -> TraceView | None:
    if running:
        return None
    history = session.history
    logged = tuple(sorted((position, f"breakpoint {number} {words}") for position, number, words in list(session.traced)[-MOST:]))
    if history is None:
        return TraceView(session.position, session.position, (), logged)
    inputs = tuple((i.position, f"{i.what}: {given(i.what, i.value)}") for i in history.line.inputs[-MOST:])
    end = max(history.line.end, session.position) if history.live else history.line.end
    return TraceView(history.first, end, inputs, logged)


def given(what: str, value) -> str:
    if what == "key":
        return f"{value[0]} {'down' if value[1] else 'up'}"
    if what == "clock":
        return f"idle until {value / 1e9:.6f} s"
    if what == "serial":
        return repr(bytes(value))[2:-1]
    if what == "register":
        return f"{value[1]} = {value[2]:#x}"
    return f"{len(value[2])} bytes at {value[1]:#x}" if what == "memory" else str(value)
