"""Guest-physical memory: RAM from 0 to cpu.ram_size, a ROM below 4 GiB, all ones elsewhere.

    physical     0 .. ram_size                     rom_base .. rom_base + rom_size
    backing      0 .. ram_size                     ram_size .. ram_size + rom_size

The backing offset counts bytes of host memory from cpu.ram; pages are numbered by it.  Each has a byte in cpu.page_flags
that says what a write to it must do besides writing, and one in cpu.page_dirty that is set where it may be written: who
clears those takes the right to write from all TLBs too (ram_pages.py).
"""

from isa.lang.struct import words8, words32, words64
from isa.lang.word import U8, U32, U64
from vmdbg.machine.code_pages import drop_page, touches_code
from vmdbg.machine.state import Shared
from vmdbg.machine.watch import note_walk

PAGE_CODE, PAGE_TABLE, PAGE_WATCHED = 1, 2, 4  # translated code; a page table the TLB was filled from; a watchpoint or the like
PAGE_DEVICE, PAGE_ROM = 8, 16  # belongs to a device; writes are ignored
PHYSICAL_BITS = 40  # MAXPHYADDR (CPUID 80000008H:EAX[7:0])
PHYSICAL_MASK = (1 << PHYSICAL_BITS) - 1
ABSENT = 0xFFFFFFFFFFFFFFFF


def backing(cpu, pa):
    """Offset in host memory of a physical address (after the A20 gate); ABSENT if neither RAM nor ROM is there."""
    if pa < cpu.ram_size:
        return pa
    if pa - cpu.rom_base < cpu.rom_size:
        return pa - cpu.rom_base + cpu.ram_size
    return U64(ABSENT)


def mark_dirty(cpu, at):
    """The page at a backing offset is written, or can be from now on."""
    words8(cpu.page_dirty)[at >> 12] = U8(1)


def phys_mark(cpu, at, flag):
    """Set a PAGE_* bit (a U8) of the page at a backing offset."""
    flags = words8(cpu.page_flags)
    old = flags[at >> 12]
    if (old & flag) == 0:
        flags[at >> 12] = old | flag
        shared = Shared(cpu.shared)
        shared.write_epoch = shared.write_epoch + 1


def written(cpu, at, size):
    """`size` bytes at `at` got an A or D bit: if code was translated from them it is dropped, and the instruction begins anew."""
    if (words8(cpu.page_flags)[at >> 12] & PAGE_CODE) != 0 and touches_code(cpu, at, size):
        drop_page(cpu, at >> 12)
        shared = Shared(cpu.shared)
        shared.write_epoch = shared.write_epoch + 1


def phys_read32(cpu, pa):
    """A 32-bit paging-structure entry, naturally aligned; its page becomes a page table."""
    at = backing(cpu, pa & cpu.a20_mask)
    if at == U64(ABSENT):
        return ~U32(0)
    phys_mark(cpu, at, U8(PAGE_TABLE))
    return words32(cpu.ram + at)[0]


def phys_read64(cpu, pa):
    """A 64-bit paging-structure entry, naturally aligned; its page becomes a page table."""
    at = backing(cpu, pa & cpu.a20_mask)
    if at == U64(ABSENT):
        return ~U64(0)
    phys_mark(cpu, at, U8(PAGE_TABLE))
    return words64(cpu.ram + at)[0]


def phys_write32(cpu, pa, value):
    """Write an entry that phys_read32 read (A and D bits); in ROM and outside RAM nothing happens."""
    at = backing(cpu, pa & cpu.a20_mask)
    if at < cpu.ram_size and (words8(cpu.page_flags)[at >> 12] & PAGE_ROM) == 0:
        words32(cpu.ram + at)[0] = value
        mark_dirty(cpu, at)
        written(cpu, at, U64(4))
        note_walk(cpu, at, U64(4))


def phys_write64(cpu, pa, value):
    """Write an entry that phys_read64 read (A and D bits); in ROM and outside RAM nothing happens."""
    at = backing(cpu, pa & cpu.a20_mask)
    if at < cpu.ram_size and (words8(cpu.page_flags)[at >> 12] & PAGE_ROM) == 0:
        words64(cpu.ram + at)[0] = value
        mark_dirty(cpu, at)
        written(cpu, at, U64(8))
        note_walk(cpu, at, U64(8))
