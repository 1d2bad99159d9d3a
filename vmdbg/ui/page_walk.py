"""The page walk of the address that matters now, level by level."""

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.debugger.traps import page_fault
from vmdbg.debugger.walk import bits
from vmdbg.ui.pane import Pane, Row


class PageWalk(Pane):
    def __init__(self):
        super().__init__(
            "Page walk", "paging", "From a linear address to memory (SDM vol. 3, 4.3): what faulted, else the next operand or instruction"
        )

    def update_from(self, s: Snapshot) -> None:
        if s.running or s.walk is None:
            return
        w, digits = s.walk, 16 if s.bits == 64 else 8
        title = f"Page walk: {w.linear:0{digits}x}, {s.walk_of}"
        if w.root is None:
            self.entitle(title)
            self.show([(("paging is off: linear is physical", "quiet"),)])
            return
        self.entitle(title, f"cr3 {w.root:08x}")
        rows: list[Row] = []
        for level in w.levels:
            rows.append(
                (
                    (f"{level.name:<5}", "strong"),
                    (f"[{level.index:03x}] ", "quiet"),
                    (f"{level.entry:0{digits}x} ", ""),
                    ("" if level.present else "✗ ", "warning"),
                    (bits(level.entry), "quiet" if level.present else "warning"),
                )
            )
        end = f"physical {w.physical:0{digits}x}" if w.physical is not None else "no memory here: #PF"
        stop = s.stop
        faults = stop.has("trap") and stop.vector == 14 and stop.position == s.position and stop.address == w.linear
        if faults and stop.error_code is not None:
            end = f"#PF, error {stop.error_code:x}: {page_fault(stop.error_code)}"
        rows.append((("→ ", "changed"), (end, "" if w.physical is not None and not faults else "warning")))
        self.show(rows)
