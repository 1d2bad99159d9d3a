"""Addition, multiplication, division, square root and comparison of numbers taken apart (see core.py)."""

from isa.lang.word import U32, U64, U128, leading_zeros, outlined, slt
from vmdbg.machine.softfloat.core import (
    DOWN,
    IE,
    INFINITY,
    INTEGER_BIT,
    QNAN,
    SNAN,
    ZE,
    ZERO,
    choose_nan,
    denormal,
    infinity,
    invalid,
    quiet,
    round_finite,
    shift_right_jam,
    zero,
)

EQUAL, LESS, GREATER, UNORDERED = 0, 1, 2, 3  # relations


def normalized(fmt, sign, exponent, v, mode):
    """Round v * 2^(exponent - 127), v not 0."""
    n = leading_zeros(v)
    return round_finite(fmt, sign, exponent - U32(n), v << n, mode)


@outlined
def add(fmt, ka, sa, ea, ma, kb, sb, eb, mb, flip, mode):
    """a + b, or a - b where flip (U32) is 1 -> result."""
    sb_used = sb ^ flip
    if (ka >= QNAN) | (kb >= QNAN):
        sign, e, m, flags = choose_nan(fmt, ka, sa, ma, kb, sb, mb)
    elif (ka == INFINITY) | (kb == INFINITY):
        if (ka == kb) & (sa != sb_used):
            sign, e, m, flags = invalid(fmt)
        else:
            sign, e, m, flags = infinity(fmt, sa if ka == INFINITY else sb_used)
            flags = denormal(ka, kb)
    else:
        exact_zero = U32(((mode >> 13) & 3) == DOWN)
        exponent = ea
        # bit 126 of x is the integer bit of the operand with the larger exponent; 63 bits and a jam bit below the other's
        x = U128(ma) << 63
        y = U128(mb) << 63
        if ka == ZERO:
            exponent = eb
        elif kb != ZERO:
            if slt(ea, eb):
                exponent = eb
                x = shift_right_jam(x, eb - ea)
            else:
                y = shift_right_jam(y, ea - eb)
        sign = sa
        if sa == sb_used:
            x = x + y
        elif x >= y:
            x = x - y
        else:
            x = y - x
            sign = sb_used
        if x == 0:
            sign, e, m, flags = zero(sa if sa == sb_used else exact_zero)
        else:
            sign, e, m, flags = normalized(fmt, sign, exponent + 1, x, mode)
        flags = flags | denormal(ka, kb)
    return sign, e, m, flags


@outlined
def mul(fmt, ka, sa, ea, ma, kb, sb, eb, mb, mode):
    """a * b -> result."""
    sign = sa ^ sb
    if (ka >= QNAN) | (kb >= QNAN):
        sign, e, m, flags = choose_nan(fmt, ka, sa, ma, kb, sb, mb)
    elif (ka == INFINITY) | (kb == INFINITY):
        if (ka == ZERO) | (kb == ZERO):
            sign, e, m, flags = invalid(fmt)
        else:
            sign, e, m, flags = infinity(fmt, sign)
            flags = denormal(ka, kb)
    elif (ka == ZERO) | (kb == ZERO):
        sign, e, m, flags = zero(sign)
        flags = denormal(ka, kb)
    else:
        sign, e, m, flags = normalized(fmt, sign, ea + eb + 1, U128(ma) * U128(mb), mode)
        flags = flags | denormal(ka, kb)
    return sign, e, m, flags


def digit(high, next_digit, d):
    """One 32-bit digit of (high:next_digit) / d -> (quotient, remainder); bit 63 of d set, high < d."""
    d1 = d >> 32
    d0 = d & 0xFFFFFFFF
    q = high // d1
    r = high - q * d1
    while (r < 0x100000000) & ((q >= 0x100000000) | (q * d0 > ((r << 32) | next_digit))):
        q = q - 1
        r = r + d1
    return q, (high << 32) + next_digit - q * d


def divide_wide(high, low, d):
    """(high:low) / d -> (quotient, remainder), 64 bits each; bit 63 of d set, high < d (Knuth's algorithm D)."""
    q1, r1 = digit(high, low >> 32, d)
    q0, r0 = digit(r1, low & 0xFFFFFFFF, d)
    return (q1 << 32) + q0, r0


