"""The exits screen: what leaves compiled code, as a histogram by reason and a table by place."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Footer

from vmdbg.debugger.screens.exit_view import PORTS, ExitRow
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.bits import wrapped
from vmdbg.ui.pane import Pane, Row
from vmdbg.ui.view import Choices, View

BAR = "█"
NOTE = (
    "what compiled code asked the monitor for since the opening, what was lived again included; HLT and interrupts are no such exits, "
    "and a polled port that does not change may be answered without one"
)


class Exits(View):
    LOOK = "exits"
    HELP = f"Exits of the bare monitor: {NOTE}"
    BINDINGS = [
        Binding("enter", "only", "Only this reason"),
        Binding("full_stop", "all", "All"),
        Binding("b", "break_on", "Break on it"),
    ]
    DEFAULT_CSS = """
    Exits #reasons { height: 40%; }
    Exits #exits { height: 1fr; }
    """

    def __init__(self):
        super().__init__()
        self.reasons = Pane("Exits by reason", "reasons", self.HELP)
        self.table = Choices("Exits by place", "exits", "Port, MSR or page of device memory, what answers there, and how often")

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.reasons
            yield self.table
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.table.focus()

    def draw(self, s: Snapshot) -> None:
        v = self.value
        if v is None:
            return
        self.reasons.entitle(f"Exits by reason: {v.total:,} in {v.instructions:,} instructions")
        width = max(30, self.reasons.scrollable_content_region.width)
        self.reasons.show([*histogram(v.reasons, width), *wrapped(NOTE, "quiet", width, [], 0)])
        self.table.entitle(f"Exits by place{f': {self.argument}' if self.argument else ''}")
        rows: list[Row] = [table_row(r) for r in v.rows]
        self.table.show_choices(rows or [(("none yet", "quiet"),)], [(r.reason, r.point) for r in v.rows] or [None])

    @property
    def row(self) -> ExitRow | None:
        return next((r for r in self.value.rows if (r.reason, r.point) == self.table.key), None) if self.value is not None else None

    def action_only(self) -> None:
        if self.row is not None:
            self.ask(self.row.reason)

    def action_all(self) -> None:
        self.ask("")

    def on_choices_picked(self, message: Choices.Picked) -> None:
        self.action_only()

    def action_break_on(self) -> None:
        r = self.row
        if r is None or not r.place.startswith(("port", "msr")):
            self.notify("Only ports and MSRs can be stopped at here", severity="warning")
            return
        access = "r" if r.reason in (PORTS[0], "RDMSR") else "w"
        self.command(f"bp {'io' if r.place.startswith('port') else 'msr'} {r.point:#x} {access}")
        self.notify(f"Stops before {r.reason} of {r.place}", timeout=3)


def histogram(reasons, width: int) -> list[Row]:
    most = max((count for _, count in reasons), default=1)
    digits = len(f"{most:,}")
    room = max(1, width - 14 - digits)
    return [
        ((f"{name:<12}", "strong"), (f"{count:>{digits},} ", ""), (BAR * max(1, count * room // most), "name")) for name, count in reasons
    ]


def table_row(r: ExitRow) -> Row:
    return ((f"{r.count:>12,}  ", ""), (f"{r.reason:<12}", "strong"), (f"{r.place:<15}", ""), (r.device, "name"))
