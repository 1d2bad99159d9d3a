"""Registers, with what changed since the last stop marked."""

from vmdbg.debugger.snapshot import RegisterValue, Snapshot
from vmdbg.ui.pane import Pane, Part, Row

COLUMN = 17  # a short register takes half the pane
WIDE = {"rflags", "eflags", "flags"}


class Registers(Pane):
    def __init__(self):
        super().__init__(
            "Registers",
            "registers",
            "Registers in hexadecimal; * has changed since the last stop; rN after a selector is the ring it asks for",
        )

    def update_from(self, s: Snapshot) -> None:
        rows: list[Row] = []
        half: list[Part] = []
        for r in s.registers:
            part = self._parts(r)
            whole = len(r.text) > 8 or r.name in WIDE
            if whole and half:
                rows.append(half)
                half = []
            if whole:
                rows.append(part)
            elif half:
                rows.append([*half, *part])
                half = []
            else:
                pad = COLUMN - sum(len(text) for text, _ in part)
                half = [*part, (" " * max(pad, 1), "")]
        if half:
            rows.append(half)
        self.show(rows)

    @staticmethod
    def _parts(r: RegisterValue) -> list[Part]:
        mark = "*" if r.changed else " "
        parts = [(f"{r.name:<3} ", "quiet"), (r.text, "changed" if r.changed else ""), (mark, "changed")]
        return [*parts, (f"{r.remark}", "name")] if r.remark else parts
