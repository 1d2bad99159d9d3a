"""Segment registers and what asks about descriptors: MOV Sreg, LLDT LTR SLDT STR, LAR LSL VERR VERW ARPL, FS and GS bases."""

from isa.lang.struct import words16
from isa.lang.word import U8, U64, like, outlined
from vmdbg.machine.descriptor import (
    INDEX,
    RPL,
    TI,
    descriptor_dpl,
    descriptor_limit,
    descriptor_type,
    fetch_descriptor,
    load_ldt,
    load_segment,
    load_tr,
    long_mode,
    system_read64,
)
from vmdbg.machine.faults import fault_gp0, fault_ud
from vmdbg.machine.frame import put_sp, stack_mask
from vmdbg.machine.memory import READ, WRITE, access
from vmdbg.machine.segmentation import canonical, protected
from vmdbg.machine.stack import pop_host
from vmdbg.machine.state import A_UNUSABLE, CR4_FSGSBASE, CR4_UMIP, CS, END, FAULT, FS, GP, GS, LDTR, NEXT, SS, TR

# Sets of system descriptor types, bit n for type n
LAR_LEGACY, LAR_LONG, LSL_LEGACY, LSL_LONG = 0x1A3E, 0x1A04, 0x0A0E, 0x0A04
CALL_GATE = 12


def mov_from_seg(cpu, u, dst, sreg):
    if sreg.value > GS:
        return fault_ud(cpu)
    dst.value = like(dst.value, cpu.seg_selector[sreg.value])
    return NEXT


def mov_to_seg(cpu, u, sreg, src):
    """SS holds interrupts and debug traps off until the next instruction is done (SDM vol. 3, 6.8.3)."""
    seg = sreg.value
    if seg == CS or seg > GS:
        return fault_ud(cpu)
    status = load_segment(cpu, seg, U64(src.value))
    if status == NEXT and seg == SS:
        cpu.shadow = U8(2)
        return END
    return status


# ---- LDTR and TR


def umip(cpu):
    """Whether UMIP forbids SGDT, SIDT, SLDT, SMSW and STR."""
    return (cpu.cr4 & CR4_UMIP) != 0 and cpu.cpl != 0


def umip_available(cpu):
    """For the glue, before it translates operands: SMSW's privilege."""
    if umip(cpu):
        fault_gp0(cpu)
        return False
    return True


def protected_available(cpu):
    """For the glue: the instructions of this page that raise #UD in real-address and virtual-8086 mode."""
    if not protected(cpu):
        fault_ud(cpu)
        return False
    return True


def protected_umip_available(cpu):
    """For the glue: SLDT and STR."""
    return protected_available(cpu) and umip_available(cpu)


def sldt(cpu, u, dst):
    dst.value = like(dst.value, cpu.seg_selector[LDTR])
    return NEXT


def str_(cpu, u, dst):
    dst.value = like(dst.value, cpu.seg_selector[TR])
    return NEXT


def lldt(cpu, u, src):
    return load_ldt(cpu, U64(src.value))


def ltr(cpu, u, src):
    return load_tr(cpu, U64(src.value))


# ---- questions about descriptors


def set_zero(cpu, zf):
    """ZF alone."""
    cpu.zr = U64(0) if zf else U64(1)


def exists(cpu, selector, size):
    """Whether `size` bytes of the selector's descriptor lie within its table."""
    last = (selector & 0xFFF8) + (size - 1)
    if (selector & TI) != 0:
        return last <= cpu.seg_limit[LDTR] and (cpu.seg_attr[LDTR] & A_UNUSABLE) == 0
    return last <= cpu.gdtr_limit


@outlined
def inspect(cpu, selector, legacy, long):
    """(status, valid, descriptor) for LAR, LSL, VERR, VERW: valid if it exists, is of an allowed type and visible.

    legacy, long: the system types that are allowed outside and in IA-32e mode, one bit each.
    """
    if (selector & INDEX) == 0 or not exists(cpu, selector, U64(8)):
        return NEXT, False, U64(0)
    ok, d, linear = fetch_descriptor(cpu, selector, U64(GP))
    if not ok:
        return FAULT, False, d
    kind = descriptor_type(d)
    dpl = descriptor_dpl(d)
    visible = dpl >= U64(cpu.cpl) and dpl >= (selector & RPL)
    if kind >= 16:
        return NEXT, visible or (kind & 0xC) == 0xC, d
    allowed = ((long if long_mode(cpu) else legacy) >> kind) & 1
    if allowed == 0 or not visible:
        return NEXT, False, d
    if long_mode(cpu) and (cpu.bits == 64 or kind == CALL_GATE):
        if not exists(cpu, selector, U64(16)):
            return NEXT, False, d
        ok, high = system_read64(cpu, linear + 8)
        if not ok:
            return FAULT, False, d
        return NEXT, ((high >> 40) & 0x1F) == 0, d
    return NEXT, True, d


