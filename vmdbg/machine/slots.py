"""Slots: memory accesses that need care, handled one instruction at a time (contract.md section 2).

An access that crosses a page, touches a device, translated code, a page table or a watched page, or is the first write
to a page whose D bit is clear, does not go to RAM directly.  The driver runs that one instruction with cpu.slow = 1;
`slot` hands out a copy of the bytes (device reads are executed once and latched by their ordinal), and `commit` sets D
bits and writes changed copies back, in order, when the instruction is done.

    slot k: slot_linear[k] slot_size[k] slot_write[k], its bytes at slot_bytes + 32 k,
            slot_physical[2k]: of its first byte, [2k + 1]: of its first byte on the second page; slot_clean: their D bits
"""

from isa.lang.struct import words8, words32, words64
from isa.lang.word import U8, U64, outlined
from vmdbg.machine.code_pages import drop_code
from vmdbg.machine.faults import fault
from vmdbg.machine.paging import CLEAN, set_dirty, translate
from vmdbg.machine.physical import ABSENT, PAGE_CODE, PAGE_DEVICE, PAGE_ROM, PAGE_TABLE, backing, mark_dirty
from vmdbg.machine.state import CR0_PG, EFER_LMA, EXIT, GP, NEXT, SLOW, X_MMIO_READ, X_MMIO_WRITE, Cpu, Shared
from vmdbg.machine.watch import note

SLOTS, SLOT_SIZE = 96, 32  # CALL through a gate: 31 parameters read, 35 words pushed, descriptors; more than any other
APIC_EXTENDED, APIC_ENABLED = 0x400, 0x800  # in IA32_APIC_BASE
APIC_TABLE = 64  # entries of cpu.apic_table
READ_ONLY, READ_WRITE, WRITE_ONLY = 0, 1, 2  # in slot_write[k]; READ_ONLY: it is not written back
LATCHES = 128  # device reads of one instruction: XRSTOR has 72 of 8 bytes
SLOW_TRY, COMMITTING, DELIVERING = 1, 2, 3  # in cpu.slow: an attempt at an instruction, its write-back, an event
SLOT_BYTES = Cpu.fields["slot_bytes"][0]
DEVICE_READ = 0xFE  # in cpu.vector: not a fault; Python must read the device first


def is_device(cpu, pa):
    """Whether a physical address is neither RAM nor ROM."""
    at = backing(cpu, pa)
    if at == U64(ABSENT):
        return True
    return (words8(cpu.page_flags)[at >> 12] & PAGE_DEVICE) != 0


def physical_of(cpu, linear, write, user, implicit):
    """(ok, physical address) of one byte, A20 applied, cpu.clean_entry as translate leaves it; if not ok a page fault is left."""
    if (cpu.cr0 & CR0_PG) == 0:
        cpu.clean_entry = U64(CLEAN)
        return True, linear & 0xFFFFFFFF & cpu.a20_mask
    ok, pa = translate(cpu, linear, write, user, False, implicit)
    return ok, pa & cpu.a20_mask


def fill(cpu, at, pa, count):
    """Copy `count` bytes from physical pa to host address `at`; False: a device must be read first.

    An event that is being delivered reads no device: all ones.
    """
    if not is_device(cpu, pa):
        source = words8(cpu.ram + backing(cpu, pa))
        n = U64(0)
        while n < count:
            words8(at)[n] = source[n]
            n = n + 1
        return True
    if cpu.slow == DELIVERING:
        while count != 0:
            count = count - 1
            words8(at)[count] = U8(0xFF)
        return True
    register = quiet_register(cpu, pa, count)
    if register != 0:
        words32(at)[0] = words32(register)[0]
        return True
    while count != 0:
        width = device_width(count)
        if cpu.slot_latch == LATCHES:
            fault(cpu, GP, 0)
            return False
        if cpu.slot_latch == cpu.mmio_count:
            cpu.reason, cpu.port, cpu.width = U64(X_MMIO_READ), pa, width
            cpu.vector = U64(DEVICE_READ)
            return False
        value = cpu.mmio[cpu.slot_latch]
        cpu.slot_latch = cpu.slot_latch + 1
        n = U64(0)
        while n < width:
            words8(at)[n] = U8(value >> (n << 3))
            n = n + 1
        at = at + width
        pa = pa + width
        count = count - width
    return True


