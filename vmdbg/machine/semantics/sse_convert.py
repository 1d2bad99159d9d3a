"""SSE conversions between integers, F32 and F64 (SDM vol. 2: CVT..; vol. 1, 11.5).

Integers that do not fit, NaNs and infinities become the integer indefinite, 80..0h, with IE.
"""

from isa.lang.word import U32, U64, U128, like
from vmdbg.machine.semantics.lanes import at_lane, lane, with_lane
from vmdbg.machine.semantics.sse_state import commit
from vmdbg.machine.softfloat.between import f32_to_f64, f64_to_f32
from vmdbg.machine.softfloat.core import CHOP
from vmdbg.machine.softfloat.double import f64_to_integer, i32_to_f64, i64_to_f64
from vmdbg.machine.softfloat.single import f32_to_integer, i32_to_f32, i64_to_f32
from vmdbg.machine.state import NEXT


def direction(cpu, truncate):
    """The rounding control: MXCSR's, or towards zero."""
    return U32(CHOP) if truncate == 1 else (cpu.mxcsr >> 13) & 3


# ---- one number; the rest of a vector destination stays


def cvtss2sd(cpu, u, dst, src):
    r, flags = f32_to_f64(src.value, cpu.mxcsr)
    return commit(cpu, dst, with_lane(dst.value, U64(0), 64, U64(r)), flags)


def cvtsd2ss(cpu, u, dst, src):
    r, flags = f64_to_f32(src.value, cpu.mxcsr)
    return commit(cpu, dst, with_lane(dst.value, U64(0), 32, U64(r)), flags)


def cvtsi2ss(cpu, u, dst, src):
    a = src.value
    r, flags = i32_to_f32(U32(a), cpu.mxcsr) if a.bits == 32 else i64_to_f32(U64(a), cpu.mxcsr)
    return commit(cpu, dst, with_lane(dst.value, U64(0), 32, U64(r)), flags)


def cvtsi2sd(cpu, u, dst, src):
    a = src.value
    r, flags = i32_to_f64(U32(a), cpu.mxcsr) if a.bits == 32 else i64_to_f64(U64(a), cpu.mxcsr)
    return commit(cpu, dst, with_lane(dst.value, U64(0), 64, U64(r)), flags)


def scalar_to_integer(cpu, u, dst, src, truncate):
    """CVTSS2SI, CVTSD2SI (truncate 0), CVTTSS2SI, CVTTSD2SI (1), to 32 or 64 bits."""
    a, d = src.value, dst.value
    if a.bits == 32:
        r, flags = f32_to_integer(U32(a), U32(d.bits), direction(cpu, truncate), cpu.mxcsr)
    else:
        r, flags = f64_to_integer(U64(a), U32(d.bits), direction(cpu, truncate), cpu.mxcsr)
    return commit(cpu, dst, like(d, r), flags)


# ---- two or four numbers; results shorter than the destination leave zeros above (64-bit destinations: MMX)


def cvtps2pd(cpu, u, dst, src):
    a, d = src.value, dst.value
    low, f0 = f32_to_f64(U32(a), cpu.mxcsr)
    upper, f1 = f32_to_f64(U32(a >> 32), cpu.mxcsr)
    return commit(cpu, dst, like(d, low) | (like(d, upper) << 64), f0 | f1)


def cvtpd2ps(cpu, u, dst, src):
    a = src.value
    low, f0 = f64_to_f32(U64(a), cpu.mxcsr)
    upper, f1 = f64_to_f32(U64(a >> 64), cpu.mxcsr)
    return commit(cpu, dst, U128(low) | (U128(upper) << 32), f0 | f1)


def singles_of(cpu, a, count):
    """`count` signed 32-bit integers to F32, in their lanes -> (word of a's type, flags)."""
    r, flags, i = a ^ a, U32(0), U64(0)
    while i < count:
        v, f = i32_to_f32(U32(lane(a, i, 32)), cpu.mxcsr)
        r, flags, i = r | at_lane(a, i, 32, U64(v)), flags | f, i + 1
    return r, flags


def cvtdq2ps(cpu, u, dst, src):
    r, flags = singles_of(cpu, src.value, U64(4))
    return commit(cpu, dst, r, flags)


def cvtpi2ps(cpu, u, dst, src):
    """Two MMX integers; the upper half of the destination stays."""
    r, flags = singles_of(cpu, U64(src.value), U64(2))
    return commit(cpu, dst, with_lane(dst.value, U64(0), 64, r), flags)


def cvtdq2pd(cpu, u, dst, src):
    """CVTDQ2PD, CVTPI2PD: two signed 32-bit integers, exactly."""
    a, d = src.value, dst.value
    low, _f0 = i32_to_f64(U32(a), cpu.mxcsr)
    upper, _f1 = i32_to_f64(U32(a >> 32), cpu.mxcsr)
    dst.value = like(d, low) | (like(d, upper) << 64)
    return NEXT


def singles_to_integers(cpu, u, dst, src, truncate):
    """CVTPS2DQ, CVTTPS2DQ, CVTPS2PI, CVTTPS2PI: as many as the destination holds."""
    a, d = src.value, dst.value
    r, flags, i = d ^ d, U32(0), U64(0)
    while i < U64(d.bits // 32):
        v, f = f32_to_integer(U32(lane(a, i, 32)), U32(32), direction(cpu, truncate), cpu.mxcsr)
        r, flags, i = r | at_lane(d, i, 32, v), flags | f, i + 1
    return commit(cpu, dst, r, flags)


def doubles_to_integers(cpu, u, dst, src, truncate):
    """CVTPD2DQ, CVTTPD2DQ, CVTPD2PI, CVTTPD2PI."""
    a, d = src.value, dst.value
    low, f0 = f64_to_integer(lane(a, U64(0), 64), U32(32), direction(cpu, truncate), cpu.mxcsr)
    upper, f1 = f64_to_integer(lane(a, U64(1), 64), U32(32), direction(cpu, truncate), cpu.mxcsr)
    return commit(cpu, dst, at_lane(d, U64(0), 32, low) | at_lane(d, U64(1), 32, upper), f0 | f1)
