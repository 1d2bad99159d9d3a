"""What the panes show: one frozen value, taken between two slices.  Interfaces see nothing else of the machine."""

from dataclasses import dataclass, replace
from time import perf_counter

from vmdbg.debugger import registers
from vmdbg.debugger.causes import Autopsy
from vmdbg.debugger.devices import devices
from vmdbg.debugger.devices.registers import Device
from vmdbg.debugger.listing import Line
from vmdbg.debugger.outlook import leads, outlook
from vmdbg.debugger.picture import Picture, VgaPicture
from vmdbg.debugger.screens.interrupt_view import InterruptView, InterruptViews, counts
from vmdbg.debugger.screens.looks import Look, look
from vmdbg.debugger.screens.paging_view import matters
from vmdbg.debugger.screens.timeline_view import TimelineView
from vmdbg.debugger.source import SourceView, source_view
from vmdbg.debugger.stop import Stop
from vmdbg.debugger.terminal import Terminal
from vmdbg.debugger.walk import Walk, walk
from vmdbg.machine.flags import get_rflags

STACK_WORDS = 16
ENTERING = ("int", "sys")  # how those instructions begin that enter another ring
SELDOM = 1 / 4  # seconds between looks at the timeline, and at the interrupt vector, while the machine runs

# The registers of a pane, by the bits of the code
SHOWN = {
    16: "ax bx cx dx si di bp sp ip flags cs ds es ss fs gs cr0".split(),
    32: "eax ebx ecx edx esi edi ebp esp eip eflags cs ds es ss fs gs cr0 cr2 cr3 cr4".split(),
    64: (
        "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags cs ds es ss fs gs fs_base gs_base cr0 cr4 cr2 cr3 efer"
    ).split(),
}
CONTROL = ("cr0", "cr2", "cr3", "cr4")  # 32 bits wide outside long mode
RESERVED = ("cr0", "cr4", "efer", "rflags")  # whose upper halves are reserved
LABELS = {"rflags": "rfl", "eflags": "efl", "flags": "fl"}


@dataclass(frozen=True)
class RegisterValue:
    name: str
    text: str  # hexadecimal, at the register's width
    changed: bool  # since the last stop
    remark: str = ""  # flags by name, the ring of a selector


@dataclass(frozen=True)
class Word:
    """One word of the stack."""

    address: int
    text: str
    symbol: str
    changed: bool = False  # since the last stop


@dataclass(frozen=True)
class Snapshot:
    """A machine at one position."""

    position: int
    running: bool
    stop: Stop
    monitor: str
    guest: str
    mode: str  # real, virtual-8086, protected, compatibility, long
    bits: int
    paging: bool
    cpl: int
    iopl: int
    interrupts: bool  # RFLAGS.IF
    rip: int  # linear
    registers: tuple[RegisterValue, ...]
    lines: tuple[Line, ...]  # empty while running
    focus: int | None  # a linear address that the listing is to show, if not the place of execution
    breakpoints: frozenset[int]  # linear addresses
    stack: tuple[Word, ...]
    stack_top: int  # the linear address of the stack pointer
    screen: Picture  # VGA text, 25 lines
    serial: Picture  # the terminal at COM1
    vector_table: InterruptView = InterruptView()
    devices: tuple[Device, ...] = ()  # only while somebody looks at them
    walk: Walk | None = None  # of walk_of; None while running
    walk_of: str = ""  # whose address that is
    autopsy: Autopsy | None = None  # of the last triple fault
    timeline: TimelineView | None = None  # None: nothing is recorded, or nobody looks
    source: SourceView | None = None  # only while somebody looks at it
    look: Look | None = None  # what a screen wants to see beyond this


