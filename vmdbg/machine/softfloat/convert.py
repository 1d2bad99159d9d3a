"""Rounding to integral values, and conversion between formats and integers, of numbers taken apart (see core.py)."""

from isa.lang.word import U32, U64, U128, leading_zeros, negative, outlined, slt
from vmdbg.machine.softfloat.core import (
    DOWN,
    IE,
    INFINITY,
    INTEGER_BIT,
    NEAREST,
    PE,
    QNAN,
    ROUNDED_UP,
    UP,
    ZERO,
    bias_of,
    denormal,
    infinity,
    quiet,
    round_finite,
    shift_right_jam,
    zero,
)


def to_whole(sign, exponent, m, control):
    """|value| as an integer, rounded, for exponent < 64 -> (U128 magnitude up to 2^64, inexact?, up?)."""
    v = U128(m) << 63  # the integer bit at bit 126, which is worth 2^63
    if slt(exponent, U32(63)):
        v = shift_right_jam(v, 63 - exponent)
    whole = v >> 63
    rest = U64(v) << 1
    inexact = rest != 0
    up = inexact & ((sign != 0) if control == DOWN else ((sign == 0) if control == UP else False))
    if control == NEAREST:
        up = (rest > INTEGER_BIT) | ((rest == INTEGER_BIT) & ((whole & 1) != 0))
    return whole + U128(up), inexact, up


@outlined
def round_to_integral(fmt, kind, sign, exponent, m, control):
    """The nearest integral value in the direction `control` (U32, rounding control) -> result.

    Flags: IE, PE, ROUNDED_UP; DE is left to the caller (FRNDINT has it, ROUNDPS has not).
    """
    s = sign
    flags = U32(0)
    e = exponent + bias_of(fmt)
    r = m
    if kind >= QNAN:
        s, e, r, flags = quiet(fmt, kind, sign, m)
    elif kind == INFINITY:
        s, e, r, flags = infinity(fmt, sign)
    elif kind == ZERO:
        s, e, r, flags = zero(sign)
    elif slt(exponent, U32(63)):
        whole, inexact, up = to_whole(sign, exponent, m, control)
        if whole == 0:
            s, e, r, flags = zero(sign)
        else:
            n = leading_zeros(whole)
            e = 127 - U32(n) + bias_of(fmt)
            r = U64((whole << n) >> 64)
        flags = (U32(PE) if inexact else U32(0)) | (U32(ROUNDED_UP) if up else U32(0))
    return s, e, r, flags


@outlined
def to_integer(kind, sign, exponent, m, bits, control):
    """A signed integer of `bits` (U32: 16, 32, 64) -> (U64 value, sign-extended, flags).

    What does not fit gives the integer indefinite, the most negative integer, and IE (SDM vol. 1, 4.8.3.8).
    """
    largest = U128(1) << (bits - 1)
    value = -U64(largest)
    flags = U32(IE)
    if kind == ZERO:
        value = U64(0)
        flags = U32(0)
    elif (kind < INFINITY) & slt(exponent, U32(64)):
        whole, inexact, up = to_whole(sign, exponent, m, control)
        if (whole < largest) | ((whole == largest) & (sign != 0)):
            value = -U64(whole) if sign != 0 else U64(whole)
            flags = (U32(PE) if inexact else U32(0)) | (U32(ROUNDED_UP) if up else U32(0))
    return value, flags


@outlined
def from_integer(fmt, value, mode):
    """A signed 64-bit integer -> result."""
    sign = U32(negative(value))
    magnitude = -value if sign != 0 else value
    s, e, m, flags = zero(U32(0))
    if magnitude != 0:
        n = leading_zeros(magnitude)
        s, e, m, flags = round_finite(fmt, sign, 63 - U32(n), U128(magnitude << n) << 64, mode)
    return s, e, m, flags


@outlined
def to_format(fmt, kind, sign, exponent, m, mode):
    """The same number in another format -> result."""
    if kind >= QNAN:
        s, e, r, flags = quiet(fmt, kind, sign, m)
    elif kind == INFINITY:
        s, e, r, flags = infinity(fmt, sign)
    elif kind == ZERO:
        s, e, r, flags = zero(sign)
    else:
        s, e, r, flags = round_finite(fmt, sign, exponent, U128(m) << 64, mode)
        flags = flags | denormal(kind, kind)
    return s, e, r, flags
