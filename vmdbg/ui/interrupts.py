"""The interrupt vector: which gate every trap goes through, and the one that waits."""

from vmdbg.debugger.snapshot import Snapshot, Vector
from vmdbg.ui.pane import Pane, Part, Row


class Interrupts(Pane):
    def __init__(self):
        super().__init__(
            "Interrupts",
            "interrupts",
            "The interrupt vector (SDM vol. 3, 6.10): vector, gate, handler; ◀ is the trap that waits to be delivered",
        )

    def update_from(self, s: Snapshot) -> None:
        if s.running:
            return
        self.border_title = "Interrupts: IVT" if s.mode == "real" else "Interrupts: IDT"
        width = max((len(v.span) for v in s.vectors), default=0)
        self.show([self._row(v, width) for v in s.vectors] or [(("no gates", "quiet"),)])
        waiting = next((n for n, v in enumerate(s.vectors) if v.waiting), None)
        if waiting is not None:
            self.bring(waiting)

    @staticmethod
    def _row(v: Vector, width: int) -> Row:
        parts: list[Part] = [(f"{v.span:<{width}} ", "strong" if v.waiting else ""), (f"{v.name:<4} ", "name")]
        if v.gate:
            parts.append((f"{v.gate:<15} ", "quiet"))
        parts += [(v.place, ""), (f" {v.symbol}" if v.symbol else "", "name")]
        return [*parts, (" ◀", "changed")] if v.waiting else parts
