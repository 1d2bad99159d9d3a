"""Entering a handler: interrupt, trap and task gates of the IDT, the real-mode vector table, the redirection of V86 mode.

SDM vol. 3, 6.12 to 6.14, 20.2, 20.3; vol. 2, INT n.  Everything here is one attempt: BRANCH, or FAULT and nothing has
happened (a task switch excepted).  What a FAULT means for an event is decided in events.py.
"""

from isa.lang.word import U64, outlined
from vmdbg.machine.descriptor import (
    INDEX,
    INT16,
    INT32,
    TASK_GATE,
    TI,
    TRAP16,
    TRAP32,
    TSS16,
    TSS32,
    check_stack_descriptor,
    code_target,
    descriptor_attr,
    descriptor_base,
    descriptor_dpl,
    descriptor_limit,
    descriptor_present,
    descriptor_type,
    fetch_descriptor,
    is_code,
    is_conforming,
    put_cs,
    put_null,
    put_null_ss,
    put_real,
    put_segment,
    refresh_mode,
    set_accessed,
    system_read64,
    touch,
)
from vmdbg.machine.faults import fault
from vmdbg.machine.flags import get_rflags
from vmdbg.machine.frame import attr_mask, frame_add, frame_begin, frame_locate, frame_locate_here, frame_write, put_sp, stack_mask
from vmdbg.machine.segmentation import LOW32, canonical
from vmdbg.machine.state import (
    BRANCH,
    CR4_VME,
    CS,
    DB,
    DS,
    ES,
    F_AC,
    F_IF,
    F_IOPL,
    F_NT,
    F_RF,
    F_TF,
    F_VIF,
    F_VM,
    FAULT,
    FS,
    GP,
    GS,
    MC,
    NEXT,
    NP,
    RSP,
    SS,
    TR,
    TS,
)
from vmdbg.machine.task import INT, task_switch

# Kinds of events: interruption types of the VMCS (SDM vol. 3, table 24-15)
EXTERNAL, NMI_EVENT, EXCEPTION, SOFTWARE_INTERRUPT, PRIVILEGED_SOFTWARE, SOFTWARE_EXCEPTION = 0, 2, 3, 4, 5, 6


def is_software(kind):
    """INT n, INT3, INTO: gate DPL is checked, EXT is 0 (SDM vol. 3, 6.13)."""
    return (kind == SOFTWARE_INTERRUPT) | (kind == SOFTWARE_EXCEPTION)


def pushed_flags(cpu, vector, kind):
    """RFLAGS as the frame gets them: RF is set for faults, but not for #DB (SDM vol. 3, 17.3.1.1)."""
    f = get_rflags(cpu)
    if kind == EXCEPTION and vector != DB and vector != MC:
        f = f | F_RF
    return f


def tss_stack(cpu, cpl):
    """(ok, SS selector, ESP) of an inner level from a 16- or 32-bit TSS; beyond its limit: #TS(TSS selector)."""
    wide = (cpu.seg_attr[TR] & 8) != 0
    at = (cpl << 3) + 4
    if not wide:
        at = (cpl << 2) + 2
    if at + (U64(5) if wide else U64(3)) > cpu.seg_limit[TR]:
        fault(cpu, TS, U64(cpu.seg_selector[TR]) & INDEX)
        return False, U64(0), U64(0)
    ok, both = system_read64(cpu, cpu.seg_base[TR] + at)
    if wide:
        return ok, (both >> 32) & 0xFFFF, both & LOW32
    return ok, (both >> 16) & 0xFFFF, both & 0xFFFF


@outlined
def inner_stack(cpu, cpl):
    """(ok, selector, descriptor, its address, ESP) of the stack of an inner level, checked (SDM vol. 2, CALL and INT)."""
    ok, ss, esp = tss_stack(cpu, cpl)
    d = U64(0)
    linear = U64(0)
    if ok and (ss & INDEX) == 0:
        fault(cpu, TS, 0)
        ok = False
    if ok:
        ok, d, linear = fetch_descriptor(cpu, ss, U64(TS))
    if ok:
        ok = check_stack_descriptor(cpu, ss, d, cpl, U64(TS))
    return ok, ss, d, linear, esp


