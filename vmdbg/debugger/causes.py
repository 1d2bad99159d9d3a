"""Why the CPU shut down: the chain of events that ended in a triple fault, and the rule that each delivery broke.

The machine keeps the chain (cpu.chain_*); delivery.py looks at each of them again.
"""

from dataclasses import dataclass

from vmdbg.debugger import vectors, views
from vmdbg.debugger.delivery import INDEX, PAGE_FAULT, Broken, broken_rule, descriptor, segment_limit
from vmdbg.debugger.devices.registers import Register, register
from vmdbg.debugger.traps import SELECTOR_ERRORS, TRAPS, page_fault, selector_error

DOUBLE_FAULT, IN_IDT = 8, 2  # IN_IDT: of an error code
WITH_ERROR_CODE = {8, 10, 11, 12, 13, 14, 17}
PAGE_FAULT_BITS = "P:0 W:1 U:2 RSVD:3 I:4"  # SDM vol. 3, 4.7
SELECTOR_BITS = "index:15:3 TI:2 IDT:1 EXT:0"  # SDM vol. 3, 6.13
CHAIN = 8  # links that the machine keeps
DOUBLE = "two such faults in a row are one double fault, 8 #DF (SDM vol. 3, table 6-5)"
END = "a fault while #DF is delivered shuts the CPU down"


@dataclass(frozen=True)
class Link:
    """One event of the chain, and what became of it."""

    vector: int
    name: str  # '13 #GP(0x10), GDT selector 0x0010'
    error: Register | None  # its error code by bits
    broken: Broken | None  # the rule that its delivery broke; None: there was no delivery, because ...
    outcome: str  # in words: that rule, or what was made of it instead
    gate: str = ""  # of its vector; '' if there is none to be seen
    descriptor: str = ""  # that the gate leads to


@dataclass(frozen=True)
class Autopsy:
    """`instruction` raised the first event at `position` in ring `ring`; `refused`: an INT n broke this rule of its own gate."""

    position: int
    instruction: str
    ring: int
    refused: Broken | None
    links: tuple[Link, ...]

    def causes(self) -> tuple[Broken, ...]:
        """The rules that were broken, each once."""
        found = ([self.refused] if self.refused else []) + [link.broken for link in self.links if link.broken]
        return tuple(dict.fromkeys(found))


def autopsy(session) -> Autopsy | None:
    """Of the CPU that stands before the reset; None if there is no chain."""
    cpu = session.cpu
    chain = [
        (int(cpu.chain_vector[n]), int(cpu.chain_error[n]), int(cpu.chain_address[n])) for n in range(min(int(cpu.chain_length), CHAIN))
    ]
    if not chain:
        return None
    links = [link(session, event_, after) for event_, after in zip(chain, [*chain[1:], None])]
    return Autopsy(session.position, instruction(session), int(cpu.cpl), refused(session, *chain[0]), tuple(links))


def link(session, event_: tuple[int, int, int], after: tuple[int, int, int] | None) -> Link:
    """An event as (vector, error code, address), with the one that came of it."""
    vector, error, address = event_
    facts = (vector, event(*event_), error_bits(vector, error))
    if after is None or after[0] == DOUBLE_FAULT:
        return Link(*facts, None, END if after is None else DOUBLE)
    broken = broken_rule(session, vector, *after)
    return Link(*facts, broken, broken.text, *tables(session, vector))


def triple_fault(session) -> list[str]:
    """A line for each event of the chain: what it was and where, and why it could not be delivered."""
    found = autopsy(session)
    if found is None:
        return []
    lines = [f"  {found.links[0].name} at {found.instruction}{f': {found.refused.text}' if found.refused else ''}"]
    for before, after in zip(found.links, found.links[1:]):
        lines.append(f"  -> not delivered: {before.outcome}, so {after.name}" if before.broken else f"  -> {before.outcome}")
    return [*lines, f"  -> {found.links[-1].outcome}"]


def event(vector: int, error: int, address: int) -> str:
    """'14 #PF(0x2), write of 0x1000 by the supervisor, page not present'."""
    if vector not in TRAPS:
        return f"interrupt {vector:#04x}"
    code = f"({error:#x})" if vector in WITH_ERROR_CODE else ""
    name = f"{vector} #{TRAPS[vector].name}{code}"
    if vector == PAGE_FAULT:
        return f"{name}, {page_fault(error, address)}"
    if vector in SELECTOR_ERRORS and error & ~1:
        return f"{name}, {selector_error(error & ~1)}"
    return name


def error_bits(vector: int, error: int) -> Register | None:
    """The error code of an exception that has one."""
    if vector not in WITH_ERROR_CODE:
        return None
    return register("error code", error, 2, PAGE_FAULT_BITS if vector == PAGE_FAULT else SELECTOR_BITS)


def tables(session, vector: int) -> tuple[str, str]:
    """The gate of a vector, and the descriptor that it leads to, as their bytes say."""
    gate = vectors.gate(session, vector)
    if gate is None:
        return "", ""
    if not gate.kind:
        return f"entry {vector}: {gate.place}", ""
    text = f"gate {vector}: {gate.kind} dpl {gate.dpl}, {gate.place}{'' if gate.present else ', not present'}"
    value = descriptor(session, gate.selector) if gate.selector & INDEX else None
    if value is None:
        return text, ""
    base = value >> 16 & 0xFFFFFF | value >> 32 & 0xFF000000
    return text, (f"{gate.selector:04x}: base {base:08x}, limit {segment_limit(value):08x}, {views.segment_type(value >> 40 & 0xF0FF)}")


def instruction(session) -> str:
    """Where the first event happened: '00100000 start+0x12: ud2'."""
    found = session.listing.from_address(session.rip, 1)
    near = session.symbols.near(session.rip)
    place = (found[0].place if found else f"{session.rip:#x}") + (f" {near}" if near else "")
    return f"{place}: {found[0].text}" if found else place


def refused(session, vector: int, error: int, address: int) -> Broken | None:
    """For an INT n that its own gate refuses: which rule that was."""
    if vector not in SELECTOR_ERRORS or not error & IN_IDT or error & 1:
        return None
    return broken_rule(session, error >> 3 & 0xFF, vector, error, address, software=True)
