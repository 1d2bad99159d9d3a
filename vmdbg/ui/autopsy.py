"""The autopsy of a triple fault: the chain of faults, the check that each delivery failed, and the way back to who caused it."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Footer

from vmdbg.debugger.causes import Autopsy as Found
from vmdbg.debugger.causes import Link
from vmdbg.debugger.past.culprit import place
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.bits import bit_rows, wrapped
from vmdbg.ui.pane import Row
from vmdbg.ui.view import Choices, View


class Autopsy(View):
    HELP = (
        "Why the CPU shut down: each fault, its error code by bits, its gate, the descriptor that leads to, and the check that failed. "
        "Nothing was reset: tables, stack and registers are what they were"
    )
    BINDINGS = [
        Binding("i", "instruction", "Instruction that faulted"),
        Binding("w,enter", "writer", "Who wrote the cause"),
    ]

    def __init__(self):
        super().__init__()
        self.pane = Choices("Autopsy", "autopsy", self.HELP)

    def compose(self) -> ComposeResult:
        yield self.pane
        yield Footer(show_command_palette=False, compact=True)

    def draw(self, s: Snapshot) -> None:
        found = s.autopsy
        if found is None:
            self.pane.entitle("Autopsy")
            self.pane.show_choices([(("There was no triple fault.", "quiet"),)], [None])
            return
        self.pane.entitle(f"Autopsy: triple fault at {found.position:,}, before the reset")
        rows, keys = rows_of(found, max(30, self.pane.scrollable_content_region.width))
        self.pane.show_choices(rows, keys)

    def action_instruction(self) -> None:
        self.leave("cause")

    def action_writer(self) -> None:
        if self.pane.key is not None:
            self.leave(f"cause {self.pane.key}")
        else:
            self.notify("No memory decided this: a register of the CPU did", severity="warning")

    def on_choices_picked(self, message: Choices.Picked) -> None:
        self.action_writer()

    def leave(self, line: str) -> None:
        """To the main screen, where the instruction is."""
        if self.snapshot is not None and self.snapshot.autopsy is not None:
            self.command(line)
            self.dismiss_view()

    def dismiss_view(self) -> None:
        self.app.pop_view()  # type: ignore[attr-defined]


def rows_of(found: Found, width: int) -> tuple[list[Row], list[int | None]]:
    """The rows, and for those that say which memory decided a rule the number of the rule."""
    rows: list[Row] = []
    keys: list[int | None] = []
    rules = found.causes()

    def add(more: list[Row], key: int | None = None) -> None:
        rows.extend(more)
        keys.extend([key] * len(more))

    add(wrapped(found.instruction, "strong", width, [("Raised by  ", "quiet")], 11))
    add([((f"           in ring {found.ring}, at position {found.position:,}", "quiet"),), ()])
    for n, link in enumerate(found.links, 1):
        add(wrapped(link.name, "strong", width, [(f"{n}  ", "changed")], 3))
        if link.error is not None:
            add(bit_rows(link.error, width, [("   error code ", "quiet"), (f"{link.error.value:04x} ", "")], 14))
        add([((f"   {link.gate}", ""),)] if link.gate else [])
        add([((f"   {link.descriptor}", ""),)] if link.descriptor else [])
        add(*outcome(link, width, rules))
        if n == 1 and found.refused is not None:
            add(wrapped(found.refused.text, "warning", width, [("   ✗ ", "warning")], 5))
            add(*deciding(found.refused, rules))
        if link.broken is not None:
            add(*deciding(link.broken, rules))
        add([()])
    return rows, keys


def outcome(link: Link, width: int, rules) -> tuple[list[Row]]:
    if link.broken is None:
        return (wrapped(link.outcome, "next", width, [("   → ", "next")], 5),)
    return (wrapped(f"not delivered: {link.outcome}", "warning", width, [("   ✗ ", "warning")], 5),)


def deciding(broken, rules) -> tuple[list[Row], int | None]:
    """The row that leads to the writer."""
    if broken.at is None:
        return [], None
    return [(("     decided by ", "quiet"), (place(broken), "name"), ("   ⏎ who wrote that", "next"))], rules.index(broken) + 1
