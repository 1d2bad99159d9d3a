"""What a screen of the app wants to see beyond the snapshot of the main one: made only while somebody looks.

A maker is `make(session, argument, running)`: a frozen value, or None where there is none to be had while the machine runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vmdbg.debugger.screens.bit_view import bit_view
from vmdbg.debugger.screens.breakpoint_view import breakpoint_view
from vmdbg.debugger.screens.exit_view import exit_view
from vmdbg.debugger.screens.paging_view import paging_view
from vmdbg.debugger.screens.snapshot_view import snapshot_view
from vmdbg.debugger.screens.trace_view import trace_view
from vmdbg.debugger.screens.trap_view import trap_view

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
