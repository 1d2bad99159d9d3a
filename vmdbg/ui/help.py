"""Help: the keys of the map in use and the commands of the registry."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen

from vmdbg.debugger.commands.interpreter import in_order
from vmdbg.ui.keys import Key
from vmdbg.ui.pane import Pane, Row

USAGE = 36  # columns of a usage before its help
GLYPHS = {"question_mark": "?", "colon": ":"}


def key_text(keys: str) -> str:
    return " ".join(GLYPHS.get(k, k) for k in keys.split(","))


class Help(ModalScreen):
    BINDINGS = [Binding("escape,q,question_mark,f1", "dismiss", "Close")]
    DEFAULT_CSS = """
    Help { align: center middle; }
    Help > Pane { width: 90%; max-width: 110; height: 90%; }
    """

    def __init__(self, keys: tuple[Key, ...]):
        super().__init__()
        self.keys = keys

    def compose(self) -> ComposeResult:
        pane = Pane("Help: escape closes", "help", "Keys and commands")
        rows: list[Row] = [(("Keys", "name"),)]
        rows += [((f"  {key_text(k.keys):<12}", "strong"), (k.help, "")) for k in self.keys]
        rows += [(("", ""),), (("Commands: type : and one of these", "name"),)]
        for c in in_order():
            if len(c.usage) > USAGE:
                rows += [((f"  {c.usage}", "strong"),), ((" " * (USAGE + 4), ""), (c.help, ""))]
            else:
                rows.append(((f"  {c.usage:<{USAGE}}  ", "strong"), (c.help, "")))
        pane.show(rows)
        yield pane
