"""Registers, with what changed since the last stop marked."""

from textual import events
from textual.binding import Binding

from vmdbg.debugger.screens.snapshot import RegisterValue, Snapshot
from vmdbg.ui.pane import Pane, Part, Row

NARROW, WIDE = 17, 21  # columns of a register of 32 or 64 bits with its name, mark and remark


class Registers(Pane):
    BINDINGS = [Binding("enter", "app.view('bits')", "Bits", show=False)]

    def __init__(self):
        super().__init__(
            "Registers",
            "registers",
            "Registers in hexadecimal; * has changed since the last stop; rN after a selector is the ring it asks for",
        )
        self._last: tuple[RegisterValue, ...] = ()

    def on_resize(self, event: events.Resize) -> None:
        self.flow()

    def update_from(self, s: Snapshot) -> None:
        self._last = s.registers
        self.flow()

    def flow(self) -> None:
        """Lay the registers out in as many columns of cells as there is room for."""
        cell = WIDE if any(len(r.text) == 16 for r in self._last) else NARROW
        room = max(1, self.scrollable_content_region.width // cell)
        rows: list[Row] = []
        row: list[Part] = []
        used = 0
        for r in self._last:
            parts = self._parts(r)
            length = sum(len(text) for text, _ in parts)
            cells = min(room, (length + cell - 1) // cell)
            if used + cells > room:
                rows.append(row)
                row, used = [], 0
            row = [*row, *parts, (" " * max(0, cells * cell - length), "")]
            used += cells
        self.show([*rows, row] if row else rows)

    @staticmethod
    def _parts(r: RegisterValue) -> list[Part]:
        mark = "*" if r.changed else " "
        parts = [(f"{r.name:<3} ", "quiet"), (r.text, "changed" if r.changed else ""), (mark, "changed")]
        return [*parts, (f"{r.remark}", "name")] if r.remark else parts
