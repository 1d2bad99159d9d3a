"""Names that explain themselves: the manual's words for the name under the mouse, or for the one that ← and → have come to."""

from collections.abc import Sequence

from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.css.query import NoMatches
from textual.geometry import Offset
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Tooltip

from vmdbg.debugger.screens.glossary import Found, names

ABOVE = 4  # rows above those that are seen, which may say what register bits are of
MARK = Style(reverse=True)


class Named(ScrollView, can_focus=True):
    """`rows` of (text, kind); `explains`: whether what looks like a name is one; `scope`: glossary.names'."""

    explains = True
    scope = ""
    BINDINGS = [Binding("left", "name(-1)", "Name before", show=False), Binding("right", "name(1)", "Next name", show=False)]

    def __init__(self, id: str, help: str):
        super().__init__(id=id)
        self.help = self.tooltip = help
        self.rows: Sequence = ()
        self.named: Found | None = None  # the name that the keys have come to

    def found(self) -> list[Found]:
        """The names that can be seen."""
        if not self.explains:
            return []
        x, top = self.scroll_offset
        first, bottom = max(0, top - ABOVE), top + self.size.height
        seen = names(["".join(text for text, _ in row) for row in self.rows[first:bottom]], self.scope)
        columns = range(x, x + self.scrollable_content_region.width)
        moved = [Found(f.row + first, f.start, f.end, f.entry) for f in seen]
        return [f for f in moved if f.row >= top and f.start in columns]

    def on_mouse_move(self, event: events.MouseMove) -> None:
        at = event.get_content_offset(self)
        place = at + self.scroll_offset if at is not None else None
        here = [f for f in self.found() if place is not None and f.row == place.y and f.start <= place.x < f.end]
        said = Content(here[0].entry.text) if here else self.help
        if said != self.tooltip:
            self.tooltip = said

    def action_name(self, by: int) -> None:
        """To the next name, or the one before; after the last comes the first."""
        seen = self.found()
        if not seen:
            return
        places = [(f.row, f.start) for f in seen]
        here = (self.named.row, self.named.start) if self.named is not None else (-1, -1)
        n = next((n for n, place in enumerate(places) if place > here), 0) if by > 0 else sum(place < here for place in places) - 1
        self.point(seen[n])

    def on_key(self, event: events.Key) -> None:
        if event.key not in ("left", "right"):
            self.point(None)

    def on_blur(self) -> None:
        self.point(None)

    def point(self, found: Found | None) -> None:
        """Stand at a name, and show its words; None: at none."""
        if found is self.named:
            return
        self.named = found
        self.tooltip = Content(found.entry.text) if found is not None else self.help  # also if the mouse lies here
        self.refresh()
        try:
            bubble = self.screen.get_child_by_type(Tooltip)
        except NoMatches:
            return
        bubble.display = found is not None
        if found is not None:
            bubble.absolute_offset = self.content_region.offset + Offset(found.start, found.row) - self.scroll_offset
            bubble.update(Content(found.entry.text))

    def marked(self, y: int, strip: Strip) -> Strip:
        """Row y as it is drawn, with the name that the keys have come to."""
        if self.named is None or self.named.row != y:
            return strip
        start, end = self.named.start - int(self.scroll_offset.x), self.named.end - int(self.scroll_offset.x)
        return Strip.join([strip.crop(0, start), strip.crop(start, end).apply_style(MARK), strip.crop(end)])
