"""Task switches through 16- and 32-bit TSSs (SDM vol. 3, chapter 7).

    32-bit  00 link 04 ESP0 08 SS0 .. 1C CR3 20 EIP 24 EFLAGS 28 EAX .. EDI 48 ES CS SS DS FS GS 60 LDT 64 T 66 I/O map base
    16-bit  00 link 02 SP0 04 SS0 .. 0E IP 10 FLAGS 12 AX .. DI 22 ES CS SS DS 2A LDT

Until both TSSs, the descriptors and the new page tables have been checked nothing changes.  From the commit point on
faults belong to the new task: FAULT is returned with LATE in cpu.late_fault and the new task's instruction pointer in
cpu.late_rip; `deliver` takes it from there.
TSSs are reached by physical address, not through slots: the switch happens at once and is never run twice.
"""

from isa.lang.struct import words8
from isa.lang.word import U8, U64, outlined
from vmdbg.machine.descriptor import (
    INDEX,
    LDT,
    RPL,
    TI,
    check_data_descriptor,
    check_stack_descriptor,
    descriptor_base,
    descriptor_dpl,
    descriptor_limit,
    descriptor_present,
    descriptor_type,
    is_code,
    is_conforming,
    put_cs,
    put_null,
    put_real,
    put_segment,
    put_system,
    refresh_mode,
)
from vmdbg.machine.faults import fault
from vmdbg.machine.flags import get_rflags, set_rflags
from vmdbg.machine.frame import put_sp, stack_mask
from vmdbg.machine.paging import load_pdptes, set_dirty
from vmdbg.machine.physical import backing
from vmdbg.machine.segmentation import LOW32
from vmdbg.machine.slots import is_device, physical_of, store_bytes
from vmdbg.machine.state import (
    BRANCH,
    CR0_PG,
    CR0_TS,
    CR4_PAE,
    CS,
    F_NT,
    F_VM,
    FAULT,
    GP,
    LDTR,
    NP,
    SS,
    TR,
    TS,
    Cpu,
)
from vmdbg.machine.tlb import flush, refresh

JMP, CALL, IRET, INT = 0, 1, 2, 3  # what switches; CALL and INT nest
LATE = 0x100  # in cpu.late_fault: a fault of the new task, not yet taken up by the delivery
DB_TASK = 0x8000  # DR6.BT
BYTE = Cpu.fields["frame_host"][0]  # a byte on its way to memory


def system_byte(cpu, linear):
    """(ok, the byte of a system structure at a linear address); all ones where there is no RAM."""
    ok, pa = physical_of(cpu, linear & LOW32, False, False, True)
    if not ok or is_device(cpu, pa):
        return ok, U64(0xFF)
    return True, U64(words8(cpu.ram + backing(cpu, pa))[0])


@outlined
def system_get(cpu, linear, size):
    """(ok, `size` bytes of a system structure), each translated anew."""
    value = U64(0)
    n = U64(0)
    while n < size:
        ok, byte = system_byte(cpu, linear + n)
        if not ok:
            return False, value
        value = value | (byte << (n << 3))
        n = n + 1
    return True, value


@outlined
def system_put(cpu, linear, size, value):
    """Write `size` bytes of a system structure, each translated anew; False: a page fault is left."""
    n = U64(0)
    while n < size:
        ok, pa = physical_of(cpu, (linear + n) & LOW32, True, False, True)
        if not ok:
            return False
        set_dirty(cpu, cpu.clean_entry)
        if not is_device(cpu, pa):
            at = cpu.address + BYTE
            words8(at)[0] = U8(value >> (n << 3))
            store_bytes(cpu, pa, at, U64(1))
        n = n + 1
    return True


def writable(cpu, linear, size):
    """Whether `size` (at most a page) bytes of a system structure can be written; else the page fault is left."""
    ok, pa = physical_of(cpu, linear & LOW32, True, False, True)
    if ok:
        ok, pa = physical_of(cpu, (linear + size - 1) & LOW32, True, False, True)
    return ok


def save_task(cpu, base, wide, rip, flags):
    """Write the registers of the task being left to its TSS."""
    size = U64(4) if wide else U64(2)
    at = base + (U64(0x20) if wide else U64(0x0E))
    good = system_put(cpu, at, size, rip)
    good = system_put(cpu, at + size, size, flags) and good
    at = at + size + size
    n = U64(0)
    while n < 8:
        good = system_put(cpu, at, size, cpu.gpr[n]) and good
        at = at + size
        n = n + 1
    n = U64(0)
    while n < (U64(6) if wide else U64(4)):
        good = system_put(cpu, at, U64(2), U64(cpu.seg_selector[n])) and good
        at = at + size
        n = n + 1
    return good


def set_busy(cpu, linear, busy):
    """Set or clear the busy bit of a TSS descriptor at a linear address."""
    ok, access = system_get(cpu, linear + 5, U64(1))
    if ok:
        access = (access | 2) if busy else (access & 0xFD)
        ok = system_put(cpu, linear + 5, U64(1), access)
    return ok


