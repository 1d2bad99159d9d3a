"""What the commands answered, and why the machine stopped."""

from vmdbg.ui.pane import Pane, Row

KEPT = 2000  # rows


class Output(Pane):
    def __init__(self):
        super().__init__("Output", "output", "Commands and their answers")
        self._log: list[Row] = []

    def add(self, line: str, answer: list[str], failed: bool) -> None:
        if line:
            self._log.append(((f": {line}", "quiet"),))
        self._log += [((text, "warning" if failed else ""),) for text in answer]
        del self._log[:-KEPT]
        self.show(list(self._log))
        self.scroll_end(animate=False, force=True, x_axis=False)
