"""What the panes show: one frozen value, taken between two slices.  Interfaces see nothing else of the machine."""

from dataclasses import dataclass, replace

from vmdbg.debugger import registers, vectors
from vmdbg.debugger.listing import Line
from vmdbg.debugger.outlook import memory_operand, outlook
from vmdbg.debugger.picture import Picture, VgaPicture
from vmdbg.debugger.stop import Stop
from vmdbg.debugger.terminal import Terminal
from vmdbg.debugger.traps import TRAPS
from vmdbg.debugger.traps import name as trap_name
from vmdbg.debugger.walk import Walk, walk
from vmdbg.machine.flags import get_rflags

STACK_WORDS = 16

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


@dataclass(frozen=True)
class Vector:
    """One row of the interrupt vector, or several that are alike."""

    span: str  # 0e, 20-2f
    name: str  # #PF
    gate: str  # int gate dpl 0; '' in real mode
    place: str  # 0008:00100c3e
    symbol: str
    waiting: bool  # its trap is what the machine stands before


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
    vectors: tuple[Vector, ...] = ()  # empty while running
    walk: Walk | None = None  # of walk_of; None while running
    walk_of: str = ""  # whose address that is


class Taker:
    """Takes snapshots of one session; remembers the registers of the last stop to mark what changed."""

    def __init__(self, session):
        self.session = session
        self.terminal = Terminal()
        self._vga = VgaPicture()
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
        self._taken = s.position
        self.terminal.follow(monitor.log, monitor.sent)
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
            vectors=() if running else self._vectors(),
            walk=None if running else walk(s, self._walked()[0]),
            walk_of="" if running else self._walked()[1],
        )
        if not running:
            self._values = {name: registers.read(cpu, name) for name in {n for names in SHOWN.values() for n in names}}
        return snapshot

    def _lines(self) -> tuple[Line, ...]:
        """The listing, with what the next instruction is about to do; before a trap nothing else matters."""
        s = self.session
        trapped = s.stop.has("trap") and s.stop.position == s.position

        def seen(line: Line) -> Line:
            if line.address != s.rip:
                return line
            return replace(line, next=outlook(s), note="" if trapped else line.note)

        return tuple(seen(line) for line in s.listing.lines())

    def _vectors(self) -> tuple[Vector, ...]:
        session, stop = self.session, self.session.stop
        pending = stop.vector if stop.has("trap") and stop.position == session.position else None
        rows = []
        for g in vectors.table(session):
            alone = g.first == g.last
            rows.append(
                Vector(
                    f"{g.first:02x}" if alone else f"{g.first:02x}-{g.last:02x}",
                    trap_name(g.first) if alone and g.first in TRAPS else "",
                    f"{g.kind} dpl {g.dpl}{'' if g.present else ' not present'}" if g.kind else "",
                    g.place,
                    session.symbols.near(g.offset) or "" if g.kind else "",
                    pending is not None and g.first <= pending <= g.last,
                )
            )
        return tuple(rows)

    def _walked(self) -> tuple[int, str]:
        """The address whose page walk is worth seeing: what faulted, else the next operand in memory, else the next instruction."""
        session, stop = self.session, self.session.stop
        if stop.has("trap") and stop.vector == 14 and stop.address is not None and stop.position == session.position:
            return stop.address, "the address that faults"
        address = memory_operand(session)
        if address is not None:
            return address, "the operand"
        return session.rip, "the instruction"

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
        words = []
        for n in range(STACK_WORDS):
            address = top + n * size & (1 << 64) - 1
            data = self.session.read(address, size)
            if data is None:
                break
            value = int.from_bytes(data, "little")
            words.append(Word(address, f"{value:0{2 * size}x}", (self.session.symbols.near(value) or "") if value else ""))
        return tuple(words)
