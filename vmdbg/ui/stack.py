"""The top of the stack."""

from vmdbg.debugger.snapshot import Snapshot
from vmdbg.ui.pane import Pane, Row


class Stack(Pane):
    def __init__(self):
        super().__init__(
            "Stack", "stack", "Words from the stack pointer up by their distance from it, with the symbol that a word points at"
        )

    def update_from(self, s: Snapshot) -> None:
        if s.running:
            return
        self.border_title = f"Stack {s.stack_top:08x}"
        rows: list[Row] = [
            ((f"{w.address - s.stack_top:02x} ", "quiet"), (w.text, ""), (f" {w.symbol}" if w.symbol else "", "name")) for w in s.stack
        ]
        self.show(rows or [(("not mapped", "quiet"),)])