def late(cpu, status):
    """Mark a FAULT as one of the new task."""
    if status == FAULT:
        refresh(cpu)
        cpu.late_fault = U64(LATE)
        cpu.late_rip = cpu.rip
        cpu.late_vector, cpu.late_error, cpu.late_has_error = cpu.vector, cpu.error_code, cpu.has_error
        cpu.late_address = cpu.fault_address
    return status


@outlined
def task_switch(cpu, selector, d, linear, source, rip, has_error, error):
    """Switch to the task of TSS descriptor d; type, privilege and presence have been checked.  BRANCH or FAULT.

    selector, linear: the descriptor's; source: JMP CALL IRET INT (a U64); rip: to be saved in the old task;
    has_error, error: an error code to push in the new task.
    """
    wide = (descriptor_type(d) & 8) != 0
    base = descriptor_base(d)
    if descriptor_limit(d) < (U64(0x67) if wide else U64(0x2B)):
        return fault(cpu, TS, selector & INDEX)
    old_wide = (cpu.seg_attr[TR] & 8) != 0
    old_base = cpu.seg_base[TR]
    old_selector = U64(cpu.seg_selector[TR])
    if cpu.seg_limit[TR] < (U64(0x5F) if old_wide else U64(0x29)):
        return fault(cpu, TS, old_selector & INDEX)
    if not writable(cpu, old_base, U64(0x60) if old_wide else U64(0x2A)):
        return FAULT
    nests = (source == CALL) | (source == INT)
    if nests and not writable(cpu, base, U64(2)):
        return FAULT
    old_linear = cpu.gdtr_base + (old_selector & 0xFFF8)
    if not writable(cpu, old_linear, U64(8)) or not writable(cpu, linear, U64(8)):
        return FAULT
    ok = read_task(cpu, base, wide)
    if not ok:
        return FAULT
    cr3 = cpu.frame_value[0]
    pae = (cpu.cr0 & CR0_PG) != 0 and (cpu.cr4 & CR4_PAE) != 0
    if wide and pae and not load_pdptes(cpu, cr3, False):
        return fault(cpu, GP, 0)
    # The commit point (SDM vol. 3, 7.3)
    flags = get_rflags(cpu)
    if source == IRET:
        flags = flags & ~U64(F_NT)
    good = save_task(cpu, old_base, old_wide, rip, flags)
    if not nests:
        good = set_busy(cpu, old_linear, False) and good
    else:
        good = system_put(cpu, base, U64(2), old_selector) and good
    if source != IRET:
        good = set_busy(cpu, linear, True) and good
    cpu.cr0 = cpu.cr0 | CR0_TS
    cpu.dr[7] = cpu.dr[7] & ~U64(0x155)
    put_system(cpu, U64(TR), selector, d | (U64(2) << 40), base)
    if wide and (cpu.cr0 & CR0_PG) != 0:
        cpu.cr3 = cr3
        if pae:
            good = load_pdptes(cpu, cr3, True)
            flush(cpu)
    enter_task(cpu, wide, nests)
    status = load_task_segments(cpu)
    if status == FAULT:
        return late(cpu, status)
    if (cpu.frame_value[18] & 1) != 0:
        cpu.pending_db = cpu.pending_db | DB_TASK
    if has_error:
        return late(cpu, push_error(cpu, wide, error))
    return BRANCH


def read_task(cpu, base, wide):
    """Read a TSS: cpu.frame_value[0] CR3, 1 EIP, 2 EFLAGS, 3..10 registers, 11..16 segments, 17 LDT, 18 T."""
    size = U64(4) if wide else U64(2)
    at = base + (U64(0x1C) if wide else U64(0x0C))
    n = U64(0)
    while n < 19:
        ok = True
        value = U64(0)
        absent = (not wide) and ((n == 0) | (n == 15) | (n == 16) | (n == 18))
        if not absent:
            ok, value = system_get(cpu, at, U64(2) if n >= 11 else size)
        if not ok:
            return False
        cpu.frame_value[n] = value
        if wide or not ((n == 15) | (n == 16)):
            at = at + size
        n = n + 1
    return True


def enter_task(cpu, wide, nests):
    """Load what needs no checks: EIP, EFLAGS, registers, selectors."""
    flags = cpu.frame_value[2]
    if nests:
        flags = flags | F_NT
    if wide:
        set_rflags(cpu, flags)
    else:
        set_rflags(cpu, flags & 0xFFFF)
    cpu.rip = cpu.frame_value[1]
    n = U64(0)
    while n < 8:
        value = cpu.frame_value[n + 3]
        cpu.gpr[n] = value if wide else (value | 0xFFFF0000)
        n = n + 1
    n = U64(0)
    while n < 6:
        put_null(cpu, n, cpu.frame_value[n + 11])
        n = n + 1
    put_null(cpu, U64(LDTR), cpu.frame_value[17])


