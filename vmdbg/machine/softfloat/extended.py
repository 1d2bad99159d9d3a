"""Double-extended precision (F80) as x87 computes with it: taking apart, and what no other format has.

A number is (significand U64 with its explicit integer bit, sign and exponent U32 of which 16 bits count).  See core.py for
classes, results, `mode` and flags.  Unnormals, pseudo-NaNs and pseudo-infinities are UNSUPPORTED, pseudo-denormals are
denormals (SDM vol. 1, 8.2.2).
"""

from isa.lang.word import U32, U64, U128, leading_zeros, negative, outlined, slt
from vmdbg.machine.softfloat.arithmetic import divide_wide
from vmdbg.machine.softfloat.convert import to_whole
from vmdbg.machine.softfloat.core import (
    DENORMAL,
    F80,
    IE,
    INFINITY,
    INTEGER_BIT,
    NORMAL,
    PE,
    QNAN,
    QUIET_BIT,
    ROUNDED_UP,
    SNAN,
    UNSUPPORTED,
    ZE,
    ZERO,
    choose_nan,
    denormal,
    infinity,
    invalid,
    quiet,
    round_finite,
    zero,
)

BIAS = 16383
TENS = 1000000000000000000  # 10^18: one more than the largest packed decimal


def f80_unpack(m, se):
    """(class, sign, exponent, significand) of a number."""
    biased = se & 0x7FFF
    kind = U32(NORMAL)
    e = biased - BIAS
    n = m
    if biased == 0x7FFF:
        if (m >> 63) == 0:
            kind = U32(UNSUPPORTED)
        elif m == INTEGER_BIT:
            kind = U32(INFINITY)
        else:
            kind = U32(SNAN) if (m & QUIET_BIT) == 0 else U32(QNAN)
    elif biased == 0:
        if m == 0:
            kind = U32(ZERO)
        else:
            kind = U32(DENORMAL)
            lead = leading_zeros(m)
            n = m << lead
            e = 1 - U32(BIAS) - U32(lead)
    elif (m >> 63) == 0:
        kind = U32(UNSUPPORTED)
    return kind, (se >> 15) & 1, e, n


def f80_pack(sign, e, m, flags):
    """A result as (significand, sign and exponent, flags); ROUNDED_UP is C1."""
    return m, (sign << 15) | (e & 0x7FFF), flags


@outlined
def scale(ka, sa, ea, ma, kb, sb, eb, mb, mode):
    """FSCALE: a * 2^(b chopped) -> result."""
    if (ka >= QNAN) | (kb >= QNAN):
        sign, e, m, flags = choose_nan(U32(F80), ka, sa, ma, kb, sb, mb)
    elif kb == INFINITY:
        if ((ka == ZERO) & (sb == 0)) | ((ka == INFINITY) & (sb != 0)):
            sign, e, m, flags = invalid(U32(F80))
        elif sb == 0:
            sign, e, m, flags = infinity(U32(F80), sa)
            flags = denormal(ka, ka)
        else:
            sign, e, m, flags = zero(sa)
            flags = denormal(ka, ka)
    elif ka == INFINITY:
        sign, e, m, flags = infinity(U32(F80), sa)
        flags = denormal(kb, kb)
    elif ka == ZERO:
        sign, e, m, flags = zero(sa)
        flags = denormal(kb, kb)
    else:
        by = U32(0)
        if kb != ZERO:
            if slt(U32(15), eb):
                by = U32(0x10000)
            elif not negative(eb):
                by = U32(mb >> (63 - eb))
            by = -by if sb != 0 else by
        sign, e, m, flags = round_finite(U32(F80), sa, ea + by, U128(ma) << 64, mode)
        flags = flags | denormal(ka, kb)
    return sign, e, m, flags


@outlined
def extract(k, s, e, m):
    """FXTRACT -> (exponent's sign, biased exponent, significand; significand's likewise; flags)."""
    if k >= QNAN:
        ns, ne, nm, flags = quiet(U32(F80), k, s, m)
        return ns, ne, nm, ns, ne, nm, flags
    if k == INFINITY:
        return U32(0), U32(0x7FFF), U64(INTEGER_BIT), s, U32(0x7FFF), U64(INTEGER_BIT), U32(0)
    if k == ZERO:
        return U32(1), U32(0x7FFF), U64(INTEGER_BIT), s, U32(0), U64(0), U32(ZE)
    magnitude = -e if negative(e) else e
    xs, xe, xm = U32(0), U32(0), U64(0)
    if magnitude != 0:
        n = leading_zeros(U64(magnitude))
        xs, xe, xm = U32(negative(e)), 63 - U32(n) + BIAS, U64(magnitude) << n
    return xs, xe, xm, s, U32(BIAS), m, denormal(k, k)


