"""Who called: the frames of a stack, from the innermost one on.

    call frame information (dwarf_frames.py) where there is any -> frame pointers where there is none -> what an interrupt pushed
    -> the stack is searched for a return behind a call of the function, or for an interrupt's frame: a guess, and said to be one

Where there is no such information, nothing says whether a function keeps a frame pointer: a return address counts only if a call stands
before it, and an interrupt's frame only if its code segment is one.  Each frame lies above the one before, so it ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import isa
from vmdbg.debugger.dwarf.frames import Row
from vmdbg.debugger.dwarf.values import Unknown, evaluate
from vmdbg.debugger.registers import GENERAL, mode, read
from vmdbg.machine.state import CS, RBP, RSP, SS

MOST = 256  # frames of one answer
CALLS = range(2, 8)  # bytes of a call
# DWARF's numbers of general registers (System V ABI, i386 table 2.14, x86-64 figure 3.36) as ours
NUMBERS = {4: (0, 1, 2, 3, 4, 5, 6, 7), 8: (0, 2, 1, 3, 6, 7, 5, 4, *range(8, 16))}
RETURN = {4: 8, 8: 16}
ALWAYS_SET = 2  # of EFLAGS
FUNCTION, SEARCHED = 0x10000, 64  # bytes of a function at most; words of the stack that are searched
SETS_UP = 12  # bytes in which a function pushes its caller's frame pointer and takes its own


@dataclass(frozen=True)
class Frame:
    """A function that has not returned; `how` it was found: '', frame information, frame pointer, entry, interrupt, search."""

    address: int  # linear, of the instruction that is next in it
    stack: int  # the stack pointer there, after the return
    how: str
    slot: int | None = None  # what the stack pointer is where its own return address lies, if that is known
    inside: bool = False  # the address is an instruction's own, not what follows a call

    @property
    def at(self) -> int:
        """An address within the call, for names and lines."""
        return self.address if self.inside else self.address - 1


@dataclass
class State:
    """Registers of one frame; `registers` by our numbers, None where its caller's value is not known."""

    ip: int  # within its code segment
    registers: dict[int, int]
    code: int  # base and selector of its code segment
    selector: int
    ring: int
    inside: bool


def frames(session, most: int = MOST) -> Iterator[Frame]:
    """At least the one in which execution stands; ends where nothing says what comes next."""
    cpu = session.cpu
    bits = int(cpu.bits)
    width = bits // 8
    stack = 0 if bits == 64 else int(cpu.seg_base[SS])
    code = 0 if bits == 64 else int(cpu.seg_base[CS])
    state = State(
        read(cpu, {16: "ip", 32: "eip", 64: "rip"}[bits]),
        {n: int(cpu.gpr[n]) & (1 << bits) - 1 for n in range(16 if bits == 64 else 8)},
        code,
        int(cpu.seg_selector[CS]),
        int(cpu.cpl),
        True,
    )
    reader = Reader(session, width, stack)
    how, seen = "", set()
    for _ in range(most):
        seen.add((linear(state), state.registers[RSP]))
        found = reader.caller(state)
        after, how_next, slot = found or (None, "", None)
        yield Frame(linear(state), state.registers[RSP], how, slot, state.inside)
        if after is None or (linear(after), after.registers[RSP]) in seen:
            return
        if after.registers[RSP] <= state.registers[RSP] and not how_next.startswith(
            "interrupt"
        ):  # an interrupt may have come with another stack
            return
        state, how = after, how_next


def linear(state: State) -> int:
    return state.code + state.ip


