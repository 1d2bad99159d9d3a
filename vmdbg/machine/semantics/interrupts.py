"""INT n, INT3, INTO, INT1, IRET (SDM vol. 2, INT n, IRET; vol. 3, 6.12, 20.2.4, 20.3.3)."""

from isa.lang.word import U8, U64, outlined
from vmdbg.machine.debug import DB_BREAKPOINTS
from vmdbg.machine.descriptor import (
    INDEX,
    RPL,
    TI,
    TSS16_BUSY,
    TSS32_BUSY,
    code_target,
    descriptor_present,
    descriptor_type,
    drop_segments,
    fetch_descriptor,
    long_mode,
    put_cs,
    put_real,
    refresh_mode,
    set_accessed,
    system_read64,
    touch,
)
from vmdbg.machine.events import deliver
from vmdbg.machine.faults import fault
from vmdbg.machine.flags import get_rflags, overflow, set_rflags
from vmdbg.machine.gates import PRIVILEGED_SOFTWARE, SOFTWARE_EXCEPTION, SOFTWARE_INTERRUPT
from vmdbg.machine.semantics.far import cut_offset, put_return_sp, put_return_stack, return_code, return_stack, stack_word
from vmdbg.machine.state import (
    BP,
    BRANCH,
    CR0_PE,
    CR4_VME,
    CS,
    DB,
    DS,
    ES,
    F_AC,
    F_DF,
    F_ID,
    F_IF,
    F_IOPL,
    F_NT,
    F_RF,
    F_TF,
    F_VIF,
    F_VIP,
    F_VM,
    FAULT,
    FS,
    GP,
    GS,
    NEXT,
    NP,
    OF,
    RSP,
    SS,
    STATUS_FLAGS,
    TR,
    TS,
)
from vmdbg.machine.task import IRET, task_switch

POPPED = STATUS_FLAGS | F_TF | F_DF | F_NT | F_RF | F_AC | F_ID  # what IRET changes at any privilege


def int_(cpu, u, vector):
    return deliver(cpu, U64(vector.value), U64(SOFTWARE_INTERRUPT), U64(0), U64(0), u.after)


def int3(cpu, u):
    return deliver(cpu, U64(BP), U64(SOFTWARE_EXCEPTION), U64(0), U64(0), u.after)


def into(cpu, u):
    if not overflow(cpu):
        return NEXT
    return deliver(cpu, U64(OF), U64(SOFTWARE_EXCEPTION), U64(0), U64(0), u.after)


def int1(cpu, u):
    """The data breakpoint of a MOV SS before it comes with it, not after it."""
    hits = cpu.pending_db & DB_BREAKPOINTS
    status = deliver(cpu, U64(DB), U64(PRIVILEGED_SOFTWARE), U64(0), U64(0), u.after)
    if status == BRANCH and hits != 0:
        cpu.dr[6] = (cpu.dr[6] & ~U64(DB_BREAKPOINTS)) | hits
        cpu.pending_db = cpu.pending_db & ~U64(DB_BREAKPOINTS)
    return status


# ---- IRET


def iret(cpu, u):
    status = interrupt_return(cpu, U64(u.osize), u.after)
    if status == BRANCH:
        cpu.nmi_blocked = U8(0)
    return status


@outlined
def interrupt_return(cpu, bits, after):
    """IRET with operand size `bits` (U64)."""
    if (cpu.cr0 & CR0_PE) == 0:
        return return_real(cpu, bits)
    if (cpu.eflags & F_VM) != 0:
        return return_in_v86(cpu, bits)
    if (cpu.eflags & F_NT) != 0:
        if long_mode(cpu):
            return fault(cpu, GP, 0)
        return return_from_task(cpu, after)
    return return_protected(cpu, bits)


def flags_from(cpu, image, mask, bits):
    """Put the bits of mask from a flags image of `bits` bits into RFLAGS."""
    if bits == 16:
        mask = mask & 0xFFFF
    set_rflags(cpu, (get_rflags(cpu) & ~mask) | (image & mask))


def return_real(cpu, bits):
    """In real-address mode: offset, CS, FLAGS."""
    sp = cpu.gpr[RSP]
    size = bits >> 3
    ok, offset = stack_word(cpu, sp, U64(0), bits)
    if not ok:
        return FAULT
    ok, selector = stack_word(cpu, sp, U64(1), bits)
    if not ok:
        return FAULT
    ok, image = stack_word(cpu, sp, U64(2), bits)
    if not ok:
        return FAULT
    if offset > cpu.seg_limit[CS]:
        return fault(cpu, GP, 0)
    put_real(cpu, U64(CS), selector & 0xFFFF)
    put_return_sp(cpu, sp + size * 3)
    flags_from(cpu, image, U64(POPPED | F_IF | F_IOPL), bits)
    refresh_mode(cpu)
    cpu.rip = offset
    return BRANCH


def return_in_v86(cpu, bits):
    """In virtual-8086 mode: IOPL 3, or a 16-bit IRET under VME, for which IF stands for VIF; else #GP(0)."""
    iopl3 = (cpu.eflags & F_IOPL) == F_IOPL
    if not iopl3 and ((cpu.cr4 & CR4_VME) == 0 or bits != 16):
        return fault(cpu, GP, 0)
    sp = cpu.gpr[RSP]
    size = bits >> 3
    ok, offset = stack_word(cpu, sp, U64(0), bits)
    if not ok:
        return FAULT
    ok, selector = stack_word(cpu, sp, U64(1), bits)
    if not ok:
        return FAULT
    ok, image = stack_word(cpu, sp, U64(2), bits)
    if not ok:
        return FAULT
    if offset > cpu.seg_limit[CS]:
        return fault(cpu, GP, 0)
    mask = U64(POPPED | F_IF)
    if not iopl3:
        if (image & F_TF) != 0 or ((image & F_IF) != 0 and (cpu.eflags & F_VIP) != 0):
            return fault(cpu, GP, 0)
        mask = U64(POPPED)
        cpu.eflags = cpu.eflags & ~U64(F_VIF)
        if (image & F_IF) != 0:
            cpu.eflags = cpu.eflags | F_VIF
    put_real(cpu, U64(CS), selector & 0xFFFF)
    put_return_sp(cpu, sp + size * 3)
    flags_from(cpu, image, mask, bits)
    cpu.rip = offset
    return BRANCH


