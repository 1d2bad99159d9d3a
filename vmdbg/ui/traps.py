"""The traps screen: every vector with its gate and count, what is pending, and one delivery step by step with the frame that it pushes."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widgets import Footer

from vmdbg.debugger.delivery_steps import Delivery
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.debugger.traps import TRAPS
from vmdbg.ui.bits import bit_rows, wrapped
from vmdbg.ui.interrupts import Interrupts
from vmdbg.ui.pane import Pane, Row
from vmdbg.ui.view import Choices, View


class Traps(View):
    LOOK = "traps"
    HELP = (
        "The interrupt vector (SDM vol. 3, 6.10): vector, count, gate, handler; * entered since the last stop, ◀ waits to be delivered. "
        "Enter explains what a vector would do now"
    )
    BINDINGS = [
        Binding("enter", "explain", "Explain vector"),
        Binding("full_stop", "follow", "Last delivery"),
        Binding("b", "break_on", "Break on it"),
    ]
    DEFAULT_CSS = """
    Traps #traps-both { layout: horizontal; }
    Traps #gates { width: 1fr; }
    Traps #delivery { width: 1fr; }
    Traps.-narrow #traps-both { layout: vertical; }
    Traps.-narrow #gates, Traps.-narrow #delivery { width: 100%; height: 1fr; }
    """

    def __init__(self):
        super().__init__()
        self.gates = Choices("Interrupt vector", "gates", self.HELP)
        self.gates.scope = "gate"
        self.pane = Pane(
            "Delivery",
            "delivery",
            "How an event is delivered (SDM vol. 2, INT n): ✓ a check that holds, ✗ the one that fails; then what is pushed, and where",
        )

    def compose(self) -> ComposeResult:
        with Container(id="traps-both"):
            yield self.gates
            yield self.pane
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.gates.focus()

    def draw(self, s: Snapshot) -> None:
        view = s.vector_table
        width = max((len(v.span) for v in view.vectors), default=0)
        digits = max((len(str(v.count)) for v in view.vectors), default=1)
        rows: list[Row] = [
            ((text, "strong" if pending else "quiet"), (" ◀ pending" if pending else "", "changed")) for text, pending in view.lines
        ]
        keys: list[str | None] = [None] * len(rows)
        rows += [Interrupts._row(v, width, digits) for v in view.vectors]
        keys += [v.span.partition("-")[0] for v in view.vectors]
        self.gates.show_choices(rows or [(("no gates", "quiet"),)], keys or [None])
        if self.value is None:
            return
        self.gates.entitle(self.value.table)
        found = self.value.delivery
        self.pane.entitle(f"Delivery: {self.value.of}" if found is not None else "Delivery")
        self.pane.show(delivery_rows(found, max(30, self.pane.scrollable_content_region.width)) if found is not None else NOTHING)

    def action_explain(self) -> None:
        if self.gates.key is not None:
            self.ask(str(self.gates.key))

    def on_choices_picked(self, message: Choices.Picked) -> None:
        self.action_explain()

    def action_follow(self) -> None:
        self.ask("")

    def action_break_on(self) -> None:
        if self.gates.key is not None:
            vector = int(str(self.gates.key), 16)
            self.command(f"bp trap {TRAPS[vector].name if vector in TRAPS else hex(vector)}")
            self.notify(f"Stops before vector {vector:02x} is delivered", timeout=3)


NOTHING: list[Row] = [
    (("No delivery yet that the session stood before.", "quiet"),),
    (("t runs to the next trap, T goes back to the last:", "quiet"),),
    (("it is shown here before it happens, and after.", "quiet"),),
]


def delivery_rows(d: Delivery, width: int) -> list[Row]:
    rows = wrapped(d.title, "strong", width, [("", "")], 2)
    if d.error is not None:
        rows += bit_rows(d.error, width, [("error code ", "quiet"), (f"{d.error.value:04x} ", "")], 4)
    for step in d.steps:
        mark, kind = {True: ("✓ ", "name"), False: ("✗ ", "warning"), None: ("· ", "quiet")}[step.ok]
        rows += wrapped(step.text, "warning" if step.ok is False else "", width, [(mark, kind)], 2)
    if d.frame:
        rows.append((("frame, from the new stack pointer up:", "quiet"),))
        rows += [((f"  {p.address:08x} ", "quiet"), (f"{p.value:0{p.digits}x} ", ""), (p.name, "name")) for p in d.frame]
    return rows
