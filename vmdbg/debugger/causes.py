"""Why the CPU shut down: the chain of events that ended in a triple fault, and the rule that each delivery broke.

The machine keeps the chain (cpu.chain_*); delivery.py looks at each of them again.
"""

from vmdbg.debugger.delivery import PAGE_FAULT, broken_rule
from vmdbg.debugger.traps import SELECTOR_ERRORS, TRAPS, page_fault, selector_error

DOUBLE_FAULT, IN_IDT = 8, 2  # IN_IDT: of an error code
WITH_ERROR_CODE = {8, 10, 11, 12, 13, 14, 17}


def triple_fault(session) -> list[str]:
    """A line for each event of the chain: what it was and where, and why it could not be delivered."""
    cpu = session.cpu
    chain = [(int(cpu.chain_vector[n]), int(cpu.chain_error[n]), int(cpu.chain_address[n])) for n in range(min(int(cpu.chain_length), 8))]
    if not chain:
        return []
    lines = [f"  {event(*chain[0])} at {instruction(session)}{refused(session, *chain[0])}"]
    for (vector, _, _), (new, error, address) in zip(chain, chain[1:]):
        if new == DOUBLE_FAULT:
            lines.append("  -> two such faults in a row are one double fault, 8 #DF (SDM vol. 3, table 6-5)")
        else:
            lines.append(f"  -> not delivered: {broken_rule(session, vector, new, error, address)}, so {event(new, error, address)}")
    return [*lines, "  -> a fault while #DF is delivered shuts the CPU down"]


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


def instruction(session) -> str:
    """Where the first event happened: '00100000 start+0x12: ud2'."""
    found = session.listing.from_address(session.rip, 1)
    near = session.symbols.near(session.rip)
    place = (found[0].place if found else f"{session.rip:#x}") + (f" {near}" if near else "")
    return f"{place}: {found[0].text}" if found else place


def refused(session, vector: int, error: int, address: int) -> str:
    """For an INT n that its own gate refuses: which rule that was."""
    if vector not in SELECTOR_ERRORS or not error & IN_IDT or error & 1:
        return ""
    return f": {broken_rule(session, error >> 3 & 0xFF, vector, error, address, software=True)}"