def return_from_task(cpu, after):
    """NT: back to the task that the current TSS's link names."""
    ok, link = system_read64(cpu, cpu.seg_base[TR])
    if not ok:
        return FAULT
    selector = link & 0xFFFF
    if (selector & TI) != 0 or (selector & INDEX) == 0:
        return fault(cpu, TS, selector & INDEX)
    ok, d, linear = fetch_descriptor(cpu, selector, U64(TS))
    if not ok:
        return FAULT
    kind = descriptor_type(d)
    if kind != TSS16_BUSY and kind != TSS32_BUSY:
        return fault(cpu, TS, selector & INDEX)
    if not descriptor_present(d):
        return fault(cpu, NP, selector & INDEX)
    return task_switch(cpu, selector, d, linear, U64(IRET), after, False, U64(0))


@outlined
def return_to_v86(cpu, sp, offset, selector, image):
    """From level 0 with VM set in the image: nine words of 32 bits; EIP is cut to 16 bits, as Bochs and QEMU do."""
    n = U64(3)
    while n < 9:
        ok, value = stack_word(cpu, sp, n, U64(32))
        if not ok:
            return FAULT
        cpu.frame_value[n] = value
        n = n + 1
    mask = U64(POPPED | F_IF | F_IOPL | F_VM | F_VIF | F_VIP)
    flags_from(cpu, image, mask, U64(32))
    put_real(cpu, U64(CS), selector & 0xFFFF)
    put_real(cpu, U64(SS), cpu.frame_value[4] & 0xFFFF)
    put_real(cpu, U64(ES), cpu.frame_value[5] & 0xFFFF)
    put_real(cpu, U64(DS), cpu.frame_value[6] & 0xFFFF)
    put_real(cpu, U64(FS), cpu.frame_value[7] & 0xFFFF)
    put_real(cpu, U64(GS), cpu.frame_value[8] & 0xFFFF)
    cpu.gpr[RSP] = cpu.frame_value[3]
    refresh_mode(cpu)
    cpu.rip = offset & 0xFFFF
    return BRANCH


@outlined
@outlined
def popped_stack(cpu, sp, bits):
    """Words 3 and 4 of IRET's frame: (whether they could be read, RSP, SS)."""
    ok, above = stack_word(cpu, sp, U64(3), bits)
    if not ok:
        return False, U64(0), U64(0)
    ok, ss = stack_word(cpu, sp, U64(4), bits)
    return ok, above, ss & 0xFFFF


def return_protected(cpu, bits):
    """In protected and IA-32e mode; in 64-bit mode SS:RSP is always popped."""
    sp = cpu.gpr[RSP]
    size = bits >> 3
    ok, offset = stack_word(cpu, sp, U64(0), bits)
    if not ok:
        return FAULT
    ok, selector = stack_word(cpu, sp, U64(1), bits)
    if not ok:
        return FAULT
    ok, image = stack_word(cpu, sp, U64(2), bits)
    if not ok:
        return FAULT
    selector = selector & 0xFFFF
    if (image & F_VM) != 0 and bits == 32 and cpu.cpl == 0 and not long_mode(cpu):
        return return_to_v86(cpu, sp, offset, selector, image)
    cpl = selector & RPL
    outward = cpl != U64(cpu.cpl)
    pops_stack = outward or cpu.bits == 64
    ss = U64(0)
    above = sp + size * 3
    if cpu.bits == 64:  # the whole frame is popped before CS is looked at
        ok, above, ss = popped_stack(cpu, sp, bits)
        if not ok:
            return FAULT
    ok, d, linear = return_code(cpu, selector)
    if not ok:
        return FAULT
    target = cut_offset(cpu, d, offset)
    stack = U64(0)
    stack_linear = U64(0)
    if pops_stack:
        if cpu.bits != 64:
            ok, above, ss = popped_stack(cpu, sp, bits)
            if not ok:
                return FAULT
        ok, stack, stack_linear = return_stack(cpu, ss, d, cpl)
        if not ok:
            return FAULT
    if not code_target(cpu, d, target):
        return FAULT
    ok, host = touch(cpu, d, linear)
    host2 = U64(0)
    if ok and stack_linear != 0:
        ok, host2 = touch(cpu, stack, stack_linear)
    if not ok:
        return FAULT
    set_accessed(host)
    set_accessed(host2)
    mask = U64(POPPED)
    if U64(cpu.cpl) <= (cpu.eflags & F_IOPL) >> 12:
        mask = mask | F_IF
    if cpu.cpl == 0:
        mask = mask | (F_IOPL | F_VIF | F_VIP)
    flags_from(cpu, image, mask, bits)
    if pops_stack:
        put_return_stack(cpu, ss, stack, stack_linear, cpl)
    put_cs(cpu, selector, d, cpl)
    put_return_sp(cpu, above)
    if outward:
        drop_segments(cpu)
    cpu.rip = target
    return BRANCH