def lar(cpu, u, dst, src):
    status, valid, d = inspect(cpu, U64(src.value) & 0xFFFF, U64(LAR_LEGACY), U64(LAR_LONG))
    if status == NEXT:
        set_zero(cpu, valid)
        if valid:
            dst.value = like(dst.value, (d >> 32) & 0x00FFFF00)
    return status


def lsl(cpu, u, dst, src):
    status, valid, d = inspect(cpu, U64(src.value) & 0xFFFF, U64(LSL_LEGACY), U64(LSL_LONG))
    if status == NEXT:
        set_zero(cpu, valid)
        if valid:
            dst.value = like(dst.value, descriptor_limit(d))
    return status


def verr(cpu, u, src):
    status, valid, d = inspect(cpu, U64(src.value), U64(0), U64(0))
    if status == NEXT:
        kind = descriptor_type(d)
        set_zero(cpu, valid and ((kind & 8) == 0 or (kind & 2) != 0))
    return status


def verw(cpu, u, src):
    status, valid, d = inspect(cpu, U64(src.value), U64(0), U64(0))
    if status == NEXT:
        set_zero(cpu, valid and (descriptor_type(d) & 0xA) == 2)
    return status


def arpl(cpu, u, dst, src):
    have = dst.value
    want = src.value & RPL
    raised = (have & RPL) < want
    set_zero(cpu, raised)
    if raised:
        dst.value = (have & INDEX) | want
    return NEXT


def arpl_memory(cpu, u, ea, src):
    """Looks at the operand for writing only if its RPL changes: so CPUs do, though the SDM has #GP(0) for any read-only segment."""
    host = access(cpu, u.seg, ea.value, U64(2), READ)
    if host == 0:
        return FAULT
    have = words16(host)[0]
    want = src.value & RPL
    raised = (have & RPL) < want
    if raised:
        host = access(cpu, u.seg, ea.value, U64(2), WRITE)
        if host == 0:
            return FAULT
        words16(host)[0] = (have & INDEX) | want
    set_zero(cpu, raised)
    return NEXT


# ---- bases of FS and GS


def swapgs(cpu, u):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    base = cpu.seg_base[GS]
    cpu.seg_base[GS] = cpu.kernel_gs_base
    cpu.kernel_gs_base = base
    return END


def read_base(cpu, dst, seg):
    if (cpu.cr4 & CR4_FSGSBASE) == 0:
        return fault_ud(cpu)
    dst.value = like(dst.value, cpu.seg_base[seg])
    return NEXT


def write_base(cpu, src, seg):
    if (cpu.cr4 & CR4_FSGSBASE) == 0:
        return fault_ud(cpu)
    base = U64(src.value)
    if not canonical(base):
        return fault_gp0(cpu)
    cpu.seg_base[seg] = base
    return NEXT


def rdfsbase(cpu, u, dst):
    return read_base(cpu, dst, FS)


def rdgsbase(cpu, u, dst):
    return read_base(cpu, dst, GS)


def wrfsbase(cpu, u, src):
    return write_base(cpu, src, FS)


def wrgsbase(cpu, u, src):
    return write_base(cpu, src, GS)


def pop_seg(cpu, u, sreg):
    """POP Sreg; SS as in MOV SS.  The stack pointer moves in the size of the old stack."""
    mask = stack_mask(cpu)
    host, top = pop_host(cpu, u.osize)
    if host == 0:
        return FAULT
    seg = sreg.value
    status = load_segment(cpu, seg, words16(host)[0])
    if status == NEXT:
        put_sp(cpu, top & mask, mask)
        if seg == SS:
            cpu.shadow = U8(2)
            return END
    return status
