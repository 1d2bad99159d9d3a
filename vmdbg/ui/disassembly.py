"""The disassembly: lines that stay, a marker that moves, a cursor for breakpoints."""

from textual import events

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.code_pane import CodePane
from vmdbg.ui.pane import Part, Row

CODE = 14  # characters of code bytes
ROOMY = 76  # columns from which they are shown
REMARK = 21  # columns for a remark
QUIET = ("privileged", "sensitive")  # remarks of ring 0, where these instructions do what they say


class Disassembly(CodePane):
    def __init__(self):
        super().__init__(
            "Disassembly",
            "disassembly",
            "Instructions; ▶ is next, ● a breakpoint (click or b), a remark says what the instruction may do to privilege",
        )
        self.snapshot: Snapshot | None = None
        self._addresses: list[int | None] = []
        self._current = -1

    @property
    def address(self) -> int | None:
        """The linear address at the cursor."""
        return self._addresses[self.cursor] if 0 <= self.cursor < len(self._addresses) else None

    def update_from(self, s: Snapshot) -> None:
        if s.running:
            self.entitle("Disassembly", "running")
            return
        before, self.snapshot = self.snapshot, s
        rows: list[Row] = []
        self._addresses, self._current = [], -1
        width, cut = self.scrollable_content_region.width, ""
        for line in s.lines:
            if line.label:
                rows.append(((f"  {line.label}:", "name"),))
                self._addresses.append(line.address)
            if line.address == s.rip:
                self._current = len(rows)
            rows.append(self._row(line, line.address == s.rip, line.address in s.breakpoints))
            if line.next and sum(len(text) for text, _ in rows[-1]) > width:
                cut = f"◀ {line.next}"
            self._addresses.append(line.address)
        if not rows:
            rows = [((f"  no memory at {s.rip:#x}", "warning"),)]
            self._addresses = [None]
        self.entitle("Disassembly", cut)
        self.show(rows)
        if before is None or before.rip != s.rip or before.focus != s.focus or not 0 <= self.cursor < len(rows):
            wanted = s.rip if s.focus is None else s.focus
            self.move_to(max((n for n, a in enumerate(self._addresses) if a == wanted), default=0))

    def on_resize(self, event: events.Resize) -> None:
        if self.snapshot is not None:
            self.update_from(self.snapshot)
            self.bring(self.cursor)

    def _row(self, line, current: bool, breakpoint: bool) -> Row:
        parts: list[Part] = [
            ("●" if breakpoint else " ", "warning"),
            ("▶" if current else " ", "changed"),
            (f"{line.place}  ", "quiet"),
        ]
        width = self.scrollable_content_region.width
        if width >= ROOMY:
            code = line.code.hex()
            parts.append((f"{code if len(code) <= CODE else code[: CODE - 1] + '…':<{CODE}}  ", "quiet"))
        remarked = line.note or line.next
        used = sum(len(text) for text, _ in parts)
        column = min(28, width - used - max(REMARK, len(remarked) + 3))  # what is long begins further left
        parts.append((f"{line.text:<{max(16, column)}}" if remarked else line.text, "strong" if current else ""))
        if line.note:
            quiet = line.note in QUIET or line.note.startswith("→")
            parts.append((f" {line.note}" if quiet else f" ⚠ {line.note}", "quiet" if quiet else "changed"))
        return [*parts, (f" ◀ {line.next}", "next")] if line.next else parts

    def ground(self, y: int) -> str:
        return "current" if y == self._current else "cursor" if y == self.cursor and self.has_focus else ""