def masked_flags(cpu, interrupt_gate):
    """RFLAGS bits of cpu.eflags as a handler starts with them."""
    f = cpu.eflags & ~U64(F_TF | F_VM | F_RF | F_NT)
    if interrupt_gate:
        f = f & ~U64(F_IF)
    return f


def gate_code(cpu, selector):
    """(ok, code descriptor of a gate's selector, its address, to an inner level) for interrupt and trap gates."""
    if (selector & INDEX) == 0:
        fault(cpu, GP, 0)
        return False, U64(0), U64(0), False
    ok, d, linear = fetch_descriptor(cpu, selector, U64(GP))
    if not ok:
        return False, d, linear, False
    dpl = descriptor_dpl(d)
    if not is_code(d) or dpl > U64(cpu.cpl):
        fault(cpu, GP, selector & INDEX)
        return False, d, linear, False
    if not descriptor_present(d):
        fault(cpu, NP, selector & INDEX)
        return False, d, linear, False
    return True, d, linear, (not is_conforming(d)) and dpl < U64(cpu.cpl)


@outlined
def protected_gate(cpu, vector, kind, error_code, has_error, return_rip):
    """Through the IDT outside IA-32e mode."""
    where = (vector << 3) + 2
    if (vector << 3) + 7 > cpu.idtr_limit:
        return fault(cpu, GP, where)
    ok, gate = system_read64(cpu, cpu.idtr_base + (vector << 3))
    if not ok:
        return FAULT
    kind_of_gate = descriptor_type(gate)
    task = kind_of_gate == TASK_GATE
    wide = (kind_of_gate == INT32) | (kind_of_gate == TRAP32)
    narrow = (kind_of_gate == INT16) | (kind_of_gate == TRAP16)
    if not (task or wide or narrow):
        return fault(cpu, GP, where)
    if is_software(kind) and descriptor_dpl(gate) < U64(cpu.cpl):
        return fault(cpu, GP, where)
    if not descriptor_present(gate):
        return fault(cpu, NP, where)
    selector = (gate >> 16) & 0xFFFF
    if task:
        return interrupt_task(cpu, selector, error_code, has_error, return_rip)
    ok, d, linear, inner = gate_code(cpu, selector)
    if not ok:
        return FAULT
    cpl = U64(cpu.cpl)
    v86 = (cpu.eflags & F_VM) != 0
    if inner:
        cpl = descriptor_dpl(d)
    if v86 and (not inner or cpl != 0):
        return fault(cpu, GP, selector & INDEX)
    offset = (gate & 0xFFFF) | ((gate >> 32) & 0xFFFF0000)
    if not wide:
        offset = offset & 0xFFFF
    size = U64(4) if wide else U64(2)
    ss = U64(0)
    stack = U64(0)
    stack_linear = U64(0)
    stack_touch = U64(0)
    mask = stack_mask(cpu)
    frame_begin(cpu)
    if inner:
        ok, ss, stack, stack_linear, sp = inner_stack(cpu, cpl)
        if not ok:
            return FAULT
        mask = attr_mask(descriptor_attr(stack))
        if v86:
            frame_add(cpu, U64(cpu.seg_selector[GS]))
            frame_add(cpu, U64(cpu.seg_selector[FS]))
            frame_add(cpu, U64(cpu.seg_selector[DS]))
            frame_add(cpu, U64(cpu.seg_selector[ES]))
        frame_add(cpu, U64(cpu.seg_selector[SS]))
        frame_add(cpu, cpu.gpr[RSP])
    else:
        sp = cpu.gpr[RSP]
    frame_add(cpu, pushed_flags(cpu, vector, kind))
    frame_add(cpu, U64(cpu.seg_selector[CS]))
    frame_add(cpu, return_rip)
    if has_error:
        frame_add(cpu, error_code)
    if inner:
        ok, sp = frame_locate(
            cpu, descriptor_base(stack), descriptor_limit(stack), descriptor_attr(stack), sp & mask, mask, size, True, ss & INDEX
        )
    else:
        ok, sp = frame_locate_here(cpu, size)
    if not ok:
        return FAULT
    if not code_target(cpu, d, offset):
        return FAULT
    ok, code_touch = touch(cpu, d, linear)
    if ok and inner:
        ok, stack_touch = touch(cpu, stack, stack_linear)
    if not ok:
        return FAULT
    frame_write(cpu, size)
    set_accessed(code_touch)
    set_accessed(stack_touch)
    cpu.eflags = masked_flags(cpu, (kind_of_gate == INT32) | (kind_of_gate == INT16))
    if v86:
        put_null(cpu, U64(GS), U64(0))
        put_null(cpu, U64(FS), U64(0))
        put_null(cpu, U64(DS), U64(0))
        put_null(cpu, U64(ES), U64(0))
    if inner:
        put_segment(cpu, U64(SS), ss, stack)
    put_sp(cpu, sp, mask)
    put_cs(cpu, selector, d, cpl)
    cpu.rip = offset
    return BRANCH


