"""SSE floating point: arithmetic, comparison, rounding (SDM vol. 1, 11.5; vol. 2), on exact soft-float.

A scalar source is a place of 32 or 64 bits, all else has 128; a scalar result leaves the rest of its register.
`bits`, where it is a parameter, is the lane width, 32 or 64, and `op` the low four bits of the opcode (ADD .. MAX
below); both are constants of the row (`cc`).  The flags of all lanes are collected before anything is written.
"""

from isa.lang.word import U32, U64
from vmdbg.machine.flags import set_status
from vmdbg.machine.semantics.lanes import at_lane, lane, with_lane
from vmdbg.machine.semantics.sse_state import accept_exceptions, commit
from vmdbg.machine.softfloat.double import (
    f64_add,
    f64_compare,
    f64_div,
    f64_max,
    f64_min,
    f64_mul,
    f64_round,
    f64_sqrt,
    f64_sub,
)
from vmdbg.machine.softfloat.single import (
    f32_add,
    f32_compare,
    f32_div,
    f32_max,
    f32_min,
    f32_mul,
    f32_round,
    f32_sqrt,
    f32_sub,
)
from vmdbg.machine.state import FAULT, NEXT

ADD, MUL, SUB, MIN, DIV, MAX = 0x8, 0x9, 0xC, 0xD, 0xE, 0xF  # op: 0F 58, 59, 5C .. 5F
APPROXIMATE = 0x9FC0  # MXCSR of the approximations: all masked, denormals are zero, tiny results are zero


def single(a, b, op, mode):
    """One operation on two F32 (U32) -> (U32, flags)."""
    if op == ADD:
        return f32_add(a, b, mode)
    if op == MUL:
        return f32_mul(a, b, mode)
    if op == SUB:
        return f32_sub(a, b, mode)
    if op == MIN:
        return f32_min(a, b, mode)
    if op == DIV:
        return f32_div(a, b, mode)
    return f32_max(a, b, mode)


def double(a, b, op, mode):
    """One operation on two F64 (U64) -> (U64, flags)."""
    if op == ADD:
        return f64_add(a, b, mode)
    if op == MUL:
        return f64_mul(a, b, mode)
    if op == SUB:
        return f64_sub(a, b, mode)
    if op == MIN:
        return f64_min(a, b, mode)
    if op == DIV:
        return f64_div(a, b, mode)
    return f64_max(a, b, mode)


def element(a, b, bits, op, mode):
    """One operation on two numbers of `bits` bits, in 64-bit words -> (U64, flags)."""
    if bits == 32:
        r, flags = single(U32(a), U32(b), op, mode)
        return U64(r), flags
    return double(a, b, op, mode)


def root(a, bits, mode):
    """The square root of a number of `bits` bits, in a 64-bit word -> (U64, flags)."""
    if bits == 32:
        r, flags = f32_sqrt(U32(a), mode)
        return U64(r), flags
    return f64_sqrt(a, mode)


def relation(a, b, bits, signals, mode):
    """How a stands to b -> (0 equal, 1 less, 2 greater, 3 unordered; flags)."""
    if bits == 32:
        return f32_compare(U32(a), U32(b), signals, mode)
    return f64_compare(a, b, signals, mode)


def rounded(a, bits, control, mode):
    """a rounded to an integral value -> (U64, flags)."""
    if bits == 32:
        r, flags = f32_round(U32(a), control, mode)
        return U64(r), flags
    return f64_round(a, control, mode)


# ---- ADD MUL SUB MIN DIV MAX


def scalar_arithmetic(cpu, u, dst, src, op):
    """ADDSS, ADDSD and kin; the width is the source's."""
    a, b = dst.value, src.value
    r, flags = element(lane(a, U64(0), b.bits), U64(b), b.bits, op, cpu.mxcsr)
    return commit(cpu, dst, with_lane(a, U64(0), b.bits, r), flags)


