"""The breakpoints screen: a table to add to, to switch on and off, and to give conditions."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Footer, Input

from vmdbg.debugger.screens.breakpoint_view import BreakpointRow
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.pane import Row
from vmdbg.ui.view import Choices, View

SWITCH = 4  # columns of the mark that a click turns
ADDRESS_WORDS = "b, bp, watch, rwatch, awatch, tb".split(", ")


class BreakpointTable(View):
    LOOK = "breakpoints"
    HELP = "Breakpoints of every kind: ● on, ○ off (a click on it, or enter, switches); ◀ stopped the machine here"
    BINDINGS = [
        Binding("a,insert", "add", "Add"),
        Binding("enter,o", "switch", "On/off"),
        Binding("i", "condition", "Condition"),
        Binding("x,delete", "delete", "Delete"),
        Binding("g", "go", "Show code"),
    ]
    DEFAULT_CSS = """
    BreakpointTable Input { height: 1; border: none; padding: 0 1; background: $boost; display: none; }
    BreakpointTable Input.-open { display: block; }
    """

    def __init__(self):
        super().__init__()
        self.table = Choices("Breakpoints", "breakpoints", self.HELP)
        self.input = Input(id="breakpoint-line", compact=True, select_on_focus=False)
        self.editing: int | None = None  # whose condition is typed; None: a new breakpoint

    def compose(self) -> ComposeResult:
        yield self.table
        yield self.input
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.table.focus()

    def draw(self, s: Snapshot) -> None:
        rows: tuple[BreakpointRow, ...] = self.value or ()
        self.table.entitle(f"Breakpoints: {len(rows)}" if rows else "Breakpoints")
        if not rows:
            self.table.show_choices(
                [(("None yet: a adds one (an address, or: trap PF, io 0x3f8 w, ring 3->0, mode long …)", "quiet"),)], [None]
            )
            return
        place = min(40, max(len(r.place) for r in rows))
        self.table.show_choices([table_row(r, place) for r in rows], [r.number for r in rows])

    @property
    def row(self) -> BreakpointRow | None:
        return next((r for r in self.value or () if r.number == self.table.key), None)

    def type(self, value: str, placeholder: str) -> None:
        self.input.placeholder = placeholder
        self.input.value = value
        self.input.cursor_position = len(value)
        self.input.add_class("-open")
        self.set_focus(self.input)

    def action_add(self) -> None:
        self.editing = None
        self.type("", "ADDRESS, or KIND ... (trap PF, io 0x3f8 w, ring 3->0, write 0x1000 8) [once] [count N] [if EXPRESSION]")

    def action_condition(self) -> None:
        if self.row is not None:
            self.editing = self.row.number
            self.type(self.row.condition, f"stop at breakpoint {self.editing} only if this holds; empty: always")

    def action_switch(self) -> None:
        if self.row is not None:
            self.command(f"{'disable' if self.row.enabled else 'enable'} {self.row.number}")

    def action_delete(self) -> None:
        if self.row is not None:
            self.command(f"delete {self.row.number}")

    def action_go(self) -> None:
        if self.row is not None and self.row.address is not None:
            self.command(f"goto {self.row.address:#x}")
            self.app.pop_view()  # type: ignore[attr-defined]

    def on_choices_picked(self, message: Choices.Picked) -> None:
        if message.column < 0 or message.column < SWITCH:
            self.action_switch()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        line, number = message.value.strip(), self.editing
        self.close()
        if number is not None:
            self.command(f"condition {number} {line}".strip())
        elif line:
            self.command(line_of(line))

    def close(self) -> None:
        self.input.remove_class("-open")
        self.set_focus(self.table)

    def action_dismiss(self, result=None):
        if self.input.has_focus:
            self.close()
        else:
            super().action_dismiss(result)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("switch", "condition", "delete"):
            return not self.input.has_focus and self.table.key is not None
        if action == "go":
            return not self.input.has_focus and self.row is not None and self.row.address is not None
        return not (self.input.has_focus and action == "add")


def line_of(text: str) -> str:
    """A breakpoint as it is typed here, as a line of commands: 'trap PF' is 'bp trap PF', '0x1000' is 'b 0x1000'."""
    from vmdbg.debugger.commands.stop_kinds import KINDS

    first = text.split()[0]
    if first in ADDRESS_WORDS:
        return text
    return f"bp {text}" if first in KINDS else f"b {text}"


def table_row(r: BreakpointRow, place: int) -> Row:
    return (
        (f" {'●' if r.enabled else '○'} ", "warning" if r.enabled else "quiet"),
        (f"{r.number:>3} ", "strong" if r.enabled else "quiet"),
        (f"{r.kind:<9}", "name"),
        (f"{r.place:<{place}} ", "" if r.enabled else "quiet"),
        (f"x{r.hits:<6}", "quiet" if not r.hits else ""),
        ("◀ " if r.stopped else "  ", "changed"),
        (f"if {r.condition} " if r.condition else "", ""),
        (r.options, "quiet"),
    )
