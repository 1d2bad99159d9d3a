"""What the panes show: one frozen value, taken between two slices.  Interfaces see nothing else of the machine."""

from dataclasses import dataclass

from vmdbg.debugger import registers
from vmdbg.debugger.listing import Line
from vmdbg.debugger.stop import Stop
from vmdbg.machine.flags import get_rflags

SERIAL_TAIL = 16_384  # bytes of the serial log that a snapshot carries
STACK_WORDS = 16

# The registers of a pane, by the bits of the code
SHOWN = {
    16: "ax bx cx dx si di bp sp ip flags cs ds es ss fs gs cr0".split(),
    32: "eax ebx ecx edx esi edi ebp esp eip eflags cs ds es ss fs gs cr0 cr2 cr3 cr4".split(),
    64: (
        "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags cs ds es ss fs gs fs_base gs_base cr0 cr2 cr3 cr4 efer"
    ).split(),
}
CONTROL = ("cr0", "cr2", "cr3", "cr4")  # 32 bits wide outside long mode


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
    screen: tuple[str, ...]  # VGA text, 25 lines
    cursor: tuple[int, int] | None
    serial: str  # the tail of what the guest sent
    breakpoint_list: tuple[str, ...] = ()


class Taker:
    """Takes snapshots of one session; remembers the registers of the last stop to mark what changed."""

    def __init__(self, session):
        self.session = session
        self._before: dict[str, int] = {}
        self._values: dict[str, int] = {}
        self._position = -1

    def take(self, running: bool = False) -> Snapshot:
        s = self.session
        cpu, monitor = s.cpu, s.monitor
        bits = int(cpu.bits)
        rflags = int(get_rflags(cpu))
        if not running and s.position != self._position:
            self._before, self._position = self._values, s.position
        screen = monitor.vga.screen(s.machine.ram)
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
            lines=() if running else s.listing.lines(),
            focus=s.listing.focus,
            breakpoints=frozenset(s.breakpoints.addresses()),
            stack=() if running else self._stack(cpu),
            screen=screen.text,
            cursor=screen.cursor,
            serial=bytes(monitor.log[-SERIAL_TAIL:]).decode("utf-8", "replace"),
            breakpoint_list=tuple(b.describe() for b in s.breakpoints),
        )
        if not running:
            self._values = {name: registers.read(cpu, name) for name in {n for names in SHOWN.values() for n in names}}
        return snapshot

    def _registers(self, cpu, bits: int) -> tuple[RegisterValue, ...]:
        values = []
        for name in SHOWN[bits]:
            value = registers.read(cpu, name)
            width = 32 if bits != 64 and name in CONTROL else registers.REGISTERS[name].bits
            changed = name in self._before and self._before[name] != value
            values.append(RegisterValue(name, f"{value:0{width // 4}x}", changed, self._remark(cpu, name, value)))
        return tuple(values)

    def _remark(self, cpu, name: str, value: int) -> str:
        if name.endswith("flags"):
            return registers.flag_names(value)
        if name in ("cs", "ss", "ds", "es", "fs", "gs") and registers.mode(cpu) not in ("real", "virtual-8086"):
            return f"r{value & 3}" if value & ~3 else "null"
        return ""

    def _stack(self, cpu) -> tuple[Word, ...]:
        size = int(cpu.stack_bits) // 8
        top = registers.read(cpu, {2: "sp", 4: "esp", 8: "rsp"}[size])
        base = 0 if size == 8 else int(cpu.seg_base[registers.SEGMENTS.index("ss")])
        words = []
        for n in range(STACK_WORDS):
            address = base + top + n * size & (1 << 64) - 1
            data = self.session.read(address, size)
            if data is None:
                break
            value = int.from_bytes(data, "little")
            words.append(Word(address, f"{value:0{2 * size}x}", (self.session.symbols.near(value) or "") if value else ""))
        return tuple(words)
