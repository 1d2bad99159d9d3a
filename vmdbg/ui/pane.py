"""A pane of lines, on the Line API: what every pane is made of."""

from collections.abc import Sequence
from itertools import zip_longest

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.markup import escape
from textual.strip import Strip

from vmdbg.ui.names import Named

Part = tuple[str, str]  # text, and a kind of KINDS or ''
Row = Sequence[Part]
KINDS = ("quiet", "strong", "changed", "current", "warning", "name", "next", "cursor")


class Pane(Named):
    """Rows of parts (some draw rows of their own); `show` replaces them.  Colours come from the theme, and never stand alone."""

    COMPONENT_CLASSES = {f"pane--{kind}" for kind in KINDS}
    DEFAULT_CSS = """
    Pane { scrollbar-size: 0 1; height: 1fr; background: $surface; }
    Pane { border: round $foreground 25%; border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    Pane:focus { border: round $accent; border-title-color: $accent; border-subtitle-color: $accent; }
    Pane > .pane--quiet { text-style: dim; }
    Pane > .pane--strong { text-style: bold; }
    Pane > .pane--changed { color: $warning; text-style: bold; }
    Pane > .pane--current { background: $primary; color: $text; text-style: bold; }
    Pane > .pane--warning { color: $error; text-style: bold; }
    Pane > .pane--name { color: $success; }
    Pane > .pane--next { color: $accent; }
    Pane > .pane--cursor { background: $boost; }
    """

    def __init__(self, title: str, id: str, help: str):
        super().__init__(id, help)
        self.border_title = title
        self._titles = (title, "")

    def show(self, rows: Sequence, width: int | None = None) -> None:
        """`width`: columns of the longest row, where that is known."""
        if rows == self.rows:
            return
        before, self.rows = self.rows, rows
        self.point(None)
        longest = max((sum(len(text) for text, _ in row) for row in rows), default=0) if width is None else width
        size = Size(longest, len(rows))
        if self.virtual_size != size:
            scrolls = size.height > self.scrollable_content_region.height
            if scrolls != self.show_vertical_scrollbar:
                self.virtual_size = size
                self.refresh()
                return
            self.set_reactive(Pane.virtual_size, size)  # no scrollbar comes or goes: the screen's layout stays what it is
            self._scroll_update(size)
        top = int(self.scroll_offset.y)
        bottom = top + self.size.height
        for y, (old, new) in enumerate(zip_longest(before[top:bottom], rows[top:bottom]), top):  # only what is new: a frame is to be cheap
            if old is not new and old != new:
                self.refresh_line(y)

    def entitle(self, title: str, subtitle: str = "") -> None:
        """Give the border its words, if they are new: it is drawn anew."""
        if (title, subtitle) != self._titles:
            if title != self._titles[0]:
                self.border_title = escape(title)
            if subtitle != self._titles[1]:
                self.border_subtitle = escape(subtitle)
            self._titles = (title, subtitle)

    def bring(self, y: int) -> None:
        """Make row y visible, with some rows around it."""
        self.scroll_to_region(Region(0, max(0, y - 2), 1, 5), animate=False, force=True, x_axis=False)

    def ground(self, y: int) -> str:
        """The kind of a whole row's background."""
        return ""

    def render_line(self, y: int) -> Strip:
        x, top = self.scroll_offset
        y += top
        width = self.scrollable_content_region.width
        base = self.rich_style
        if not 0 <= y < len(self.rows):
            return Strip.blank(width, base)
        ground = self.ground(y)
        if ground:
            base = base + self.get_component_rich_style(f"pane--{ground}")
        segments = []
        for text, kind in self.rows[y]:
            style = base if not kind else base + self.get_component_rich_style(f"pane--{kind}", partial=True)
            segments.append(Segment(text, style))
        return self.marked(y, Strip(segments).crop_extend(x, x + width, base))
