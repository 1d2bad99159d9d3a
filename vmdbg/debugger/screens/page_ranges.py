"""What is mapped: the ranges of linear addresses that the paging structures map, with equal rights, as one row each."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vmdbg.machine.paging import ADDRESS, PTE_G, PTE_NX, PTE_P, PTE_PS, PTE_U, PTE_W
from vmdbg.machine.state import CR4_PAE, CR4_PSE, EFER_LMA

TABLES = 20_000  # paging structures that are read for one answer
RIGHTS = PTE_W | PTE_U


@dataclass(frozen=True)
class Range:
    """Linear `first` to `last`; `physical` is that of `first`, `scattered`: what follows does not follow there."""

    first: int
    last: int
    physical: int
    rights: str  # rwx u g: '-' where there is none
    page: int  # bytes of its pages; 0: of several sizes
    scattered: bool = False


Piece = tuple[int, int, int, int, int]  # linear, bytes, physical, rights (W, U, G and NX as in an entry), bytes of a page


class Reader:
    """Reads the structures of one CPU without touching them; `cut`: there were too many."""

    def __init__(self, session):
        self.machine, self.cpu = session.machine, session.cpu
        self.tables = 0
        self.cut = False

    def table(self, at: int, entries: int, size: int) -> np.ndarray:
        """No entries where there is no memory."""
        self.tables += 1
        if self.tables > TABLES:
            self.cut = True
            return np.zeros(0, np.uint64)
        data = self.machine.read_physical(at, entries * size)
        return np.frombuffer(data, f"<u{size}").astype(np.uint64) if data is not None else np.zeros(0, np.uint64)

    def pieces(self) -> Iterator[Piece]:
        cr3, cr4 = int(self.cpu.cr3), int(self.cpu.cr4)
        if not cr4 & CR4_PAE:
            yield from self.level(cr3 & 0xFFFFF000, 22, 0, RIGHTS, 0, 4, bool(cr4 & CR4_PSE))
        elif int(self.cpu.efer) & EFER_LMA:
            yield from self.level(cr3 & ADDRESS, 39, 0, RIGHTS, 0, 8, True)
        else:
            for n in range(4):
                entry = int(self.cpu.pdpte[n])
                if entry & PTE_P:
                    yield from self.level(entry & ADDRESS, 21, n << 30, RIGHTS, 0, 8, True)

    def level(self, at: int, shift: int, linear: int, rights: int, no_execute: int, size: int, large: bool) -> Iterator[Piece]:
        """The pieces below one structure, in the order of addresses."""
        table = self.table(at, 4096 // size, size)
        if shift == 12:
            yield from leaves(table, linear, rights, no_execute)
            return
        for n in np.flatnonzero(table & np.uint64(PTE_P)):
            entry = int(table[n])
            here = linear + (int(n) << shift)
            if here >> 47 & 1 and shift == 39:
                here |= 0xFFFF << 48
            both = rights & entry
            denied = no_execute | entry & PTE_NX
            if entry & PTE_PS and large and shift != 39:
                base = entry & 0xFFC00000 | (entry >> 13 & 0xFF) << 32 if size == 4 else entry & ADDRESS & ~((1 << shift) - 1)
                yield here, 1 << shift, base, both | denied | entry & PTE_G, 1 << shift
            else:
                yield from self.level(entry & ADDRESS, shift - (9 if size == 8 else 10), here, both, denied, size, large)


def leaves(table: np.ndarray, linear: int, rights: int, no_execute: int) -> Iterator[Piece]:
    """The pieces of a page table: neighbours with equal rights that follow each other in memory as one."""
    found = np.flatnonzero(table & np.uint64(PTE_P))
    if not len(found):
        return
    entries = table[found]
    address = entries & np.uint64(ADDRESS)
    kind = entries & np.uint64(RIGHTS | PTE_G | PTE_NX)
    new = (np.diff(found) != 1) | (np.diff(kind) != 0) | (np.diff(address) != 4096)
    starts = np.concatenate([[0], np.flatnonzero(new) + 1, [len(found)]])
    for a, b in zip(starts, starts[1:]):
        entry = int(kind[a])
        yield (
            linear + (int(found[a]) << 12),
            int(b - a) << 12,
            int(address[a]),
            entry & rights & RIGHTS | entry & PTE_G | no_execute | entry & PTE_NX,
            4096,
        )


def ranges(session) -> tuple[tuple[Range, ...], bool]:
    """What is mapped, by address; True: there is more than could be read."""
    reader = Reader(session)
    found: list[list] = []  # [linear, bytes, physical, rights, page, scattered]
    for linear, length, physical, rights, page in reader.pieces():
        last = found[-1] if found else None
        if last is not None and last[0] + last[1] == linear and last[3] == rights:
            last[5] = last[5] or last[2] + last[1] != physical
            last[1] += length
            last[4] = page if last[4] == page else 0
        else:
            found.append([linear, length, physical, rights, page, False])
    return tuple(Range(f[0], f[0] + f[1] - 1, f[2], words(f[3]), f[4], f[5]) for f in found), reader.cut


def words(rights: int) -> str:
    """'rw- u g'."""
    return (
        f"r{'w' if rights & PTE_W else '-'}{'-' if rights & PTE_NX else 'x'} "
        f"{'user' if rights & PTE_U else 'sup '}{' global' if rights & PTE_G else ''}"
    )
