"""How an event is delivered, step by step, before it is: gate, checks, stack, what is pushed where.

SDM vol. 2, INT n; vol. 3, 6.12, 6.14 and 20.1.4.
"""

from dataclasses import dataclass

from vmdbg.debugger import registers, vectors, views
from vmdbg.debugger.causes import WITH_ERROR_CODE, error_bits, event
from vmdbg.debugger.delivery import INDEX, TASK_GATE, descriptor, inner_ring, segment_limit, table_of
from vmdbg.debugger.devices.registers import Register
from vmdbg.debugger.outlook import SOFTWARE
from vmdbg.debugger.screens.page_rules import verdict
from vmdbg.debugger.traps import TRAPS
from vmdbg.debugger.walk import walk
from vmdbg.machine.flags import get_rflags
from vmdbg.machine.state import CS, RSP, SS, TR

RF, VM, IF, TF, NT = 1 << 16, 1 << 17, 1 << 9, 1 << 8, 1 << 14
INTERRUPT_GATES = (6, 14)


@dataclass(frozen=True)
class Step:
    """`ok` is None for what is no check."""

    text: str
    ok: bool | None = None


@dataclass(frozen=True)
class Pushed:
    address: int  # linear
    name: str
    value: int
    digits: int


@dataclass(frozen=True)
class Delivery:
    """Of one event at `position`; `frame` from the lowest address up, where the stack pointer is then; empty if a check fails."""

    position: int
    title: str
    error: Register | None
    steps: tuple[Step, ...]
    frame: tuple[Pushed, ...] = ()

    @property
    def fails(self) -> bool:
        return any(step.ok is False for step in self.steps)


class Fails(Exception):
    """A check did."""


class Steps:
    """Collects them; `check` ends at the first that fails."""

    def __init__(self):
        self.done: list[Step] = []

    def say(self, text: str) -> None:
        self.done.append(Step(text))

    def check(self, ok: bool, text: str, otherwise: str) -> None:
        self.done.append(Step(text if ok else otherwise, ok))
        if not ok:
            raise Fails


def waiting(session) -> Delivery | None:
    """Of the trap that the machine stands before."""
    stop = session.stop
    if not (stop.has("trap") and stop.position == session.position and stop.vector is not None):
        return None
    found = session.listing.decode(session.rip)
    software = found is not None and found.mnemonic in SOFTWARE and not stop.error_code and stop.vector not in WITH_ERROR_CODE
    after = found.length if software and found is not None else 0
    return delivery(session, stop.vector, stop.error_code or 0, stop.address or 0, software, after)


def delivery(session, vector: int, error: int = 0, address: int = 0, software: bool = False, after: int = 0) -> Delivery:
    """`software`: INT n, INT3 or INTO of `after` bytes, for which the gate's DPL counts and which returns behind itself."""
    cpu, steps = session.cpu, Steps()
    code = error if vector in WITH_ERROR_CODE and not software and vectors.shape(cpu)[0] is False else None
    frame: tuple[Pushed, ...] = ()
    try:
        frame = (real if vectors.shape(cpu)[0] else protected)(session, steps, vector, code, software, after)
    except Fails:
        steps.say(f"so vector {vector} is not delivered: a fault is, in its place")
    title = f"INT {vector:#x}" if software else event(vector, error, address)
    return Delivery(session.position, title, error_bits(vector, error) if code is not None else None, tuple(steps.done), frame)


def real(session, steps: Steps, vector: int, code: int | None, software: bool, after: int) -> tuple[Pushed, ...]:
    cpu, gate = session.cpu, vectors.gate(session, vector)
    at = int(cpu.idtr_base) + 4 * vector
    steps.check(gate is not None, f"IVT entry {vector} at {at:#x}", f"IVT entry {vector} lies beyond the limit {int(cpu.idtr_limit):#x}")
    assert gate is not None
    steps.say(f"it is {gate.place}: no gates, no rings, no error code")
    flags = int(get_rflags(cpu)) & 0xFFFF
    sp = int(cpu.gpr[RSP]) & 0xFFFF
    values = [("ip", int(cpu.rip) + after & 0xFFFF), ("cs", int(cpu.seg_selector[CS])), ("flags", flags)]
    base = int(cpu.seg_base[SS])
    frame = tuple(Pushed(base + (sp - 6 + 2 * n & 0xFFFF), name, value, 4) for n, (name, value) in enumerate(values))
    steps.say("pushes flags, cs, ip; clears IF, TF, AC")
    return goes_on(steps, session, gate, frame)


