"""What the panes of code have in common: a cursor on a row, and breakpoints by a click beside it."""

from textual import events
from textual.binding import Binding
from textual.message import Message

from vmdbg.ui.pane import Pane


class CodePane(Pane):
    class Toggled(Message):
        """The user clicked beside the line at the cursor: a breakpoint there, or none."""

    BINDINGS = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
    ]

    def __init__(self, title: str, id: str, help: str):
        super().__init__(title, id, help)
        self.cursor = 0  # a row

    @property
    def address(self) -> int | None:
        """The linear address at the cursor; None if there is none."""
        raise NotImplementedError

    def move_to(self, y: int) -> None:
        self.cursor = max(0, min(len(self.rows) - 1, y))
        self.bring(self.cursor)
        self.refresh()

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(1, self.scrollable_content_region.height - 1))

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None:
            return
        y = at.y + int(self.scroll_offset.y)
        if 0 <= y < len(self.rows):
            self.cursor = y
            self.refresh()
            if at.x < 2:
                self.post_message(self.Toggled())
