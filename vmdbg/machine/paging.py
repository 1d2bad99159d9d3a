"""Paging: from linear to guest-physical address (SDM vol. 3, chapter 4): 32-bit, PAE and 4-level; LA57 is not offered.

    translate -- 4-level (IA-32e), PAE: 64-bit entries, walk64
              `- 32-bit: walk32
              `- off: the identity

A bits of all entries are set once the whole walk has succeeded, permissions included.  The D bit is set by whoever writes, when
nothing can fault any more (contract.md section 2): until then cpu.clean_entry says which entry lacks it.
"""

from isa.lang.word import U32, U64, outlined
from vmdbg.machine.faults import fault
from vmdbg.machine.physical import ABSENT, PHYSICAL_MASK, backing, phys_read32, phys_read64, phys_write32, phys_write64
from vmdbg.machine.state import (
    CR0_PG,
    CR0_WP,
    CR4_PAE,
    CR4_PSE,
    CR4_SMAP,
    CR4_SMEP,
    EFER_LMA,
    EFER_NXE,
    F_AC,
    PF,
)

# Page-fault error code (SDM vol. 3, 4.7)
PF_P, PF_W, PF_U, PF_RSVD, PF_I = 0x1, 0x2, 0x4, 0x8, 0x10
# Paging-structure entries (SDM vol. 3, 4.5)
PTE_P, PTE_W, PTE_U, PTE_A, PTE_D, PTE_PS, PTE_G = 0x1, 0x2, 0x4, 0x20, 0x40, 0x80, 0x100
PTE_NX = 1 << 63
CLEAN = 0xFFFFFFFFFFFFFFFF  # in cpu.clean_entry: no entry lacks its D bit
ADDRESS = PHYSICAL_MASK & ~0xFFF  # bits 51:12 that hold an address
BEYOND = 0x000FFFFFFFFFFFFF & ~PHYSICAL_MASK  # bits 51:MAXPHYADDR, reserved
PAE_BEYOND = 0x7FFFFFFFFFFFFFFF & ~PHYSICAL_MASK  # PAE paging also reserves 62:52
PDPTE_RESERVED = 0xFFFFFFFFFFFFFFFF & ~PHYSICAL_MASK | 0x1E6


def page_fault(cpu, linear, error):
    """Leave #PF for `linear`; the delivery moves cpu.fault_address to CR2.  Returns FAULT."""
    cpu.fault_address = linear
    return fault(cpu, PF, error)


def error_code(cpu, write, user, fetch):
    """The bits of a page fault's error code that the access itself decides."""
    error = U64(0)
    if write:
        error = error | PF_W
    if user:
        error = error | PF_U
    if fetch and ((cpu.cr4 & CR4_SMEP) != 0 or ((cpu.cr4 & CR4_PAE) != 0 and (cpu.efer & EFER_NXE) != 0)):
        error = error | PF_I
    return error


def permitted(cpu, rights, execute_disable, write, user, fetch, implicit):
    """Access rights (SDM vol. 3, 4.6.1): `rights` is the AND of the entries' R/W and U/S bits."""
    user_page = (rights & PTE_U) != 0
    writable = (rights & PTE_W) != 0
    if fetch and execute_disable:
        return False
    if user:
        return user_page and (writable or not write)
    if fetch:
        return not (user_page and (cpu.cr4 & CR4_SMEP) != 0)
    if user_page and (cpu.cr4 & CR4_SMAP) != 0 and (implicit or (cpu.eflags & F_AC) == 0):
        return False
    return writable or (not write) or (cpu.cr0 & CR0_WP) == 0


