"""Guest-physical memory as the page walker sees it: RAM from 0 to cpu.ram_size, all ones outside.

Each RAM page has a byte in cpu.page_flags that says what a write to it must do besides writing.
"""

from isa.lang.struct import words8, words32, words64
from isa.lang.word import U8, U32, U64
from vmdbg.machine.state import Shared

PAGE_CODE, PAGE_TABLE, PAGE_WATCHED = 1, 2, 4  # translated code; a page table the TLB was filled from; a watchpoint or the like
PAGE_DEVICE, PAGE_ROM = 8, 16  # belongs to a device; writes are ignored
PHYSICAL_BITS = 40  # MAXPHYADDR (CPUID 80000008H:EAX[7:0])
PHYSICAL_MASK = (1 << PHYSICAL_BITS) - 1


def phys_inside(cpu, pa, size):
    """Whether pa .. pa + size - 1 (after the A20 gate) is RAM; size is a U64."""
    return (pa < cpu.ram_size) & (size <= cpu.ram_size - pa)


def phys_mark(cpu, pa, flag):
    """Set a PAGE_* bit (a U8) of the page that holds pa, which is inside RAM."""
    flags = words8(cpu.page_flags)
    old = flags[pa >> 12]
    if (old & flag) == 0:
        flags[pa >> 12] = old | flag
        shared = Shared(cpu.shared)
        shared.write_epoch = shared.write_epoch + 1


def phys_read32(cpu, pa):
    """A 32-bit paging-structure entry, naturally aligned; its page becomes a page table."""
    at = pa & cpu.a20_mask
    if not phys_inside(cpu, at, U64(4)):
        return ~U32(0)
    phys_mark(cpu, at, U8(PAGE_TABLE))
    return words32(cpu.ram + at)[0]


def phys_read64(cpu, pa):
    """A 64-bit paging-structure entry, naturally aligned; its page becomes a page table."""
    at = pa & cpu.a20_mask
    if not phys_inside(cpu, at, U64(8)):
        return ~U64(0)
    phys_mark(cpu, at, U8(PAGE_TABLE))
    return words64(cpu.ram + at)[0]


def phys_write32(cpu, pa, value):
    """Write an entry that phys_read32 read (A and D bits); outside RAM nothing happens."""
    at = pa & cpu.a20_mask
    if phys_inside(cpu, at, U64(4)):
        words32(cpu.ram + at)[0] = value


def phys_write64(cpu, pa, value):
    """Write an entry that phys_read64 read (A and D bits); outside RAM nothing happens."""
    at = pa & cpu.a20_mask
    if phys_inside(cpu, at, U64(8)):
        words64(cpu.ram + at)[0] = value
