"""The first screen without a guest: those that ship, each with its lesson."""

from dataclasses import dataclass

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Markdown, Static

from vmdbg.ui.pane import Pane


@dataclass(frozen=True)
class Choice:
    """A guest to choose: its name, its lesson (Markdown)."""

    name: str
    lesson: str


class Choices(Pane):
    """Names; the cursor is the one that Enter opens."""

    BINDINGS = [
        Binding("enter", "open", "Open"),
        Binding("up,k", "move(-1)", "Previous", show=False),
        Binding("down,j", "move(1)", "Next", show=False),
    ]
    cursor = 0
    explains = False

    def ground(self, y: int) -> str:
        return "current" if y == self.cursor else ""

    def action_move(self, by: int) -> None:
        self.cursor = (self.cursor + by) % len(self.rows)
        self.refresh()
        self.app.query_one(Chooser.Lesson).tell(self.cursor)

    def action_open(self) -> None:
        self.app.exit(self.rows[self.cursor][0][0].strip())

    def on_click(self, event) -> None:
        at = event.get_content_offset(self)
        if at is not None and at.y < len(self.rows):
            if at.y == self.cursor:
                self.action_open()
            else:
                self.action_move(at.y - self.cursor)


class Chooser(App[str]):
    """Exits with the name of a guest, or None."""

    class Lesson(VerticalScroll):
        """The lesson of the guest at the cursor."""

        def __init__(self, choices: tuple[Choice, ...]):
            super().__init__()
            self.choices = choices
            self.markdown = Markdown()

        def compose(self) -> ComposeResult:
            yield self.markdown

        def on_mount(self) -> None:
            self.tell(0)

        def tell(self, n: int) -> None:
            self.markdown.update(self.choices[n].lesson)
            self.scroll_home(animate=False)

    TITLE = "vmdbg"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [
        Binding("q,escape", "quit", "Quit"),
        Binding("pagedown,space", "page(1)", "Page down"),
        Binding("pageup", "page(-1)", "Page up", show=False),
    ]
    CSS = """
    #head { height: 1; background: $panel; padding: 0 1; }
    Choices { width: 16; }
    Lesson { border: round $panel-lighten-2; padding: 0 1; }
    """

    def __init__(self, choices: tuple[Choice, ...]):
        super().__init__()
        self.choices = choices

    def compose(self) -> ComposeResult:
        yield Static("vmdbg  choose a guest, or leave and say vmdbg FILE", id="head", markup=False)
        with Horizontal():
            pane = Choices("Guests", "choices", "The guests that ship: ↑ ↓ and enter")
            pane.show([((f" {c.name}", "strong"),) for c in self.choices])
            yield pane
            yield self.Lesson(self.choices)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one(Choices).focus()

    def action_page(self, by: int) -> None:
        lesson = self.query_one(self.Lesson)
        lesson.scroll_relative(y=by * max(1, lesson.size.height - 2), animate=False)


def choose(choices: tuple[Choice, ...]) -> str | None:
    """Let the user choose one."""
    return Chooser(choices).run()
