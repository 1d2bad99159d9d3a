"""The ring ladder: where the processor stands."""

from vmdbg.debugger.snapshot import Snapshot
from vmdbg.ui.pane import Pane, Row

NAMES = {3: "user", 2: "", 1: "", 0: "kernel"}
SHORT = {"virtual-8086": "v8086", "compatibility": "compat"}


class Rings(Pane):
    def __init__(self):
        super().__init__("Rings", "rings", "The current privilege level (SDM vol. 3, 5.5): CPL, the mode, whether interrupts can come")

    def update_from(self, s: Snapshot) -> None:
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
