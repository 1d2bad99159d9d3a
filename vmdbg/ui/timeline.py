"""The timeline: all that is recorded in one line, to be seen and to be gone to."""

from bisect import bisect_left, bisect_right

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.debugger.screens.timeline_view import TimelineView

BARS = " ▁▂▃▄▅▆▇█"  # traps in a column, none to as many as in the column that has most
NOW, STOP, CHECKPOINT, BEYOND, LINE, LEFT = "┃", "●", "◆", "╌", "─", "┴"
NAME = " Timeline "
LABEL = 24  # columns at the right for words
LEGEND = f"{NOW} here  {STOP} stops  {CHECKPOINT} checkpoints  {BARS[1:4]} traps  {BEYOND} another line's"


class Timeline(Widget, can_focus=True):
    """One row.  `Wanted` says where the user wants to be; until the machine is there, `aim` is that position."""

    class Wanted(Message):
        def __init__(self, position: int):
            super().__init__()
            self.position = position

    class Measured(Message):
        """So many columns are there for the strip."""

        def __init__(self, columns: int):
            super().__init__()
            self.columns = columns

    COMPONENT_CLASSES = {f"timeline--{kind}" for kind in ("name", "traps", "stop", "checkpoint", "now", "aim", "beyond", "words")}
    DEFAULT_CSS = """
    Timeline { height: 1; background: $surface; color: $foreground; }
    Timeline:focus { background: $boost; }
    Timeline > .timeline--name { text-style: dim; }
    Timeline:focus > .timeline--name { color: $accent; text-style: bold; }
    Timeline > .timeline--traps { color: $success; }
    Timeline > .timeline--stop { color: $error; text-style: bold; }
    Timeline > .timeline--checkpoint { color: $secondary; }
    Timeline > .timeline--now { color: $accent; text-style: bold; }
    Timeline > .timeline--aim { color: $warning; text-style: bold reverse; }
    Timeline > .timeline--beyond { text-style: dim; }
    Timeline > .timeline--words { text-style: none; }
    """
    HELP = f"All that is recorded: {LEGEND}; click to go there, wheel or [ ] a column, {{ }} a stop, < > the ends, escape cancels"
    BINDINGS = [
        Binding("left", "move(-1)", "Earlier", show=False),
        Binding("right", "move(1)", "Later", show=False),
        Binding("home", "end(-1)", "The beginning", show=False),
        Binding("end", "end(1)", "The end", show=False),
    ]

    def __init__(self):
        super().__init__(id="timeline")
        self.tooltip = self.HELP
        self.view: TimelineView | None = None
        self.aim: int | None = None
        self.done: float | None = None  # how much of the way there, 0 to 1
        self._known = False  # whether there is a snapshot

    @property
    def columns(self) -> int:
        """Of the strip."""
        return max(1, self.size.width - len(NAME) - LABEL)

    def on_resize(self) -> None:
        self.post_message(self.Measured(self.columns))

    def update_from(self, s: Snapshot) -> None:
        if (s.timeline, True) != (self.view, self._known):
            self.view, self._known = s.timeline, True
            self.refresh()

    def going(self, done: float | None) -> None:
        """The machine is on its way; None: it has arrived, or was told not to go on."""
        if done is None:
            self.aim = None
        self.done = done
        self.refresh()

    # ---- Where to

    def want(self, position: int) -> None:
        if self.view is None:
            return
        position = max(self.view.start, min(self._end(self.view), position))
        if position != (self.view.now if self.aim is None else self.aim):
            self.aim = position
            self.refresh()
            self.post_message(self.Wanted(position))

    def action_move(self, by: int) -> None:
        """To the next column, or at least one step."""
        view = self.view
        if view is None:
            return
        here = view.now if self.aim is None else self.aim
        there = view.position(max(0, view.column(here) + by))
        self.want(min(there, here - 1) if by < 0 else max(there, here + 1))

    def action_stop(self, by: int) -> None:
        """To the column of the next stop."""
        view = self.view
        if view is None:
            return
        column = view.column(view.now if self.aim is None else self.aim)
        n = bisect_left(view.stops, column) - 1 if by < 0 else bisect_right(view.stops, column)
        if 0 <= n < len(view.stops):
            self.want(view.position(view.stops[n]))

    def action_end(self, by: int) -> None:
        if self.view is not None:
            self.want(self.view.start if by < 0 else self._end(self.view))

    def on_click(self, event: events.Click) -> None:
        column = event.x - len(NAME)
        if self.view is not None and 0 <= column < self.columns:
            self.want(self.view.position(column))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    @staticmethod
    def _end(view: TimelineView) -> int:
        """Of this line."""
        return next((b.end for b in view.branches if b.current), view.end)

    # ---- Drawing

    def words(self) -> str:
        view = self.view
        if view is None:
            return "nothing is recorded" if self._known else ""
        if self.done is not None:
            return f"going {100 * self.done:.0f}%: escape ends"
        lines = f" · {len(view.branches)} lines" if len(view.branches) > 1 else ""
        if view.live:
            return f"now{lines}"
        span = max(1, view.end - view.start)
        return f"past {100 * (view.now - view.start) / span:.1f}%{lines}"

    def glyphs(self) -> list[tuple[str, str]]:
        """A glyph and its kind for each column."""
        view = self.view
        if view is None:
            return [(" ", "")] * self.columns
        most, last = max(view.density, default=0), view.column(self._end(view))
        row = []
        for n, traps in enumerate(view.density):
            if n > last:
                row.append((BEYOND, "beyond"))
            elif traps:
                row.append((BARS[max(1, traps * 8 // most)], "traps"))
            else:
                row.append((LINE, "beyond"))
        forks = {view.column(b.fork) for b in view.branches if b.fork is not None}
        for columns, glyph, kind in ((forks, LEFT, "now"), (view.checkpoints, CHECKPOINT, "checkpoint"), (view.stops, STOP, "stop")):
            for n in columns:
                row[n] = (glyph, kind)
        if self.aim is not None:
            row[view.column(self.aim)] = (NOW, "aim")
        row[view.column(view.now)] = (NOW, "now")
        return row

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        row = self.glyphs()
        columns = self.columns
        if len(row) != columns:  # of another width: the next snapshot has this one
            row = (row + [(" ", "")] * columns)[:columns]
        parts = [(NAME, "name"), *row, (f" {self.words()}", "words")]
        segments = [
            Segment(text, base + self.get_component_rich_style(f"timeline--{kind}", partial=True) if kind else base) for text, kind in parts
        ]
        return Strip(segments).crop_extend(0, self.size.width, base).simplify()