def quiet_register(cpu, pa, count):
    """Host address of the local APIC's register at a physical address if reading it changes nothing and needs no device; else 0."""
    if count != 4 or (pa & 15) != 0 or cpu.apic_table == 0 or (cpu.apic_base & (APIC_EXTENDED | APIC_ENABLED)) != APIC_ENABLED:
        return U64(0)
    if (pa >> 12) != (cpu.apic_base >> 12) or (pa & 0xFFF) >= APIC_TABLE * 16:
        return U64(0)
    return words64(cpu.apic_table)[(pa >> 4) & (APIC_TABLE - 1)]


def device_width(count):
    """How many of `count` bytes one device access moves: the largest power of two, at most 8."""
    if count >= 8:
        return U64(8)
    if count >= 4:
        return U64(4)
    if count >= 2:
        return U64(2)
    return U64(1)


def slot_kind(write, read):
    if write:
        return U64(READ_WRITE) if read else U64(WRITE_ONLY)
    return U64(READ_ONLY)


@outlined
def slot(cpu, linear, size, write, read, user, implicit):
    """A copy of size (<= 32) bytes at a linear address: its host address, or 0 with the fault, SLOW or DEVICE_READ left behind."""
    if cpu.slow == 0:
        cpu.vector = U64(SLOW)
        return U64(0)
    k = cpu.slots
    kind = slot_kind(write, read)
    if kind == WRITE_ONLY or size > 16:  # pieces of an area, and the like: looked at before, to see whether they can be reached
        k = U64(0)
        while k < cpu.slots:
            if cpu.slot_write[k] == kind and cpu.slot_linear[k] == linear and cpu.slot_size[k] == size:
                return cpu.address + SLOT_BYTES + k * SLOT_SIZE
            k = k + 1
    if k == SLOTS:
        fault(cpu, GP, 0)
        return U64(0)
    first = U64(0x1000) - (linear & 0xFFF)
    if first > size:
        first = size
    ok, pa = physical_of(cpu, linear, write, user, implicit)
    if not ok:
        return U64(0)
    cpu.slot_physical[k << 1], cpu.slot_clean[k << 1] = pa, cpu.clean_entry
    second, cpu.clean_entry = pa, U64(CLEAN)
    if first < size:
        following = linear + first
        if cpu.bits != 64 and not (implicit and (cpu.efer & EFER_LMA) != 0):
            following = following & 0xFFFFFFFF
        ok, second = physical_of(cpu, following, write, user, implicit)
        if not ok:
            return U64(0)
    if cpu.write_epoch != Shared(cpu.shared).write_epoch:
        cpu.vector = U64(SLOW)
        return U64(0)
    cpu.slot_physical[(k << 1) + 1], cpu.slot_clean[(k << 1) + 1] = second, cpu.clean_entry
    at = cpu.address + SLOT_BYTES + k * SLOT_SIZE
    words64(at)[0], words64(at)[1], words64(at)[2], words64(at)[3] = U64(0), U64(0), U64(0), U64(0)
    if read or not is_device(cpu, pa):
        if not fill(cpu, at, pa, first):
            return U64(0)
    if first < size and (read or not is_device(cpu, second)):
        if not fill(cpu, at + first, second, size - first):
            return U64(0)
    cpu.slot_linear[k], cpu.slot_size[k] = linear, size
    cpu.slot_write[k] = kind
    cpu.slots = k + 1
    return at


def unwritten(cpu, used):
    """What was accessed when `used` slots were in use, for writing, was only looked at."""
    if cpu.slow != 0 and cpu.slots != used:
        cpu.slot_write[used] = U64(READ_ONLY)


def value_at(at, width):
    """The little-endian value of 1, 2, 4 or 8 bytes at a host address."""
    if width == 8:
        return words64(at)[0]
    if width == 4:
        return U64(words32(at)[0])
    value = U64(words8(at)[0])
    if width == 2:
        value = value | (U64(words8(at)[1]) << 8)
    return value


