"""The first line: the guest, its mode, what stopped it and when."""

from textual import events
from textual.content import Content
from textual.widgets import Static

from vmdbg.debugger.screens.snapshot import Snapshot


class Status(Static):
    DEFAULT_CSS = """
    Status { height: 1; background: $panel; color: $text; padding: 0 1; }
    """
    HELP = "Guest, monitor, mode; what stopped the machine, and at which position (the count of steps)"

    def __init__(self, guest: str):
        super().__init__(f"vmdbg  {guest}  opening …", id="status", markup=False)
        self.tooltip = self.HELP
        self._last: Snapshot | None = None
        self._text = ""

    def on_resize(self, event: events.Resize) -> None:
        if self._last is not None:
            self.update_from(self._last)

    def update_from(self, s: Snapshot) -> None:
        self._last = s
        mode = f"{s.bits}-bit {s.mode}" if s.mode not in ("real", "virtual-8086") else s.mode
        left = f"vmdbg  {s.guest}  {s.monitor} · {mode}{' · paging' if s.paging else ''}"
        state = "▶ running" if s.running else f"{'■' if s.stop.ended else '●'} {s.stop.text}"
        right = f"{state}  at {s.position:,}"
        room = max(0, self.size.width - 2)
        if len(left) + len(right) + 2 > room:
            left = f"{s.guest} · {mode}"
        if len(left) + len(right) + 2 > room:
            state = state[: max(8, room - len(left) - len(f"  at {s.position:,}") - 3)] + "…"
            right = f"{state}  at {s.position:,}"
        text = left + " " * max(2, room - len(left) - len(right)) + right
        if text != self._text:
            self._text = text
            self.update(Content(text), layout=False)
