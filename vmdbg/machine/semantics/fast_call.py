"""SYSENTER, SYSEXIT, SYSCALL, SYSRET (SDM vol. 2), as Intel's processors have them."""

from isa.lang.word import U8, U16, U32, U64, outlined
from vmdbg.machine.descriptor import long_mode, refresh_mode
from vmdbg.machine.faults import fault, fault_gp0, fault_ud
from vmdbg.machine.flags import get_rflags, set_rflags
from vmdbg.machine.segmentation import LOW32, canonical, protected
from vmdbg.machine.state import BRANCH, CR0_PE, CS, EFER_SCE, F_IF, F_RF, F_VM, GP, RCX, RDX, RSP, SS

R11 = 11
CODE64, CODE32, STACK = 0xA09B, 0xC09B, 0xC093  # access rights of flat segments, DPL 0
SYSRET_FLAGS = 0x3C7FD7


def put_flat(cpu, seg, selector, attr, cpl):
    """A flat 4-GiB segment at privilege level cpl, without looking at any descriptor."""
    cpu.seg_selector[seg] = U16(selector)
    cpu.seg_base[seg] = U64(0)
    cpu.seg_limit[seg] = U64(LOW32)
    cpu.seg_attr[seg] = U32(attr) | (U32(cpl) << 5)


def put_flat_pair(cpu, cs, ss, wide, cpl):
    """Flat CS (64-bit if `wide`) and SS, and the privilege level."""
    if wide:
        put_flat(cpu, CS, cs, CODE64, cpl)
    else:
        put_flat(cpu, CS, cs, CODE32, cpl)
    put_flat(cpu, SS, ss, STACK, cpl)
    cpu.cpl = U8(cpl)
    refresh_mode(cpu)


@outlined
def sysenter(cpu, u):
    if (cpu.cr0 & CR0_PE) == 0 or (cpu.sysenter_cs & 0xFFFC) == 0:
        return fault_gp0(cpu)
    cpu.eflags = cpu.eflags & ~U64(F_VM | F_IF | F_RF)
    wide = long_mode(cpu)
    selector = cpu.sysenter_cs & 0xFFFC
    put_flat_pair(cpu, selector, selector + 8, wide, 0)
    cpu.gpr[RSP] = cpu.sysenter_esp if wide else cpu.sysenter_esp & LOW32
    cpu.rip = cpu.sysenter_eip if wide else cpu.sysenter_eip & LOW32
    return BRANCH


@outlined
def sysexit(cpu, u):
    if not protected(cpu) or cpu.cpl != 0 or (cpu.sysenter_cs & 0xFFFC) == 0:
        return fault_gp0(cpu)
    wide = u.osize == 64
    rip, rsp = cpu.gpr[RDX], cpu.gpr[RCX]
    if wide and not (canonical(rip) & canonical(rsp)):
        return fault(cpu, GP, 0)
    selector = cpu.sysenter_cs + (U64(32) if wide else U64(16))
    put_flat_pair(cpu, selector | 3, (selector + 8) | 3, wide, 3)
    cpu.gpr[RSP] = rsp if wide else rsp & LOW32
    cpu.rip = rip if wide else rip & LOW32
    return BRANCH


@outlined
def syscall(cpu, u):
    if cpu.bits != 64 or (cpu.efer & EFER_SCE) == 0:
        return fault_ud(cpu)
    cpu.gpr[RCX] = u.after
    cpu.gpr[R11] = get_rflags(cpu) & ~U64(F_RF)
    set_rflags(cpu, get_rflags(cpu) & ~cpu.sfmask & ~U64(F_RF))
    selector = (cpu.star >> 32) & 0xFFFC
    put_flat_pair(cpu, selector, selector + 8, True, 0)
    cpu.rip = cpu.lstar
    return BRANCH


@outlined
def sysret(cpu, u):
    if cpu.bits != 64 or (cpu.efer & EFER_SCE) == 0:
        return fault_ud(cpu)
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    wide = u.osize == 64
    rip = cpu.gpr[RCX]
    if wide and not canonical(rip):
        return fault_gp0(cpu)
    set_rflags(cpu, cpu.gpr[R11] & SYSRET_FLAGS)
    selector = cpu.star >> 48
    put_flat_pair(cpu, (selector + (U64(16) if wide else U64(0))) | 3, (selector + 8) | 3, wide, 3)
    cpu.rip = rip if wide else rip & LOW32
    return BRANCH