@outlined
def interrupt_task(cpu, selector, error_code, has_error, return_rip):
    """Through a task gate of the IDT: a nested task (SDM vol. 2, INT n)."""
    if (selector & TI) != 0:
        return fault(cpu, GP, selector & INDEX)
    ok, d, linear = fetch_descriptor(cpu, selector, U64(GP))
    if not ok:
        return FAULT
    kind = descriptor_type(d)
    if kind != TSS32 and kind != TSS16:
        return fault(cpu, GP, selector & INDEX)
    if not descriptor_present(d):
        return fault(cpu, NP, selector & INDEX)
    return task_switch(cpu, selector, d, linear, U64(INT), return_rip, has_error, error_code)


@outlined
def long_gate(cpu, vector, kind, error_code, has_error, return_rip):
    """Through the IDT in IA-32e mode: 16-byte gates, IST, frames of 8-byte words on an aligned stack (SDM vol. 3, 6.14)."""
    where = (vector << 3) + 2
    if (vector << 4) + 15 > cpu.idtr_limit:
        return fault(cpu, GP, where)
    ok, gate = system_read64(cpu, cpu.idtr_base + (vector << 4))
    if not ok:
        return FAULT
    ok, high = system_read64(cpu, cpu.idtr_base + (vector << 4) + 8)
    if not ok:
        return FAULT
    kind_of_gate = descriptor_type(gate)
    if (kind_of_gate != INT32 and kind_of_gate != TRAP32) or ((high >> 40) & 0x1F) != 0:
        return fault(cpu, GP, where)
    if is_software(kind) and descriptor_dpl(gate) < U64(cpu.cpl):
        return fault(cpu, GP, where)
    if not descriptor_present(gate):
        return fault(cpu, NP, where)
    selector = (gate >> 16) & 0xFFFF
    offset = (gate & 0xFFFF) | ((gate >> 32) & 0xFFFF0000) | (high << 32)
    ok, d, linear, inner = gate_code(cpu, selector)
    if not ok:
        return FAULT
    if ((d >> 53) & 3) != 1:  # L set, D clear
        return fault(cpu, GP, selector & INDEX)
    cpl = U64(cpu.cpl)
    if inner:
        cpl = descriptor_dpl(d)
    sp = cpu.gpr[RSP]
    ist = (gate >> 32) & 7
    if ist != 0 or inner:
        at = (cpl << 3) + 4
        if ist != 0:
            at = (ist << 3) + 28
        if at + 7 > cpu.seg_limit[TR]:
            return fault(cpu, TS, U64(cpu.seg_selector[TR]) & INDEX)
        ok, sp = system_read64(cpu, cpu.seg_base[TR] + at)
        if not ok:
            return FAULT
    sp = sp & ~U64(15)
    frame_begin(cpu)
    frame_add(cpu, U64(cpu.seg_selector[SS]))
    frame_add(cpu, cpu.gpr[RSP])
    frame_add(cpu, pushed_flags(cpu, vector, kind))
    frame_add(cpu, U64(cpu.seg_selector[CS]))
    frame_add(cpu, return_rip)
    if has_error:
        frame_add(cpu, error_code)
    ok, sp = frame_locate(cpu, U64(0), U64(0), cpu.seg_attr[SS], sp, ~U64(0), U64(8), inner, U64(0))
    if not ok:
        return FAULT
    if not canonical(offset):
        return fault(cpu, GP, 0)
    ok, code_touch = touch(cpu, d, linear)
    if not ok:
        return FAULT
    frame_write(cpu, U64(8))
    set_accessed(code_touch)
    cpu.eflags = masked_flags(cpu, kind_of_gate == INT32)
    if inner:
        put_null_ss(cpu, cpl, cpl)
    put_cs(cpu, selector, d, cpl)
    cpu.gpr[RSP] = sp
    cpu.rip = offset
    return BRANCH


