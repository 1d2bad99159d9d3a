"""What the software TLB holds (vmdbg/machine/tlb.py): translations of the current address space, by bank."""

import ctypes
from typing import NamedTuple

from vmdbg.machine.state import TlbEntry
from vmdbg.machine.tlb import BANK_SIZE, BANKS, CONTEXT_SIZE, ENTRIES

BANK_NAMES = ("supervisor", "user", "supervisor, SMAP overridden")
NONE, PAGE = (1 << 64) - 1, 0x1000


class Entry(NamedTuple):
    """Pages one after another that are translated alike."""

    bank: int
    linear: int
    physical: int  # an offset in memory: ROM lies behind RAM
    size: int
    write: bool


def tlb(cpu) -> list[Entry]:
    """In the order of banks and addresses."""
    base = int(cpu.tlb_contexts)
    if not base:
        return []
    found = []
    for bank in range(BANKS):
        start = base + int(cpu.context) * CONTEXT_SIZE + bank * BANK_SIZE
        words = (ctypes.c_uint64 * (ENTRIES * TlbEntry.size // 8)).from_address(start)
        first = (start - base) // TlbEntry.size
        for n in range(ENTRIES):
            if not int(cpu.tlb_filled[(first + n) >> 6]) >> ((first + n) & 63) & 1:
                continue
            read, write, addend = words[4 * n : 4 * n + 3]
            page = read if read != NONE else write
            if page != NONE:
                found.append(Entry(bank, page, page + addend - int(cpu.ram) & NONE, PAGE, write != NONE))
    return joined(sorted(found))


def joined(entries: list[Entry]) -> list[Entry]:
    found: list[Entry] = []
    for e in entries:
        if found:
            last = found[-1]
            together = (e.bank, e.write, e.linear, e.physical) == (
                last.bank,
                last.write,
                last.linear + last.size,
                last.physical + last.size,
            )
            if together:
                found[-1] = last._replace(size=last.size + e.size)
                continue
        found.append(e)
    return found
