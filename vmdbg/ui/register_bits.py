"""The screen of registers by their bits: what the manual defines bit by bit, opened."""

from textual.app import ComposeResult
from textual.widgets import Footer

from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.bits import bit_rows
from vmdbg.ui.pane import Pane, Part, Row
from vmdbg.ui.view import View

NAME = 11  # columns of a register's name


class RegisterBits(View):
    LOOK = "bits"
    HELP = (
        "RFLAGS, control registers, EFER (SDM vol. 3, 2.2 to 2.5) and segments with what the CPU keeps of their descriptors: "
        "bits that are clear have a minus; * has changed since the last stop"
    )

    def __init__(self):
        super().__init__()
        self.pane = Pane("Registers by their bits", "register-bits", self.HELP)
        self._then: dict[str, int] = {}
        self._now: dict[str, int] = {}
        self._position = -1

    def compose(self) -> ComposeResult:
        yield self.pane
        yield Footer(show_command_palette=False, compact=True)

    def draw(self, s: Snapshot) -> None:
        if self.value is None:
            return
        if not s.running and s.position != self._position:
            self._then, self._position = self._now, s.position
            self._now = {r.name: r.value for r in self.value.registers}
        width = max(30, self.pane.scrollable_content_region.width)
        rows: list[Row] = []
        for r in self.value.registers:
            changed = r.name in self._then and self._then[r.name] != r.value
            head: list[Part] = [
                (f"{r.name:<{NAME}}", "strong"),
                (f"{r.value:0{r.digits}x}", "changed" if changed else ""),
                ("* " if changed else "  ", "changed"),
            ]
            rows += bit_rows(r, width, head, NAME)
        self.pane.show(rows)
