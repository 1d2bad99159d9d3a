"""The command line: history, completion, an empty Enter that repeats."""

from textual.binding import Binding
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

KEPT = 500  # lines of history


class Completion(Suggester):
    def __init__(self, complete):
        super().__init__(use_cache=False, case_sensitive=True)
        self.complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        return next((line for line in self.complete(value) if line.startswith(value) and line != value), None)


class Prompt(Input):
    """A line of commands; → or tab takes the completion, ↑ and ↓ go through history, escape leaves."""

    class Entered(Message):
        def __init__(self, line: str):
            super().__init__()
            self.line = line

    BINDINGS = [
        Binding("escape", "leave", "Leave", show=False, priority=True),
        Binding("up", "past(-1)", "Earlier", show=False),
        Binding("down", "past(1)", "Later", show=False),
        Binding("tab", "take", "Complete", show=False),
    ]
    DEFAULT_CSS = """
    Prompt { height: 1; border: none; padding: 0 1; background: $panel; }
    Prompt:focus { border: none; background: $boost; }
    """
    HELP = "Type a command: help lists them; an empty Enter repeats the last one"

    def __init__(self, complete):
        super().__init__(
            placeholder=": command   (help lists them)", suggester=Completion(complete), id="prompt", compact=True, select_on_focus=False
        )
        self.tooltip = self.HELP
        self.history: list[str] = []
        self._at = 0

    def open(self, beginning: str) -> None:
        self.value = beginning
        self.cursor_position = len(beginning)
        self.screen.set_focus(self)  # at once: what is typed next belongs here

    async def action_submit(self) -> None:
        line = self.value.strip()
        if line and (not self.history or self.history[-1] != line):
            self.history = [*self.history, line][-KEPT:]
        self._at = len(self.history)
        self.value = ""
        self.post_message(self.Entered(line))

    def action_leave(self) -> None:
        self.value = ""
        self.screen.set_focus(self.app.listing)  # type: ignore[attr-defined]

    def action_past(self, by: int) -> None:
        self._at = max(0, min(len(self.history), self._at + by))
        self.value = self.history[self._at] if self._at < len(self.history) else ""
        self.cursor_position = len(self.value)

    def action_take(self) -> None:
        self.action_cursor_right()
