"""The snapshots screen: lines of history with their checkpoints and the user's marks as a tree; enter goes there."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Footer, Input

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.debugger.screens.snapshot_view import Node
from vmdbg.ui.pane import Row
from vmdbg.ui.view import Choices, View

GLYPHS = {"line": "─", "checkpoint": "◆", "mark": "⚑", "here": "▶"}


class Snapshots(View):
    LOOK = "snapshots"
    HELP = "The recorded past: ─ a line of history, ◆ a checkpoint, ⚑ a mark, ▶ where the machine is; enter goes there"
    BINDINGS = [
        Binding("enter", "go", "Go there"),
        Binding("m", "mark", "Mark here"),
        Binding("x,delete", "unmark", "Forget mark"),
    ]
    DEFAULT_CSS = """
    Snapshots Input { height: 1; border: none; padding: 0 1; background: $boost; display: none; }
    Snapshots Input.-open { display: block; }
    """

    def __init__(self):
        super().__init__()
        self.tree_ = Choices("Snapshots", "snapshots", self.HELP)
        self.input = Input(placeholder="a name for this place", id="mark-name", compact=True)
        self.nodes: tuple[Node, ...] = ()

    def compose(self) -> ComposeResult:
        yield self.tree_
        yield self.input
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.tree_.focus()

    def draw(self, s: Snapshot) -> None:
        v = self.value
        if v is None:
            return
        if not v.nodes:
            self.tree_.show_choices([(("nothing is recorded", "quiet"),)], [None])
            return
        first = not self.nodes
        self.nodes = v.nodes
        self.tree_.entitle(f"Snapshots: {v.size >> 20} of {v.bound >> 20} MiB")
        keys = [key_of(n) for n in v.nodes]
        self.tree_.show_choices([node_row(n, s.position) for n in v.nodes], keys)
        if first:
            self.tree_.put(next((y for y, n in enumerate(v.nodes) if n.kind == "here"), 0))

    @property
    def node(self) -> Node | None:
        return self.nodes[self.tree_.cursor] if self.tree_.cursor < len(self.nodes) else None

    def action_go(self) -> None:
        node = self.node
        if node is None or self.value is None or node.kind == "here":
            return
        if node.line != self.value.line or node.kind == "line":
            self.command(f"line {node.line}")
        if node.kind != "line":
            self.app.session_thread.go(node.position)  # type: ignore[attr-defined]

    def on_choices_picked(self, message: Choices.Picked) -> None:
        self.action_go()

    def action_mark(self) -> None:
        self.input.value = ""
        self.input.add_class("-open")
        self.set_focus(self.input)

    def action_unmark(self) -> None:
        if self.node is not None and self.node.kind == "mark":
            self.command(f"unmark {self.node.text}")

    def on_input_submitted(self, message: Input.Submitted) -> None:
        self.close()
        if message.value.strip():
            self.command(f"mark {message.value.strip()}")

    def close(self) -> None:
        self.input.remove_class("-open")
        self.set_focus(self.tree_)

    def action_dismiss(self, result=None):
        if self.input.has_focus:
            self.close()
        else:
            super().action_dismiss(result)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "unmark":
            return not self.input.has_focus and self.node is not None and self.node.kind == "mark"
        return not (self.input.has_focus and action in ("go", "mark"))

    def on_choices_moved(self, message: Choices.Moved) -> None:
        self.refresh_bindings()


def key_of(n: Node) -> tuple:
    """What stays the same of a node when the machine goes on."""
    return n.kind, n.line, n.position if n.kind in ("checkpoint", "mark") else 0, n.text if n.kind == "mark" else ""


def node_row(n: Node, position: int) -> Row:
    kind = {"line": "strong", "mark": "name", "here": "changed"}.get(n.kind, "")
    return (
        ("  " * n.depth, ""),
        (f"{GLYPHS[n.kind]} ", "changed" if n.current else "quiet"),
        ("" if n.kind == "line" else f"{n.position:>15,}  ", kind),
        (n.text, kind if n.kind != "checkpoint" else "quiet"),
        ("  (this one)" if n.kind == "line" and n.current else "", "changed"),
    )
