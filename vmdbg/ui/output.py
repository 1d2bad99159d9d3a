"""What the commands answered, and why the machine stopped."""

from vmdbg.ui.pane import Pane, Row

KEPT = 2000  # rows


class Output(Pane):
    explains = False

    def __init__(self):
        super().__init__("Output", "output", "Commands and their answers")
        self.log_rows: list[Row] = []

    def add(self, line: str, answer: list[str], failed: bool) -> None:
        if line:
            self.log_rows.append(((f": {line}", "quiet"),))
        self.log_rows += [((text, "warning" if failed else ""),) for text in answer]
        del self.log_rows[:-KEPT]
        self.show(list(self.log_rows))
        self.scroll_end(animate=False, force=True, x_axis=False)