def remainder_step(ea, ma, d, mb):
    """ma * 2^d modulo mb, both normalized, d < 64 -> (remainder, low 64 bits of the quotient)."""
    whole = ma >= mb
    r = ma - mb if whole else ma
    wide = U128(r) << d
    q, rest = divide_wide(U64(wide >> 64), U64(wide), mb)
    return rest, q + (U64(whole) << d)


@outlined
def remainder(ka, sa, ea, ma, kb, sb, eb, mb, nearest, mode):
    """FPREM, or FPREM1 where `nearest` -> (result, quotient (low bits), complete?).

    With 64 or more between the exponents one call reduces it by 32 to 63 and is not complete (SDM vol. 2, FPREM).
    """
    q = U64(0)
    complete = True
    if (ka >= QNAN) | (kb >= QNAN):
        sign, e, m, flags = choose_nan(U32(F80), ka, sa, ma, kb, sb, mb)
    elif (ka == INFINITY) | (kb == ZERO):
        sign, e, m, flags = invalid(U32(F80))
    elif ka == ZERO:
        sign, e, m, flags = zero(sa)
        flags = denormal(kb, kb)
    elif kb == INFINITY:
        sign, e, m, flags = round_finite(U32(F80), sa, ea, U128(ma) << 64, mode)
        flags = flags | denormal(ka, ka)
    else:
        d = ea - eb
        r = ma
        exponent = ea
        sign = sa
        if negative(d):
            # FPREM1 of what is below b/2 is a; between b/2 and b it is a - b
            if nearest & (d == 0xFFFFFFFF) & (ma > mb):
                q = U64(1)
                wide = (U128(mb) << 1) - U128(ma)
                sign = sa ^ 1
                lead = leading_zeros(wide)
                r = U64((wide << lead) >> 64)
                exponent = eb + 63 - U32(lead)
        elif d < 64:
            r, q = remainder_step(ea, ma, d, mb)
            exponent = eb
            if nearest & ((r > mb - r) | ((r == mb - r) & ((q & 1) != 0))):
                r = mb - r
                q = q + 1
                sign = sa ^ 1
        else:
            complete = False
            n = (d & 31) | 32
            r, q = remainder_step(ea, ma, n, mb)
            exponent = ea - n
            q = U64(0)
        if r == 0:
            sign, e, m, flags = zero(sa)
        else:
            lead64 = leading_zeros(r)
            sign, e, m, flags = round_finite(U32(F80), sign, exponent - U32(lead64), U128(r << lead64) << 64, mode)
        flags = flags | denormal(ka, kb)
    return sign, e, m, flags, q, complete


@outlined
def from_decimal(low, high):
    """FBLD: 18 packed digits, the lower 16 in low (U64), two and the sign in high (U16's worth of U64) -> result."""
    value = U64(0)
    i = U64(0)
    while i < 18:
        digit = (high >> (4 - (i << 2))) & 15 if i < 2 else (low >> (60 - ((i - 2) << 2))) & 15
        value = value * 10 + digit
        i = i + 1
    sign = U32(high >> 15) & 1
    s, e, m, flags = zero(sign)
    if value != 0:
        n = leading_zeros(value)
        e = 63 - U32(n) + BIAS
        m = value << n
    return s, e, m, flags


@outlined
def to_decimal(kind, sign, exponent, m, control):
    """FBSTP -> (low 16 digits U64, sign and two digits U64, flags); the packed decimal indefinite if it does not fit."""
    low = U64(0xC000000000000000)
    high = U64(0xFFFF)
    flags = U32(IE)
    if kind == ZERO:
        low = U64(0)
        high = U64(sign) << 15
        flags = U32(0)
    elif (kind < INFINITY) & slt(exponent, U32(60)):
        whole, inexact, up = to_whole(sign, exponent, m, control)
        value = U64(whole)
        if value < TENS:
            low = U64(0)
            high = U64(0)
            i = U64(0)
            while i < 18:
                digit = value % 10
                value = value // 10
                if i < 16:
                    low = low | (digit << (i << 2))
                else:
                    high = high | (digit << ((i - 16) << 2))
                i = i + 1
            high = high | (U64(sign) << 15)
            flags = (U32(PE) if inexact else U32(0)) | (U32(ROUNDED_UP) if up else U32(0))
    return low, high, flags
