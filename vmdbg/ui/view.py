"""What the screens beside the main one have in common: they follow the snapshots, and ask for what they want to see of the machine.

The app's own keys go on working on them: stepping, running, going back, the other screens.
"""

from collections.abc import Sequence

from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.pane import Pane
from vmdbg.ui.protocol import Answered


class Choices(Pane):
    """Rows of which the cursor chooses one; `keys` names each, and the cursor stays with its name when rows come and go."""

    class Moved(Message):
        """The cursor is at another row."""

        def __init__(self, choices: "Choices"):
            super().__init__()
            self.choices = choices

    class Picked(Moved):
        """Enter, or a second click on the row at the cursor; `column` is that of a click, -1 for a key."""

        def __init__(self, choices: "Choices", column: int = -1):
            super().__init__(choices)
            self.column = column

    BINDINGS = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "to(0)", "First", show=False),
        Binding("end", "to(-1)", "Last", show=False),
    ]

    def __init__(self, title: str, id: str, help: str):
        super().__init__(title, id, help)
        self.cursor = 0
        self.keys: Sequence = ()

    @property
    def key(self):
        """The name of the row at the cursor; None if there is none."""
        return self.keys[self.cursor] if 0 <= self.cursor < len(self.keys) else None

    def show_choices(self, rows: Sequence, keys: Sequence, width: int | None = None) -> None:
        """A row whose name is None cannot be chosen."""
        before = self.key
        self.keys = keys
        self.show(rows, width)
        if before is not None and before != self.key and before in keys:
            self.cursor = keys.index(before)
        if not 0 <= self.cursor < len(keys) or keys[self.cursor] is None:
            self.cursor = next((n for n, key in enumerate(keys) if key is not None), 0)
        self.refresh()

    def ground(self, y: int) -> str:
        return "" if y != self.cursor or self.key is None else "current" if self.has_focus else "cursor"

    def action_to(self, n: int) -> None:
        self.action_move((n if n >= 0 else len(self.keys)) - self.cursor)

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.scrollable_content_region.height - 1))

    def action_move(self, by: int) -> None:
        wanted = max(0, min(len(self.keys) - 1, self.cursor + by))
        direction = 1 if by > 0 else -1
        while 0 <= wanted < len(self.keys) and self.keys[wanted] is None:
            wanted += direction
        if 0 <= wanted < len(self.keys):
            self.put(wanted)

    def put(self, n: int) -> None:
        """The cursor to row n."""
        self.cursor = n
        self.bring(n)
        self.refresh()
        self.post_message(self.Moved(self))

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None:
            return
        y = at.y + int(self.scroll_offset.y)
        if not 0 <= y < len(self.keys) or self.keys[y] is None:
            return
        if y == self.cursor:
            self.post_message(self.Picked(self, at.x + int(self.scroll_offset.x)))
        else:
            self.put(y)


class View(Screen):
    """`LOOK` is a name in screens.looks.MAKERS, or '' if the snapshot has all that is shown; `argument` is what is asked about."""

    LOOK = ""
    TITLE = ""
    HELP = ""
    BINDINGS = [Binding("escape,q", "dismiss", "Back", priority=True, id="back")]
    DEFAULT_CSS = """
    View { layout: vertical; }
    View Footer { dock: bottom; }
    """

    def __init__(self):
        super().__init__()
        self.argument = ""
        self.snapshot: Snapshot | None = None
        self.value = None

    @property
    def wanted(self) -> tuple[str, str] | None:
        return (self.LOOK, self.argument) if self.LOOK else None

    def ask(self, argument: str) -> None:
        """Look at this from now on."""
        self.argument = argument
        self.app.look(self.wanted)  # type: ignore[attr-defined]

    def command(self, line: str) -> None:
        self.app.action_command(line)  # type: ignore[attr-defined]

    def update_from(self, s: Snapshot) -> None:
        self.snapshot = s
        found = s.look
        if found is not None and (found.name, found.argument) == self.wanted and found.value is not None:
            self.value = found.value
        self.draw(s)

    def draw(self, s: Snapshot) -> None:
        """Show the snapshot, and `value`: the last that was to be had of what the screen asked for, None before."""
        raise NotImplementedError

    def answered(self, message: Answered) -> None:
        """A line of commands has been."""

    def on_mount(self) -> None:
        found = self.app.snapshot  # type: ignore[attr-defined]
        if found is not None:
            self.update_from(found)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.redraw)

    def redraw(self) -> None:
        if self.snapshot is not None and self.is_mounted:
            self.draw(self.snapshot)

    def action_dismiss(self, result=None):  # the app knows what is looked at then
        self.app.pop_view()  # type: ignore[attr-defined]
