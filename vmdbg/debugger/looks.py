"""What a screen of the app wants to see beyond the snapshot of the main one: made only while somebody looks.

A maker is `make(session, argument, running)`: a frozen value, or None where there is none to be had while the machine runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vmdbg.debugger.bit_view import bit_view
from vmdbg.debugger.breakpoint_view import breakpoint_view
from vmdbg.debugger.exit_view import exit_view
from vmdbg.debugger.paging_view import paging_view
from vmdbg.debugger.snapshot_view import snapshot_view
from vmdbg.debugger.trace_view import trace_view
from vmdbg.debugger.trap_view import trap_view

MAKERS: dict[str, Callable] = {
    "bits": bit_view,
    "breakpoints": breakpoint_view,
    "exits": exit_view,
    "paging": paging_view,
    "snapshots": snapshot_view,
    "trace": trace_view,
    "traps": trap_view,
}


@dataclass(frozen=True)
class Look:
    """`argument` is what was asked about; `value` is the maker's."""

    name: str
    argument: str
    value: object


def look(session, name: str, argument: str, running: bool) -> Look | None:
    """None: nobody makes this."""
    return Look(name, argument, MAKERS[name](session, argument, running)) if name in MAKERS else None
