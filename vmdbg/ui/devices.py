"""The devices screen: every device of the board, its registers by name and bit, live while the machine runs."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer

from vmdbg.debugger.devices.registers import Device, Register
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.pane import Pane, Part, Row

NAME = 17  # columns of a register's name


class DeviceList(Pane):
    """The devices by name; the cursor chooses the one whose registers are shown."""

    cursor = 0

    def ground(self, y: int) -> str:
        return "current" if y == self.cursor else ""

    def on_click(self, event) -> None:
        at = event.get_content_offset(self)
        if at is not None and isinstance(self.screen, Devices):
            self.screen.choose(at.y + int(self.scroll_offset.y))


class Devices(Screen):
    BINDINGS = [
        Binding("escape,q", "dismiss", "Back", priority=True),
        Binding("up,k", "move(-1)", "Previous", priority=True),
        Binding("down,j", "move(1)", "Next", priority=True),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
    ]
    DEFAULT_CSS = """
    Devices DeviceList { width: 18; }
    Devices #device-registers { width: 1fr; }
    """
    HELP = "A device and its registers: bits that are clear have a minus and are dim; * has changed since the last stop"

    def __init__(self):
        super().__init__()
        self.list = DeviceList("Devices", "device-list", "The devices of the board; ↑ and ↓ choose one")
        self.registers = Pane("", "device-registers", self.HELP)
        self.devices: tuple[Device, ...] = ()
        self._then: dict[tuple[str, str], int] = {}  # values at the last stop
        self._now: dict[tuple[str, str], int] = {}
        self._position = -1

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self.list
            yield self.registers
        yield Footer(show_command_palette=False, compact=True)

    def update_from(self, s: Snapshot) -> None:
        if not s.devices:
            return
        self.devices = s.devices
        if not s.running and s.position != self._position:
            self._then, self._position = self._now, s.position
        self._latest = {(d.name, r.name): r.value for d in s.devices for r in d.registers}
        self.list.show([((d.name, "strong"), (" *", "changed") if self._changed(d) else ("", "")) for d in s.devices])
        self._draw()
        if not s.running:
            self._now = self._latest

    def _changed(self, d: Device) -> bool:
        return any((d.name, r.name) in self._then and self._then[d.name, r.name] != r.value for r in d.registers)

    def choose(self, n: int) -> None:
        """Show the registers of device number n."""
        self.list.cursor = max(0, min(len(self.devices) - 1, n))
        self.list.bring(self.list.cursor)
        self.list.refresh()
        self._draw()
        self.registers.scroll_home(animate=False)

    def _draw(self) -> None:
        if self.devices:
            device = self.devices[min(self.list.cursor, len(self.devices) - 1)]
            self.registers.entitle(f"{device.name}: {device.place}")
            width = max(20, self.registers.scrollable_content_region.width)
            self.registers.show([row for r in device.registers for row in self._rows(device, r, width)])

    def _rows(self, d: Device, r: Register, width: int) -> list[Row]:
        """A register, its bits on as many lines as they need."""
        before = self._then.get((d.name, r.name), r.value)
        changed = before != r.value
        rows: list[Row] = []
        head: list[Part] = [
            (f"{r.name:<{NAME}}", "strong"),
            (f"{r.value:0{r.digits}x}", "changed" if changed else ""),
            ("* " if changed else "  ", "changed"),
        ]
        indent = sum(len(text) for text, _ in head)
        row, used = head, indent
        parts: list[Part] = [
            (f"{'' if f.value or f.width > 1 or f.word else '-'}{f.text} ", "name" if f.value else "quiet") for f in r.fields
        ]
        parts += [(f"{word} ", "") for word in r.note.split()]
        for text, kind in parts:
            if used + len(text) > width and used > indent:
                rows.append(row)
                row, used = [(" " * indent, "")], indent
            row = [*row, (text, kind)]
            used += len(text)
        return [*rows, row]

    def action_move(self, by: int) -> None:
        self.choose(self.list.cursor + by)

    def action_page(self, by: int) -> None:
        self.registers.scroll_relative(y=by * max(1, self.registers.size.height - 1), animate=False)
