"""The interrupt vector: which gate every trap goes through, how often it did, the one that waits; what is pending where."""

from vmdbg.debugger.screens.interrupt_view import InterruptView, Vector
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.pane import Pane, Part, Row


class Interrupts(Pane):
    scope = "gate"

    def __init__(self):
        super().__init__(
            "Interrupts",
            "interrupts",
            "The interrupt vector (SDM vol. 3, 6.10): vector, gate, handler; xN entered N times, * since the last stop; "
            "◀ is the trap that waits to be delivered; below, what the controllers have: irr requested, isr in service, imr masked",
        )
        self._shown: InterruptView | None = None

    def update_from(self, s: Snapshot) -> None:
        view = s.vector_table
        self.entitle("Interrupts: IVT" if s.mode == "real" else "Interrupts: IDT")
        if view is self._shown and s.running:
            return
        self._shown = view
        busy = [v for v in view.vectors if v.count or v.waiting]
        others = [v for v in view.vectors if not v.count and not v.waiting]
        width = max((len(v.span) for v in view.vectors), default=0)
        digits = max((len(str(v.count)) for v in busy), default=0)
        rows: list[Row] = [((text, "strong"), (" ◀", "changed")) for text, pending in view.lines if pending]
        first = len(rows)
        rows += [self._row(v, width, digits) for v in busy]
        rows += [((text, "quiet"),) for text, pending in view.lines if not pending]
        if others and len(rows):
            rows.append((("never entered:", "quiet"),))
        rows += [self._row(v, width, digits) for v in others]
        self.show(rows or [(("no gates", "quiet"),)])
        if not s.running:
            waiting = next((n for n, v in enumerate(busy) if v.waiting or v.changed), None)
            self.bring(0 if waiting is None else first + waiting)

    @staticmethod
    def _row(v: Vector, width: int, digits: int) -> Row:
        parts: list[Part] = [(f"{v.span:<{width}} ", "strong" if v.waiting else ""), (f"{v.name:<5} ", "name")]
        if digits:
            text = f"x{v.count}" if v.count else ""
            parts.append((f"{text:>{digits + 1}}{'*' if v.changed else ' '} ", "changed" if v.changed else ""))
        if v.waiting:
            parts.append(("◀ ", "changed"))
        if v.gate:
            parts.append((f"{v.gate} ", "quiet"))
        return [*parts, (v.place, ""), (f" {v.symbol}" if v.symbol else "", "name")]