def walk64(cpu, linear, write, user, fetch, implicit):
    """4-level and PAE paging: (ok, physical)."""
    error = error_code(cpu, write, user, fetch)
    rights = U64(PTE_W | PTE_U)
    execute_disable = False
    long = (cpu.efer & EFER_LMA) != 0
    if long:
        table = cpu.cr3 & ADDRESS
        shift = U64(39)
        reserved = U64(BEYOND)
    else:
        pdpte = cpu.pdpte[(linear >> 30) & 3]
        if (pdpte & PTE_P) == 0:
            page_fault(cpu, linear, error)
            return False, linear
        table = pdpte & ADDRESS
        shift = U64(21)
        reserved = U64(PAE_BEYOND)
    if (cpu.efer & EFER_NXE) == 0:
        reserved = reserved | U64(PTE_NX)
    at0 = ~U64(0)  # entries above the leaf, whose A bits are to be set
    at1 = ~U64(0)
    at2 = ~U64(0)
    at = U64(0)
    entry = U64(0)
    leaf = False
    while not leaf:
        at = table + (((linear >> shift) & 511) << 3)
        entry = phys_read64(cpu, at)
        if (entry & PTE_P) == 0:
            page_fault(cpu, linear, error)
            return False, linear
        large = (entry & PTE_PS) != 0
        bad = entry & reserved
        if large and shift == 39:
            bad = U64(PTE_PS)
        elif large and shift == 30:
            bad = bad | (entry & 0x3FFFE000)
        elif large and shift == 21:
            bad = bad | (entry & 0x1FE000)
        if bad != 0:
            page_fault(cpu, linear, error | (PF_P | PF_RSVD))
            return False, linear
        rights = rights & entry
        execute_disable = execute_disable | ((entry & U64(PTE_NX)) != 0)
        leaf = large or shift == 12
        if not leaf:
            at0 = at1
            at1 = at2
            at2 = at
            table = entry & ADDRESS
            shift = shift - 9
    if not permitted(cpu, rights, execute_disable, write, user, fetch, implicit):
        page_fault(cpu, linear, error | PF_P)
        return False, linear
    if at0 != ~U64(0):
        set_bits64(cpu, at0, U64(PTE_A))
    if at1 != ~U64(0):
        set_bits64(cpu, at1, U64(PTE_A))
    if at2 != ~U64(0):
        set_bits64(cpu, at2, U64(PTE_A))
    set_bits64(cpu, at, U64(PTE_A))
    if write and (entry & PTE_D) == 0:
        cpu.clean_entry = at
    inside = (U64(1) << shift) - 1
    return True, (entry & ADDRESS & ~inside) | (linear & inside)


def set_bits64(cpu, at, bits):
    """Set bits of the 64-bit entry at `at`; nothing is written if they are set."""
    entry = phys_read64(cpu, at)
    if (entry & bits) != bits:
        phys_write64(cpu, at, entry | bits)


def set_bits32(cpu, at, bits):
    """Set bits of the 32-bit entry at `at`; nothing is written if they are set."""
    entry = phys_read32(cpu, at)
    if (entry & bits) != bits:
        phys_write32(cpu, at, entry | bits)


def set_dirty(cpu, at):
    """Set the D bit of a leaf entry that cpu.clean_entry named; bit 6 of either format."""
    if at != U64(CLEAN):
        set_bits32(cpu, at, U32(PTE_D))


def walk32(cpu, linear, write, user, fetch, implicit):
    """32-bit paging with 4-KiB and 4-MiB pages (PSE-36): (ok, physical)."""
    error = error_code(cpu, write, user, fetch)
    at = (cpu.cr3 & 0xFFFFF000) + (((linear >> 22) & 1023) << 2)
    pde = phys_read32(cpu, at)
    if (pde & PTE_P) == 0:
        page_fault(cpu, linear, error)
        return False, linear
    if (pde & PTE_PS) != 0 and (cpu.cr4 & CR4_PSE) != 0:
        physical = U64(pde & 0xFFC00000) | (U64((pde >> 13) & 0xFF) << 32)
        if (pde & 0x200000) != 0 or (physical & ~U64(PHYSICAL_MASK)) != 0:
            page_fault(cpu, linear, error | (PF_P | PF_RSVD))
            return False, linear
        if not permitted(cpu, U64(pde), False, write, user, fetch, implicit):
            page_fault(cpu, linear, error | PF_P)
            return False, linear
        set_bits32(cpu, at, U32(PTE_A))
        if write and (pde & PTE_D) == 0:
            cpu.clean_entry = at
        return True, physical | (linear & 0x3FFFFF)
    at1 = U64(pde & 0xFFFFF000) + (((linear >> 12) & 1023) << 2)
    pte = phys_read32(cpu, at1)
    if (pte & PTE_P) == 0:
        page_fault(cpu, linear, error)
        return False, linear
    if not permitted(cpu, U64(pde & pte), False, write, user, fetch, implicit):
        page_fault(cpu, linear, error | PF_P)
        return False, linear
    set_bits32(cpu, at, U32(PTE_A))
    set_bits32(cpu, at1, U32(PTE_A))
    if write and (pte & PTE_D) == 0:
        cpu.clean_entry = at1
    return True, U64(pte & 0xFFFFF000) | (linear & 0xFFF)


