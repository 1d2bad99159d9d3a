"""Help: the keys of the map in use and the commands of the registry."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen

from vmdbg.debugger.commands.interpreter import in_order
from vmdbg.ui.bits import wrapped
from vmdbg.ui.keys import Key
from vmdbg.ui.pane import Pane, Row
from vmdbg.ui.timeline import LEGEND

KEY = 12  # columns of keys before their help
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
        self.pane = Pane("Help: escape closes", "help", "Keys and commands")
        self.pane.explains = False
        yield self.pane

    def on_resize(self) -> None:
        self.call_after_refresh(lambda: self.pane.show(self.rows(max(40, self.pane.outer_size.width - 3))))

    def rows(self, width: int) -> list[Row]:
        """Its lines, in so many columns."""
        rows: list[Row] = [(("Keys", "name"),)]
        keys = [(key_text(k.keys), k.help) for k in self.keys]
        keys.append(("timeline", f"its row: {LEGEND}"))
        for key, help in [*keys, ("← →", "from name to name in a pane, with the manual's words; the mouse over a name shows them too")]:
            rows += wrapped(help, "", width, [(f"  {key:<{KEY}}", "strong")], KEY + 2)
        rows += [(("", ""),), (("Commands: type : and one of these", "name"),)]
        for c in in_order():
            if len(c.usage) > USAGE:
                rows += [((f"  {c.usage}", "strong"),), *wrapped(c.help, "", width, [(" " * (USAGE + 4), "")], USAGE + 4)]
            else:
                rows += wrapped(c.help, "", width, [(f"  {c.usage:<{USAGE}}  ", "strong")], USAGE + 4)
        return rows
