"""The exact middle of soft-float: numbers taken apart, rounding, and which NaN survives.

A number taken apart is four words (class, sign, exponent, significand):

    class         U32: ZERO .. UNSUPPORTED below
    sign          U32: 0 or 1
    exponent      U32, two's complement, unbiased
    significand   U64: bit 63 is the integer bit.  Finite numbers are normalized (denormals too: bit 63 is set and
                  the exponent is below the format's smallest), NaNs carry their fraction left-aligned below bit 63

    finite value = (-1)^sign * significand * 2^(exponent - 63)

A result is (sign, biased exponent, significand, flags): the fields as the format stores them, the significand still
left-aligned at bit 63; whoever knows the format packs them (sse.py, extended.py).

`mode` (U32) is laid out as MXCSR: DAZ bit 6, masks 12:7, rounding control 14:13, FTZ bit 15; x87 instructions build
one from the control word, with the precision control in bits 17:16 (SDM vol. 1, 8.1.5 and 10.2.3).  `flags` are MXCSR's
and the x87 status word's exception bits 5:0, and ROUNDED_UP where x87's C1 lies.
"""

from isa.lang.word import U32, U64, U128, leading_zeros, outlined, slt

F32, F64, F80 = 0, 1, 2  # formats, as U32
ZERO, NORMAL, DENORMAL, INFINITY, QNAN, SNAN, UNSUPPORTED = range(7)  # classes
IE, DE, ZE, OE, UE, PE = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
EXCEPTIONS = 0x3F
ROUNDED_UP = 0x200  # the last rounding increased the magnitude: C1 of the x87 status word
DAZ, FTZ = 0x40, 0x8000
UNDERFLOW_MASK, OVERFLOW_MASK = 0x800, 0x400
NEAREST, DOWN, UP, CHOP = range(4)  # rounding control
INTEGER_BIT, QUIET_BIT = 0x8000000000000000, 0x4000000000000000
BIAS_ADJUST = 24576  # what unmasked x87 overflow and underflow move the exponent by (SDM vol. 1, 8.5.4 and 8.5.5)


def bias_of(fmt):
    """The exponent bias of a format; its largest biased exponent is twice that and one."""
    return U32(127) if fmt == F32 else (U32(1023) if fmt == F64 else U32(16383))


def precision_of(fmt, mode):
    """How many bits of significand a result keeps; x87 precision control counts for F80 only."""
    bits = U32(24)
    if fmt == F64:
        bits = U32(53)
    elif fmt == F80:
        control = (mode >> 16) & 3
        bits = U32(24) if control == 0 else (U32(53) if control == 2 else U32(64))
    return bits


def unpack(exponent, fraction, bias, mode):
    """Take apart a biased exponent and a fraction left-aligned at bit 62, in a format with a hidden integer bit.

    DAZ turns a denormal into a zero here, without DE (SDM vol. 1, 10.2.3.4).
    """
    kind = U32(NORMAL)
    e = exponent - bias
    m = fraction | INTEGER_BIT
    if exponent == 0:
        if (fraction == 0) | ((mode & DAZ) != 0):
            kind = U32(ZERO)
            m = U64(0)
        else:
            kind = U32(DENORMAL)
            n = leading_zeros(fraction)
            m = fraction << n
            e = 1 - bias - U32(n)
    elif exponent == bias * 2 + 1:
        kind = U32(INFINITY) if fraction == 0 else (U32(SNAN) if (fraction & QUIET_BIT) == 0 else U32(QNAN))
    return kind, e, m


def shift_right_jam(v, n):
    """v >> n, with bit 0 set if a one was lost; any n."""
    r = U128(v != 0)
    if n == 0:
        r = v
    elif n < 128:
        r = (v >> n) | U128((v << (128 - n)) != 0)
    return r


def round_at(sign, v, bits, control):
    """Round v (128 bits) to its upper `bits` bits -> (upper 64 bits of it, carried out?, inexact?, up?).

    On carry out the significand is 1.0 again and the exponent one more.
    """
    high = U64(v >> 64)
    unit = U64(1) << (64 - bits)
    rest = v & ((U128(unit) << 64) - 1)
    half = U128(unit) << 63
    inexact = rest != 0
    up = inexact & ((sign != 0) if control == DOWN else ((sign == 0) if control == UP else False))
    if control == NEAREST:
        up = (rest > half) | ((rest == half) & ((high & unit) != 0))
    m = high & ~(unit - 1)
    if up:
        m = m + unit
    carried = up & (m == 0)
    if carried:
        m = U64(INTEGER_BIT)
    return m, carried, inexact, up


