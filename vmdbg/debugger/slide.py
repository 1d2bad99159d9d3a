"""How far a kernel moved itself away from the addresses of its symbol file: seen from where its CPU enters it.

The handlers in the IDT and the target of SYSCALL are known by name in a Linux System.map; the distance that most of them
agree on is the slide.
"""

from collections import Counter
from collections.abc import Iterator

from vmdbg.debugger.kallsyms import KERNEL, kernel_symbols
from vmdbg.debugger.symbols import WORD, Symbols

# What Linux calls the handlers of exceptions: since 5.8, before, and while it starts
HANDLERS = {
    0: ("asm_exc_divide_error", "divide_error"),
    1: ("asm_exc_debug", "debug"),
    3: ("asm_exc_int3", "int3"),
    6: ("asm_exc_invalid_op", "invalid_op"),
    13: ("asm_exc_general_protection", "general_protection"),
    14: ("asm_exc_page_fault", "page_fault"),
}
SYSCALL = ("entry_SYSCALL_64",)
EARLY, EARLY_SIZES = "early_idt_handler_array", (9, 13)  # bytes a handler, without and with ENDBR
PAGE, GATE = 0x1000, 16


def settled(session) -> Symbols:
    """The session's symbols where the guest has them now: moved by the slide that its CPU tells, or for a Linux kernel without
    symbols, which stands in its own code, those that it keeps of itself."""
    symbols = session.symbols
    if symbols.settled:
        return symbols
    if not symbols.table:
        found = kernel_symbols(session.machine.ram) if session.rip >= KERNEL else None
        return found or symbols
    slide = find_slide(session, symbols.moved(0))
    return symbols if slide is None or slide == symbols.slide else symbols.moved(slide, settled=False)


def find_slide(session, symbols: Symbols) -> int | None:
    """What is to be added to the addresses of `symbols` (as their file has them); None if the guest does not tell."""
    votes = Counter(slide for slide in slides(session, symbols) if slide % PAGE == 0)
    return votes.most_common(1)[0][0] if votes else None


def slides(session, symbols: Symbols) -> Iterator[int]:
    """The slide by every entry point that is set."""
    if lstar := int(session.cpu.lstar):
        yield from (lstar - symbols.table[name] & WORD for name in SYSCALL if name in symbols.table)
    early = symbols.table.get(EARLY)
    for vector, names in HANDLERS.items():
        handler = gate_target(session, vector)
        if not handler:
            continue
        known = [symbols.table[name] for name in names if name in symbols.table]
        if early is not None:
            known += [early + vector * size for size in EARLY_SIZES]
        yield from (handler - address & WORD for address in known)


def gate_target(session, vector: int) -> int | None:
    """The handler's address in a gate of a 64-bit IDT (SDM vol. 3, figure 6-8); None if there is no such gate."""
    cpu = session.cpu
    if not int(cpu.efer) & 0x400 or vector * GATE + GATE - 1 > int(cpu.idtr_limit):
        return None
    data = session.read(int(cpu.idtr_base) + vector * GATE, GATE)
    if data is None or not data[5] & 0x80:
        return None
    return int.from_bytes(data[:2] + data[6:12], "little")
