"""Fixed-point arithmetic in 128 bits: what the transcendental functions are computed with.

A fraction is a U128 in units of 2^-128; a factor is a U128 in units of 2^-127, so that 1 and a little more fit.  A scaled
number (v, e) is v * 2^(e - 127) with bit 127 of v set, e as U32 in two's complement.  All errors are a few units of 2^-120.
"""

from isa.lang.word import U32, U64, U128, leading_zeros, outlined


def wide(high, low):
    """A 128-bit constant of two 64-bit literals."""
    return (U128(U64(high)) << 64) | U128(U64(low))


@outlined
def mul_high(a, b):
    """The upper 128 bits of a * b."""
    a1, a0 = U128(U64(a >> 64)), U128(U64(a))
    b1, b0 = U128(U64(b >> 64)), U128(U64(b))
    cross1 = a1 * b0
    cross2 = a0 * b1
    middle = ((a0 * b0) >> 64) + U128(U64(cross1)) + U128(U64(cross2))
    return a1 * b1 + (cross1 >> 64) + (cross2 >> 64) + (middle >> 64)


@outlined
def div_small(v, d):
    """v / d for a divisor (U64) below 2^32, by 32-bit digits."""
    high = U64(v >> 64)
    low = U64(v)
    q3 = (high >> 32) // d
    rest = (((high >> 32) % d) << 32) | (high & 0xFFFFFFFF)
    q2 = rest // d
    rest = ((rest % d) << 32) | (low >> 32)
    q1 = rest // d
    rest = ((rest % d) << 32) | (low & 0xFFFFFFFF)
    return (U128((q3 << 32) + q2) << 64) | U128((q1 << 32) + rest // d)


def normalize(v, e):
    """(v, e) with bit 127 of v set, v not 0."""
    n = leading_zeros(v)
    return v << n, e - U32(n)


@outlined
def quotient(v, e, w, f):
    """(v, e) / (w, f) as a scaled number, its last bit set if inexact."""
    rest = v
    exponent = e - f
    carry = False
    if v < w:
        exponent = exponent - 1
        carry = (v >> 127) != 0
        rest = v << 1
    q = U128(0)
    i = U32(0)
    while i < 128:
        q = q << 1
        if carry | (rest >= w):
            rest = rest - w
            q = q | 1
        carry = (rest >> 127) != 0
        rest = rest << 1
        i = i + 1
    if (rest != 0) | carry:
        q = q | 1
    return q, exponent


def scaled_by(v, e, factor, unit):
    """(v, e) * factor * 2^-unit as a scaled number; factor not 0, unit a U32 below 129."""
    return normalize(mul_high(v, factor), e + 128 - unit)


def as_fraction(v, e):
    """A scaled number below 1 as a fraction (0 if it is below 2^-128)."""
    shift = ~e  # -1 - e
    return v >> shift if shift < 128 else U128(0)


def one():
    """The factor 1."""
    return U128(1) << 127


# ---- series; the argument z is a fraction


@outlined
def sine_factor(z):
    """sin(r) / r for r^2 = z < 0.63: 1 - z/6 (1 - z/20 (1 - z/42 ...)); a little below the truth."""
    factor = one()
    k = U64(28)
    while k != 0:
        factor = one() - div_small(mul_high(z, factor), k * (k + 1)) - 1
        k = k - 2
    return factor


@outlined
def cosine_factor(z):
    """cos(r) for r^2 = z < 0.63: 1 - z/2 (1 - z/12 (1 - z/30 ...)); a little below the truth."""
    factor = one()
    k = U64(29)
    while k != 0xFFFFFFFFFFFFFFFF:
        factor = one() - div_small(mul_high(z, factor), k * (k + 1)) - 1
        k = k - 2
    return factor


@outlined
def arctangent_factor(z):
    """atan(t) / t for t^2 = z < 2^-8: 1 - z/3 + z^2/5 - ...; a little below the truth."""
    k = U64(31)
    factor = div_small(one(), k)
    while k != 1:
        k = k - 2
        factor = div_small(one(), k) - mul_high(z, factor)
    return factor - 8


@outlined
def area_tangent_factor(z):
    """artanh(s) / s for s^2 = z < 1/8: 1 + z/3 + z^2/5 + ..."""
    k = U64(73)
    factor = div_small(one(), k)
    while k != 1:
        k = k - 2
        factor = div_small(one(), k) + mul_high(z, factor)
    return factor


@outlined
def exponential_factor(y, falls):
    """(e^y - 1) / y, or (1 - e^-y) / y where `falls`, for a fraction y < 0.7, in units of 2^-126."""
    unit = U128(1) << 126
    factor = unit
    k = U64(30)
    while k != 1:
        term = div_small(mul_high(y, factor), k)
        factor = unit - term if falls else unit + term
        k = k - 1
    return factor
