"""String comparison: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM vol. 2, 4.1).

The control byte: bits 1:0 what an element is (0 and 2 bytes, 1 and 3 words; 2 and 3 signed), 3:2 how to compare,
5:4 which results to invert, 6 which end to report (index) or how wide the mask is (mask).
"""

from isa.lang.word import U32, U64, U128, leading_zeros, negative, outlined, slt, sx, trailing_zeros
from vmdbg.machine.flags import set_status
from vmdbg.machine.semantics.lanes import at_lane, lane, lane_signed
from vmdbg.machine.state import NEXT, RAX, RCX, RDX


def elements(control):
    """How many elements an operand has: 16 or 8."""
    return U64(16) >> (control & 1)


@outlined
def implicit_length(a, control):
    """The number of elements below the first zero one."""
    n, i = elements(control), U64(0)
    while i < n:
        if element(a, i, control) == 0:
            return i
        i = i + 1
    return n


def explicit_length(v, osize, control):
    """The absolute value of v (RAX or RDX; its low 32 bits without REX.W), at most the number of elements."""
    v = v if osize == 64 else sx(U32(v))
    v = -v if negative(v) else v
    n = elements(control)
    return v if v < n else n


def element(a, i, control):
    """Element i, extended to 64 bits as the control byte says."""
    if (control & 1) == 0:
        return lane_signed(a, i, 8) if (control & 2) != 0 else lane(a, i, 8)
    return lane_signed(a, i, 16) if (control & 2) != 0 else lane(a, i, 16)


def not_above(x, y, control):
    """x <= y, signed or unsigned as the control byte says; both extended to 64 bits."""
    return not slt(y, x) if (control & 2) != 0 else x <= y


@outlined
def matches(a, b, length_a, length_b, j, control):
    """Bit j of IntRes1: the comparison of element j of b with a."""
    n, how, i = elements(control), (control >> 2) & 3, U64(0)
    if how == 2:
        if (j < length_a) & (j < length_b):
            return element(a, j, control) == element(b, j, control)
        return (j >= length_a) & (j >= length_b)
    if how == 3:
        while (i < length_a) & (i + j < n):
            if i + j >= length_b:
                return False
            if element(a, i, control) != element(b, i + j, control):
                return False
            i = i + 1
        return True
    if j >= length_b:
        return False
    y = element(b, j, control)
    while i < length_a:
        x = element(a, i, control)
        if how == 0:
            if x == y:
                return True
            i = i + 1
        else:
            if i + 1 < length_a:
                if not_above(x, y, control) & not_above(y, element(a, i + 1, control), control):
                    return True
            i = i + 2
    return False


@outlined
def compare_strings(a, b, length_a, length_b, control):
    """IntRes2: a bit for each element of b."""
    n, r, j = elements(control), U64(0), U64(0)
    while j < n:
        bit = matches(a, b, length_a, length_b, j, control)
        inverted = ((control & 0x10) != 0) & (((control & 0x20) == 0) | (j < length_b))
        r = r | (U64(bit != inverted) << j)
        j = j + 1
    return r


def finish_index(cpu, a, b, length_a, length_b, control):
    """ECX and the flags."""
    r, n = compare_strings(a, b, length_a, length_b, control), elements(control)
    index = n
    if r != 0:
        index = 63 - leading_zeros(r) if (control & 0x40) != 0 else trailing_zeros(r)
    string_flags(cpu, r, length_a < n, length_b < n)
    cpu.gpr[RCX] = index
    return NEXT


def finish_mask(cpu, a, b, length_a, length_b, control):
    """XMM0 and the flags."""
    r, n = compare_strings(a, b, length_a, length_b, control), elements(control)
    mask, i = U128(r), U64(0)
    if (control & 0x40) != 0:
        mask = mask ^ mask
        while i < n:
            every = U64(0) - ((r >> i) & 1)
            mask = mask | (at_lane(mask, i, 8, every) if n == 16 else at_lane(mask, i, 16, every))
            i = i + 1
    string_flags(cpu, r, length_a < n, length_b < n)
    cpu.xmm[0], cpu.xmm[1] = U64(mask), U64(mask >> 64)
    return NEXT


def string_flags(cpu, r, short_a, short_b):
    """CF: any result; ZF, SF: the second, the first string ends; OF: result 0; AF and PF clear."""
    set_status(cpu, U64(r != 0) | (U64(short_b) << 6) | (U64(short_a) << 7) | ((r & 1) << 11))


def pcmpestri(cpu, u, left, right, control):
    a, b, c = left.value, right.value, U64(control.value)
    return finish_index(cpu, a, b, explicit_length(cpu.gpr[RAX], u.osize, c), explicit_length(cpu.gpr[RDX], u.osize, c), c)


def pcmpestrm(cpu, u, left, right, control):
    a, b, c = left.value, right.value, U64(control.value)
    return finish_mask(cpu, a, b, explicit_length(cpu.gpr[RAX], u.osize, c), explicit_length(cpu.gpr[RDX], u.osize, c), c)


def pcmpistri(cpu, u, left, right, control):
    a, b, c = left.value, right.value, U64(control.value)
    return finish_index(cpu, a, b, implicit_length(a, c), implicit_length(b, c), c)


def pcmpistrm(cpu, u, left, right, control):
    a, b, c = left.value, right.value, U64(control.value)
    return finish_mask(cpu, a, b, implicit_length(a, c), implicit_length(b, c), c)
