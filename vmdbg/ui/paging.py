"""The paging screen: the walk of one address entry by entry and bit by bit, who may do what there and why not, and all that is mapped."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Footer, Input

from vmdbg.debugger.screens.page_ranges import Range
from vmdbg.debugger.screens.paging_view import PagingView
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.ui.bits import bit_rows, wrapped
from vmdbg.ui.pane import Pane, Row
from vmdbg.ui.view import Choices, View

SIZES = {0: "mixed", 4096: "4K", 2 << 20: "2M", 4 << 20: "4M", 1 << 30: "1G"}


class Paging(View):
    LOOK = "paging"
    HELP = (
        "From a linear address to memory (SDM vol. 3, chapter 4): each entry by its bits, clear ones with a minus; below, "
        "for rings 0-2 and ring 3, what may be done there, or the rule that forbids it and the error code that a fault would have"
    )
    BINDINGS = [
        Binding("slash,a", "address", "Address"),
        Binding("full_stop", "follow('')", "Follow"),
        Binding("f2", "follow('cr2')", "CR2"),
        Binding("f3", "follow('rip')", "RIP"),
        Binding("f4", "follow('rsp')", "RSP"),
        Binding("enter", "walk", "Walk the range"),
    ]
    DEFAULT_CSS = """
    Paging #walk { height: 2fr; }
    Paging #ranges { height: 1fr; }
    Paging Input { height: 1; border: none; padding: 0 1; background: $boost; display: none; }
    Paging Input.-open { display: block; }
    """

    def __init__(self):
        super().__init__()
        self.pane = Pane("Page walk", "walk", self.HELP)
        self.ranges = Choices(
            "Mapped", "ranges", "What is mapped: ranges of linear addresses with equal rights; enter walks the first address"
        )
        self.input = Input(placeholder="linear address: a number, register, symbol or expression", id="address", compact=True)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.pane
            yield self.ranges
        yield self.input
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.ranges.focus()

    def draw(self, s: Snapshot) -> None:
        v = self.value
        if v is None:
            return
        digits = 16 if s.bits == 64 else 8
        self.pane.entitle(f"Page walk: {v.walk.linear:0{digits}x}, {v.of}", v.mode if not s.running else f"{v.mode}, running")
        self.pane.show(walk_rows(v, digits, max(30, self.pane.scrollable_content_region.width)))
        total = sum(r.last - r.first + 1 for r in v.ranges)
        self.ranges.entitle(f"Mapped: {len(v.ranges)} ranges, {total >> 10:,} KiB{', and more' if v.cut else ''}")
        self.ranges.show_choices([range_row(r, digits, v.walk.linear) for r in v.ranges], [r.first for r in v.ranges])

    def action_address(self) -> None:
        self.input.value = ""
        self.input.add_class("-open")
        self.input.focus()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        self.close()
        self.ask(message.value.strip())

    def close(self) -> None:
        self.input.remove_class("-open")
        self.ranges.focus()

    def action_dismiss(self, result=None):
        if self.input.has_focus:
            self.close()
        else:
            super().action_dismiss(result)

    def action_follow(self, what: str) -> None:
        self.ask(what)

    def action_walk(self) -> None:
        if self.ranges.key is not None:
            self.ask(f"{self.ranges.key:#x}")

    def on_choices_picked(self, message: Choices.Picked) -> None:
        self.action_walk()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (self.input.has_focus and action in ("address", "follow", "walk"))


def walk_rows(v: PagingView, digits: int, width: int) -> list[Row]:
    rows: list[Row] = [] if not v.problem else [(("✗ ", "warning"), (v.problem, "warning"))]
    if v.walk.root is None:
        return [*rows, (("paging is off: linear ", "quiet"), (f"{v.walk.linear:0{digits}x}", ""), (" is physical", "quiet"))]
    rows += bit_rows(v.root, width)
    for e in v.entries:
        head = [
            ("  " if e.level.present and not e.register.note.startswith("✗") else "✗ ", "warning"),
            (f"{e.level.name:<5}", "strong"),
            (f"[{e.level.index:03x}] at {e.level.at:x}: ", "quiet"),
            (f"{e.level.entry:0{e.register.digits}x} ", ""),
        ]
        rows += bit_rows(e.register, width, head, 8)
    rows.append(
        (("→ ", "changed"), (f"physical {v.walk.physical:0{digits}x}", "strong"))
        if v.walk.physical is not None and not (v.fault and not v.fault.allowed)
        else (("→ ", "changed"), ("no way to memory", "warning"))
        if v.walk.physical is None
        else (("→ ", "changed"), (f"physical {v.walk.physical:0{digits}x}, but not for this access", "warning"))
    )
    if v.fault is not None and v.error is not None:
        who = "ring 3" if v.fault.user else "the supervisor"
        rows += wrapped(f"this {v.fault.access} by {who} faults: {v.fault.rule}", "warning", width, [("✗ ", "warning")], 2)
        rows += bit_rows(v.error, width, [("  error code ", "quiet"), (f"{v.error.value:x} ", "")], 4)
    rows.append(())
    for x in v.verdicts:
        who = "ring 3" if x.user else "ring 0-2"
        head = [("✓ " if x.allowed else "✗ ", "name" if x.allowed else "warning"), (f"{who:<9}{x.access:<6}", "" if x.allowed else "quiet")]
        rows += [head] if x.allowed else wrapped(f"{x.rule} (error {x.error:x})", "quiet", width, head, 17)
    return rows


def range_row(r: Range, digits: int, linear: int) -> Row:
    return (
        ("▶" if r.first <= linear <= r.last else " ", "changed"),
        (f"{r.first:0{digits}x}-{r.last:0{digits}x} ", ""),
        (f"{(r.last - r.first + 1) >> 10:>10,} KiB ", "quiet"),
        (f"{SIZES.get(r.page, '?'):<5} ", "quiet"),
        (f"{r.rights:<16}", "name"),
        (f"→ {r.physical:x}{' …' if r.scattered else ''}", "quiet"),
    )
