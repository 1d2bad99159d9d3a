"""Segments: from segment and offset to linear address (SDM vol. 3, chapters 3 and 5).

The hidden part of a segment register is cpu.seg_base, seg_limit (bytes) and seg_attr, the latter in the access-rights
format of the VMCS: bits 3:0 type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, 16 unusable.
"""

from isa.lang.word import U64
from vmdbg.machine.faults import fault
from vmdbg.machine.state import A_DB, A_UNUSABLE, CR0_PE, F_VM, FS, GP, SS, SS_FAULT

LOW32 = 0xFFFFFFFF


def canonical(linear):
    """Whether bits 63:47 of a linear address are all equal (48 bits of linear address)."""
    top = linear >> 47
    return (top == 0) | (top == 0x1FFFF)


def protected(cpu):
    """Protected mode or IA-32e mode, but not virtual-8086 mode: selectors name descriptors."""
    return ((cpu.cr0 & CR0_PE) != 0) & ((cpu.eflags & F_VM) == 0)


def segment_fault(cpu, seg):
    """#SS(0) for the stack segment, #GP(0) for the others."""
    if seg == SS:
        return fault(cpu, SS_FAULT, 0)
    return fault(cpu, GP, 0)


def inside_limit(limit, attr, offset, size):
    """Whether `size` bytes at offset lie in a segment; expand-down: offsets above the limit are the valid ones.

    In a segment of 4 GiB an access may wrap from the end to the beginning (SDM vol. 3, 5.3: left to the processor).
    """
    last = offset + (size - 1)
    if (attr & 0xC) == 4:
        top = U64(LOW32) if (attr & A_DB) != 0 else U64(0xFFFF)
        return (offset > limit) & (last <= top)
    return (last <= limit) | (limit == LOW32)


def segment_check(cpu, seg, offset, size, write):
    """(ok, linear) of `size` bytes at seg:offset, offset already cut to the address size; if not ok, the fault is left.

    Checks null, type, limit (expand-down included) and, in 64-bit mode, canonical form (SDM vol. 3, 5.3 to 5.5).
    """
    if cpu.bits == 64:
        linear = offset
        if seg >= FS:
            linear = cpu.seg_base[seg] + offset
        if canonical(linear) & canonical(linear + (size - 1)):
            return True, linear
        segment_fault(cpu, seg)
        return False, linear
    attr = cpu.seg_attr[seg]
    code = (attr & 8) != 0
    inside = inside_limit(cpu.seg_limit[seg], attr, offset, size)
    if protected(cpu):
        if write:
            allowed = (not code) and (attr & 2) != 0
        else:
            allowed = (not code) or (attr & 2) != 0
    else:
        allowed = True
    linear = (cpu.seg_base[seg] + offset) & LOW32
    if inside and allowed and (attr & A_UNUSABLE) == 0:
        return True, linear
    segment_fault(cpu, seg)
    return False, linear
