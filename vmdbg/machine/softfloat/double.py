"""Double-precision numbers (F64) as SSE computes with them, and conversions between F64 and integers.

A number is its bit pattern (U64).  `mode` (U32) is MXCSR itself; the flags returned (U32) are MXCSR's bits 5:0 (IE DE ZE OE
UE PE) that the operation raises, masked or not.  Where a raised exception is unmasked the value is meaningless, for SSE
writes nothing then: settle_mxcsr of core.py says what becomes of MXCSR and whether #XM is due.  NaNs, DAZ and FTZ are as in
SDM vol. 1, 4.8.3, 10.2.3 and 11.5; tininess is detected after rounding.  Integers are words in two's complement.
"""

from isa.lang.word import U32, U64, outlined, sx
from vmdbg.machine.softfloat.arithmetic import GREATER, LESS, add, compare, div, mul, sqrt
from vmdbg.machine.softfloat.convert import from_integer, round_to_integral, to_integer
from vmdbg.machine.softfloat.core import CHOP, DAZ, EXCEPTIONS, F64, PE, unpack


def f64_unpack(a, mode):
    """(class, sign, exponent, significand) of a; denormals are zero if mode has DAZ."""
    kind, e, m = unpack(U32(a >> 52) & 0x7FF, (a & 0xFFFFFFFFFFFFF) << 11, U32(1023), mode)
    return kind, U32(a >> 63), e, m


def f64_pack(sign, e, m, flags):
    """A result as bit pattern and exception flags."""
    return (U64(sign) << 63) | (U64(e) << 52) | ((m >> 11) & 0xFFFFFFFFFFFFF), flags & EXCEPTIONS


@outlined
def f64_add(a, b, mode):
    """a + b -> (U64, flags)."""
    ka, sa, ea, ma = f64_unpack(a, mode)
    kb, sb, eb, mb = f64_unpack(b, mode)
    s, e, m, flags = add(U32(F64), ka, sa, ea, ma, kb, sb, eb, mb, U32(0), mode)
    return f64_pack(s, e, m, flags)


@outlined
def f64_sub(a, b, mode):
    """a - b -> (U64, flags)."""
    ka, sa, ea, ma = f64_unpack(a, mode)
    kb, sb, eb, mb = f64_unpack(b, mode)
    s, e, m, flags = add(U32(F64), ka, sa, ea, ma, kb, sb, eb, mb, U32(1), mode)
    return f64_pack(s, e, m, flags)


@outlined
def f64_mul(a, b, mode):
    """a * b -> (U64, flags)."""
    ka, sa, ea, ma = f64_unpack(a, mode)
    kb, sb, eb, mb = f64_unpack(b, mode)
    s, e, m, flags = mul(U32(F64), ka, sa, ea, ma, kb, sb, eb, mb, mode)
    return f64_pack(s, e, m, flags)


@outlined
def f64_div(a, b, mode):
    """a / b -> (U64, flags)."""
    ka, sa, ea, ma = f64_unpack(a, mode)
    kb, sb, eb, mb = f64_unpack(b, mode)
    s, e, m, flags = div(U32(F64), ka, sa, ea, ma, kb, sb, eb, mb, mode)
    return f64_pack(s, e, m, flags)


@outlined
def f64_sqrt(a, mode):
    """The square root of a -> (U64, flags)."""
    k, s, e, m = f64_unpack(a, mode)
    s, e, m, flags = sqrt(U32(F64), k, s, e, m, mode)
    return f64_pack(s, e, m, flags)


@outlined
def f64_compare(a, b, signals, mode):
    """How a stands to b -> (relation U32: 0 equal, 1 less, 2 greater, 3 unordered; flags).

    signals (bool): IE on a QNaN too (COMIS; CMP's predicates LT LE NLT NLE), else on an SNaN only (UCOMIS; EQ UNORD NEQ ORD).
    """
    ka, sa, ea, ma = f64_unpack(a, mode)
    kb, sb, eb, mb = f64_unpack(b, mode)
    return compare(ka, sa, ea, ma, kb, sb, eb, mb, signals)


def f64_flushed(a, mode):
    """a, or the zero of its sign if it is denormal and mode has DAZ."""
    return a & 0x8000000000000000 if ((mode & DAZ) != 0) & ((a & 0x7FF0000000000000) == 0) else a


@outlined
def f64_min(a, b, mode):
    """MINSS's choice -> (U64, flags): a if a < b, else b: so b if either is a NaN (IE) or both are zeros."""
    relation, flags = f64_compare(a, b, True, mode)
    return f64_flushed(a if relation == LESS else b, mode), flags


@outlined
def f64_max(a, b, mode):
    """MAXSS's choice -> (U64, flags): a if a > b, else b: so b if either is a NaN (IE) or both are zeros."""
    relation, flags = f64_compare(a, b, True, mode)
    return f64_flushed(a if relation == GREATER else b, mode), flags


@outlined
def f64_round(a, control, mode):
    """ROUNDSS -> (U64, flags); control (U32) is the immediate byte.

    Bits 1:0 are the rounding control unless bit 2 says MXCSR's; bit 3 suppresses PE.
    """
    k, s, e, m = f64_unpack(a, mode)
    direction = (mode >> 13) & 3 if (control & 4) != 0 else control & 3
    s, e, m, flags = round_to_integral(U32(F64), k, s, e, m, direction)
    if (control & 8) != 0:
        flags = flags & ~U32(PE)
    return f64_pack(s, e, m, flags)


@outlined
def f64_to_integer(a, bits, control, mode):
    """A signed integer of `bits` (U32: 16, 32 or 64) -> (U64, flags), in the direction `control` (U32, rounding control)."""
    k, s, e, m = f64_unpack(a, mode)
    value, flags = to_integer(k, s, e, m, bits, control)
    return value, flags & EXCEPTIONS


def f64_to_i32(a, mode):
    """CVTSD2SI, 32 bits, rounding as mode says -> (U32, flags)."""
    value, flags = f64_to_integer(a, U32(32), (mode >> 13) & 3, mode)
    return U32(value), flags


def f64_to_i64(a, mode):
    """CVTSD2SI, 64 bits, rounding as mode says -> (U64, flags)."""
    return f64_to_integer(a, U32(64), (mode >> 13) & 3, mode)


def f64_to_i32_truncated(a, mode):
    """CVTTSD2SI, 32 bits -> (U32, flags)."""
    value, flags = f64_to_integer(a, U32(32), U32(CHOP), mode)
    return U32(value), flags


def f64_to_i64_truncated(a, mode):
    """CVTTSD2SI, 64 bits -> (U64, flags)."""
    return f64_to_integer(a, U32(64), U32(CHOP), mode)


@outlined
def i64_to_f64(value, mode):
    """CVTSI2SD of a U64 -> (U64, flags)."""
    s, e, m, flags = from_integer(U32(F64), value, mode)
    return f64_pack(s, e, m, flags)


def i32_to_f64(value, mode):
    """CVTSI2SD of a U32 -> (U64, flags)."""
    return i64_to_f64(sx(value), mode)