@outlined
def vector_table(cpu, base, vector, flags, return_rip):
    """Read CS:IP from a vector table, push FLAGS, CS and IP as 16-bit words and go there; the flags are the caller's."""
    ok, entry = system_read64(cpu, base + (vector << 2))
    if not ok:
        return FAULT
    offset = entry & 0xFFFF
    frame_begin(cpu)
    frame_add(cpu, flags)
    frame_add(cpu, U64(cpu.seg_selector[CS]))
    frame_add(cpu, return_rip)
    mask = stack_mask(cpu)
    ok, sp = frame_locate_here(cpu, U64(2))
    if not ok:
        return FAULT
    if offset > cpu.seg_limit[CS]:
        return fault(cpu, GP, 0)
    frame_write(cpu, U64(2))
    put_sp(cpu, sp, mask)
    put_real(cpu, U64(CS), (entry >> 16) & 0xFFFF)
    cpu.rip = offset
    return BRANCH


def real_interrupt(cpu, vector, return_rip):
    """In real-address mode (SDM vol. 3, 20.1.4)."""
    if (vector << 2) + 3 > cpu.idtr_limit:
        return fault(cpu, GP, 0)
    status = vector_table(cpu, cpu.idtr_base, vector, get_rflags(cpu), return_rip)
    if status == BRANCH:
        cpu.eflags = cpu.eflags & ~U64(F_IF | F_TF | F_AC | F_RF)
        refresh_mode(cpu)
    return status


@outlined
def v86_interrupt(cpu, vector, return_rip):
    """INT n in virtual-8086 mode (SDM vol. 3, 20.3.3, table 20-2): NEXT means: through the IDT."""
    iopl3 = (cpu.eflags & F_IOPL) == F_IOPL
    if (cpu.cr4 & CR4_VME) != 0:
        if cpu.seg_limit[TR] < 103:
            return fault(cpu, GP, 0)
        ok, word = system_read64(cpu, cpu.seg_base[TR] + 96)
        if not ok:
            return FAULT
        at = (word >> 48) - 32 + (vector >> 3)
        if at > cpu.seg_limit[TR]:
            return fault(cpu, GP, 0)
        ok, bitmap = system_read64(cpu, cpu.seg_base[TR] + at)
        if not ok:
            return FAULT
        if ((bitmap >> (vector & 7)) & 1) == 0:
            flags = get_rflags(cpu)
            if not iopl3:
                flags = (flags | F_IOPL) & ~U64(F_IF)
                if (flags & F_VIF) != 0:
                    flags = flags | F_IF
            status = vector_table(cpu, U64(0), vector, flags, return_rip)
            if status == BRANCH:
                off = U64(F_TF | F_RF | F_IF) if iopl3 else U64(F_TF | F_RF | F_VIF)
                cpu.eflags = cpu.eflags & ~off
            return status
    if not iopl3:
        return fault(cpu, GP, 0)
    return NEXT
