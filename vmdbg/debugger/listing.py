"""Disassembly around the place of execution: lines that stay where they are while the marker moves."""

import functools
from dataclasses import dataclass

import isa
from vmdbg.debugger.registers import mode
from vmdbg.machine.state import CS

AHEAD, BACK, MARGIN = 96, 48, 8  # lines from an anchor on, bytes tried before it, lines kept after the marker
PAGE = 0x1000
INTERRUPTS = ("INT", "INT1", "INT3", "INTO", "SYSCALL", "SYSENTER")


@dataclass(frozen=True)
class Line:
    """One line: an instruction, or a byte that starts none (`text` is then '(bad)')."""

    address: int  # linear
    place: str  # as the user reads it: 0000:7c00 in real mode, else the linear address
    code: bytes
    text: str
    label: str = ""  # a symbol that is exactly here
    note: str = ""  # what the manual says that the eye should not miss
    next: str = ""  # of the instruction that is next: what it is about to do


@functools.lru_cache(maxsize=8192)
def _decoded(code: bytes, bits: int, ip: int):
    return isa.decode(code, bits=bits, ip=ip)


def call_like(instruction) -> bool:
    """Whether stepping over it means more than one step: calls, software interrupts, repeated string instructions."""
    mnemonic = instruction.mnemonic
    return (
        mnemonic.startswith("CALL")
        or mnemonic in INTERRUPTS
        or bool(instruction.rep and "str" in {o.kind for o in instruction.form.operands})
    )


def note(instruction, mode: str, cpl: int) -> str:
    """What to know about privilege and sensitivity of an instruction where it stands; real mode has neither.

    'privileged' and 'sensitive' in ring 0, where they do what they say; 'needs ...' and 'sensitive, no trap' in outer rings.
    """
    if mode == "real":
        return ""
    priv = instruction.row.priv
    if priv.endswith("virtual-8086 mode"):
        priv = priv if mode == "virtual-8086" else ""
    if priv:
        return f"needs {priv}" if cpl else "privileged" if priv == "CPL 0" else ""
    if instruction.mnemonic in INTERRUPTS or not sensitive(instruction.row):
        return ""
    return "sensitive, no trap" if cpl else "sensitive"


@functools.cache
def sensitive_rows() -> frozenset:
    """The rows that are sensitive without being privileged (Popek and Goldberg, 1974)."""
    from isa.sensitivity import sensitive_unprivileged

    return frozenset(id(row) for row in sensitive_unprivileged())


def sensitive(row) -> bool:
    return id(row) in sensitive_rows()


class Listing:
    """A window of lines over a session's memory, from an anchor that stays as long as it is true."""

    def __init__(self, session):
        self.session = session
        self.focus: int | None = None  # a linear address to look at; None follows the place of execution
        self._lines: tuple[Line, ...] = ()
        self._key: tuple = ()

    def decode(self, address: int):
        """The instruction at a linear address, or None (unmapped, or no instruction)."""
        code = self._bytes(address, 15)
        cpu = self.session.cpu
        return _decoded(code, int(cpu.bits), address - self._base()) if code else None

    def lines(self) -> tuple[Line, ...]:
        """The window: a new one only if the anchor is no longer near, the mode is another, or the bytes changed."""
        at = self.session.rip if self.focus is None else self.focus
        cpu = self.session.cpu
        key = (int(cpu.bits), mode(cpu), int(cpu.cpl), self._base())
        if key == self._key and self._holds(at):
            return self._lines
        self._key = key
        self._lines = self.from_address(self._anchor(at), AHEAD)
        return self._lines

    def from_address(self, address: int, count: int) -> tuple[Line, ...]:
        """`count` lines from a linear address on, fewer where memory ends."""
        bits, base, real = int(self.session.cpu.bits), self._base(), mode(self.session.cpu) in ("real", "virtual-8086")
        selector = int(self.session.cpu.seg_selector[CS])
        data = self._bytes(address, 15 * count)
        lines: list[Line] = []
        i = 0
        while i < len(data) and len(lines) < count:
            ip = address + i - base
            found = _decoded(data[i : i + 15], bits, ip)
            length = found.length if found is not None else 1
            code = data[i : i + length]
            place = f"{selector:04x}:{ip & 0xFFFF:04x}" if real else f"{address + i:0{16 if address + i >> 32 else 8}x}"
            text, remark = (
                ("(bad)", "") if found is None else (self._named(found), note(found, mode(self.session.cpu), int(self.session.cpu.cpl)))
            )
            lines.append(Line(address + i, place, code, text, self.session.symbols.exact(address + i) or "", remark))
            i += length
        return tuple(lines)

    def _named(self, found) -> str:
        """The text, with the name of the place that a branch leads to."""
        text = str(found)
        if self.session.symbols.table and any(o.kind == "rel" for o in found.form.operands):
            target = self.session.symbols.near(found.imm + self._base())
            return f"{text} <{target}>" if target else text
        return text

    def _base(self) -> int:
        cpu = self.session.cpu
        return 0 if int(cpu.bits) == 64 else int(cpu.seg_base[CS])

    def _bytes(self, address: int, count: int) -> bytes:
        """Up to `count` bytes from an address on: what is mapped of them without a gap."""
        read, found = self.session.read, bytearray()
        while count > 0:
            size = min(count, PAGE - address % PAGE)
            part = read(address, size)
            if part is None:
                break
            found += part
            address, count = address + size, count - size
        return bytes(found)

    def _holds(self, at: int) -> bool:
        """Whether the window has a line at this address with room behind it, and memory still says the same."""
        lines = self._lines
        if not any(line.address == at for line in lines[: max(1, len(lines) - MARGIN)]):
            return False
        first, code = lines[0].address, b"".join(line.code for line in lines)
        return self._bytes(first, len(code)) == code

    def _anchor(self, at: int) -> int:
        """Where to start so that a line falls on `at`: a symbol before it, else the longest way back that arrives there."""
        symbol = self.session.symbols.before(at, 4 * BACK)
        candidates = ([symbol] if symbol is not None else []) + [at - back for back in range(BACK, 0, -1) if at >= back]
        for start in candidates:
            if self._arrives(start, at):
                return start
        return at

    def _arrives(self, start: int, at: int) -> bool:
        bits, base = int(self.session.cpu.bits), self._base()
        data = self._bytes(start, at - start + 15)
        if data[:2] == b"\0\0":
            return False  # room that nobody filled, not code
        i = 0
        while i < at - start:
            found = _decoded(data[i : i + 15], bits, start + i - base) if i < len(data) else None
            if found is None:
                return False
            i += found.length
        return i == at - start
