"""Stack frames that far calls, gates and events build: gathered, translated as a whole, then written.

    frame_begin; frame_add(value) ...; frame_locate -> new stack pointer; (more checks); frame_write

Nothing is written before everything has been checked (contract.md section 2).
"""

from isa.lang.struct import words16, words32, words64
from isa.lang.word import U16, U32, U64, outlined
from vmdbg.machine.descriptor import long_mode
from vmdbg.machine.faults import fault
from vmdbg.machine.memory import access_linear, access_system
from vmdbg.machine.segmentation import LOW32, canonical, inside_limit
from vmdbg.machine.state import A_DB, A_UNUSABLE, RSP, SS, SS_FAULT


def frame_begin(cpu):
    cpu.frame_count = U64(0)


def frame_add(cpu, value):
    """Add a U64, pushed after those before it; cut to the operand size when it is written."""
    cpu.frame_value[cpu.frame_count] = value
    cpu.frame_count = cpu.frame_count + 1


def stack_mask(cpu):
    """What the current stack pointer is cut to."""
    if cpu.stack_bits == 64:
        return ~U64(0)
    if cpu.stack_bits == 32:
        return U64(LOW32)
    return U64(0xFFFF)


def attr_mask(attr):
    """What the stack pointer is cut to on a stack segment with these access rights, outside 64-bit mode."""
    return U64(LOW32) if (attr & A_DB) != 0 else U64(0xFFFF)


@outlined
def frame_locate(cpu, base, limit, attr, sp, mask, size, inner, error):
    """(ok, stack pointer after the pushes) for words of `size` bytes from sp down on the stack segment base, limit, attr.

    mask: what sp is cut to, all ones in 64-bit mode; inner: a stack of an inner privilege level; error: of #SS.
    """
    i = U64(0)
    while i < cpu.frame_count:
        sp = (sp - size) & mask
        if mask == ~U64(0):
            linear = sp
            good = canonical(sp) & canonical(sp + (size - 1))
        else:
            linear = (base + sp) & LOW32
            good = inside_limit(limit, attr, sp, size) and (attr & A_UNUSABLE) == 0
        if not good:
            fault(cpu, SS_FAULT, error)
            return False, sp
        if inner:
            host = access_system(cpu, linear, size, True)
        else:
            host = access_linear(cpu, linear, size, True)
        if host == 0:
            return False, sp
        cpu.frame_host[i] = host
        i = i + 1
    return True, sp


def far_mask(cpu, d):
    """What a far call to the code segment d cuts the stack pointer to: it pushes as its target will (observed on Zen; Bochs's way)."""
    if not long_mode(cpu):
        return stack_mask(cpu)
    return ~U64(0) if ((d >> 53) & 1) != 0 else attr_mask(cpu.seg_attr[SS])


def frame_locate_on(cpu, mask, size):
    """frame_locate on the current stack, with the stack pointer cut to mask."""
    return frame_locate(cpu, cpu.seg_base[SS], cpu.seg_limit[SS], cpu.seg_attr[SS], cpu.gpr[RSP] & mask, mask, size, False, U64(0))


def frame_locate_here(cpu, size):
    """frame_locate on the current stack."""
    return frame_locate_on(cpu, stack_mask(cpu), size)


@outlined
def frame_write(cpu, size):
    """Write what frame_locate has found room for."""
    i = U64(0)
    while i < cpu.frame_count:
        host = cpu.frame_host[i]
        value = cpu.frame_value[i]
        if size == 8:
            words64(host)[0] = value
        elif size == 4:
            words32(host)[0] = U32(value)
        else:
            words16(host)[0] = U16(value)
        i = i + 1


def put_sp(cpu, sp, mask):
    """Set the stack pointer: RSP, ESP (upper half cleared), or SP (the rest of ESP kept), by the mask of its stack."""
    if mask == 0xFFFF:
        cpu.gpr[RSP] = (cpu.gpr[RSP] & ~U64(0xFFFF)) | sp
    else:
        cpu.gpr[RSP] = sp
