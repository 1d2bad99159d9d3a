"""Guest memory as meanings see it: segment, linear, physical; the software TLB; slots for accesses that need care.

    seg:offset --segment_check()--> linear address --locate()--> host address of the bytes

An access that crosses a page never matches a TLB entry, nor does one that touches a device, code, a page table or a
watched page, nor the first write to a page whose D bit is clear: those go through slots.py, and the driver sees to it that
the instruction is run again for that.
"""

from isa.lang.struct import words8
from isa.lang.word import U8, U64, outlined
from vmdbg.machine.code_pages import touches_code
from vmdbg.machine.debug import data_breakpoint
from vmdbg.machine.paging import CLEAN, translate
from vmdbg.machine.physical import ABSENT, PAGE_CODE, PAGE_DEVICE, PAGE_WATCHED, backing, mark_dirty, phys_mark
from vmdbg.machine.segmentation import segment_check
from vmdbg.machine.slots import slot
from vmdbg.machine.state import CR0_AM, CR0_PG, F_AC, RSP, SLOW, Shared, TlbEntry
from vmdbg.machine.tlb import ENTRIES, note_filled, protect
from vmdbg.machine.watch import MEMORY, near

READ, WRITE = False, True
PAGE_MASK = 0xFFF


def entry_of(bank, linear):
    return TlbEntry(bank + (((linear >> 12) & (ENTRIES - 1)) << 5))


def locate(cpu, linear, size, write):
    """Host address of size bytes at a linear address, with the rights of CPL; 0: a fault is left (in cpu.vector: perhaps SLOW).

    `write` says whether the bytes will be written (and were not read from a device).
    """
    entry = entry_of(cpu.tlb, linear)
    page = entry.write if write else entry.read
    if page == ((linear + (size - 1)) & ~U64(PAGE_MASK)):
        return linear + entry.addend
    return locate_slow(cpu, linear, size, write, not write, False)


def locate_rw(cpu, linear, size):
    """As locate, for an operand that is read and then written."""
    entry = entry_of(cpu.tlb, linear)
    if entry.write == ((linear + (size - 1)) & ~U64(PAGE_MASK)):
        return linear + entry.addend
    return locate_slow(cpu, linear, size, True, True, False)


def access_system(cpu, linear, size, write):
    """As locate, for implicit supervisor accesses: GDT, IDT, LDT, TSS, stacks of an inner level."""
    entry = entry_of(cpu.tlb_system, linear)
    page = entry.write if write else entry.read
    if page == ((linear + (size - 1)) & ~U64(PAGE_MASK)):
        return linear + entry.addend
    return locate_slow(cpu, linear, size, write, True, True)


def access_linear(cpu, linear, size, write):
    """As locate, with the alignment check."""
    if misaligned(cpu, linear, size):
        return U64(0)
    return locate(cpu, linear, size, write)


@outlined
def access(cpu, seg, offset, size, write):
    """Host address of size bytes at seg:offset (offset already cut to the address size): all checks; 0: a fault is left."""
    ok, linear = segment_check(cpu, U64(seg), offset, size, write)
    if not ok:
        return U64(0)
    if misaligned(cpu, linear, size):
        return U64(0)
    return locate(cpu, linear, size, write)


@outlined
def access_rw(cpu, seg, offset, size):
    """As access, for bytes that are read and then written."""
    ok, linear = segment_check(cpu, U64(seg), offset, size, WRITE)
    if not ok:
        return U64(0)
    if misaligned(cpu, linear, size):
        return U64(0)
    return locate_rw(cpu, linear, size)


def misaligned(cpu, linear, size):
    """Leaves #AC(0) if CR0.AM, RFLAGS.AC and CPL 3 ask for it (SDM vol. 3, 6.15)."""
    if cpu.cpl == 3 and (cpu.eflags & F_AC) != 0 and (cpu.cr0 & CR0_AM) != 0:
        if (linear & (size - 1)) != 0 and (size & (size - 1)) == 0 and size <= 8:
            alignment_fault(cpu)
            return True
    return False


def alignment_fault(cpu):
    cpu.vector = U64(17)
    cpu.error_code = U64(0)
    cpu.has_error = U64(1)


@outlined
def locate_slow(cpu, linear, size, write, read, implicit):
    """The TLB did not match: walk and fill it, or go through a slot."""
    user = cpu.cpl == 3 and not implicit
    if (cpu.dr[7] & 0xFF) != 0 and not implicit:
        cpu.data_hits = cpu.data_hits | data_breakpoint(cpu, linear, size, write)
    if ((linear ^ (linear + (size - 1))) >> 12) != 0:
        return slot(cpu, linear, size, write, read, user, implicit)
    bank = cpu.tlb
    if implicit:
        bank = cpu.tlb_system
    clean = False
    if (cpu.cr0 & CR0_PG) == 0:
        pa = linear & 0xFFFFFFFF
    else:
        ok, pa = translate(cpu, linear, write, user, False, implicit)
        if not ok:
            return U64(0)
        clean = cpu.clean_entry != U64(CLEAN)
    pa = pa & cpu.a20_mask
    if cpu.write_epoch != Shared(cpu.shared).write_epoch:
        protect(cpu)
        cpu.vector = U64(SLOW)  # an address found before may have lost its right: the instruction begins anew
        return U64(0)
    at = backing(cpu, pa)
    if at == U64(ABSENT) or clean:
        return slot(cpu, linear, size, write, read, user, implicit)
    flags = words8(cpu.page_flags)[at >> 12]
    if (flags & PAGE_DEVICE) != 0:
        return slot(cpu, linear, size, write, read, user, implicit)
    watched, touched = False, False
    if (cpu.watching & MEMORY) != 0:
        watched, touched = near(cpu, linear, at, size, write, read)
        if watched:
            phys_mark(cpu, at, U8(PAGE_WATCHED))  # so that what is done in bulk goes granule by granule
    if touched:
        return slot(cpu, linear, size, write, read, user, implicit)
    flags = flags & ~U8(PAGE_WATCHED)
    if write and flags != 0:
        if flags != PAGE_CODE or touches_code(cpu, at, size):
            return slot(cpu, linear, size, write, read, user, implicit)
        mark_dirty(cpu, at)
        return cpu.ram + at
    if write:
        mark_dirty(cpu, at)
    if watched or bank == cpu.tlb_none:
        return cpu.ram + at
    entry = entry_of(bank, linear)
    page = linear & ~U64(PAGE_MASK)
    if entry.read != page:
        entry.write = ~U64(0)
        note_filled(cpu, entry.address)
    entry.read = page
    entry.addend = cpu.ram + (at & ~U64(PAGE_MASK)) - page
    if write:
        entry.write = page
    return cpu.ram + at


def stack_offset(cpu, rsp):
    """A stack address cut to the stack's address size."""
    if cpu.stack_bits == 64:
        return rsp
    if cpu.stack_bits == 32:
        return rsp & 0xFFFFFFFF
    return rsp & 0xFFFF


def set_rsp(cpu, value):
    """Write RSP, ESP (upper half cleared) or SP (the rest kept), by the stack's address size."""
    if cpu.stack_bits == 64:
        cpu.gpr[RSP] = value
    elif cpu.stack_bits == 32:
        cpu.gpr[RSP] = value & 0xFFFFFFFF
    else:
        cpu.gpr[RSP] = (cpu.gpr[RSP] & ~U64(0xFFFF)) | (value & 0xFFFF)
