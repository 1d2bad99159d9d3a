"""The screens beside the main one, by name."""

from vmdbg.ui.autopsy import Autopsy
from vmdbg.ui.breakpoints import BreakpointTable
from vmdbg.ui.paging import Paging
from vmdbg.ui.traps import Traps
from vmdbg.ui.view import View

VIEWS: dict[str, type[View]] = {
    "traps": Traps,
    "paging": Paging,
    "breakpoints": BreakpointTable,
    "autopsy": Autopsy,
}