def packed_arithmetic(cpu, dst, src, bits, op):
    a, b = dst.value, src.value
    r, flags, i = a ^ a, U32(0), U64(0)
    while i < U64(128 // bits):
        v, f = element(lane(a, i, bits), lane(b, i, bits), bits, op, cpu.mxcsr)
        r, flags, i = r | at_lane(a, i, bits, v), flags | f, i + 1
    return commit(cpu, dst, r, flags)


def single_arithmetic(cpu, u, dst, src, op):
    """ADDPS and kin."""
    return packed_arithmetic(cpu, dst, src, 32, op)


def double_arithmetic(cpu, u, dst, src, op):
    """ADDPD and kin."""
    return packed_arithmetic(cpu, dst, src, 64, op)


def scalar_sqrt(cpu, u, dst, src):
    a = src.value
    r, flags = root(U64(a), a.bits, cpu.mxcsr)
    return commit(cpu, dst, with_lane(dst.value, U64(0), a.bits, r), flags)


def packed_sqrt(cpu, u, dst, src, bits):
    a = src.value
    r, flags, i = a ^ a, U32(0), U64(0)
    while i < U64(128 // bits):
        v, f = root(lane(a, i, bits), bits, cpu.mxcsr)
        r, flags, i = r | at_lane(a, i, bits, v), flags | f, i + 1
    return commit(cpu, dst, r, flags)


# ---- approximations: the nearest number of 13 significant bits, an error of at most 2**-13 (allowed: 1.5 * 2**-12)


def shortened(a):
    """A finite F32 rounded to 13 significant bits."""
    return (a + 0x400) & 0xFFFFF800 if (a & 0x7F800000) != 0x7F800000 else a


def reciprocal(a):
    r, _flags = f32_div(U32(0x3F800000), a, U32(APPROXIMATE))
    return shortened(r)


def reciprocal_root(a):
    root_of_a, _flags = f32_sqrt(a, U32(APPROXIMATE))
    return reciprocal(root_of_a)


def rcpss(cpu, u, dst, src):
    dst.value = with_lane(dst.value, U64(0), 32, U64(reciprocal(src.value)))
    return NEXT


def rsqrtss(cpu, u, dst, src):
    dst.value = with_lane(dst.value, U64(0), 32, U64(reciprocal_root(src.value)))
    return NEXT


def rcpps(cpu, u, dst, src):
    a = src.value
    r, i = a ^ a, U64(0)
    while i < 4:
        r, i = r | at_lane(a, i, 32, U64(reciprocal(U32(lane(a, i, 32))))), i + 1
    dst.value = r
    return NEXT


def rsqrtps(cpu, u, dst, src):
    a = src.value
    r, i = a ^ a, U64(0)
    while i < 4:
        r, i = r | at_lane(a, i, 32, U64(reciprocal_root(U32(lane(a, i, 32))))), i + 1
    dst.value = r
    return NEXT


# ---- comparison


def predicate(a, b, bits, which, mode):
    """CMPxx's answer, all ones or zero, and flags; which: bits 2:0 of the immediate byte."""
    base = which & 3
    how, flags = relation(a, b, bits, (base == 1) | (base == 2), mode)
    if base == 0:
        holds = how == 0
    elif base == 1:
        holds = how == 1
    elif base == 2:
        holds = how <= 1
    else:
        holds = how == 3
    return U64(0) - U64(holds != ((which & 4) != 0)), flags


def scalar_compare(cpu, u, dst, src, which):
    """CMPSS, CMPSD."""
    a, b = dst.value, src.value
    r, flags = predicate(lane(a, U64(0), b.bits), U64(b), b.bits, U64(which.value), cpu.mxcsr)
    return commit(cpu, dst, with_lane(a, U64(0), b.bits, r), flags)


def packed_compare(cpu, u, dst, src, which, bits):
    """CMPPS, CMPPD."""
    a, b = dst.value, src.value
    r, flags, i = a ^ a, U32(0), U64(0)
    while i < U64(128 // bits):
        v, f = predicate(lane(a, i, bits), lane(b, i, bits), bits, U64(which.value), cpu.mxcsr)
        r, flags, i = r | at_lane(a, i, bits, v), flags | f, i + 1
    return commit(cpu, dst, r, flags)


def compare_to_flags(cpu, left, right, signals):
    b = right.value
    how, flags = relation(lane(left.value, U64(0), b.bits), U64(b), b.bits, signals, cpu.mxcsr)
    if not accept_exceptions(cpu, flags):
        return FAULT
    status = U64(0)
    if how == 0:
        status = U64(0x40)
    elif how == 1:
        status = U64(0x01)
    elif how == 3:
        status = U64(0x45)
    set_status(cpu, status)
    return NEXT


def comis(cpu, u, left, right):
    """COMISS, COMISD: a QNaN is invalid."""
    return compare_to_flags(cpu, left, right, True)


def ucomis(cpu, u, left, right):
    """UCOMISS, UCOMISD: only an SNaN is invalid."""
    return compare_to_flags(cpu, left, right, False)


# ---- rounding


def scalar_round(cpu, u, dst, src, control):
    """ROUNDSS, ROUNDSD."""
    a = src.value
    r, flags = rounded(U64(a), a.bits, U32(control.value), cpu.mxcsr)
    return commit(cpu, dst, with_lane(dst.value, U64(0), a.bits, r), flags)


def packed_round(cpu, u, dst, src, control, bits):
    """ROUNDPS, ROUNDPD."""
    a = src.value
    r, flags, i = a ^ a, U32(0), U64(0)
    while i < U64(128 // bits):
        v, f = rounded(lane(a, i, bits), bits, U32(control.value), cpu.mxcsr)
        r, flags, i = r | at_lane(a, i, bits, v), flags | f, i + 1
    return commit(cpu, dst, r, flags)


# ---- across lanes


def horizontal_arithmetic(cpu, dst, src, bits, op):
    """Neighbouring lanes of the destination, then of the source, joined."""
    a, b = dst.value, src.value
    r, flags, i, n = a ^ a, U32(0), U64(0), U64(128 // bits)
    while i < n:
        k = (i + i) & (n - 1)
        c = a if i + i < n else b
        v, f = element(lane(c, k, bits), lane(c, k + 1, bits), bits, op, cpu.mxcsr)
        r, flags, i = r | at_lane(a, i, bits, v), flags | f, i + 1
    return commit(cpu, dst, r, flags)


def horizontal_add(cpu, u, dst, src, bits):
    """HADDPS, HADDPD."""
    return horizontal_arithmetic(cpu, dst, src, bits, ADD)


def horizontal_sub(cpu, u, dst, src, bits):
    """HSUBPS, HSUBPD."""
    return horizontal_arithmetic(cpu, dst, src, bits, SUB)


def addsub(cpu, u, dst, src, bits):
    """ADDSUBPS, ADDSUBPD: even lanes subtract, odd ones add."""
    a, b = dst.value, src.value
    r, flags, i = a ^ a, U32(0), U64(0)
    while i < U64(128 // bits):
        x, y = lane(a, i, bits), lane(b, i, bits)
        if (i & 1) == 0:
            v, f = element(x, y, bits, SUB, cpu.mxcsr)
        else:
            v, f = element(x, y, bits, ADD, cpu.mxcsr)
        r, flags, i = r | at_lane(a, i, bits, v), flags | f, i + 1
    return commit(cpu, dst, r, flags)


def dot_product(cpu, u, dst, src, control, bits):
    """DPPS, DPPD: products where control bits 7:4 say, summed in pairs, to the lanes that bits 3:0 say.

    An unmasked exception of the products ends it before the sums, one of the first sums before the last.
    """
    a, b, c = dst.value, src.value, U64(control.value)
    p, flags, i = a ^ a, U32(0), U64(0)
    while i < U64(128 // bits):
        if ((c >> (i + 4)) & 1) == 1:
            v, f = element(lane(a, i, bits), lane(b, i, bits), bits, MUL, cpu.mxcsr)
            p, flags = p | at_lane(a, i, bits, v), flags | f
        i = i + 1
    if not accept_exceptions(cpu, flags):
        return FAULT
    total, flags = element(lane(p, U64(0), bits), lane(p, U64(1), bits), bits, ADD, cpu.mxcsr)
    if bits == 32:
        upper, f = element(lane(p, U64(2), bits), lane(p, U64(3), bits), bits, ADD, cpu.mxcsr)
        if not accept_exceptions(cpu, flags | f):
            return FAULT
        total, flags = element(total, upper, bits, ADD, cpu.mxcsr)
    r, i = a ^ a, U64(0)
    while i < U64(128 // bits):
        if ((c >> i) & 1) == 1:
            r = r | at_lane(a, i, bits, total)
        i = i + 1
    return commit(cpu, dst, r, flags)
