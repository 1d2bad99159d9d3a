"""Packed integers, MMX and SSE: results equal the host CPU's bit for bit."""

import pytest

from tests.machine.alone import compare
from tests.oracles import native
from vmdbg.machine.semantics import sse_integer
from vmdbg.machine.semantics.sse_integer import packed_sub

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
COUNTS = [8, pytest.param(500, marks=pytest.mark.slow)]

# Opcode after 0F, meaning, lane width: both as MMX (mm1, mm2) and, with 66, as SSE (xmm1, xmm2).
BOTH = """
fc packed_add 8 | fd packed_add 16 | fe packed_add 32 | d4 packed_add 64 | f8 packed_sub 8 | f9 packed_sub 16
fa packed_sub 32 | fb packed_sub 64
ec packed_add_signed 8 | ed packed_add_signed 16 | dc packed_add_unsigned 8 | dd packed_add_unsigned 16
e8 packed_sub_signed 8 | e9 packed_sub_signed 16 | d8 packed_sub_unsigned 8 | d9 packed_sub_unsigned 16
e0 packed_average 8 | e3 packed_average 16 | 74 packed_equal 8 | 75 packed_equal 16 | 76 packed_equal 32
64 packed_greater 8 | 65 packed_greater 16 | 66 packed_greater 32
ea packed_min 16 | ee packed_max 16 | da packed_min_unsigned 8 | de packed_max_unsigned 8
381c packed_abs 8 | 381d packed_abs 16 | 381e packed_abs 32 | 3808 packed_sign 8 | 3809 packed_sign 16 | 380a packed_sign 32
db pand | df pandn | eb por | ef pxor
f1 packed_shift_left 16 | f2 packed_shift_left 32 | f3 packed_shift_left 64
d1 packed_shift_right 16 | d2 packed_shift_right 32 | d3 packed_shift_right 64
e1 packed_shift_right_signed 16 | e2 packed_shift_right_signed 32
d5 packed_multiply_low 16 | e5 pmulhw | e4 pmulhuw | 380b pmulhrsw | f4 pmuludq | f5 pmaddwd | 3804 pmaddubsw
3801 packed_horizontal_add 16 | 3802 packed_horizontal_add 32 | 3805 packed_horizontal_sub 16 | 3806 packed_horizontal_sub 32
3803 phaddsw | 3807 phsubsw | f6 psadbw | 3800 pshufb
63 packed_pack 16 | 6b packed_pack 32 | 67 packed_pack_unsigned 16
60 packed_unpack_low 8 | 61 packed_unpack_low 16 | 62 packed_unpack_low 32
68 packed_unpack_high 8 | 69 packed_unpack_high 16 | 6a packed_unpack_high 32
"""
# The same with 66 only, and the width of the source if it is not 128 bits.
SSE_ONLY = """
3829 packed_equal 64 | 3837 packed_greater 64 | 3838 packed_min 8 | 383c packed_max 8 | 3839 packed_min 32 | 383d packed_max 32
383a packed_min_unsigned 16 | 383e packed_max_unsigned 16 | 383b packed_min_unsigned 32 | 383f packed_max_unsigned 32
3840 packed_multiply_low 32 | 3828 pmuldq | 382b packed_pack_unsigned 32 | 6c packed_unpack_low 64 | 6d packed_unpack_high 64
3841 phminposuw | 3817 ptest
3820 packed_extend_signed 1608 64 | 3821 packed_extend_signed 3208 32 | 3822 packed_extend_signed 6408 16
3823 packed_extend_signed 3216 64 | 3824 packed_extend_signed 6416 32 | 3825 packed_extend_signed 6432 64
3830 packed_extend 1608 64 | 3831 packed_extend 3208 32 | 3832 packed_extend 6408 16
3833 packed_extend 3216 64 | 3834 packed_extend 6416 32 | 3835 packed_extend 6432 64
"""
# Code without its immediate byte, meaning, operands (i is the immediate), lane width.
IMMEDIATE = """
660f71f1 packed_shift_left x1,i 16 | 660f72f1 packed_shift_left x1,i 32 | 660f73f1 packed_shift_left x1,i 64
0f71f1 packed_shift_left m1,i 16 | 0f72f1 packed_shift_left m1,i 32 | 0f73f1 packed_shift_left m1,i 64
660f71d1 packed_shift_right x1,i 16 | 660f72d1 packed_shift_right x1,i 32 | 660f73d1 packed_shift_right x1,i 64
0f71d1 packed_shift_right m1,i 16 | 0f72d1 packed_shift_right m1,i 32 | 0f73d1 packed_shift_right m1,i 64
660f71e1 packed_shift_right_signed x1,i 16 | 660f72e1 packed_shift_right_signed x1,i 32
0f71e1 packed_shift_right_signed m1,i 16 | 0f72e1 packed_shift_right_signed m1,i 32
660f73f9 pslldq x1,i | 660f73d9 psrldq x1,i | 660f3a0fca palignr x1,x2,i | 0f3a0fca palignr m1,m2,i
660f70ca packed_shuffle x1,x2,i | 0f70ca packed_shuffle m1,m2,i | f20f70ca pshuflw x1,x2,i | f30f70ca pshufhw x1,x2,i
660f3a42ca mpsadbw x1,x2,i | 660f3a0eca packed_blend x1,x2,i 16 | 660f3a0cca packed_blend x1,x2,i 32 | 660f3a0dca packed_blend x1,x2,i 64
660f3a20ca packed_insert x1,r2.32,i 8 | 660fc4ca packed_insert x1,r2.32,i 16 | 0fc4ca packed_insert m1,r2.32,i 16
660f3a22ca pinsrd x1,r2.32,i | 66480f3a22ca pinsrd x1,r2.64,i | 66480f3a220f pinsrd x1,w.64,i
660f3a200f packed_insert x1,w.8,i 8 | 660fc40f packed_insert x1,w.16,i 16 | 660f3a220f pinsrd x1,w.32,i
660f3a14ca packed_extract r2.32,x1,i 8 | 660fc5d1 packed_extract r2.32,x1,i 16 | 0fc5d1 packed_extract r2.32,m1,i 16
660f3a16ca pextrd r2.32,x1,i | 66480f3a16ca pextrd r2.64,x1,i | 66480f3a17ca packed_extract r2.64,x1,i 32
660f3a17ca packed_extract r2.32,x1,i 32
660f3a140f packed_extract w.8,x1,i 8 | 660f3a150f packed_extract w.16,x1,i 16 | 660f3a160f pextrd w.32,x1,i
660f3a170f packed_extract w.32,x1,i 32
66480f3a160f pextrd w.64,x1,i | 66480f3a170f packed_extract w.32,x1,i 32
"""
VALUES = (0, 1, 2, 5, 7, 8, 9, 15, 16, 17, 27, 31, 32, 33, 63, 64, 65, 100, 127, 128, 147, 200, 228, 255)
BLENDS = [("660f3810ca", 8), ("660f3814ca", 32), ("660f3815ca", 64)]
SIGN_MASKS = [("660fd7ca", "x2", 8), ("0fd7ca", "m2", 8), ("0f50ca", "x2", 32), ("660f50ca", "x2", 64)]


