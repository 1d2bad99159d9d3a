"""The software TLB: derived state that is always coherent with the page tables (contract.md section 4).

    8 contexts (address spaces, by CR3)  x  3 banks (supervisor, user, supervisor with SMAP overridden)  x  512 entries

A page that is used as a page table, or from which code was translated, loses the right to be written directly; every
write to it is seen, and drops what depended on it.  So an address space keeps its entries while another is current.

cpu.tlb_filled says which entries hold something: dropping them costs what there is to drop, not what there could be.
"""

from isa.lang.struct import words8
from isa.lang.word import U64, outlined
from vmdbg.machine.state import CR0_AM, CR0_PG, CR4_PAE, CR4_SMAP, EFER_LMA, F_AC, Shared, TlbEntry

ENTRIES, BANKS, CONTEXTS = 512, 3, 8
SUPERVISOR, USER, OVERRIDE = 0, 1, 2
BANK_SIZE = ENTRIES * 32
CONTEXT_SIZE = BANKS * BANK_SIZE
SIZE = CONTEXTS * CONTEXT_SIZE
WORDS = BANKS * ENTRIES // 64  # of cpu.tlb_filled for each context


def address_space(cpu):
    """What distinguishes this address space from others, never 0: CR3's root, or that paging is off."""
    if (cpu.cr0 & CR0_PG) == 0:
        return U64(1)
    return (cpu.cr3 & ~U64(0xFFF)) | 2


def code_shape(cpu):
    """The mode word: what a translated block depends on besides its bytes."""
    bits = cpu.bits
    if bits == 64:
        return U64(2)
    if bits == 32:
        return U64(1)
    return U64(0)


def empty_context(cpu, n):
    """Forget all translations of context n, and the jump cache entries that go with them."""
    word = n * WORDS
    end = word + WORDS
    while word != end:
        filled = cpu.tlb_filled[word]
        cpu.tlb_filled[word] = U64(0)
        entry = cpu.tlb_contexts + (word << 11)
        while filled != 0:
            if (filled & 1) != 0:
                e = TlbEntry(entry)
                e.read = ~U64(0)
                e.write = ~U64(0)
            filled = filled >> 1
            entry = entry + 32
        word = word + 1
    cpu.stamp = cpu.stamp + 1
    cpu.context_stamp[n] = cpu.stamp


def note_filled(cpu, entry):
    """The entry at this address holds something from now on."""
    number = (entry - cpu.tlb_contexts) >> 5
    cpu.tlb_filled[number >> 6] = cpu.tlb_filled[number >> 6] | (U64(1) << (number & 63))


@outlined
def flush(cpu):
    """Forget all translations of this vCPU."""
    n = U64(0)
    while n < CONTEXTS:
        if cpu.context_key[n] != 0:
            cpu.context_key[n] = U64(0)
            empty_context(cpu, n)
        n = n + 1
    cpu.flush_epoch = Shared(cpu.shared).flush_epoch
    cpu.write_epoch = Shared(cpu.shared).write_epoch


@outlined
def protect(cpu):
    """Forget the right to write of every entry whose page has lost it."""
    word = U64(0)
    while word < CONTEXTS * WORDS:
        filled = cpu.tlb_filled[word]
        entry = cpu.tlb_contexts + (word << 11)
        while filled != 0:
            e = TlbEntry(entry)
            if (filled & 1) != 0 and e.write != ~U64(0):
                page = (e.write + e.addend - cpu.ram) >> 12
                if words8(cpu.page_flags)[page] != 0:
                    e.write = ~U64(0)
            filled = filled >> 1
            entry = entry + 32
        word = word + 1
    cpu.write_epoch = Shared(cpu.shared).write_epoch


@outlined
def find_context(cpu, space):
    """The number of the context of an address space; the oldest one is emptied if it has none."""
    n = U64(0)
    while n < CONTEXTS:
        if cpu.context_key[n] == space:
            return n
        n = n + 1
    n = cpu.next_context
    cpu.next_context = (n + 1) & (CONTEXTS - 1)
    cpu.context_key[n] = space
    empty_context(cpu, n)
    return n


@outlined
def refresh(cpu):
    """Bring what is derived from mode, privilege and address space up to date; the driver calls it when they may have changed."""
    shared = Shared(cpu.shared)
    if cpu.flush_epoch != shared.flush_epoch:
        flush(cpu)
    if cpu.write_epoch != shared.write_epoch:
        protect(cpu)
    space = address_space(cpu)
    n = cpu.context
    if cpu.context_key[n] != space:
        n = find_context(cpu, space)
        cpu.context = n
    limit = code_limit(cpu)
    if limit != cpu.code_limit:  # code beyond a limit must not be found: what the jump cache holds is looked up again
        cpu.code_limit = limit
        cpu.stamp = cpu.stamp + 1
        cpu.context_stamp[n] = cpu.stamp
    base = cpu.tlb_contexts + n * CONTEXT_SIZE
    bank = U64(SUPERVISOR)
    if cpu.cpl == 3:
        bank = U64(USER)
    elif (cpu.cr4 & CR4_SMAP) != 0 and (cpu.eflags & F_AC) != 0:
        bank = U64(OVERRIDE)
    cpu.tlb_system = base
    cpu.tlb = base + bank * BANK_SIZE
    if (cpu.dr[7] & 0xFF) != 0 or (cpu.cpl == 3 and (cpu.eflags & F_AC) != 0 and (cpu.cr0 & CR0_AM) != 0):
        cpu.tlb = cpu.tlb_none
    cpu.key = block_mode(cpu) | (U64(cpu.cpl == 3) << 34) | (cpu.context_stamp[n] << 36)


def code_limit(cpu):
    """The limit of CS where it counts: not in 64-bit mode."""
    if cpu.bits == 64:
        return U64(0)
    return cpu.seg_limit[1]


def block_mode(cpu):
    """Mode word and CS base, as blocks are keyed by."""
    shape = code_shape(cpu)
    if shape == 2:
        return shape << 32
    return (cpu.seg_base[1] & 0xFFFFFFFF) | (shape << 32)


def paging_mode_changed(cpu, cr0, cr4, efer):
    """Whether a change from these old values drops translations: the paging bits of CR0, CR4 and EFER."""
    return (
        ((cr0 ^ cpu.cr0) & (CR0_PG | 0x10000)) != 0
        or ((cr4 ^ cpu.cr4) & (CR4_PAE | CR4_SMAP | 0x100090)) != 0
        or ((efer ^ cpu.efer) & (EFER_LMA | 0x800)) != 0
    )
