"""Why the CPU shut down: the chain of events that ended in a triple fault, and the rule that each delivery broke.

The machine keeps the chain (cpu.chain_*); nothing was delivered, so tables and stack are still what they were.
"""

from vmdbg.debugger import registers
from vmdbg.debugger.traps import TRAPS, page_fault, selector_error
from vmdbg.machine.state import LDTR, TR

DOUBLE_FAULT, INVALID_TSS, NOT_PRESENT, STACK_FAULT, PAGE_FAULT = 8, 10, 11, 12, 14
INDEX, TI = 0xFFF8, 4  # of a selector
GATE_TYPES = {False: (5, 6, 7, 14, 15), True: (14, 15)}  # by IA-32e mode: SDM vol. 3, tables 3-2 and 6.14.1


def triple_fault(session) -> list[str]:
    """A line for each event of the chain: what it was, and why it could not be delivered."""
    cpu = session.cpu
    chain = [(int(cpu.chain_vector[n]), int(cpu.chain_error[n]), int(cpu.chain_address[n])) for n in range(min(int(cpu.chain_length), 8))]
    if not chain:
        return []
    found = session.listing.from_address(session.rip, 1)
    place = f" at {found[0].place}: {found[0].text}" if found else f" at {session.rip:#x}"
    lines = [f"  {event(*chain[0])}{place}"]
    for (vector, _, _), (new, error, address) in zip(chain, chain[1:]):
        if new == DOUBLE_FAULT:
            lines.append("  -> two such faults in a row are one double fault, #DF (SDM vol. 3, table 6-5)")
        else:
            lines.append(f"  -> not delivered: {broken_rule(session, vector, new, error, address)}, so {event(new, error, address)}")
    return [*lines, "  -> a fault while #DF is delivered shuts the CPU down"]


def event(vector: int, error: int, address: int) -> str:
    """'#PF (write of 0x1000 by the supervisor, page not present)'."""
    name = f"#{TRAPS[vector].name}" if vector in TRAPS else f"interrupt {vector:#04x}"
    if vector == PAGE_FAULT:
        return f"{name} ({page_fault(error, address)})"
    if vector in (INVALID_TSS, NOT_PRESENT, STACK_FAULT, 13) and error & ~1:
        return f"{name} ({selector_error(error & ~1)})"
    return name


def broken_rule(session, vector: int, fault: int, error: int, address: int) -> str:
    """What stood in the way of delivering `vector`, in the order in which the CPU looks (SDM vol. 2, INT n)."""
    cpu = session.cpu
    base, limit = int(cpu.idtr_base), int(cpu.idtr_limit)
    real, long = registers.mode(cpu) == "real", bool(int(cpu.efer) & 0x400)
    size = 4 if real else 16 if long else 8
    table, entry = ("IVT", "entry") if real else ("IDT", "gate")
    if vector * size + size - 1 > limit:
        return f"{entry} {vector} lies beyond the {table}'s limit of {limit:#x}"
    at = base + vector * size
    if fault == PAGE_FAULT:
        return f"{entry} {vector} itself is not mapped" if at <= address < at + size else f"{use_of(session, address)} is not accessible"
    data = session.read(at, size)
    if data is None or real:
        return "the stack has no room" if fault == STACK_FAULT else f"{entry} {vector} cannot be used"
    gate = int.from_bytes(data, "little")
    kind, selector = gate >> 40 & 31, gate >> 16 & 0xFFFF
    if kind not in GATE_TYPES[long]:
        return (
            f"gate {vector} at {at:#x} is empty" if not gate else f"gate {vector} at {at:#x} has type {kind}, which is no gate for events"
        )
    if not gate >> 47 & 1:
        return f"gate {vector} at {at:#x} is not present"
    if fault == INVALID_TSS and error & INDEX == int(cpu.seg_selector[TR]) & INDEX:
        return f"the TSS ends before the stack of the inner ring (limit {int(cpu.seg_limit[TR]):#x})"
    if fault in (INVALID_TSS, STACK_FAULT):
        return f"the stack that gate {vector} asks for cannot be used"
    return broken_code(session, vector, selector, long)


def use_of(session, address: int) -> str:
    """What the CPU wanted at an address while it delivered an event."""
    cpu = session.cpu
    for name, start, limit in (
        ("the GDT", int(cpu.gdtr_base), int(cpu.gdtr_limit)),
        ("the TSS", int(cpu.seg_base[TR]), int(cpu.seg_limit[TR])),
    ):
        if start <= address <= start + limit:
            return f"{name} at {address:#x}"
    return f"the stack at {address:#x}"


def broken_code(session, vector: int, selector: int, long: bool) -> str:
    """What is wrong with the code segment that a gate leads to."""
    cpu, where = session.cpu, f"gate {vector} leads to selector {selector:#06x}"
    if not selector & INDEX:
        return f"{where}, which is null"
    base, limit = table_of(cpu, selector)
    if (selector & INDEX) + 7 > limit:
        return f"{where}, beyond the {'LDT' if selector & TI else 'GDT'}'s limit of {limit:#x}"
    data = session.read(base + (selector & INDEX), 8)
    if data is None:
        return f"{where}, whose descriptor is not mapped"
    d = int.from_bytes(data, "little")
    if not d >> 44 & 1 or not d >> 43 & 1:
        return f"{where}, which is no code segment"
    if d >> 45 & 3 > int(cpu.cpl):
        return f"{where} of ring {d >> 45 & 3}, but events never go to an outer ring"
    if not d >> 47 & 1:
        return f"{where}, which is not present"
    if long and d >> 53 & 3 != 1:
        return f"{where}, which is no 64-bit code segment"
    return "the handler's address or the stack pointer is not canonical" if long else "the handler lies beyond its segment's limit"


def table_of(cpu, selector: int) -> tuple[int, int]:
    """(base, limit) of the table that a selector points into."""
    return (int(cpu.seg_base[LDTR]), int(cpu.seg_limit[LDTR])) if selector & TI else (int(cpu.gdtr_base), int(cpu.gdtr_limit))