@outlined
def load_task_segments(cpu):
    """Load LDTR and the segment registers of the new task from their selectors, with checks: NEXT-like 0, or FAULT."""
    ldt = cpu.frame_value[17]
    cpu.cpl = U8(3)  # until SS and CS are loaded: a fault now switches stacks
    if (ldt & INDEX) != 0:
        if (ldt & TI) != 0:
            return fault(cpu, TS, ldt & INDEX)
        ok, d, linear = fetch_now(cpu, ldt)
        if not ok:
            return FAULT
        if descriptor_type(d) != LDT or not descriptor_present(d):
            return fault(cpu, TS, ldt & INDEX)
        put_system(cpu, U64(LDTR), ldt, d, descriptor_base(d))
    if (cpu.eflags & F_VM) != 0:
        n = U64(0)
        while n < 6:
            put_real(cpu, n, cpu.frame_value[n + 11])
            n = n + 1
        refresh_mode(cpu)
        if cpu.rip > 0xFFFF:
            return fault(cpu, GP, 0)
        return BRANCH
    cs = cpu.frame_value[11 + CS]
    ss = cpu.frame_value[11 + SS]
    cpl = cs & RPL
    if (ss & INDEX) == 0:
        return fault(cpu, TS, ss & INDEX)
    ok, d, linear = fetch_now(cpu, ss)
    if not ok:
        return FAULT
    if not check_stack_descriptor(cpu, ss, d, cpl, U64(TS)):
        return FAULT
    if not touch_now(cpu, d, linear):
        return FAULT
    put_segment(cpu, U64(SS), ss, d)
    if (cs & INDEX) == 0:
        return fault(cpu, TS, cs & INDEX)
    ok, d, linear = fetch_now(cpu, cs)
    if not ok:
        return FAULT
    dpl = descriptor_dpl(d)
    if not is_code(d) or (dpl > cpl if is_conforming(d) else dpl != cpl):
        return fault(cpu, TS, cs & INDEX)
    if not descriptor_present(d):
        return fault(cpu, NP, cs & INDEX)
    if not touch_now(cpu, d, linear):
        return FAULT
    put_cs(cpu, cs, d, cpl)
    n = U64(0)
    while n < 6:
        if n != CS and n != SS:
            selector = cpu.frame_value[n + 11]
            if (selector & INDEX) != 0:
                ok, d, linear = fetch_now(cpu, selector)
                if not ok:
                    return FAULT
                if not check_data_descriptor(cpu, selector, d, cpl, U64(TS)):
                    return FAULT
                if not touch_now(cpu, d, linear):
                    return FAULT
                put_segment(cpu, n, selector, d)
        n = n + 1
    if cpu.rip > cpu.seg_limit[CS]:
        return fault(cpu, GP, 0)
    return BRANCH


def fetch_now(cpu, selector):
    """fetch_descriptor with #TS, by physical address."""
    index = selector & 0xFFF8
    base = cpu.gdtr_base
    limit = cpu.gdtr_limit
    usable = True
    if (selector & TI) != 0:
        base = cpu.seg_base[LDTR]
        limit = cpu.seg_limit[LDTR]
        usable = (cpu.seg_attr[LDTR] & 0x10000) == 0
    if index + 7 > limit or not usable:
        fault(cpu, TS, selector & INDEX)
        return False, U64(0), U64(0)
    ok, d = system_get(cpu, base + index, U64(8))
    return ok, d, base + index


def touch_now(cpu, d, linear):
    """Set the accessed bit of descriptor d, by physical address."""
    if ((d >> 40) & 1) != 0:
        return True
    return system_put(cpu, linear + 5, U64(1), ((d >> 40) & 0xFF) | 1)


def push_error(cpu, wide, error):
    """Push an error code on the stack of the new task."""
    size = U64(4) if wide else U64(2)
    mask = stack_mask(cpu)
    sp = (cpu.gpr[4] - size) & mask
    linear = cpu.seg_base[SS] + sp
    if sp + (size - 1) > cpu.seg_limit[SS]:
        return fault(cpu, 12, 0)
    n = U64(0)
    while n < size:
        ok, pa = physical_of(cpu, (linear + n) & LOW32, True, cpu.cpl == 3, False)
        if not ok:
            return FAULT
        n = n + 1
    n = U64(0)
    while n < size:
        ok, pa = physical_of(cpu, (linear + n) & LOW32, True, cpu.cpl == 3, False)
        if ok:
            set_dirty(cpu, cpu.clean_entry)
        if ok and not is_device(cpu, pa):
            at = cpu.address + BYTE
            words8(at)[0] = U8(error >> (n << 3))
            store_bytes(cpu, pa, at, U64(1))
        n = n + 1
    put_sp(cpu, sp, mask)
    return BRANCH