@outlined
def round_finite(fmt, sign, exponent, v, mode):
    """Round the exact (or jammed) value v * 2^(exponent - 127), bit 127 of v set, to a format -> result.

    Overflow, underflow (tininess after rounding) and FTZ as SDM vol. 1, 4.9.1.4 to 4.9.1.6 and 10.2.3.3.  With overflow or
    underflow unmasked the F80 result has its exponent moved by 24576, or is a zero or infinity if
    that is not enough (FSCALE); the other formats' result is meaningless.
    """
    control = (mode >> 13) & 3
    bits = precision_of(fmt, mode)
    bias = bias_of(fmt)
    top = bias * 2 + 1
    e = exponent + bias
    m, carried, inexact, up = round_at(sign, v, bits, control)
    flags = U32(0)
    if slt(e, U32(1)):
        tiny = (e != 0) | (not carried)
        if tiny & ((mode & UNDERFLOW_MASK) == 0):
            flags = U32(UE)
            e = e + U32(carried) + BIAS_ADJUST
            if slt(e, U32(1)):  # massive underflow
                e = U32(0)
                m = U64(0)
                inexact = True
                up = False
        elif tiny & ((mode & FTZ) != 0):
            flags = U32(UE | PE)
            e = U32(0)
            m = U64(0)
        else:
            m, carried, inexact, up = round_at(sign, shift_right_jam(v, 1 - e), bits, control)
            e = U32(m >> 63)
            if tiny & inexact:
                flags = U32(UE)
    else:
        e = e + U32(carried)
        if not slt(e, top):
            flags = U32(OE)
            if (mode & OVERFLOW_MASK) == 0:
                e = e - BIAS_ADJUST
                if not slt(e, top):  # massive overflow
                    e = top
                    m = U64(INTEGER_BIT)
                    inexact = True
                    up = True
            else:
                inexact = True
                up = (control == NEAREST) | ((control == UP) & (sign == 0)) | ((control == DOWN) & (sign != 0))
                e = top if up else top - 1
                m = U64(INTEGER_BIT) if up else ~((U64(1) << (64 - bits)) - 1)
    if inexact:
        flags = flags | PE
    if up:
        flags = flags | ROUNDED_UP
    return sign, e, m, flags


def zero(sign):
    return sign, U32(0), U64(0), U32(0)


def infinity(fmt, sign):
    return sign, bias_of(fmt) * 2 + 1, U64(INTEGER_BIT), U32(0)


def invalid(fmt):
    """The default NaN (real indefinite) and IE (SDM vol. 1, 4.8.3.7)."""
    return U32(1), bias_of(fmt) * 2 + 1, U64(INTEGER_BIT | QUIET_BIT), U32(IE)


def quiet(fmt, kind, sign, m):
    """The result of an operation on one NaN (or unsupported F80 pattern)."""
    s, e, q, flags = invalid(fmt)
    if kind != UNSUPPORTED:
        s = sign
        q = m | QUIET_BIT
        flags = U32(IE) if kind == SNAN else U32(0)
    return s, e, q, flags


@outlined
def choose_nan(fmt, ka, sa, ma, kb, sb, mb):
    """The result of an operation on two numbers of which at least one is a NaN (SDM vol. 1, table 4-7).

    F32 and F64 follow SSE: the first operand if it is a NaN.  F80 follows x87: a QNaN beats an SNaN, then the larger
    significand wins, then the positive one.
    """
    s, e, m, flags = invalid(fmt)
    if (ka != UNSUPPORTED) & (kb != UNSUPPORTED):
        first = ka >= QNAN
        if (fmt == F80) & first & (kb >= QNAN):
            first = (ka == QNAN) if ka != kb else ((ma > mb) if ma != mb else (sa <= sb))
        s = sa if first else sb
        m = (ma if first else mb) | QUIET_BIT
        flags = U32(IE) if (ka == SNAN) | (kb == SNAN) else U32(0)
    return s, e, m, flags


def denormal(ka, kb):
    """DE if one of the classes is DENORMAL."""
    return U32(DE) if (ka == DENORMAL) | (kb == DENORMAL) else U32(0)


def settle_mxcsr(mxcsr, flags):
    """MXCSR after an SSE instruction raised `flags` (of all elements or-ed) -> (new MXCSR, is #XM due?).

    An unmasked exception that precedes the computation (IE, DE, ZE) hides those that follow it (SDM vol. 1, 11.5.4).
    """
    masks = (mxcsr >> 7) & EXCEPTIONS
    seen = flags & EXCEPTIONS
    if (seen & ~masks & (IE | DE | ZE)) != 0:
        seen = seen & (IE | DE | ZE)
    return mxcsr | seen, (seen & ~masks) != 0
