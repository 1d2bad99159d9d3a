"""Conversions between F32 and F64 (CVTSS2SD, CVTSD2SS); see single.py for `mode` and flags."""

from isa.lang.word import U32, outlined
from vmdbg.machine.softfloat.convert import to_format
from vmdbg.machine.softfloat.core import F32, F64
from vmdbg.machine.softfloat.double import f64_pack, f64_unpack
from vmdbg.machine.softfloat.single import f32_pack, f32_unpack


@outlined
def f32_to_f64(a, mode):
    """CVTSS2SD -> (U64, flags)."""
    k, s, e, m = f32_unpack(a, mode)
    s, e, m, flags = to_format(U32(F64), k, s, e, m, mode)
    return f64_pack(s, e, m, flags)


@outlined
def f64_to_f32(a, mode):
    """CVTSD2SS -> (U32, flags)."""
    k, s, e, m = f64_unpack(a, mode)
    s, e, m, flags = to_format(U32(F32), k, s, e, m, mode)
    return f32_pack(s, e, m, flags)
