"""Shifts and rotates (SDM vol. 2).

Counts are masked to 5 bits, to 6 for 64-bit operands; a masked count of 0 changes no flag
(and a 32-bit register is zero-extended all the same).  OF is defined for counts
of 1 only; for others it is computed by the same rule, as Intel's processors do.  AF of shifts, undefined, is cleared.
8- and 16-bit SHLD and SHRD by more than the width, undefined, shift DEST:SRC:DEST, as Intel's processors since the P6.
"""

from isa.lang.word import U64, like, negative, sx
from isa.lang.word import sar as shift_signed
from vmdbg.machine.flags import carry, set_carry, set_flags, set_overflow
from vmdbg.machine.state import NEXT


def masked(a, count):
    """The count as a U64, masked for a's width."""
    return U64(count.value) & (63 if a.bits == 64 else 31)


def shift_flags(cpu, r, cf, of):
    set_flags(cpu, r, cf, negative(r) != of, r ^ r)


def shl(cpu, u, dst, count):
    a = dst.value
    n = masked(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    wide = U64(a) << n
    r = like(a, wide)
    if a.bits == 64:
        cf = ((a >> (U64(64) - n)) & 1) != 0
    else:
        cf = ((wide >> (a.bits & 63)) & 1) != 0
    shift_flags(cpu, r, cf, negative(r) != cf)
    dst.value = r
    return NEXT


def shr(cpu, u, dst, count):
    a = dst.value
    n = masked(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    wide = U64(a)
    r = like(a, wide >> n)
    shift_flags(cpu, r, ((wide >> (n - 1)) & 1) != 0, negative(r ^ (r << 1)))
    dst.value = r
    return NEXT


def sar(cpu, u, dst, count):
    a = dst.value
    n = masked(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    wide = sx(a)
    r = like(a, shift_signed(wide, n))
    shift_flags(cpu, r, (shift_signed(wide, n - 1) & 1) != 0, False)
    dst.value = r
    return NEXT


# ---- rotates: only CF and OF are written


def rol(cpu, u, dst, count):
    a = dst.value
    n = masked(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    m = n & U64(a.bits - 1)
    r = (a << m) | (a >> ((U64(a.bits) - m) & U64(a.bits - 1)))
    cf = (r & 1) != 0
    set_carry(cpu, cf)
    set_overflow(cpu, cf != negative(r))
    dst.value = r
    return NEXT


def ror(cpu, u, dst, count):
    a = dst.value
    n = masked(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    m = n & U64(a.bits - 1)
    r = (a >> m) | (a << ((U64(a.bits) - m) & U64(a.bits - 1)))
    set_carry(cpu, negative(r))
    set_overflow(cpu, negative(r ^ (r << 1)))
    dst.value = r
    return NEXT


def through_carry(a, count):
    """The count of RCL and RCR: modulo 9 and 17 for 8 and 16 bits."""
    n = masked(a, count)
    if a.bits == 8:
        return n % 9
    if a.bits == 16:
        return n % 17
    return n


def rcl(cpu, u, dst, count):
    a = dst.value
    n = through_carry(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    wide, width = U64(a), U64(a.bits)
    r = like(a, (wide << n) | (U64(carry(cpu)) << (n - 1)) | ((wide >> 1) >> (width - n)))
    cf = ((wide >> (width - n)) & 1) != 0
    set_carry(cpu, cf)
    set_overflow(cpu, cf != negative(r))
    dst.value = r
    return NEXT


def rcr(cpu, u, dst, count):
    a = dst.value
    n = through_carry(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    wide, width = U64(a), U64(a.bits)
    r = like(a, (wide >> n) | (U64(carry(cpu)) << (width - n)) | ((wide << 1) << (width - n)))
    set_carry(cpu, ((wide >> (n - 1)) & 1) != 0)
    set_overflow(cpu, negative(r ^ (r << 1)))
    dst.value = r
    return NEXT


# ---- double shifts


def shld(cpu, u, dst, src, count):
    a, b = dst.value, src.value
    n = masked(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    if a.bits == 64:
        r = (a << n) | (b >> (U64(64) - n))
        cf = ((a >> (U64(64) - n)) & 1) != 0
    elif a.bits == 32:
        pair = ((U64(a) << 32) | U64(b)) << n
        r = like(a, pair >> 32)
        cf = ((U64(a) >> (U64(32) - n)) & 1) != 0
    else:
        triple = ((U64(a) << 32) | (U64(b) << 16) | U64(a)) << n
        r = like(a, triple >> 32)
        cf = ((triple >> 48) & 1) != 0
    shift_flags(cpu, r, cf, negative(r) != cf)
    dst.value = r
    return NEXT


def shrd(cpu, u, dst, src, count):
    a, b = dst.value, src.value
    n = masked(a, count)
    if n == 0:
        dst.value = a
        return NEXT
    if a.bits == 64:
        r = (a >> n) | (b << (U64(64) - n))
        cf = ((a >> (n - 1)) & 1) != 0
    elif a.bits == 32:
        pair = (U64(b) << 32) | U64(a)
        r = like(a, pair >> n)
        cf = ((pair >> (n - 1)) & 1) != 0
    else:
        triple = (U64(a) << 32) | (U64(b) << 16) | U64(a)
        r = like(a, triple >> n)
        cf = ((triple >> (n - 1)) & 1) != 0
    shift_flags(cpu, r, cf, negative(r ^ (r << 1)))
    dst.value = r
    return NEXT
