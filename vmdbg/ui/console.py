"""The guest's console: its screen (VGA text) or the terminal at its serial port; with the focus, keys go to the guest."""

import functools

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from vmdbg.debugger.picture import PLAIN, Ink, Picture
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.guest_keys import keyboard_keys, serial_bytes
from vmdbg.ui.pane import Pane

WIDTH = 80  # columns of both
CURSOR, ABSENT_CURSOR = Style(reverse=True), Style(underline=True)


@functools.lru_cache(4096)
def style_of(ink: Ink) -> Style:
    return Style(
        color=f"#{ink.ink}" if ink.ink else None,
        bgcolor=f"#{ink.paper}" if ink.paper else None,
        bold=ink.bold or None,
        underline=ink.underline or None,
        reverse=ink.reverse or None,
    )


class Console(Pane):
    explains = False

    class Typed(Message):
        """The user typed for the guest: bytes for its serial port, or keys that are pressed together."""

        def __init__(self, data: bytes = b"", keys: tuple[str, ...] = ()):
            super().__init__()
            self.data, self.keys = data, keys

    BINDINGS = [Binding("ctrl+right_square_bracket", "leave", "Back to the debugger", key_display="ctrl-]", priority=True)]

    def __init__(self):
        super().__init__(
            "Console",
            "console",
            "What the guest shows: its screen, or the terminal at COM1; o changes between them, i lets you type, control-] ends that",
        )
        self.serial: bool | None = None  # None: the screen, unless only the serial port has something
        self.picture = Picture()
        self._last: Snapshot | None = None
        self._shown: dict[bool, Picture] = {}  # by serial
        self._news = False
        self._title = "Console"

    def news(self) -> bool:
        """Whether something new is to be seen since this was asked last."""
        news, self._news = self._news, False
        return news

    def turn(self) -> None:
        """Show the other of the two."""
        if self._last is not None:
            self.serial = not self._serial(self._last)
            self.update_from(self._last)
            self._follow()

    def _serial(self, s: Snapshot) -> bool:
        return self.serial if self.serial is not None else bool(s.serial.text) and not s.screen.text

    def update_from(self, s: Snapshot) -> None:
        if self.serial is None and self._last is not None and (s.screen is self._last.screen) and (s.serial == self._last.serial):
            serial = self._serial(self._last)
        else:
            serial = self._serial(s)
        self._last = s
        pictures = {False: s.screen, True: s.serial}
        fresh = {which: self._shown.get(which, Picture()) != p for which, p in pictures.items()}
        if fresh[serial] or pictures[serial] is not self.picture:
            follows = serial != bool(self.picture is self._shown.get(True)) or self._at_end()
            self._news |= fresh[serial]
            before = self.picture
            self.picture = self._shown[serial] = pictures[serial]
            self.show(self.picture.rows, WIDTH)
            for place in (before.cursor, self.picture.cursor):
                if place is not None:
                    self.refresh_line(place[0])
            if follows or not serial:
                self._follow()
        other = pictures[not serial]
        mark = " *" if fresh[not serial] and other.text else ""
        names = [f"{'●' if serial is which else '○'} {name}" for which, name in ((False, "screen"), (True, "serial"))]
        names[not serial] += mark
        self._title = f"Console: {'  '.join(names)}"
        self._say_where_keys_go()

    def _at_end(self) -> bool:
        return self.scroll_offset.y >= self.max_scroll_y - 1

    def _follow(self) -> None:
        """Bring what matters into view: the cursor, or the last line that has something."""
        rows = self.picture.rows
        last = max((n for n, row in enumerate(rows) if any(text.strip() for text, _ in row)), default=0)
        cursor = self.picture.cursor
        y = max(last, cursor[0]) if cursor is not None and cursor[0] < last + 25 else last
        height = self.scrollable_content_region.height
        self.scroll_to_region(Region(0, max(0, y - max(0, height - 1)), 1, max(1, height)), animate=False, force=True, x_axis=False)

    def _say_where_keys_go(self) -> None:
        words = "i: type"
        if self.has_focus:
            paused = self._last is not None and not self._last.running and not self._last.stop.has("idle")
            words = ("paused: keys wait" if paused else "keys go to the guest") + " · control-] takes them back"
        self.entitle(self._title, words)

    # ---- Drawing

    def render_line(self, y: int) -> Strip:
        x, top = self.scroll_offset
        y += top
        width = self.scrollable_content_region.width
        base = self.rich_style
        if not 0 <= y < len(self.picture.rows):
            return Strip.blank(width, base)
        segments = [Segment(plain(text), base if ink is PLAIN else base + style_of(ink)) for text, ink in self.picture.rows[y]]
        if self.picture.cursor is not None and self.picture.cursor[0] == y:
            segments = with_cursor(segments, self.picture.cursor[1], CURSOR if self.has_focus else ABSENT_CURSOR, base)
        return Strip(segments).crop_extend(x, x + width, base)

    # ---- Keys

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self._say_where_keys_go()
        self.refresh()

    def on_resize(self) -> None:
        self._follow()

    def action_leave(self) -> None:
        self.screen.set_focus(self.app.listing)  # type: ignore[attr-defined]

    async def _on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if self._last is not None and self._serial(self._last):
            self._send(data=serial_bytes(event.key, event.character))
        else:
            self._send(keys=keyboard_keys(event.key, event.character))

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        if self._last is not None and self._serial(self._last):
            self._send(data=event.text.replace("\n", "\r").encode())
        else:
            for character in event.text:
                self._send(keys=keyboard_keys(character, character))

    def _send(self, data: bytes = b"", keys: tuple[str, ...] = ()) -> None:
        if data or keys:
            self.post_message(self.Typed(data, keys))


def plain(text: str) -> str:
    """Without what would move the terminal's own cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "·" for c in text)


def with_cursor(segments: list[Segment], x: int, cursor: Style, base: Style) -> list[Segment]:
    """A row with the cursor at column x."""
    length = sum(len(s.text) for s in segments)
    if length <= x:
        segments = [*segments, Segment(" " * (x + 1 - length), base)]
    done: list[Segment] = []
    at = 0
    for text, style, _ in segments:
        style = style or base
        if at <= x < at + len(text):
            n = x - at
            done += [Segment(text[:n], style), Segment(text[n], style + cursor), Segment(text[n + 1 :], style)]
        else:
            done.append(Segment(text, style))
        at += len(text)
    return [s for s in done if s.text]
