"""Which rule stopped the delivery of an event: the CPU's way through gate, code segment, stack and handler, looked at again
in its own order (SDM vol. 2, INT n; vol. 3, 6.12 and 6.14).

Nothing was delivered, so tables and stack are still what they were.  Each rule names the bytes of memory that decided it: whoever
wrote them last is the cause.
"""

from dataclasses import dataclass

from vmdbg.debugger import vectors
from vmdbg.debugger.walk import bits, walk
from vmdbg.machine.state import A_DB, A_UNUSABLE, CS, LDTR, RSP, SS, TR

INVALID_TSS, NOT_PRESENT, STACK_FAULT, GENERAL_PROTECTION, PAGE_FAULT = 10, 11, 12, 13, 14
INDEX, TI = 0xFFF8, 4  # of a selector
TASK_GATE = 5
GATE_TYPES = {False: (5, 6, 7, 14, 15), True: (14, 15)}  # by IA-32e mode: SDM vol. 3, table 3-2 and 6.14.1
FREE_TSS = (1, 9)
WORD, HIGH = (1 << 64) - 1, 0xFFFF_8000_0000_0000


@dataclass(frozen=True)
class Broken:
    """A rule in words, and the `size` bytes at `at` that decided it (linear or physical); at is None where it was a register."""

    text: str
    at: int | None = None
    size: int = 0
    physical: bool = False


def unmapped(session, text: str, address: int) -> Broken:
    """What cannot be reached because of the page walk of an address: its last entry decides."""
    levels = walk(session, address).levels
    if not levels:
        return Broken(text)
    return Broken(f"{text}{why_not(session, address)}", levels[-1].at, 8 if int(session.cpu.cr4) & 0x20 else 4, True)


def broken_rule(session, vector: int, fault: int, error: int, address: int, software: bool = False) -> Broken:
    """What stood in the way of delivering `vector`: it raised `fault` with `error`, for #PF at `address`.

    `software`: INT n, for which the gate's DPL counts.
    """
    cpu = session.cpu
    real, long, size = vectors.shape(cpu)
    base, limit = int(cpu.idtr_base), int(cpu.idtr_limit)
    table, entry = ("IVT", "entry") if real else ("IDT", "gate")
    if vector * size + size - 1 > limit:
        return Broken(f"{entry} {vector} lies beyond the {table}'s limit of {limit:#x}")
    at = base + vector * size
    data = session.read(at, size)
    if fault == PAGE_FAULT and at <= address < at + size or data is None:
        return unmapped(session, f"{entry} {vector} at {at:#x} itself is not mapped", address)
    if real:
        return broken_real(session, vector, at, fault)
    value = int.from_bytes(data, "little")
    kind, selector, where = value >> 40 & 31, value >> 16 & 0xFFFF, f"gate {vector} at {at:#x}"
    if not value:
        return Broken(f"{where} is empty", at, size)
    if kind not in GATE_TYPES[long]:
        return Broken(f"{where} has type {kind}, which is no gate for events", at + 5, 1)
    if long and value >> 104 & 31:
        return Broken(f"{where} has type bits in its upper half, which must be 0", at + 13, 1)
    dpl = value >> 45 & 3
    if software and dpl < int(cpu.cpl):
        return Broken(f"{where} has DPL {dpl}: INT n in ring {int(cpu.cpl)} may not use it", at + 5, 1)
    if not value >> 47 & 1:
        return Broken(f"{where} is not present", at + 5, 1)
    if kind == TASK_GATE:
        return broken_task(session, vector, at + 2, selector, fault, address)
    wrong = broken_code(session, vector, at + 2, selector, long, fault, address)
    if wrong:
        return wrong
    wrong = (broken_long_stack if long else broken_stack)(session, vector, value, inner_ring(session, selector), fault, address)
    if wrong:
        return wrong
    offset = vectors.parsed(vector, value, real, long).offset
    if long:
        return Broken(f"the handler of gate {vector}, {offset:#x}, is not canonical", at, size)
    return Broken(f"the handler of gate {vector}, {offset:#x}, lies beyond its segment's limit", at, size)


def broken_real(session, vector: int, at: int, fault: int) -> Broken:
    """In real mode only the stack and the handler's offset are left."""
    cpu = session.cpu
    if fault == STACK_FAULT:
        return Broken(f"the stack has no room at sp {int(cpu.gpr[RSP]) & 0xFFFF:#x}")
    return Broken(f"entry {vector} leads beyond the limit of CS, {int(cpu.seg_limit[CS]):#x}", at, 2)