class Reader:
    """Steps from a frame to its caller's over one session; `width` of a word of the stack in bytes, `stack` the base of SS."""

    def __init__(self, session, width: int, stack: int):
        self.session, self.width, self.stack = session, width, stack
        self.mask = (1 << 8 * width) - 1
        self.real = mode(session.cpu) in ("real", "virtual-8086")
        debug = session.symbols.debug
        self.tables = debug.frames() if debug is not None and width != 2 else []

    def linear(self, offset: int) -> int:
        return self.stack + (offset & self.mask)

    def word(self, offset: int) -> int | None:
        """A word of the stack."""
        data = self.session.read(self.linear(offset), self.width)
        return None if data is None else int.from_bytes(data, "little")

    def caller(self, state: State) -> tuple[State, str, int | None] | None:
        """The caller's state, how it was found, and where its return address lay."""
        row = self._row(state)
        if row is not None:
            return self._by_table(state, row)
        return self._by_entry(state) or self._by_pointer(state) or self._by_search(state)

    # ---- Call frame information

    def _row(self, state: State) -> Row | None:
        address = linear(state) - self.session.symbols.slide - (0 if state.inside else 1) & self.mask
        return next((row for table in self.tables if (row := table.row(address)) is not None), None)

    def _by_table(self, state: State, row: Row) -> tuple[State, str, int | None] | None:
        numbers = NUMBERS[self.width]
        values = {n: state.registers[ours] for n, ours in enumerate(numbers) if ours in state.registers}
        values[RETURN[self.width]] = state.ip
        read = lambda address: self.word(address - self.stack)  # noqa: E731  expressions have linear addresses
        try:
            if row.cfa.expr is not None:
                cfa = evaluate(row.cfa.expr, values, read, self.width)
            else:
                cfa = values[row.cfa.reg] + row.cfa.offset & self.mask
            after = {n: v for n, v in values.items() if n != row.returns}  # what no rule names is kept by those who are called
            after[numbers.index(RSP)] = cfa
            slot = None
            for n, rule in row.registers.items():
                value = self._by_rule(rule, n, cfa, values, read)
                if n == row.returns and rule.type == "OFFSET":
                    slot = cfa + rule.arg
                if value is None:
                    after.pop(n, None)
                else:
                    after[n] = value
        except (Unknown, KeyError, IndexError, TypeError, AttributeError):
            return None
        ip = after.get(row.returns)
        registers = {numbers[n]: v for n, v in after.items() if n < len(numbers)}
        if ip is None or not ip or RSP not in registers:
            return None
        code, selector, ring = state.code, state.selector, state.ring
        if row.signal and slot is not None and (cs := self.word(slot + self.width)) is not None:  # the CPU pushed CS beside it
            selector, ring = cs & 0xFFFF, cs & 3
        return State(ip, registers, code, selector, ring, row.signal), "interrupt" if row.signal else "frame information", slot

    def _by_rule(self, rule, n: int, cfa: int, values: dict[int, int], read) -> int | None:
        kind = rule.type
        if kind == "OFFSET":
            return self.word(cfa + rule.arg)
        if kind == "VAL_OFFSET":
            return cfa + rule.arg & self.mask
        if kind == "SAME_VALUE":
            return values.get(n)
        if kind == "REGISTER":
            return values.get(rule.arg)
        if kind == "EXPRESSION":
            return read(evaluate(rule.arg, values, read, self.width, cfa))
        if kind == "VAL_EXPRESSION":
            return evaluate(rule.arg, values, read, self.width, cfa)
        return None

    # ---- Without it

    def _by_entry(self, state: State) -> tuple[State, str, int | None] | None:
        """The innermost function before it has a frame, or after it left it: the return address is at the top of the stack."""
        if not state.inside:
            return None
        decoded = self.session.listing.decode(linear(state))
        depth = self._pushed(linear(state))
        if decoded is not None and decoded.mnemonic in ("RET", "RETF"):
            depth = 0
        if decoded is not None and decoded.mnemonic.startswith("IRET"):
            return self._interrupted(state, state.registers[RSP], state.registers.get(RBP))
        if depth is None:
            return None
        bp = state.registers.get(RBP)
        if depth:
            bp = self.word(state.registers[RSP])
        return self._returns(state, state.registers[RSP] + depth, bp, "entry")

    def _pushed(self, address: int) -> int | None:
        """Bytes that a function has pushed since it was entered, if it has not taken its frame pointer yet."""
        start = self.session.symbols.before(address, SETS_UP)
        if start is None:
            return None
        at, depth = start, 0
        while at < address:
            decoded = self.session.listing.decode(at)
            if decoded is None:
                return None
            text = str(decoded)
            if text == f"push {self._name(RBP)}":
                depth += self.width
            elif not decoded.mnemonic.startswith("ENDBR"):
                return None
            at += decoded.length
        return depth if at == address else None

    def _name(self, n: int) -> str:
        return GENERAL[n] if self.width == 8 else f"e{GENERAL[n][1:]}" if self.width == 4 else GENERAL[n][1:]

    def _by_pointer(self, state: State) -> tuple[State, str, int | None] | None:
        bp = state.registers.get(RBP)
        if bp is None or not bp or bp < state.registers[RSP]:
            return None
        return self._returns(state, bp + self.width, self.word(bp), "frame pointer")

    def _by_search(self, state: State) -> tuple[State, str, int | None] | None:
        """The nearest word of the stack that returns behind a call of this very function, or the nearest interrupt's frame."""
        symbols, top = self.session.symbols, state.registers[RSP]
        start = symbols.before(linear(state), FUNCTION)
        if start is None:
            return None
        for n in range(SEARCHED):
            slot = top + n * self.width
            ip = self.word(slot)
            if ip is None:
                return None
            target = self._called(state.code + ip, ip)
            if target is not None and state.code + target == start:
                return State(ip, {RSP: slot + self.width & self.mask}, state.code, state.selector, state.ring, False), "search", None
            if ip and (found := self._interrupted(state, slot, None)) is not None:
                return found[0], "interrupt, by search", None
        return None

    def _called(self, address: int, ip: int) -> int | None:
        """Where a direct call that ends at an address leads; None if none does."""
        length = 3 if self.width == 2 else 5
        data = self.session.read(address - length, length) if address >= length else None
        found = isa.decode(data, bits=8 * self.width, ip=ip - length) if data is not None and data[0] == 0xE8 else None
        return found.imm & self.mask if found is not None and found.length == length else None

    def _returns(self, state: State, slot: int, bp: int | None, how: str) -> tuple[State, str, int | None] | None:
        """The caller, if there is a return address in a slot: a near one, a far one, or what an interrupt pushed."""
        ip = self.word(slot)
        if ip is None:
            return None
        registers = {RSP: slot + self.width & self.mask} | ({RBP: bp} if bp is not None else {})
        if self._follows_call(state.code + ip, ip, far=False):
            return State(ip, registers, state.code, state.selector, state.ring, False), how, slot
        cs = self.word(slot + self.width)
        if cs is not None and (base := self._code_base(cs & 0xFFFF)) is not None and self._follows_call(base + ip, ip, far=True):
            registers[RSP] = slot + 2 * self.width & self.mask
            return State(ip, registers, base, cs & 0xFFFF, state.ring if self.real else cs & 3, False), how, slot
        return self._interrupted(state, slot, bp) or self._interrupted(state, slot + self.width, bp)  # without and with an error code

    def _interrupted(self, state: State, slot: int, bp: int | None) -> tuple[State, str, int | None] | None:
        """The interrupted code, if IP, CS and FLAGS are there (SDM vol. 3, figure 6-4)."""
        ip, cs, flags = (self.word(slot + n * self.width) for n in range(3))
        if ip is None or cs is None or flags is None or not flags & ALWAYS_SET or flags >> 22 or cs >> 16:
            return None
        base = self._code_base(cs)
        ring = 3 if flags >> 17 & 1 else state.ring if self.real else cs & 3
        if base is None or ring < state.ring or self.session.read(base + ip, 1) is None or self.session.listing.decode(base + ip) is None:
            return None
        stack = slot + 3 * self.width
        if (ring > state.ring or self.width == 8) and not self.real:
            outer = self.word(stack)
            if outer is None:
                return None
            stack = outer
        registers = {RSP: stack & self.mask} | ({RBP: bp} if bp is not None else {})
        return State(ip, registers, base, cs, ring, True), "interrupt", slot

    def _code_base(self, selector: int) -> int | None:
        """The base of a code segment; None if that is none."""
        session, cpu = self.session, self.session.cpu
        if self.real:
            return selector << 4
        if not selector & 0xFFFC or selector & 4:
            return None
        data = session.read(int(cpu.gdtr_base) + (selector & 0xFFF8), 8) if (selector | 7) <= int(cpu.gdtr_limit) else None
        if data is None or data[5] & 0x98 != 0x98:  # present, code
            return None
        return 0 if int(cpu.bits) == 64 else int.from_bytes(data[2:5] + data[7:8], "little")

    def _follows_call(self, address: int, ip: int, far: bool) -> bool:
        bits = 8 * self.width
        for length in CALLS if not far else range(2, 9):
            data = self.session.read(address - length, length) if address >= length else None
            if data is None:
                continue
            found = isa.decode(data, bits=bits, ip=ip - length)
            if found is not None and found.length == length and found.mnemonic == "CALL":
                operands = found.form.operands
                if any(o.kind == "far" for o in operands) == far or operands[0].kind == "mem":
                    return True
        return False