@outlined
def store_bytes(cpu, pa, at, count):
    """Write `count` bytes (within one page) from host address `at` to memory at pa, and drop what depended on the old ones."""
    pa = backing(cpu, pa)
    flags = words8(cpu.page_flags)[pa >> 12]
    if (flags & PAGE_ROM) != 0:
        return
    mark_dirty(cpu, pa)
    changed = False
    target = words8(cpu.ram + pa)
    if (flags & PAGE_TABLE) != 0:
        first = pa & ~U64(7)
        last = (pa + count - 1) & ~U64(7)
        while first <= last:  # an entry that was not present is in no TLB
            if ((words32(cpu.ram + first)[0] | words32(cpu.ram + first)[1]) & 1) != 0:
                changed = True
            first = first + 8
    n = U64(0)
    while n < count:
        target[n] = words8(at)[n]
        n = n + 1
    if changed:  # all translations go, and with them what made this page a page table: it may be one no more
        shared = Shared(cpu.shared)
        shared.flush_epoch = shared.flush_epoch + 1
        words8(cpu.page_flags)[pa >> 12] = flags & ~U8(PAGE_TABLE)
    if (flags & PAGE_CODE) != 0:
        drop_code(cpu, pa, count)


def note_watched(cpu):
    """Tell the watches what an instruction is about to have read and written."""
    k = U64(0)
    while k < cpu.slots:
        first = U64(0x1000) - (cpu.slot_linear[k] & 0xFFF)
        if first > cpu.slot_size[k]:
            first = cpu.slot_size[k]
        note_part(cpu, k, cpu.slot_linear[k], cpu.slot_physical[k << 1], first)
        if first < cpu.slot_size[k]:
            note_part(cpu, k, cpu.slot_linear[k] + first, cpu.slot_physical[(k << 1) + 1], cpu.slot_size[k] - first)
        k = k + 1


def note_part(cpu, k, linear, pa, size):
    if cpu.slot_write[k] != WRITE_ONLY:
        note(cpu, linear, backing(cpu, pa), size, False)
    if cpu.slot_write[k] != READ_ONLY:
        note(cpu, linear, backing(cpu, pa), size, True)


def set_dirty_bits(cpu):
    """Set the D bits of the pages that are about to be written."""
    k = U64(0)
    while k < cpu.slots:
        if cpu.slot_write[k] != 0:
            set_dirty(cpu, cpu.slot_clean[k << 1])
            set_dirty(cpu, cpu.slot_clean[(k << 1) + 1])
        k = k + 1


@outlined
def commit(cpu):
    """Set D bits, write the slots back.  NEXT: all is done; EXIT: Python writes cpu.value to the device at cpu.port and comes again."""
    if cpu.committed == 0 and cpu.committed_bytes == 0:
        set_dirty_bits(cpu)
    while cpu.committed < cpu.slots:
        k = cpu.committed
        size = cpu.slot_size[k]
        at = cpu.address + SLOT_BYTES + k * SLOT_SIZE
        first = U64(0x1000) - (cpu.slot_linear[k] & 0xFFF)
        if first > size:
            first = size
        while cpu.slot_write[k] != 0 and cpu.committed_bytes < size:
            done = cpu.committed_bytes
            if done < first:
                pa, left = cpu.slot_physical[k << 1] + done, first - done
            else:
                pa, left = cpu.slot_physical[(k << 1) + 1] + (done - first), size - done
            spared = k == 0 and cpu.slot_spared != 0
            if is_device(cpu, pa):
                if spared and ((cpu.slot_spared >> done) & 1) != 0:
                    cpu.committed_bytes = done + 1
                    continue
                width = U64(1) if spared else device_width(left)
                cpu.reason, cpu.port, cpu.width = U64(X_MMIO_WRITE), pa, width
                cpu.value = value_at(at + done, width)
                cpu.committed_bytes = done + width
                return EXIT
            store_bytes(cpu, pa, at + done, left)
            cpu.committed_bytes = done + left
        cpu.committed = k + 1
        cpu.committed_bytes = U64(0)
    return NEXT


def begin(cpu):
    """Empty the slots before an attempt at an instruction; latched device reads stay."""
    cpu.slots = U64(0)
    cpu.slot_latch = U64(0)
    cpu.slot_spared = U64(0)
    cpu.committed = U64(0)
    cpu.committed_bytes = U64(0)