# ---- segments


def table_of(cpu, selector: int) -> tuple[str, int, int]:
    """(name, base, limit) of the table that a selector points into; an LDT that is not there has limit -1."""
    if not selector & TI:
        return "GDT", int(cpu.gdtr_base), int(cpu.gdtr_limit)
    there = not int(cpu.seg_attr[LDTR]) & A_UNUSABLE
    return "LDT", int(cpu.seg_base[LDTR]), int(cpu.seg_limit[LDTR]) if there else -1


def descriptor(session, selector: int) -> int | None:
    """The descriptor of a selector, None if it cannot be read."""
    _, base, limit = table_of(session.cpu, selector)
    data = session.read(base + (selector & INDEX), 8) if (selector & INDEX) + 7 <= limit else None
    return None if data is None else int.from_bytes(data, "little")


def unreadable(session, where: str, named: int, selector: int, fault: int, address: int) -> Broken | None:
    """What is wrong with the place of a descriptor, None if it can be read; `named`: where the selector is in memory."""
    name, base, limit = table_of(session.cpu, selector)
    at = base + (selector & INDEX)
    if not selector & INDEX:
        return Broken(f"{where}, which is null", named, 2)
    if (selector & INDEX) + 7 > limit:
        return Broken(
            f"{where}, beyond the {name}'s limit of {limit:#x}" if limit >= 0 else f"{where} of an LDT, and there is none", named, 2
        )
    if descriptor(session, selector) is None or fault == PAGE_FAULT and at <= address < at + 8:
        return unmapped(session, f"{where}, whose descriptor at {at:#x} cannot be reached", address)
    return None


def place_of(session, selector: int) -> int:
    """The linear address of the descriptor of a selector."""
    return table_of(session.cpu, selector)[1] + (selector & INDEX)


def broken_code(session, vector: int, named: int, selector: int, long: bool, fault: int, address: int) -> Broken | None:
    """What is wrong with the code segment that a gate leads to, None if nothing.

    A descriptor of the wrong kind is the fault of who chose the selector; one that is not present, of who wrote the descriptor.
    """
    where = f"gate {vector} leads to selector {selector:#06x}"
    if wrong := unreadable(session, where, named, selector, fault, address):
        return wrong
    d = descriptor(session, selector) or 0
    if not d >> 44 & 1 or not d >> 43 & 1:
        return Broken(f"{where}, which is no code segment", named, 2)
    if d >> 45 & 3 > int(session.cpu.cpl):
        return Broken(f"{where} of ring {d >> 45 & 3}, but events never go to an outer ring", named, 2)
    if not d >> 47 & 1:
        return Broken(f"{where}, which is not present", place_of(session, selector) + 5, 1)
    if long and d >> 53 & 3 != 1:
        return Broken(f"{where}, which is no 64-bit code segment", place_of(session, selector) + 6, 1)
    return None


def inner_ring(session, selector: int) -> int | None:
    """The ring of a handler if that is another one than now; None if it stays."""
    d, cpl = descriptor(session, selector) or 0, int(session.cpu.cpl)
    dpl = d >> 45 & 3
    return dpl if dpl < cpl and not d >> 42 & 1 else None


def broken_task(session, vector: int, named: int, selector: int, fault: int, address: int) -> Broken:
    where = f"task gate {vector} leads to selector {selector:#06x}"
    if selector & TI:
        return Broken(f"{where} in the LDT; a TSS is in the GDT", named, 2)
    if wrong := unreadable(session, where, named, selector, fault, address):
        return wrong
    d = descriptor(session, selector) or 0
    if d >> 40 & 31 not in FREE_TSS:
        return Broken(f"{where}, which is no TSS that is free", named, 2)
    if not d >> 47 & 1:
        return Broken(f"{where}, which is not present", place_of(session, selector) + 5, 1)
    return Broken(f"the switch to the task of {where.removeprefix('task ')} failed")


# ---- stacks