def protected(session, steps: Steps, vector: int, code: int | None, software: bool, after: int) -> tuple[Pushed, ...]:
    cpu = session.cpu
    _, long, size = vectors.shape(cpu)
    at, limit, cpl = int(cpu.idtr_base) + vector * size, int(cpu.idtr_limit), int(cpu.cpl)
    steps.check(
        vector * size + size - 1 <= limit,
        f"gate {vector} at {at:#x} is within the IDT's limit {limit:#x}",
        f"gate {vector} at {at:#x} lies beyond the IDT's limit {limit:#x}",
    )
    gate, data = vectors.gate(session, vector), session.read(at, size)
    steps.check(gate is not None and data is not None, f"it holds {(data or b'').hex(' ')}", f"{at:#x} is not mapped")
    assert gate is not None and data is not None
    kind = data[5] & 31
    known = kind in ((14, 15) if long else vectors.GATES)
    steps.check(known, f"type {kind:x}: {gate.kind}", f"type {kind:x} is no gate for events{' in IA-32e mode' if long else ''}")
    if software:
        steps.check(
            gate.dpl >= cpl, f"DPL {gate.dpl} >= CPL {cpl}: INT n may use it", f"DPL {gate.dpl} < CPL {cpl}: INT n may not use it: #GP"
        )
    else:
        steps.say(f"DPL {gate.dpl} counts for INT n only")
    steps.check(gate.present, "P 1: present", "P 0: not present: #NP")
    if kind == TASK_GATE:
        steps.say(f"a task gate: the CPU switches to the task of TSS {gate.selector:04x}, and pushes only an error code")
        return ()
    ring = code_segment(session, steps, gate, long)
    return frame_of(session, steps, gate, kind, ring, long, code, software, after)


def code_segment(session, steps: Steps, gate: vectors.Gate, long: bool) -> int | None:
    """Checks it; the inner ring that it leads to, None if the ring stays."""
    selector, cpl = gate.selector, int(session.cpu.cpl)
    name, base, limit = table_of(session.cpu, selector)
    steps.check(
        bool(selector & INDEX), f"selector {selector:04x}: entry {selector >> 3} of the {name}", f"selector {selector:04x} is null: #GP"
    )
    value = descriptor(session, selector)
    steps.check(
        value is not None,
        f"its descriptor at {base + (selector & INDEX):#x} is within the limit {limit:#x}",
        f"beyond the {name}'s limit {limit:#x}, or not mapped",
    )
    assert value is not None
    text = views.segment_type(value >> 40 & 0xF0FF)
    steps.check(value >> 43 & 3 == 3, text, f"{text}: no code segment: #GP")
    dpl = value >> 45 & 3
    steps.check(dpl <= cpl, f"its DPL {dpl} <= CPL {cpl}", f"its DPL {dpl} > CPL {cpl}: events never go to an outer ring: #GP")
    steps.check(bool(value >> 47 & 1), "it is present", "it is not present: #NP")
    if long:
        steps.check(value >> 53 & 3 == 1, "L 1, D 0: 64-bit code", "no 64-bit code segment, which IA-32e mode wants: #GP")
    return inner_ring(session, selector)


def frame_of(session, steps: Steps, gate, kind: int, ring: int | None, long: bool, code, software: bool, after: int) -> tuple[Pushed, ...]:
    """The stack that is taken, and what is pushed there."""
    cpu = session.cpu
    flags = int(get_rflags(cpu))
    size = 8 if long else 4 if kind >= 14 else 2
    old = [("ss", int(cpu.seg_selector[SS])), ("esp" if size == 4 else "rsp" if long else "sp", int(cpu.gpr[RSP]))]
    top, base, where = stack_of(session, gate, ring, long)
    steps.check(top is not None, where, where)
    assert top is not None
    fault = not software and (gate.first in TRAPS and TRAPS[gate.first].kind == "fault")
    pushed_flags = flags | RF if fault else flags
    prefix = "r" if long else "e" if size == 4 else ""
    values = [(f"{prefix}ip", int(cpu.rip) + after), ("cs", int(cpu.seg_selector[CS])), (f"{prefix}flags", pushed_flags)]
    if long or ring is not None:
        values += [old[1], old[0]]
    if flags & VM:
        values += [(registers.SEGMENTS[n], int(cpu.seg_selector[n])) for n in map(registers.SEGMENTS.index, ("es", "ds", "fs", "gs"))]
    if code is not None:
        values.insert(0, ("error code", code))
    bottom = top - size * len(values)
    mask = (1 << 8 * size) - 1
    frame = tuple(
        Pushed(base + (bottom + n * size & (mask if long or size == 4 else 0xFFFF)), name, value & mask, 2 * size)
        for n, (name, value) in enumerate(values)
    )
    steps.say(f"pushes {', '.join(name for name, _ in reversed(values))}: {size} bytes each")
    room(session, steps, frame, ring)
    steps.say(f"clears TF, NT, RF, VM{', and IF: an interrupt gate' if kind in INTERRUPT_GATES else '; a trap gate leaves IF'}")
    return goes_on(steps, session, gate, frame, ring)


