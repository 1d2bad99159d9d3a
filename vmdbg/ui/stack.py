"""The top of the stack."""

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.pane import Pane, Row


class Stack(Pane):
    def __init__(self):
        super().__init__(
            "Stack",
            "stack",
            "Words from the stack pointer up, by distance; the symbol that a word points at; * has changed",
        )

    def update_from(self, s: Snapshot) -> None:
        if s.running:
            return
        self.entitle(f"Stack {s.stack_top:08x}")
        rows: list[Row] = []
        for w in s.stack:
            look, mark = ("changed", "*") if w.changed else ("", " ")
            rows.append(((f"{w.address - s.stack_top:02x} ", "quiet"), (w.text, look), (mark, look), (w.symbol, "name")))
        self.show(rows or [(("not mapped", "quiet"),)])