def broken_long_stack(session, vector: int, gate: int, ring: int | None, fault: int, address: int) -> Broken | None:
    """IST, the inner ring's stack, or where RSP is: five or six words below it, aligned to 16 bytes; None if there is room."""
    cpu = session.cpu
    ist, stack, name, place = gate >> 32 & 7, int(cpu.gpr[RSP]), "rsp", None
    if ist or ring is not None:
        name = f"IST{ist}" if ist else f"RSP{ring}"
        offset = 28 + 8 * ist if ist else 4 + 8 * (ring or 0)
        at, limit = int(cpu.seg_base[TR]) + offset, int(cpu.seg_limit[TR])
        if offset + 7 > limit:
            return Broken(f"the TSS ends before {name}, the stack for gate {vector} (limit {limit:#x})")
        data = session.read(at, 8)
        if data is None or fault == PAGE_FAULT and at <= address < at + 8:
            return unmapped(session, f"{name} in the TSS at {at:#x}, the stack for gate {vector}, cannot be reached", address)
        stack, place = int.from_bytes(data, "little"), at
    if fault == STACK_FAULT or not canonical(stack - 8 & WORD):
        return Broken(f"the stack at {name} = {stack:#x} is not canonical", place, 8 if place is not None else 0)
    if fault == PAGE_FAULT:
        return unmapped(session, f"the frame has no place on the stack at {name} = {stack:#x}", address)
    return None


def broken_stack(session, vector: int, gate: int, ring: int | None, fault: int, address: int) -> Broken | None:
    """The stack outside IA-32e mode: SS:ESP, or those of the inner ring in the TSS; None if there is room."""
    cpu = session.cpu
    selector, limit = int(cpu.seg_selector[SS]), int(cpu.seg_limit[SS])
    stack = int(cpu.gpr[RSP]) & (0xFFFFFFFF if int(cpu.stack_bits) == 32 else 0xFFFF)
    name, place = "ss:esp", None
    if ring is not None:
        wide = bool(int(cpu.seg_attr[TR]) & 8)
        offset, size, name = (4 + 8 * ring, 6, f"SS{ring}:ESP{ring}") if wide else (2 + 4 * ring, 4, f"SS{ring}:SP{ring}")
        at, end = int(cpu.seg_base[TR]) + offset, int(cpu.seg_limit[TR])
        if offset + size - 1 > end:
            return Broken(f"the TSS ends before {name}, the stack of the inner ring (limit {end:#x})")
        data = session.read(at, size)
        if data is None or fault == PAGE_FAULT and at <= address < at + size:
            return unmapped(session, f"{name} in the TSS at {at:#x} cannot be reached", address)
        stack, selector = int.from_bytes(data[: size - 2], "little"), int.from_bytes(data[-2:], "little")
        where, place = f"gate {vector} needs the stack {name}, selector {selector:#06x}", at
        if wrong := broken_stack_segment(session, where, at + size - 2, selector, ring, fault, address):
            return wrong
        limit = segment_limit(descriptor(session, selector) or 0)
    if fault == STACK_FAULT:
        down = "" if int(cpu.seg_attr[SS]) & A_DB else ", 16 bits"
        return Broken(
            f"the stack {name} = {selector:04x}:{stack:08x} has no room (limit {limit:#x}{down})", place, 4 if place is not None else 0
        )
    if fault == PAGE_FAULT:
        return unmapped(session, f"the frame has no place on the stack {name} = {selector:04x}:{stack:08x}", address)
    return None


def broken_stack_segment(session, where: str, named: int, selector: int, ring: int, fault: int, address: int) -> Broken | None:
    if wrong := unreadable(session, where, named, selector, fault, address):
        return wrong
    d = descriptor(session, selector) or 0
    if selector & 3 != ring:
        return Broken(f"{where}, whose RPL is not {ring}", named, 2)
    if not d >> 44 & 1 or d >> 43 & 1 or not d >> 41 & 1:
        return Broken(f"{where}, which is no writable data segment", named, 2)
    if d >> 45 & 3 != ring:
        return Broken(f"{where}, whose DPL is not {ring}", named, 2)
    if not d >> 47 & 1:
        return Broken(f"{where}, which is not present", place_of(session, selector) + 5, 1)
    return None


def segment_limit(d: int) -> int:
    limit = d & 0xFFFF | d >> 32 & 0xF0000
    return limit << 12 | 0xFFF if d >> 55 & 1 else limit


# ---- addresses


def canonical(address: int) -> bool:
    return address >> 47 in (0, HIGH >> 47)


def why_not(session, address: int) -> str:
    """': 0x1000 has no page, its PDE is not present' for what the page walk of an address ends with."""
    way = walk(session, address)
    if not way.levels:
        return ""
    last = way.levels[-1]
    return f": the page walk of {address:#x} ends with {last.name} {last.entry:#x}, {bits(last.entry)}"
