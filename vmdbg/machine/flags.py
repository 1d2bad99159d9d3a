"""RFLAGS: kept as the answers that later instructions ask for, assembled only when somebody wants the register.

cpu.zr, sr, cf, lt, aux hold ZF, SF and PF, CF, SF != OF, AF; cpu.eflags the rest.  Any RFLAGS value can be held.
"""

from isa.lang.word import U8, U64, like, negative, popcount, slt, sx
from vmdbg.machine.state import STATUS_FLAGS


def set_flags(cpu, r, cf, lt, aux):
    """All six status flags of a result r (any width): CF, SF != OF, AF in bit 4 of aux."""
    wide = sx(r)
    cpu.zr, cpu.sr, cpu.cf, cpu.lt, cpu.aux = wide, wide, U8(cf), U8(lt), U8(aux)


def set_result(cpu, r):
    """ZF, SF and PF of r alone; OF is kept by moving SF != OF along."""
    of = overflow(cpu)
    wide = sx(r)
    cpu.zr, cpu.sr = wide, wide
    cpu.lt = U8(negative(wide) != of)


def flags_add(cpu, a, b, r, cf):
    """Flags of r = a + b (+ carry), CF given."""
    set_flags(cpu, r, cf, negative(r ^ ((a ^ r) & (b ^ r))), a ^ b ^ r)


def flags_sub(cpu, a, b, r, cf):
    """Flags of r = a - b (- borrow), CF given."""
    set_flags(cpu, r, cf, negative(r ^ ((a ^ b) & (a ^ r))), a ^ b ^ r)


def flags_compare(cpu, a, b, r):
    """Flags of r = a - b."""
    set_flags(cpu, r, a < b, slt(a, b), a ^ b ^ r)


def flags_logic(cpu, r):
    """Flags of AND, OR, XOR, TEST: CF and OF cleared; AF (undefined) cleared."""
    set_flags(cpu, r, False, negative(r), r ^ r)


def carry(cpu):
    return cpu.cf != 0


def zero(cpu):
    return cpu.zr == 0


def sign(cpu):
    return negative(cpu.sr)


def overflow(cpu):
    return (cpu.lt != 0) != negative(cpu.sr)


def parity(cpu):
    return (popcount(U8(cpu.sr)) & 1) == 0


def set_carry(cpu, cf):
    cpu.cf = U8(cf)


def set_zero(cpu, zf):
    """ZF alone."""
    cpu.zr = U64(zf) ^ 1


def set_overflow(cpu, of):
    cpu.lt = U8(of != negative(cpu.sr))


def condition(cpu, cc):
    """The condition of Jcc, SETcc, CMOVcc: cc is the low four bits of the opcode (SDM vol. 1, appendix B)."""
    which = cc >> 1
    if which == 0:
        holds = overflow(cpu)
    elif which == 1:
        holds = cpu.cf != 0
    elif which == 2:
        holds = cpu.zr == 0
    elif which == 3:
        holds = (cpu.cf != 0) | (cpu.zr == 0)
    elif which == 4:
        holds = negative(cpu.sr)
    elif which == 5:
        holds = parity(cpu)
    elif which == 6:
        holds = cpu.lt != 0
    else:
        holds = (cpu.lt != 0) | (cpu.zr == 0)
    return holds != ((cc & 1) == 1)


def get_rflags(cpu):
    """The whole register as architecture shows it."""
    f = cpu.eflags | U64(cpu.cf) | U64(cpu.aux & 0x10)
    if parity(cpu):
        f = f | 0x4
    if cpu.zr == 0:
        f = f | 0x40
    if negative(cpu.sr):
        f = f | 0x80
    if overflow(cpu):
        f = f | 0x800
    return f


def set_status(cpu, f):
    """The six status flags from bits 0, 2, 4, 6, 7, 11 of f."""
    s = (f >> 7) & 1
    of = (f >> 11) & 1
    cpu.zr = ((f >> 6) & 1) ^ 1
    cpu.sr = (s << 63) | (((f >> 2) & 1) ^ 1)
    cpu.cf = U8(f & 1)
    cpu.aux = U8(f & 0x10)
    cpu.lt = U8(s ^ of)


def set_rflags(cpu, f):
    """The whole register, unmasked: the caller has decided which bits may change.  Bit 1 is always set."""
    set_status(cpu, f)
    cpu.eflags = (f & (U64(0x3F7FD7) & ~U64(STATUS_FLAGS))) | 2


def bit(f, mask):
    """Whether any bit of mask is set in f."""
    return (f & like(f, U64(mask))) != 0