class Taker:
    """Takes snapshots of one session; remembers the registers of the last stop to mark what changed."""

    def __init__(self, session):
        self.session = session
        self.terminal = Terminal()
        self._vga = VgaPicture()
        self.wants_devices = self.wants_source = False
        self.columns = 0  # of the timeline that somebody looks at
        self._timeline: TimelineView | None = None
        self._timeline_taken = 0.0
        self.wanted: tuple[str, str] | None = None  # a name in looks.MAKERS, and an argument
        self._views, self._interrupt_view = InterruptViews(session), InterruptView()
        self._counts = self._counts_then = self._counts_before = counts(session.machine)
        self._counted = 0.0  # when
        self._stack_values: dict[int, int] = {}
        self._stack_before: dict[int, int] = {}
        self._before: dict[str, int] = {}
        self._values: dict[str, int] = {}
        self._position = self._taken = -1

    def news(self, steps: int) -> bool:
        """Whether the machine has come far since the last snapshot, or the guest shows something new."""
        s, m = self.session, self.session.monitor
        return s.position - self._taken >= steps or self.terminal.behind(m.sent) or self._vga.behind(m.vga, s.machine.ram)

    def take(self, running: bool = False) -> Snapshot:
        s = self.session
        cpu, monitor = s.cpu, s.monitor
        bits = int(cpu.bits)
        rflags = int(get_rflags(cpu))
        if not running and s.position != self._position:
            self._before, self._position = self._values, s.position
            self._stack_before, self._counts_before = self._stack_values, self._counts_then
        self._taken = s.position
        self.terminal.follow(monitor.transcript)
        walked, walk_of = (0, "") if running else matters(s)
        snapshot = Snapshot(
            position=s.position,
            running=running,
            stop=s.stop,
            monitor=monitor.name,
            guest=monitor.guest.path.name,
            mode=registers.mode(cpu),
            bits=bits,
            paging=registers.paging(cpu),
            cpl=int(cpu.cpl),
            iopl=rflags >> 12 & 3,
            interrupts=bool(rflags & 0x200),
            rip=s.rip,
            registers=self._registers(cpu, bits),
            lines=() if running else self._lines(),
            focus=s.listing.focus,
            breakpoints=frozenset(s.breakpoints.addresses()),
            stack=() if running else self._stack(cpu),
            stack_top=self._stack_top(cpu),
            screen=self._vga.take(monitor.vga, s.machine.ram),
            serial=self.terminal.picture(),
            vector_table=self._interrupts(running),
            devices=devices(monitor.board) if self.wants_devices else (),
            walk=None if running else walk(s, walked),
            walk_of=walk_of,
            autopsy=s.autopsy,
            timeline=self._timeline_now(running),
            source=source_view(s) if self.wants_source and not running else None,
            look=look(s, *self.wanted, running) if self.wanted else None,
        )
        if not running:
            self._counts_then = self._counts
            self._values = {name: registers.read(cpu, name) for name in {n for names in SHOWN.values() for n in names}}
        return snapshot

    def _lines(self) -> tuple[Line, ...]:
        """The listing, with what the next instruction is about to do; before a trap nothing else matters."""
        s = self.session
        trapped = s.stop.has("trap") and s.stop.position == s.position

        def seen(line: Line) -> Line:
            if line.address != s.rip:
                return (
                    line
                    if line.note or not line.text.startswith(ENTERING)
                    else replace(line, note=leads(s, s.listing.decode(line.address)))
                )
            return replace(line, next=outlook(s), note="" if trapped else line.note)

        return tuple(seen(line) for line in s.listing.lines())

    def _interrupts(self, running: bool) -> InterruptView:
        session, stop = self.session, self.session.stop
        pending = stop.vector if stop.has("trap") and stop.position == session.position and not running else None
        if running and perf_counter() - self._counted < SELDOM:
            return self._interrupt_view
        self._counted = perf_counter()
        self._counts = counts(session.machine)
        self._interrupt_view = self._views.take(self._counts, self._counts_before, pending)
        return self._interrupt_view

    def _timeline_now(self, running: bool) -> TimelineView | None:
        if not running or perf_counter() - self._timeline_taken > SELDOM:
            self._timeline = self.session.timeline(self.columns) if self.columns else None
            self._timeline_taken = perf_counter()
        return self._timeline

    def _registers(self, cpu, bits: int) -> tuple[RegisterValue, ...]:
        values = []
        for name in SHOWN[bits]:
            value = registers.read(cpu, name)
            short = name in RESERVED or bits != 64 and name in CONTROL
            width = min(32, registers.REGISTERS[name].bits) if short else registers.REGISTERS[name].bits
            changed = name in self._before and self._before[name] != value
            values.append(RegisterValue(LABELS.get(name, name), f"{value:0{width // 4}x}", changed, self._remark(cpu, name, value)))
        return tuple(values)

    def _remark(self, cpu, name: str, value: int) -> str:
        if name.endswith("flags"):
            return registers.flag_names(value)
        if name in ("cs", "ss", "ds", "es", "fs", "gs") and registers.mode(cpu) not in ("real", "virtual-8086"):
            return f"r{value & 3}" if value & ~3 else "null"
        return ""

    def _stack_top(self, cpu) -> int:
        """The linear address of the stack pointer, through SS outside long mode."""
        bits = int(cpu.stack_bits)
        base = 0 if bits == 64 else int(cpu.seg_base[registers.SEGMENTS.index("ss")])
        return base + registers.read(cpu, {16: "sp", 32: "esp", 64: "rsp"}[bits]) & (1 << 64) - 1

    def _stack(self, cpu) -> tuple[Word, ...]:
        size, top = int(cpu.stack_bits) // 8, self._stack_top(cpu)
        words, values = [], {}
        for n in range(STACK_WORDS):
            address = top + n * size & (1 << 64) - 1
            data = self.session.read(address, size)
            if data is None:
                break
            value = int.from_bytes(data, "little")
            changed = self._stack_before.get(address, value) != value
            values[address] = value
            words.append(Word(address, f"{value:0{2 * size}x}", (self.session.symbols.near(value) or "") if value else "", changed))
        self._stack_values = values
        return tuple(words)
