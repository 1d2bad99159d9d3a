"""The guest's console: its screen (VGA text) or its serial port."""

from vmdbg.debugger.snapshot import Snapshot
from vmdbg.ui.pane import Pane


class Console(Pane):
    def __init__(self):
        super().__init__(
            "Console", "console", "What the guest shows: its screen, or what it sends to COM1 and the debug ports; o changes between them"
        )
        self.serial: bool | None = None  # None: the screen, unless only the serial port has something
        self._last: Snapshot | None = None
        self._news = False

    def news(self) -> bool:
        """Whether something new is to be seen since this was asked last."""
        news, self._news = self._news, False
        return news

    def turn(self) -> None:
        """Show the other of the two."""
        if self._last is not None:
            self.serial = not self._serial(self._last)
            self.update_from(self._last)

    def _serial(self, s: Snapshot) -> bool:
        return self.serial if self.serial is not None else bool(s.serial) and not any(line.strip() for line in s.screen)

    def update_from(self, s: Snapshot) -> None:
        self._last = s
        serial = self._serial(s)
        self.border_title = f"Console: {'serial' if serial else 'screen'}"
        lines = [line.rstrip("\r") for line in s.serial.split("\n")] if serial else list(s.screen)
        before = self.rows
        self.show([((self._plain(line), ""),) for line in lines])
        if self.rows is not before:
            self._news = True
            last = max((n for n, line in enumerate(lines) if line.strip()), default=0)
            self.bring(last)

    @staticmethod
    def _plain(line: str) -> str:
        """Without what would move the terminal's own cursor."""
        return "".join(c if c.isprintable() else "·" for c in line.expandtabs())