@outlined
def div(fmt, ka, sa, ea, ma, kb, sb, eb, mb, mode):
    """a / b -> result."""
    sign = sa ^ sb
    if (ka >= QNAN) | (kb >= QNAN):
        sign, e, m, flags = choose_nan(fmt, ka, sa, ma, kb, sb, mb)
    elif (ka == kb) & ((ka == INFINITY) | (ka == ZERO)):
        sign, e, m, flags = invalid(fmt)
    elif ka == INFINITY:
        sign, e, m, flags = infinity(fmt, sign)
        flags = denormal(ka, kb)
    elif kb == ZERO:
        sign, e, m, flags = infinity(fmt, sign)
        flags = U32(ZE)
    elif (ka == ZERO) | (kb == INFINITY):
        sign, e, m, flags = zero(sign)
        flags = denormal(ka, kb)
    else:
        whole = ma >= mb
        q, r = divide_wide(ma - mb if whole else ma, U64(0), mb)
        if whole:
            v = (U128(INTEGER_BIT) << 64) | (U128(q) << 63) | U128(r != 0)
        else:
            v = (U128(q) << 64) | (U128(r >= mb - r) << 63) | U128((r != 0) & (r != mb - r))
        sign, e, m, flags = round_finite(fmt, sign, ea - eb - U32(not whole), v, mode)
        flags = flags | denormal(ka, kb)
    return sign, e, m, flags


def root(n):
    """The integer square root of n >= 2^126 -> (root, remainder is not 0?, remainder exceeds the root?)."""
    rest = n >> 126
    r = U128(0)
    i = U32(126)
    while i != 0xFFFFFFFE:
        if i != 126:
            rest = (rest << 2) | ((n >> i) & 3)
        r = r << 1
        trial = (r << 1) | 1
        if rest >= trial:
            rest = rest - trial
            r = r | 1
        i = i - 2
    return U64(r), rest != 0, rest > r


@outlined
def sqrt(fmt, kind, sign, exponent, m, mode):
    """The square root -> result."""
    if kind >= QNAN:
        s, e, r, flags = quiet(fmt, kind, sign, m)
    elif kind == ZERO:
        s, e, r, flags = zero(sign)
    elif sign != 0:
        s, e, r, flags = invalid(fmt)
    elif kind == INFINITY:
        s, e, r, flags = infinity(fmt, sign)
    else:
        odd = exponent & 1
        n = U128(m) << (63 + odd)
        r, rest, half = root(n)
        half_exponent = ((exponent - odd) >> 1) | ((exponent - odd) & 0x80000000)
        v = (U128(r) << 64) | (U128(half) << 63) | U128(rest)
        s, e, r, flags = round_finite(fmt, sign, half_exponent, v, mode)
        flags = flags | denormal(kind, kind)
    return s, e, r, flags


@outlined
def compare(ka, sa, ea, ma, kb, sb, eb, mb, signals):
    """How a stands to b -> (EQUAL, LESS, GREATER or UNORDERED, flags).

    IE on an SNaN (or unsupported F80 pattern), and on a QNaN where `signals` (bool).
    """
    relation = U32(EQUAL)
    flags = denormal(ka, kb)
    if (ka >= QNAN) | (kb >= QNAN):
        relation = U32(UNORDERED)
        flags = U32(IE) if signals | (ka >= SNAN) | (kb >= SNAN) else U32(0)
    elif (ka == ZERO) | (kb == ZERO):
        if ka != ZERO:
            relation = U32(GREATER) if sa == 0 else U32(LESS)
        elif kb != ZERO:
            relation = U32(LESS) if sb == 0 else U32(GREATER)
    elif sa != sb:
        relation = U32(GREATER) if sa == 0 else U32(LESS)
    else:
        larger = False
        smaller = False
        if (ka == INFINITY) | (kb == INFINITY):
            larger = kb != INFINITY
            smaller = ka != INFINITY
        elif ea != eb:
            smaller = slt(ea, eb)
            larger = not smaller
        else:
            larger = ma > mb
            smaller = ma < mb
        if larger | smaller:
            relation = U32(GREATER) if larger == (sa == 0) else U32(LESS)
    return relation, flags
