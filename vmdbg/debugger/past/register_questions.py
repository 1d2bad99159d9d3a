"""Who last wrote a register, and when an expression became true.

What few instructions write (control registers, descriptor tables) is found by stopping at these.  Other registers, and expressions
over them, are looked at after every step, in windows that grow: what was asked about mostly happened a moment ago.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from vmdbg.debugger import registers
from vmdbg.debugger.expressions import Context, Expression, ExpressionError
from vmdbg.debugger.past.backwards import check
from vmdbg.debugger.past.history import HistoryError
from vmdbg.debugger.past.questions import Answer, asked, by_itself, described, exactly, intervals_back, search_back, stops, tell
from vmdbg.debugger.registers import FLAGS, GENERAL, REGISTERS, linear_rip
from vmdbg.debugger.triggers import LONGEST, Wants, forms_of
from vmdbg.machine.machine import PAGE
from vmdbg.machine.watch import WATCH_PHYSICAL, WATCH_WRITE

WINDOW, GROWTH = 2_000, 8  # steps that are looked at one by one, first, and how much more each time
LOOK = 4096  # steps between looks at whether to go on
RARE = {
    "cr0": ("MOV", "LMSW", "CLTS"),
    "cr3": ("MOV",),
    "cr4": ("MOV",),
    "cr8": ("MOV",),
    "efer": ("WRMSR", "MOV"),
    "star": ("WRMSR",),
    "lstar": ("WRMSR",),
    "cstar": ("WRMSR",),
    "sfmask": ("WRMSR",),
    "gdtr": ("LGDT",),
    "idtr": ("LIDT",),
    "ldtr": ("LLDT",),
    "tr": ("LTR",),
    "xcr0": ("XSETBV",),
} | {f"dr{n}": ("MOV",) for n in range(8)}


def family(name: str) -> str:
    """The register that it is a part of: eax -> rax, zf -> rflags, fs_base -> fs_base, gdtr_limit -> gdtr."""
    if name in RARE:
        return name
    if name not in REGISTERS:
        raise HistoryError(f"'{name}' is no register")
    for n, whole in enumerate(GENERAL):
        short = whole[1:] if n < 8 else ""
        if name in (whole, f"{whole}d", f"{whole}w", f"{whole}b") or n < 8 and name in (f"e{short}", short, f"{short}l"):
            return whole
        if n < 4 and name in (f"{short[0]}l", f"{short[0]}h"):
            return whole
    if name in FLAGS or name in ("rflags", "eflags", "flags", "iopl"):
        return "rflags"
    if name in ("rip", "eip", "ip"):
        return "rip"
    whole, _, part = name.partition("_")
    return whole if part == "limit" or whole in ("gdtr", "idtr") else name


def last_register_write(session, name: str) -> Answer | None:
    """The last step before here that wrote a register of the current vCPU, or changed it: an instruction, a delivery or the user."""
    whole, n = family(name), session.cpu_index
    answer = rare_write(session, whole, n) if whole in RARE else stepped(session, n, _changes(session, whole, n))
    inputs = session.history.line.inputs if session.history is not None else []
    for given in reversed(inputs):
        if answer is not None and answer.position >= given.position:
            break
        if given.what == "register" and given.position <= session.position and given.value[0] == n and family(given.value[1]) == whole:
            return Answer(given.position, "written by the user", n)
    return answer


def rare_write(session, whole: str, n: int) -> Answer | None:
    """By stopping at the instructions that can write it."""
    machine = session.machine

    def seen(found) -> Answer | None:
        cpu = machine.cpus[found.cpu]
        if found.reason != "break" or found.cpu != n:
            return None
        written = whole in _written(session, cpu)
        if not written and whole not in MSRS:
            return None  # MOV to another register of its kind
        before, old = int(cpu.instructions), registers.read(cpu, _shown(whole))
        answer = Answer(session.position, f"written by {described(session, linear_rip(cpu))}", n)
        session.history.run(1, True)
        if int(cpu.instructions) == before:
            return None  # it faulted
        return answer if registers.read(cpu, _shown(whole)) != old or written else None

    return search_back(session, Wants(forms=set(_rare_forms(whole))), seen)


MSRS = ("efer", "star", "lstar", "cstar", "sfmask")


def _shown(whole: str) -> str:
    """A register whose value stands for it."""
    return f"{whole}_base" if whole in ("gdtr", "idtr") else whole


def _rare_forms(whole: str) -> set[int]:
    from isa.forms import FORMS

    kind = "cr" if whole.startswith("cr") or whole == "efer" else "dr"
    moves = {n for n, f in enumerate(FORMS) if f.mnemonic == "MOV" and any(o.kind == kind and "w" in o.access for o in f.operands)}
    others = forms_of(tuple(m for m in RARE[whole] if m != "MOV"))
    return set(others) | (moves if "MOV" in RARE[whole] else set())


def _written(session, cpu) -> list[str]:
    """What the next instruction writes, as registers of their families."""
    decoded = session.listing.decode(linear_rip(cpu))
    if decoded is None:
        return []
    found = []
    for name in decoded.writes:
        name = "rflags" if name.startswith("flag:") else name
        found.append(family(name) if name in REGISTERS else name)
    return found


def _changes(session, whole: str, n: int) -> Callable[[int], Callable[[], str | None]]:
    """For `stepped`: whether the step just made wrote the register."""
    machine, cache = session.machine, {}

    def writes(cpu, linear: int) -> bool:
        code = machine.read_linear(n, linear, LONGEST if linear % PAGE <= PAGE - LONGEST else PAGE - linear % PAGE)
        key = linear, code, int(cpu.bits)
        if key not in cache:
            cache[key] = whole in _written(session, cpu)
        return cache[key]

    def begin(position: int) -> Callable[[], str | None]:
        cpu = machine.cpus[n]

        def look() -> tuple:
            linear = linear_rip(cpu)
            return registers.read(cpu, _shown(whole)), int(cpu.instructions), int(cpu.events), linear, writes(cpu, linear)

        last = look()

        def stepped_once() -> str | None:
            nonlocal last
            before, last = last, look()
            by_instruction, delivered = last[1] != before[1], last[2] != before[2]
            if delivered and (last[0] != before[0] or whole in ("rip", "rsp", "rflags")):
                return f"changed by the delivery of an event at {before[3]:#x}"
            if by_instruction and (before[4] or last[0] != before[0]):
                return f"written by the instruction at {before[3]:#x}"
            return None

        return stepped_once

    return begin


def windows(first: int, here: int) -> Iterator[tuple[int, int]]:
    """Stretches from `here` back to `first`, each longer than the one after it."""
    last, size = here, WINDOW
    while last > first:
        start = max(first, last - size)
        yield start, last
        last, size = start, size * GROWTH


def stepped(session, n: int, begin: Callable[[int], Callable[[], str | None]]) -> Answer | None:
    """The last step before here about which begin(position)() says something, asked after every step."""
    here = session.position
    with asked(session) as history:
        for first, last in windows(history.first, here):
            session.armed.arm(Wants())
            history.be_at(first)
            history.stretch(1)  # gives what came here
            step, answer = begin(first), None
            while session.position < last:
                if session.position % LOOK == 0:
                    check(session)
                    tell(session, 1 - first / max(here, 1))
                before = session.position, session.machine.clock
                history.run(1, True)
                if session.position == before[0]:
                    if session.machine.clock == before[1]:
                        raise HistoryError(f"position {last:,} is not reached: the machine ends at {session.position:,}")
                    continue
                text, given = step(), history.given_so_far
                if text is not None:
                    answer = Answer(before[0], text, n)
                if session.position < last:
                    history.stretch(1)
                    if history.given_so_far != given and step() is not None:
                        answer = Answer(session.position, "", n)
            if answer is not None:
                if not answer.text:
                    return Answer(answer.position, "since what the user did", n)
                history.be_at(answer.position)
                session.cpu_index = n
                words = answer.text.rpartition(" at ")[0]
                return Answer(answer.position, f"{words} at {described(session, session.rip)}", n)
    return None


# ---- when did it become true


def became_true(session, expression: Expression) -> Answer | None:
    """The last step before here after which an expression is true that was false before it; one that cannot be evaluated is false.

    Memory that it names is that which is mapped there now, for the current vCPU, whatever is mapped there in the past.
    """
    expression.value(session.context())  # ExpressionError: it makes no sense even now
    n = session.cpu_index
    seen_now = Reading(session, n)
    seen_now.holds(expression)  # the pages that it is about are those of now
    trees = list(expression.tree.iter_subtrees())  # type: ignore[attr-defined]
    names = {str(t.children[0]).lower() for t in trees if t.data == "name"}
    if names & {*REGISTERS, "position"} or any(t.data in ("segmented", "word") for t in trees):
        return stepped(session, n, lambda position: _turns(session, n, expression, seen_now))
    return became_true_in_memory(session, n, expression, seen_now)


class Reading:
    """Reads memory as it is mapped now, at any time; remembers the physical pieces that one evaluation read."""

    def __init__(self, session, n: int):
        self.session, self.n = session, n
        self.pages: dict[int, int | None] = {}
        self.pieces: list[tuple[int, int]] = []

    def __call__(self, linear: int, size: int) -> bytes | None:
        data, done = b"", 0
        while done < size:
            at = linear + done & (1 << 64) - 1
            page, offset = at - at % PAGE, at % PAGE
            if page not in self.pages:
                self.pages[page] = self.session.machine.walk(self.n, page)[0]
            physical, count = self.pages[page], min(size - done, PAGE - offset)
            piece = None if physical is None else self.session.machine.read_physical(physical + offset, count)
            if physical is None or piece is None:
                return None
            self.pieces.append((physical + offset, physical + offset + count - 1))
            data, done = data + piece, done + count
        return data

    def holds(self, expression: Expression) -> bool:
        session = self.session
        self.pieces.clear()
        facts = dict(position=session.position, cpu=self.n)
        try:
            return bool(expression.value(Context(session.machine.cpus[self.n], self, session.symbols, facts)))
        except ExpressionError:
            return False


def _turns(session, n: int, expression: Expression, reading: Reading) -> Callable[[], str | None]:
    held = reading.holds(expression)
    rip = linear_rip(session.machine.cpus[n])

    def stepped_once() -> str | None:
        nonlocal held, rip
        before, held = held, reading.holds(expression)
        at, rip = rip, linear_rip(session.machine.cpus[n])
        return f"true since the step at {at:#x}" if held and not before else None

    return stepped_once


def became_true_in_memory(session, n: int, expression: Expression, reading: Reading) -> Answer | None:
    """What only writes can change: those are stopped after."""
    here = session.position
    with asked(session) as history:
        for first, _following, last in list(intervals_back(history, here)):
            tell(session, 1 - first.position / max(here, 1))
            history.restore(first)
            answer, late, held, armed = None, False, reading.holds(expression), None
            while session.position < last:
                wanted = sorted(set(reading.pieces))
                if wanted != armed:
                    armed = wanted
                    session.armed.arm(Wants(watches=[(a, b, WATCH_WRITE | WATCH_PHYSICAL) for a, b in armed]))
                for found in stops(session, history, last):
                    before, held = held, reading.holds(expression)
                    if held and not before:
                        rip = None if found.access is None else found.access.rip
                        by = "a page walk or a device" if rip is None else f"the instruction at {rip:#x}"
                        answer, late = Answer(session.position - 1, f"true since a write by {by}", found.cpu), by_itself(found)
                    if sorted(set(reading.pieces)) != armed:
                        break
            if answer is not None:
                return replace(answer, position=exactly(session, history, answer.position)) if late else answer
    return None
