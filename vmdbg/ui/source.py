"""Lines of source in the disassembly's place: the line that is next, breakpoints, a cursor for new ones."""

from collections.abc import Sequence

from textual import events
from textual.geometry import Size

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.debugger.source import SourceView
from vmdbg.ui.code_pane import CodePane
from vmdbg.ui.pane import Row


class Lines(Sequence):
    """The rows of a file, each made when it is drawn."""

    def __init__(self, view: SourceView):
        self.view = view
        self.digits = len(str(len(view.text.lines)))

    def __len__(self) -> int:
        return len(self.view.text.lines)

    def __getitem__(self, n):
        v, number = self.view, n + 1
        current = number == v.line
        return (
            ("●" if number in v.breakpoints else " ", "warning"),
            ("▶" if current and v.here else "▷" if current else " ", "changed"),
            (f"{number:>{self.digits}} ", "strong" if number in v.code else "quiet"),
            (v.text.lines[n], "strong" if current else ""),
        )


class Source(CodePane):
    def __init__(self):
        super().__init__(
            "Source",
            "source",
            "Lines of source; ▶ is next, ● a breakpoint (click or b), a bright number has code; the key again: disassembly",
        )
        self.view: SourceView | None = None
        self._shown: tuple = ()  # file, line and position that were brought into view

    @property
    def address(self) -> int | None:
        """The linear address of the first code of the line at the cursor; None if it has none."""
        return None if self.view is None else self.view.code.get(self.cursor + 1)

    def update_from(self, s: Snapshot) -> None:
        if s.running:
            self.entitle("Source", "running")
            return
        if s.source is None:
            return
        self.view = view = s.source
        name = view.text.path.rpartition("/")[2]
        self.entitle(f"Source: {name}" if name else "Source")
        if view.text.problem:
            rows: list[Row] = [((f"  {view.text.problem}", "warning"),)]
            if view.line:
                rows.append(((f"  execution stands at line {view.line}", "quiet"),))
            self.show(rows)
            self.cursor = 0
            return
        self.rows = Lines(view)
        self.virtual_size = Size(max((len(line) for line in view.text.lines), default=0) + 8, len(self.rows))
        shown = (view.text.path, view.line, s.rip, s.focus)
        if shown != self._shown:
            self._shown = shown
            self.move_to(view.line - 1)
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self.bring(self.cursor)

    def ground(self, y: int) -> str:
        current = self.view is not None and not self.view.text.problem and y == self.view.line - 1
        return "current" if current else "cursor" if y == self.cursor and self.has_focus else ""