@outlined
def translate(cpu, linear, write, user, fetch, implicit):
    """(ok, physical) of a linear address; A bits are set and cpu.clean_entry is left (CLEAN: no D bit is to be set), or the #PF is.

    write, user, fetch, implicit are booleans: user is false for supervisor-mode accesses; implicit ones (to GDT, IDT,
    LDT, TSS and inner stacks) are supervisor-mode and do not honour RFLAGS.AC against SMAP (SDM vol. 3, 4.6.1).
    """
    cpu.clean_entry = U64(CLEAN)
    if (cpu.cr0 & CR0_PG) == 0:
        return True, linear
    if (cpu.cr4 & CR4_PAE) != 0:
        return walk64(cpu, linear, write, user, fetch, implicit)
    return walk32(cpu, linear, write, user, fetch, implicit)


def walk(cpu, linear, write, user, fetch):
    """translate() of an explicit access or an instruction fetch."""
    return translate(cpu, linear, write, user, fetch, False)


def walk_implicit(cpu, linear, write):
    """translate() of an implicit supervisor-mode access."""
    return translate(cpu, linear, write, False, False, True)


def load_pdptes(cpu, cr3, commit):
    """Check the four PAE page-directory-pointer entries at cr3; load them if `commit`.  False: a reserved bit is set (#GP(0)).

    SDM vol. 3, 4.4.1.
    """
    table = cr3 & 0xFFFFFFE0
    i = U64(0)
    while i < 4:
        entry = phys_read64(cpu, table + (i << 3))
        if (entry & PTE_P) != 0 and (entry & U64(PDPTE_RESERVED)) != 0:
            return False
        i = i + 1
    if commit:
        i = U64(0)
        while i < 4:
            cpu.pdpte[i] = phys_read64(cpu, table + (i << 3))
            i = i + 1
    return True


def linear_to_physical_debug(cpu, linear: int) -> tuple[int | None, list[tuple[str, int, int]]]:
    """What paging makes of a linear address, without side effects and without permission checks; Python only.

    Returns (physical address or None, [(level name, physical address of the entry, entry), ...] from the top down).
    """
    from isa.lang.struct import peek

    def read(at, word):
        at = int(backing(cpu, U64(at & int(cpu.a20_mask))))
        return int(peek(word, int(cpu.ram) + at)) if at != ABSENT else int(word.mask)

    linear, levels = int(linear), []
    if not int(cpu.cr0) & CR0_PG:
        return linear & 0xFFFFFFFF, levels
    if int(cpu.cr4) & CR4_PAE:
        if int(cpu.efer) & EFER_LMA:
            names, shift, table = ["PML4E", "PDPTE", "PDE", "PTE"], 39, int(cpu.cr3) & ADDRESS
        else:
            n = linear >> 30 & 3
            entry = int(cpu.pdpte[n])
            levels.append(("PDPTE", (int(cpu.cr3) & 0xFFFFFFE0) + 8 * n, entry))
            if not entry & PTE_P:
                return None, levels
            names, shift, table = ["PDE", "PTE"], 21, entry & ADDRESS
        size, index = U64, 511
    else:
        names, shift, table, size, index = ["PDE", "PTE"], 22, int(cpu.cr3) & 0xFFFFF000, U32, 1023
    for name in names:
        at = table + (linear >> shift & index) * (size.bits // 8)
        entry = read(at, size)
        levels.append((name, at, entry))
        if not entry & PTE_P:
            return None, levels
        large = entry & PTE_PS and (size is U64 and shift in (21, 30) or size is U32 and shift == 22 and int(cpu.cr4) & CR4_PSE)
        if large or shift == 12:
            break
        table, shift = entry & ADDRESS, shift - (9 if size is U64 else 10)
    inside = (1 << shift) - 1
    base = entry & ADDRESS
    if size is U32 and shift == 22:
        base = entry & 0xFFC00000 | (entry >> 13 & 0xFF) << 32
    return base & ~inside | linear & inside, levels