def rows(table):
    return [pytest.param(*r.split(), id="-".join(r.split())) for line in table.strip().splitlines() for r in line.split("|")]


def small_counts(states):
    """Half of the shift counts (register 2) below 72."""
    for registers in (states["fx"]["xmm"], states["fx"]["st"]):
        registers[::2, 2, 1:8] = 0
        registers[::2, 2, 0] %= 72


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("row", [p.values for p in rows(BOTH)], ids="-".join)
def test_mmx_and_sse(row, count):
    opcode, name, *bits = row
    constant = int(bits[0]) if bits else None
    mangle = small_counts if "shift" in name else None
    meaning = getattr(sse_integer, name)
    assert compare(f"660f{opcode}ca", meaning, ["x1", "x2"], count, constant=constant, mangle=mangle) == []
    assert compare(f"0f{opcode}ca", meaning, ["m1", "m2"], count, constant=constant, mangle=mangle) == []


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("row", [p.values for p in rows(SSE_ONLY)], ids="-".join)
def test_sse_only(row, count):
    opcode, name, *numbers = row
    operands = ["x1", f"x2.{numbers[1]}" if len(numbers) == 2 else "x2"]
    constant = int(numbers[0]) if numbers else None
    assert compare(f"660f{opcode}ca", getattr(sse_integer, name), operands, count, constant=constant) == []


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("row", [p.values for p in rows(IMMEDIATE)], ids="-".join)
def test_immediates(row, count):
    code, name, operands, *bits = row
    for value in VALUES:
        places = [f"i.{value}" if text == "i" else text for text in operands.split(",")]
        constant = int(bits[0]) if bits else None
        assert compare(f"{code}{value:02x}", getattr(sse_integer, name), places, count, seed=value, constant=constant) == []


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("code, source, bits", SIGN_MASKS)
def test_sign_masks(code, source, bits, count):
    assert compare(code, sse_integer.packed_sign_mask, ["r1.32", source], count, constant=bits) == []


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("code, bits", BLENDS)
def test_variable_blends(code, bits, count):
    assert compare(code, sse_integer.packed_blend_variable, ["x1", "x2", "x0"], count, constant=bits) == []


def test_a_wrong_meaning_is_noticed():
    """The comparison itself: PADDB is not PSUBB."""
    assert compare("660ffcca", packed_sub, ["x1", "x2"], 8, constant=8)