def room(session, steps: Steps, frame: tuple[Pushed, ...], ring: int | None) -> None:
    """Whether the pages of the frame can be written by the ring of the handler."""
    user = (int(session.cpu.cpl) if ring is None else ring) == 3
    for address in sorted({frame[0].address, frame[-1].address}):
        found = verdict(session.cpu, walk(session, address), "write", user)
        if not found.allowed:
            steps.check(False, "", f"{address:#x} cannot be written: {found.rule}: #PF")
    steps.done.append(Step(f"the stack can be written, from {frame[0].address:#x} up", True))


def stack_of(session, gate, ring: int | None, long: bool) -> tuple[int | None, int, str]:
    """(stack pointer before the pushes or None, base of its segment, words)."""
    cpu = session.cpu
    rsp, tss, limit = int(cpu.gpr[RSP]), int(cpu.seg_base[TR]), int(cpu.seg_limit[TR])
    if long:
        if not gate.ist and ring is None:
            return rsp & ~15, 0, f"the stack stays: rsp {rsp:x}, aligned to 16 bytes"
        name, offset = (f"IST{gate.ist}", 28 + 8 * gate.ist) if gate.ist else (f"RSP{ring}", 4 + 8 * (ring or 0))
        data = session.read(tss + offset, 8) if offset + 7 <= limit else None
        if data is None:
            return None, 0, f"{name} of the TSS cannot be read: #TS or #PF"
        top = int.from_bytes(data, "little")
        return top & ~15, 0, f"the stack is {name} of the TSS: {top:x}, aligned to 16 bytes"
    if ring is None:
        top = rsp & (0xFFFFFFFF if int(cpu.stack_bits) == 32 else 0xFFFF)
        return top, int(cpu.seg_base[SS]), f"ring {int(cpu.cpl)} stays, and so does the stack: {int(cpu.seg_selector[SS]):04x}:{top:08x}"
    wide = bool(int(cpu.seg_attr[TR]) & 8)
    offset, width = (4 + 8 * ring, 6) if wide else (2 + 4 * ring, 4)
    data = session.read(tss + offset, width) if offset + width - 1 <= limit else None
    if data is None:
        return None, 0, f"the stack of ring {ring} in the TSS cannot be read: #TS or #PF"
    top, selector = int.from_bytes(data[: width - 2], "little"), int.from_bytes(data[-2:], "little")
    value = descriptor(session, selector) if selector & INDEX else None
    if value is None:
        return None, 0, f"SS{ring} of the TSS, {selector:04x}, has no descriptor: #TS"
    if value >> 54 & 1 == 0:
        top &= 0xFFFF
    if segment_limit(value) < 8 and not value >> 42 & 1:
        return None, 0, f"the stack segment {selector:04x} has no room: #SS"
    base = value >> 16 & 0xFFFFFF | value >> 32 & 0xFF000000
    return (
        top,
        base,
        f"ring {int(cpu.cpl)} → {ring}: the stack is SS{ring}:ESP{ring} of the TSS at {tss + offset:#x}: {selector:04x}:{top:08x}",
    )


def goes_on(steps: Steps, session, gate, frame: tuple[Pushed, ...], ring: int | None = None) -> tuple[Pushed, ...]:
    linear = gate.offset if gate.kind else 16 * gate.selector + gate.offset
    near = session.symbols.near(linear)
    steps.say(f"goes on at {gate.place}{f' {near}' if near else ''}{f' in ring {ring}' if ring is not None else ''}")
    return frame
