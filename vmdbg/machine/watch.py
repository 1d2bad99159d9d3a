"""Stops that the debugger asks for and the guest cannot see: watched memory, changes of ring and mode, classes of instructions.

    Shared.watches: Watch, Watch, ...          Cpu.watching: bit 0 memory is watched, bit 1 changes of mode
    access -> near a watch? -> no TLB entry -> its 64 bytes touched? -> slots -> exact? -> Cpu.watch_hit -> the driver stops

A page with a watch on it gets no TLB entry for what is watched, so that every access to it is looked at; one that stays
away from the watched bytes' granules (64 bytes, as for translated code) goes on directly.  A watchpoint stops after the
instruction, like the CPU's own; the driver sees it before it does anything else.
"""

from isa.lang.word import U64, outlined
from vmdbg.machine.state import CR0_PE, CR0_PG, EFER_LMA, F_VM, Shared, Watch

WATCH_READ, WATCH_WRITE, WATCH_PHYSICAL = 1, 2, 4  # in Watch.kind
MEMORY, MODES = 1, 2  # in Cpu.watching
GRANULE = 64
WATCH_SIZE = Watch.size
MODE_CPL, MODE_PROTECTED, MODE_V86, MODE_PAGING, MODE_LONG, MODE_64 = 3, 4, 8, 16, 32, 64  # in the word that mode_word gives


def watch_at(shared, n):
    return Watch(shared.watches + n * WATCH_SIZE)


def overlap(w, first, last):
    return first <= w.last and w.first <= last


@outlined
def near(cpu, linear, at, size, write, read):
    """(no TLB entry may be made, its granules are watched) for an access within one page: linear address, backing offset `at`.

    A right to write comes with the right to read, so a page that is watched for either gets none.
    """
    shared = Shared(cpu.shared)
    page, touched = False, False
    kind, k = U64(0), U64(0)
    if write:
        kind = kind | WATCH_WRITE
    if read:
        kind = kind | WATCH_READ
    while k < shared.watch_count:
        w = watch_at(shared, k)
        if write or (w.kind & WATCH_READ) != 0:
            where = at if (w.kind & WATCH_PHYSICAL) != 0 else linear
            start = where & ~U64(0xFFF)
            if overlap(w, start, start + 0xFFF):
                page = True
                if (w.kind & kind) != 0 and overlap(w, where & ~U64(GRANULE - 1), (where + size - 1) | (GRANULE - 1)):
                    touched = True
        k = k + 1
    return page, touched


@outlined
def note(cpu, linear, at, size, write):
    """An access to `size` bytes at a linear address and backing offset `at` happens: remember it if it is the first watched one."""
    shared = Shared(cpu.shared)
    kind, k = U64(WATCH_READ), U64(0)
    if write:
        kind = U64(WATCH_WRITE)
    while k < shared.watch_count and cpu.watch_hit == 0:
        w = watch_at(shared, k)
        if (w.kind & kind) != 0:
            where = at if (w.kind & WATCH_PHYSICAL) != 0 else linear
            if overlap(w, where, where + size - 1):
                cpu.watch_hit = k + 1
                cpu.watch_linear, cpu.watch_physical, cpu.watch_size = linear, at, size
                cpu.watch_write = U64(write)
        k = k + 1


def note_walk(cpu, at, size):
    """A page walk writes an entry at backing offset `at`."""
    if (cpu.watching & MEMORY) == 0:
        return
    shared, k = Shared(cpu.shared), U64(0)
    while k < shared.watch_count and cpu.watch_hit == 0:
        w = watch_at(shared, k)
        if (w.kind & (WATCH_WRITE | WATCH_PHYSICAL)) == (WATCH_WRITE | WATCH_PHYSICAL) and overlap(w, at, at + size - 1):
            cpu.watch_hit = k + 1
            cpu.watch_linear, cpu.watch_physical, cpu.watch_size = ~U64(0), at, size
            cpu.watch_write = U64(1)
        k = k + 1


def mode_word(cpu):
    """CPL and what decides the mode, as MODE_* bits."""
    word = U64(cpu.cpl)
    if (cpu.cr0 & CR0_PE) != 0:
        word = word | MODE_PROTECTED
    if (cpu.eflags & F_VM) != 0:
        word = word | MODE_V86
    if (cpu.cr0 & CR0_PG) != 0:
        word = word | MODE_PAGING
    if (cpu.efer & EFER_LMA) != 0:
        word = word | MODE_LONG
    if cpu.bits == 64:
        word = word | MODE_64
    return word


def mode_changed(cpu):
    """Whether the mode word is not what was seen last; both stay in the CPU for who wants to know."""
    now = mode_word(cpu)
    if now == cpu.mode_seen:
        return False
    cpu.mode_before, cpu.mode_seen = cpu.mode_seen, now
    return True
