"""Exceptions and interrupts by number and name (SDM vol. 3, table 6-1), and their error codes in words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trap:
    vector: int
    name: str  # as the manual writes it, without '#'
    title: str
    kind: str  # fault, trap, abort, interrupt


TRAPS = {
    t.vector: t
    for t in (
        Trap(0, "DE", "divide error", "fault"),
        Trap(1, "DB", "debug exception", "trap"),
        Trap(2, "NMI", "non-maskable interrupt", "interrupt"),
        Trap(3, "BP", "breakpoint", "trap"),
        Trap(4, "OF", "overflow", "trap"),
        Trap(5, "BR", "BOUND range exceeded", "fault"),
        Trap(6, "UD", "invalid opcode", "fault"),
        Trap(7, "NM", "device not available", "fault"),
        Trap(8, "DF", "double fault", "abort"),
        Trap(10, "TS", "invalid TSS", "fault"),
        Trap(11, "NP", "segment not present", "fault"),
        Trap(12, "SS", "stack-segment fault", "fault"),
        Trap(13, "GP", "general protection", "fault"),
        Trap(14, "PF", "page fault", "fault"),
        Trap(16, "MF", "x87 floating-point error", "fault"),
        Trap(17, "AC", "alignment check", "fault"),
        Trap(18, "MC", "machine check", "abort"),
        Trap(19, "XM", "SIMD floating-point exception", "fault"),
        Trap(20, "VE", "virtualization exception", "fault"),
        Trap(21, "CP", "control protection exception", "fault"),
    )
}
BY_NAME = {t.name: t.vector for t in TRAPS.values()}
SELECTOR_ERRORS = {10, 11, 12, 13}


def name(vector: int) -> str:
    """'#PF' for 14, '80' for 0x80: what a column has room for."""
    return f"#{TRAPS[vector].name}" if vector in TRAPS else f"{vector:02x}"


def describe(vector: int, error_code: int | None = None, address: int | None = None) -> str:
    """One line: '14 #PF: read of 0xdeadb000 in ring 3, page not present', '6 #UD invalid opcode'."""
    known = TRAPS.get(vector)
    if known is None:
        return f"{vector} ({vector:#04x}) interrupt"
    if vector == 14 and error_code is not None:
        return f"{vector} #{known.name}: {page_fault(error_code, address)}"
    if vector in SELECTOR_ERRORS and error_code:
        return f"{vector} #{known.name} {known.title}: {selector_error(error_code)}"
    return f"{vector} #{known.name} {known.title}"


def page_fault(error_code: int, address: int | None = None) -> str:
    """A page fault's error code (SDM vol. 3, 4.7) in words."""
    access = "fetch" if error_code & 16 else "write" if error_code & 2 else "read"
    where = "" if address is None else f" of {address:#x}"
    who = "in ring 3" if error_code & 4 else "by the supervisor"
    why = "reserved bit set" if error_code & 8 else "not permitted" if error_code & 1 else "page not present"
    return f"{access}{where} {who}, {why}"


def selector_error(error_code: int) -> str:
    """A selector error code (SDM vol. 3, 6.13) in words."""
    index = error_code >> 3 & 0x1FFF
    table = f"IDT gate {index:#04x}" if error_code & 2 else f"{'LDT' if error_code & 4 else 'GDT'} selector {error_code & 0xFFFC:#06x}"
    return f"{table}{', while delivering an external event' if error_code & 1 else ''}"
