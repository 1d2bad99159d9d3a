"""Guest memory as a debugger sees it: found and copied without any effect on the guest.

No A or D bit is set, no TLB entry made, no page becomes a page table, no device is asked and no fault is left; rights and
reserved bits do not matter.
"""

from isa.lang.struct import words8, words32, words64
from isa.lang.word import U32, U64, outlined
from vmdbg.machine.paging import ADDRESS, PTE_P, PTE_PS
from vmdbg.machine.physical import ABSENT, backing
from vmdbg.machine.state import CR0_PG, CR4_PAE, CR4_PSE, EFER_LMA


def entry64(cpu, pa):
    """A 64-bit paging-structure entry; all ones outside RAM and ROM, as the CPU's own walk reads it."""
    at = backing(cpu, pa & cpu.a20_mask)
    if at == U64(ABSENT):
        return ~U64(0)
    return words64(cpu.ram + at)[0]


def entry32(cpu, pa):
    """A 32-bit paging-structure entry."""
    at = backing(cpu, pa & cpu.a20_mask)
    if at == U64(ABSENT):
        return ~U32(0)
    return words32(cpu.ram + at)[0]


def look64(cpu, linear):
    """4-level and PAE paging."""
    if (cpu.efer & EFER_LMA) != 0:
        table = cpu.cr3 & ADDRESS
        shift = U64(39)
    else:
        pdpte = cpu.pdpte[(linear >> 30) & 3]
        if (pdpte & PTE_P) == 0:
            return U64(ABSENT)
        table = pdpte & ADDRESS
        shift = U64(21)
    entry, leaf = U64(0), False
    while not leaf:
        entry = entry64(cpu, table + (((linear >> shift) & 511) << 3))
        if (entry & PTE_P) == 0:
            return U64(ABSENT)
        leaf = shift == 12 or ((entry & PTE_PS) != 0 and shift != 39)
        if not leaf:
            table = entry & ADDRESS
            shift = shift - 9
    inside = (U64(1) << shift) - 1
    return (entry & ADDRESS & ~inside) | (linear & inside)


def look32(cpu, linear):
    """32-bit paging."""
    pde = entry32(cpu, (cpu.cr3 & 0xFFFFF000) + (((linear >> 22) & 1023) << 2))
    if (pde & PTE_P) == 0:
        return U64(ABSENT)
    if (pde & PTE_PS) != 0 and (cpu.cr4 & CR4_PSE) != 0:
        return U64(pde & 0xFFC00000) | (U64((pde >> 13) & 0xFF) << 32) | (linear & 0x3FFFFF)
    pte = entry32(cpu, U64(pde & 0xFFFFF000) + (((linear >> 12) & 1023) << 2))
    if (pte & PTE_P) == 0:
        return U64(ABSENT)
    return U64(pte & 0xFFFFF000) | (linear & 0xFFF)


@outlined
def look(cpu, linear):
    """The physical address of a linear one, after the A20 gate; ABSENT if it is not mapped."""
    if (cpu.cr0 & CR0_PG) == 0:
        return linear & 0xFFFFFFFF & cpu.a20_mask
    pa = look64(cpu, linear) if (cpu.cr4 & CR4_PAE) != 0 else look32(cpu, linear)
    if pa == U64(ABSENT):
        return pa
    return pa & cpu.a20_mask


@outlined
def copy_linear(cpu, linear, size, to):
    """Copy up to `size` bytes at a linear address to host address `to`; how many there were before one that is not in RAM or ROM."""
    done = U64(0)
    while done < size:
        pa = look(cpu, linear + done)
        if pa == U64(ABSENT):
            return done
        at = backing(cpu, pa)
        if at == U64(ABSENT):
            return done
        count = U64(0x1000) - (pa & 0xFFF)
        if count > size - done:
            count = size - done
        n = U64(0)
        while n < count:
            words8(to + done)[n] = words8(cpu.ram + at)[n]
            n = n + 1
        done = done + count
    return done
