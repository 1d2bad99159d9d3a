"""The x87 transcendental functions of numbers taken apart (see core.py), in fixed point: the same on every host.

The error before rounding is below 2^-100 of the result, so results are rounded correctly but for about one in 2^35; the
manual asks for 1 ulp (SDM vol. 1, 8.3.10).  Arguments of trigonometric functions are reduced with the 66-bit pi of the
hardware (SDM vol. 1, 8.3.8), all other constants have 128 bits.  Precision control does not matter here.
"""

from isa.lang.word import U32, U64, U128, negative, outlined, slt
from vmdbg.machine.softfloat.core import (
    F80,
    INFINITY,
    INTEGER_BIT,
    PE,
    QNAN,
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
from vmdbg.machine.softfloat.fixed import (
    arctangent_factor,
    area_tangent_factor,
    as_fraction,
    cosine_factor,
    exponential_factor,
    mul_high,
    normalize,
    one,
    quotient,
    scaled_by,
    sine_factor,
    wide,
)

BIAS = 16383
MINUS_ONE = 0xFFFFFFFF


def pi():
    """pi in units of 2^-126: the scaled number (pi(), 1)."""
    return wide(0xC90FDAA22168C234, 0xC4C6628B80DC1CD1)


# ---- trigonometry


@outlined
def reduce_angle(exponent, m):
    """|x| = q pi/2 + r, |r| <= pi/4 -> (|r| as scaled number, r is negative?, q modulo 4); exponent < 63."""
    half = wide(0x3, 0x243F6A8885A308D3)  # pi/2 in units of 2^-65: 66 bits of pi
    r = U128(m)
    q = U64(0)
    unit = exponent - 63
    if not slt(exponent, U32(0xFFFFFFFE)):
        steps = exponent + 2
        unit = -U32(65)
        while steps != 0:
            r = r << 1
            q = q << 1
            if r >= half:
                r = r - half
                q = q | 1
            steps = steps - 1
    below = False
    if (unit == -U32(65)) & ((r << 1) > half):
        r = half - r
        q = q + 1
        below = True
    v, e = normalize(r, unit + 127)
    return v, e, below, q & 3


@outlined
def sine_of(v, e):
    """sin of a scaled number up to pi/4, as scaled number; below 2^-32 it is less than half a unit under the argument."""
    if slt(e, -U32(32)):
        return normalize(v - 1, e)
    r = as_fraction(v, e)
    return scaled_by(v, e, sine_factor(mul_high(r, r)), U32(127))


@outlined
def cosine_of(v, e):
    """cos of a scaled number up to pi/4, as scaled number."""
    if slt(e, -U32(32)):
        return ~U128(0), U32(MINUS_ONE)
    r = as_fraction(v, e)
    return normalize(cosine_factor(mul_high(r, r)), U32(0))


@outlined
def circular(k, s, e, m, turned, mode):
    """sin, or cos where `turned` is 1 (U64), of |x| < 2^63 -> result."""
    if k >= QNAN:
        sign, exponent, r, flags = quiet(U32(F80), k, s, m)
    elif k == INFINITY:
        sign, exponent, r, flags = invalid(U32(F80))
    elif k == ZERO:
        sign, exponent, r, flags = zero(s)
        if turned != 0:
            sign = U32(0)
            exponent = U32(BIAS)
            r = U64(INTEGER_BIT)
    else:
        v, f, below, q = reduce_angle(e, m)
        q = q + turned
        odd = (q & 1) != 0
        # sin(q pi/2 + r) is sin r, cos r, -sin r, -cos r; only the sine takes r's sign
        sign = U32((q >> 1) & 1) ^ U32(below & (not odd))
        if turned == 0:
            sign = sign ^ s
        if odd:
            v, f = cosine_of(v, f)
        else:
            v, f = sine_of(v, f)
        sign, exponent, r, flags = round_finite(U32(F80), sign, f, v, mode)
        flags = flags | denormal(k, k)
    return sign, exponent, r, flags


@outlined
def tangent(k, s, e, m, mode):
    """tan of |x| < 2^63 -> result."""
    if k >= QNAN:
        sign, exponent, r, flags = quiet(U32(F80), k, s, m)
    elif k == INFINITY:
        sign, exponent, r, flags = invalid(U32(F80))
    elif k == ZERO:
        sign, exponent, r, flags = zero(s)
    else:
        v, f, below, q = reduce_angle(e, m)
        sign = s ^ U32(below) ^ U32(q & 1)
        if slt(f, -U32(32)) & ((q & 1) == 0):
            v = v | 1
        else:
            sv, sf = sine_of(v, f)
            cv, cf = cosine_of(v, f)
            if (q & 1) == 0:
                v, f = quotient(sv, sf, cv, cf)
            else:
                v, f = quotient(cv, cf, sv, sf)
        sign, exponent, r, flags = round_finite(U32(F80), sign, f, v, mode)
        flags = flags | denormal(k, k)
    return sign, exponent, r, flags


def arctangent_step(i):
    """atan(2^-i) as fraction, i = 1 .. 5."""
    a = wide(0x07FF556EEA5D892A, 0x13BCEBBB6ED46310)
    if i == 1:
        a = wide(0x76B19C1586ED3DA2, 0xB7F222F65E1D4681)
    elif i == 2:
        a = wide(0x3EB6EBF25901BAC5, 0x5B71E7BD7DE885F9)
    elif i == 3:
        a = wide(0x1FD5BA9AAC2F6DC6, 0x5912F313E7D111DE)
    elif i == 4:
        a = wide(0x0FFAADDB967EF4E3, 0x6CB2792DC0E2E0D5)
    return a


@outlined
def angle_of(ey, my, ex, mx):
    """atan(y / x) of positive y <= x, as scaled number; the ratio's exponent may be far below any format's."""
    y = U128(my) << 64
    x = U128(mx) << 64
    apart = ex - ey
    if apart > 5:
        v, e = quotient(y, ey, x, ex)
        z = as_fraction(v, e)
        return scaled_by(v, e, arctangent_factor(mul_high(z, z)), U32(127))
    # turn by -atan(2^-i) while the angle is larger than that
    x = x >> 4
    y = (y >> 4) >> apart
    turned = U128(0)
    i = U32(1)
    while i < 6:
        if y >= (x >> i):
            old = x
            x = x + (y >> i)
            y = y - (old >> i)
            turned = turned + arctangent_step(i)
        i = i + 1
    angle = turned
    if y != 0:
        yv, ye = normalize(y, U32(0))
        xv, xe = normalize(x, U32(0))
        v, e = quotient(yv, ye, xv, xe)
        z = as_fraction(v, e)
        v, e = scaled_by(v, e, arctangent_factor(mul_high(z, z)), U32(127))
        angle = angle + as_fraction(v, e)
    return normalize(angle, U32(MINUS_ONE))


def from_pi(sign, eighths, mode):
    """pi * eighths / 4, eighths = 1 .. 4 in quarters of pi -> result."""
    v, e = pi(), U32(1)
    if eighths == 1:
        e = U32(MINUS_ONE)
    elif eighths == 2:
        e = U32(0)
    elif eighths == 3:
        v = (v >> 1) + (v >> 2)
    return round_finite(U32(F80), sign, e, normal_top(v), mode)


def normal_top(v):
    """v shifted left by at most one so that bit 127 is set."""
    return v if (v >> 127) != 0 else v << 1


@outlined
def arctangent(ky, sy, ey, my, kx, sx_, ex, mx, mode):
    """FPATAN: the angle of the point (x, y) -> result (SDM vol. 2, FPATAN, table 3-31)."""
    flags0 = denormal(ky, kx)
    if (ky >= QNAN) | (kx >= QNAN):
        return choose_nan(U32(F80), ky, sy, my, kx, sx_, mx)
    if (ky == ZERO) | ((kx == INFINITY) & (ky != INFINITY)):
        s, e, m, flags = zero(sy)
        if sx_ != 0:
            s, e, m, flags = from_pi(sy, U32(4), mode)
        return s, e, m, flags | flags0
    if ky == INFINITY:
        quarters = U32(2)
        if kx == INFINITY:
            quarters = U32(1) if sx_ == 0 else U32(3)
        s, e, m, flags = from_pi(sy, quarters, mode)
        return s, e, m, flags | flags0
    if kx == ZERO:
        s, e, m, flags = from_pi(sy, U32(2), mode)
        return s, e, m, flags | flags0
    steep = slt(ex, ey) | ((ex == ey) & (my > mx))
    if steep:
        v, f = angle_of(ex, mx, ey, my)
    else:
        v, f = angle_of(ey, my, ex, mx)
    if steep | (sx_ != 0):
        # quarter or half turn minus or plus the angle, in units of 2^-126
        small = U128(1)
        if slt(-U32(120), f):
            small = v >> (1 - f)
        total = pi() >> 1 if steep else pi()
        total = total - small if steep == (sx_ == 0) else (total + small if steep else total - small)
        v, f = normalize(total, U32(1))
    s, e, m, flags = round_finite(U32(F80), sy, f, v, mode)
    return s, e, m, flags | flags0


# ---- exponential and logarithms


@outlined
def exponential(k, s, e, m, mode):
    """F2XM1: 2^x - 1 for |x| <= 1 -> result; beyond, where the manual leaves it undefined, x itself."""
    if k >= QNAN:
        return quiet(U32(F80), k, s, m)
    if k == ZERO:
        return zero(s)
    if k == INFINITY:
        if s != 0:
            return s, U32(BIAS), U64(INTEGER_BIT), U32(0)
        return infinity(U32(F80), s)
    if not negative(e):
        if (e != 0) | (m != INTEGER_BIT):
            return s, e + BIAS, m, U32(PE)
        return s, U32(BIAS) - s, m, U32(0)  # 2^1 - 1 is 1, 2^-1 - 1 is -1/2
    # y = |x| ln 2, then y * (e^y - 1) / y
    v, f = scaled_by(U128(m) << 64, e, wide(0xB17217F7D1CF79AB, 0xC9E3B39803F2F6AF), U32(128))
    v, f = scaled_by(v, f, exponential_factor(as_fraction(v, f), s != 0), U32(126))
    rs, re, rm, flags = round_finite(U32(F80), s, f, v | 1, mode)
    return rs, re, rm, flags | denormal(k, k)


@outlined
def logarithm(v, e):
    """log2 of (v, e) -> (sign, scaled logarithm, is it 0?, exact?)."""
    sign = U32(0)
    exponent = e
    if v > wide(0xB504F333F9DE6484, 0x597D89B3754ABE9F):  # sqrt 2: use v / 2
        exponent = e + 1
        sign = U32(1)
        num = -v
        den = (v >> 1) + one()
        top, te = normalize(num, U32(0))
        bottom, be = normalize(den, U32(1))
    else:
        num = v - one()
        den = (v >> 1) + (U128(1) << 126)
        if num == 0:
            if exponent == 0:
                return U32(0), one(), U32(0), True, True
            size = -exponent if negative(exponent) else exponent
            top, te = normalize(U128(size), U32(127))
            return U32(negative(exponent)), top, te, False, True
        top, te = normalize(num, U32(1))
        bottom, be = normalize(den, U32(2))
    fv, fe = quotient(top, te, bottom, be)
    fv, fe = atanh_to_log2(fv, fe)
    if exponent == 0:
        return sign, fv, fe, False, False
    # in units of 2^-111: exponent and fraction
    size = -exponent if negative(exponent) else exponent
    whole = U128(size) << 111
    part = U128(0)
    if slt(-U32(112), fe):
        part = fv >> (16 - fe)
    if negative(exponent) == (sign != 0):
        whole = whole + part
    else:
        whole = whole - part
    lv, le = normalize(whole, U32(16))
    return U32(negative(exponent)), lv, le, False, False


def atanh_to_log2(v, e):
    """2 / ln 2 * artanh of a scaled number."""
    z = as_fraction(v, e)
    fv, fe = scaled_by(v, e, area_tangent_factor(mul_high(z, z)), U32(127))
    return scaled_by(fv, fe, wide(0xB8AA3B295C17F0BB, 0xBE87FED0691D3E88), U32(126))


def times(sign, my, ey, lv, le, exact, mode):
    """y * logarithm -> result."""
    v, e = scaled_by(lv, le, U128(my) << 64, U32(127))
    if not exact:
        v = v | 1
    return round_finite(U32(F80), sign, e + ey, v, mode)


@outlined
def y_log2_x(ky, sy, ey, my, kx, sx_, ex, mx, mode):
    """FYL2X: y * log2 x -> result (SDM vol. 2, FYL2X, table 3-51)."""
    f = U32(F80)
    flags0 = denormal(ky, kx)
    if (ky >= QNAN) | (kx >= QNAN):
        return choose_nan(f, kx, sx_, mx, ky, sy, my)
    if kx == ZERO:
        if ky == ZERO:
            return invalid(f)
        s, e, m, flags = infinity(f, sy ^ 1)
        return s, e, m, U32(ZE) if ky != INFINITY else U32(0)
    if sx_ != 0:
        return invalid(f)
    if kx == INFINITY:
        if ky == ZERO:
            return invalid(f)
        s, e, m, flags = infinity(f, sy)
        return s, e, m, flags0
    sign, lv, le, none, exact = logarithm(U128(mx) << 64, ex)
    if ky == INFINITY:
        if none:
            return invalid(f)
        s, e, m, flags = infinity(f, sy ^ sign)
        return s, e, m, flags0
    if (ky == ZERO) | none:
        s, e, m, flags = zero(sy ^ sign)
        return s, e, m, flags0
    s, e, m, flags = times(sy ^ sign, my, ey, lv, le, exact, mode)
    return s, e, m, flags | flags0


@outlined
def y_log2_x_plus_1(ky, sy, ey, my, kx, sx_, ex, mx, mode):
    """FYL2XP1: y * log2(x + 1) -> result; for x <= -1, where the manual leaves it undefined, x itself."""
    f = U32(F80)
    flags0 = denormal(ky, kx)
    if (ky >= QNAN) | (kx >= QNAN):
        return choose_nan(f, kx, sx_, mx, ky, sy, my)
    if kx == ZERO:
        if ky == INFINITY:
            return invalid(f)
        s, e, m, flags = zero(sy ^ sx_)
        return s, e, m, flags0
    if (sx_ != 0) & (kx == INFINITY):
        return invalid(f)
    if ky == ZERO:
        if kx == INFINITY:
            return invalid(f)
        s, e, m, flags = zero(sy ^ sx_)
        return s, e, m, flags0
    if (kx == INFINITY) | (ky == INFINITY):
        s, e, m, flags = infinity(f, sy ^ sx_)
        return s, e, m, flags0
    if (sx_ != 0) & (not negative(ex)):
        return sx_, ex + BIAS, mx, flags0 | PE
    if slt(ex, U32(MINUS_ONE)):  # |x| < 1/2: log2(1 + x) = 2/ln 2 artanh(x / (2 + x))
        small = as_fraction(U128(mx) << 64, ex)  # 2 + x in units of 2^-126
        den = (one() - (small >> 2)) if sx_ != 0 else (one() + (small >> 2))
        den, de = normalize(den, U32(1))
        v, e = quotient(U128(mx) << 64, ex, den, de)
        lv, le = atanh_to_log2(v, e)
    else:
        if not negative(ex):
            if ex < 127:
                v = ((U128(mx) << 64) >> 1) + (U128(1) << (126 - ex))
                v, e = normalize(v, ex + 1)
            else:
                v, e = (U128(mx) << 64) | 1, ex
        elif sx_ == 0:
            v, e = one() + (U128(mx) << 63), U32(0)
        else:
            v, e = normalize(one() - (U128(mx) << 63), U32(0))
        _, lv, le, none, exact = logarithm(v, e)
    s, e, m, flags = times(sy ^ sx_, my, ey, lv, le, False, mode)
    return s, e, m, flags | flags0
