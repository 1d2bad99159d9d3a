"""The trace screen: what happened, with positions: traps, ports, changes of mode, inputs, what tracing breakpoints logged.

The first three are answers to `list`, which runs the past again: space cancels that.
"""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Footer, Input

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.pane import Row
from vmdbg.ui.protocol import Answered
from vmdbg.ui.view import Choices, View

LISTS = {"traps": "traps", "io": "accesses to ports", "modes": "changes of ring and mode"}
KINDS = {**LISTS, "inputs": "inputs", "logged": "logged by tracing breakpoints"}

INVITATION = "f2 traps, f3 ports, f4 modes: found by running the past again; i inputs, l logged"


class Trace(View):
    LOOK = "trace"
    HELP = "What happened, with positions, up to where the machine is; enter goes to the one at the cursor, before it happens"
    BINDINGS = [
        Binding("f2", "kind('traps')", "Traps"),
        Binding("f3", "kind('io')", "Ports"),
        Binding("f4", "kind('modes')", "Modes"),
        Binding("i", "kind('inputs')", "Inputs"),
        Binding("l", "kind('logged')", "Logged"),
        Binding("slash", "filter", "Filter"),
        Binding("enter", "go", "Go there"),
    ]
    DEFAULT_CSS = """
    Trace Input { height: 1; border: none; padding: 0 1; background: $boost; display: none; }
    Trace Input.-open { display: block; }
    """

    def __init__(self):
        super().__init__()
        self.list = Choices("Trace", "trace", self.HELP)
        self.input = Input(placeholder="words that a row must have; empty: all", id="trace-filter", compact=True)
        self.kind = ""
        self.waits = ""  # for the answer to this line
        self.found: list[tuple[int, str]] = []
        self.more = ""
        self.words = ""

    def compose(self) -> ComposeResult:
        yield self.list
        yield self.input
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.list.focus()

    def draw(self, s: Snapshot) -> None:
        if not self.kind:
            self.list.show_choices([((INVITATION, "quiet"),)], [None])
            return
        if self.kind in ("inputs", "logged") and self.value is not None:
            self.found, self.more = list(getattr(self.value, self.kind)), ""
        wanted = [(position, text) for position, text in self.found if self.words.lower() in text.lower()]
        count = f"{len(wanted):,} of {len(self.found):,}, with {self.words}" if self.words else f"{len(self.found):,}"
        self.list.entitle(f"Trace: {KINDS[self.kind]}: {'looking, space cancels' if self.waits else count}", self.more)
        digits = max((len(f"{position:,}") for position, _ in wanted), default=1)
        rows: list[Row] = [event_row(position, text, digits, position == s.position) for position, text in wanted]
        nothing = "" if self.waits else "nothing in what is recorded up to here"
        self.list.show_choices(rows or [((nothing, "quiet"),)], list(enumerate(position for position, _ in wanted)) or [None])

    def action_kind(self, kind: str) -> None:
        if self.app.session_thread.busy and kind in LISTS:  # type: ignore[attr-defined]
            self.notify("The machine is running: space pauses it", severity="warning")
            return
        self.kind, self.found, self.more = kind, [], ""
        self.waits = f"list {kind}" if kind in LISTS else ""
        if self.waits:
            self.command(self.waits)
        self.redraw()

    def answered(self, message: Answered) -> None:
        if message.line != self.waits:
            return
        self.waits = ""
        for line in message.answer:
            position, colon, text = line.partition(": ")
            number = position.replace(",", "")
            if colon and number.isdigit() and not message.failed:
                self.found.append((int(number), text))
            elif line.startswith("... and more") or message.failed:
                self.more = line
        self.redraw()

    def action_go(self) -> None:
        if self.list.key is not None:
            self.app.session_thread.go(self.list.key[1])  # type: ignore[attr-defined]

    def on_choices_picked(self, message: Choices.Picked) -> None:
        self.action_go()

    def action_filter(self) -> None:
        self.input.value = self.words
        self.input.add_class("-open")
        self.set_focus(self.input)

    def on_input_changed(self, message: Input.Changed) -> None:
        self.words = message.value.strip()
        self.redraw()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        self.close()

    def close(self) -> None:
        self.input.remove_class("-open")
        self.set_focus(self.list)

    def action_dismiss(self, result=None):
        if self.input.has_focus:
            self.close()
        else:
            super().action_dismiss(result)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (self.input.has_focus and action in ("kind", "filter", "go"))


def event_row(position: int, text: str, digits: int, here: bool) -> Row:
    return (("▶" if here else " ", "changed"), (f"{position:>{digits},}  ", "quiet"), (text, ""))
