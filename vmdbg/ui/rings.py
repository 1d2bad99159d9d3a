"""The ring ladder: where the processor stands."""

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.pane import Pane, Row

NAMES = {3: "user", 2: "", 1: "", 0: "kernel"}
MOMENT = 0.7  # seconds for which a ring that was entered stands out
SHORT = {"virtual-8086": "v8086", "compatibility": "compat"}


class Rings(Pane):
    scope = "rflags"

    def __init__(self):
        super().__init__("Rings", "rings", "The current privilege level (SDM vol. 3, 5.5): CPL, the mode, whether interrupts can come")

        self._ring: int | None = None
        self._entered = False  # the ring that is shown was entered a moment ago

    def update_from(self, s: Snapshot) -> None:
        if self._ring is not None and self._ring != s.cpl and not s.running:
            self._entered = True
            self.set_timer(MOMENT, self._calm)
        self._ring = s.cpl
        real = s.mode == "real"
        rows: list[Row] = []
        for ring in (3, 2, 1, 0):
            here = s.cpl == ring and not real
            rows.append(((f"{ring} {NAMES[ring]:<8}", "strong" if here else "quiet"), ("◀" if here else " ", "changed")))
        rows.append((("no rings: real", "strong"),) if real else ((f"CPL {s.cpl}  IOPL {s.iopl}", ""),))
        rows.append(((f"IF {int(s.interrupts)} ", ""), ("open" if s.interrupts else "closed", "quiet")))
        rows.append(((SHORT.get(s.mode, s.mode), "strong"), (f" {s.bits}", "")))
        rows.append((("paging ", "quiet"), ("on" if s.paging else "off", "")))
        self.show(rows)

    def _calm(self) -> None:
        self._entered = False
        self.refresh()

    def ground(self, y: int) -> str:
        return "current" if self._entered and self._ring is not None and y == 3 - self._ring else ""
