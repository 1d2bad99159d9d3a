"""The screens beside the main one, by name."""

from vmdbg.ui.autopsy import Autopsy
from vmdbg.ui.breakpoints import BreakpointTable
from vmdbg.ui.exits import Exits
from vmdbg.ui.paging import Paging
from vmdbg.ui.register_bits import RegisterBits
from vmdbg.ui.snapshots import Snapshots
from vmdbg.ui.trace import Trace
from vmdbg.ui.traps import Traps
from vmdbg.ui.view import View

VIEWS: dict[str, type[View]] = {
    "traps": Traps,
    "paging": Paging,
    "exits": Exits,
    "trace": Trace,
    "breakpoints": BreakpointTable,
    "bits": RegisterBits,
    "snapshots": Snapshots,
    "autopsy": Autopsy,
}
