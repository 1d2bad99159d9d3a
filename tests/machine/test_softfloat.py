"""Soft-float without any host: against Python's own doubles, and the rules of SDM vol. 1, chapters 4, 8 and 10, as rows."""

import math
import random
import struct

import pytest

from isa.lang.word import U32, U64
from vmdbg.machine.softfloat import between, double, single
from vmdbg.machine.softfloat.core import CHOP, DE, DOWN, IE, OE, PE, UE, UP, ZE, settle_mxcsr

RESET = 0x1F80  # MXCSR: all masked, to nearest
MODES = {"near": RESET, "down": RESET | DOWN << 13, "up": RESET | UP << 13, "chop": RESET | CHOP << 13}
MODES |= {"daz": RESET | 0x40, "ftz": RESET | 0x8000, "open": 0}
FLAGS = {"i": IE, "d": DE, "z": ZE, "o": OE, "u": UE, "p": PE, "-": 0}

# operation mode operands = result flags ("?": an unmasked exception, no result)
ROWS = """
f32_add near 3f800000 33800000 = 3f800000 p     | f32_add up   3f800000 33800000 = 3f800001 p
f32_add down 3f800000 bf800000 = 80000000 -     | f32_add near 3f800000 bf800000 = 00000000 -
f32_add near 00000001 00000001 = 00000002 d     | f32_add daz  00000001 00000001 = 00000000 -
f32_add near 7f800000 ff800000 = ffc00000 i     | f32_sub near 7f800000 7f800000 = ffc00000 i
f32_add near 7fc00001 ffc00002 = 7fc00001 -     | f32_add near 7f800001 7fc00002 = 7fc00001 i
f32_add near 3f800000 ff800002 = ffc00002 i     | f32_add near 7fc00005 00000001 = 7fc00005 -
f32_mul near 7f7fffff 40000000 = 7f800000 op    | f32_mul chop 7f7fffff 40000000 = 7f7fffff op
f32_mul down ff7fffff 40000000 = ff800000 op    | f32_mul near 7f800000 00000000 = ffc00000 i
f32_mul near 00800001 3f000000 = 00400000 up    | f32_mul near 00800000 3f000000 = 00400000 -
f32_mul ftz  00800000 3f000000 = 00000000 up    | f32_mul ftz  80800001 3f000000 = 80000000 up
f32_mul near 00800001 3f7ffffe = 00800000 p     | f32_mul near 00800000 3f7fffff = 00800000 up
f32_mul open 00800000 3f000000 = ? u            | f32_mul open 7f7fffff 7f7fffff = ? op
f32_div near 3f800000 00000000 = 7f800000 z     | f32_div near 00000000 80000000 = ffc00000 i
f32_div near 00000001 00000000 = 7f800000 z     | f32_div near 3f800000 40400000 = 3eaaaaab p
f32_sqrt near 80000000 = 80000000 -             | f32_sqrt near 80000001 = ffc00000 i
f32_sqrt near 40000000 = 3fb504f3 p             | f32_sqrt near 00000001 = 1a3504f3 dp
f32_min near 00000000 80000000 = 80000000 -     | f32_max near 80000000 00000000 = 00000000 -
f32_min near 7fc00000 3f800000 = 3f800000 i     | f32_min near 3f800000 7f800001 = 7f800001 i
f32_to_f64 near 00000001 = 36a0000000000000 d   | f32_to_f64 near 7f800001 = 7ff8000020000000 i
f64_to_f32 near 3ff0000010000000 = 3f800000 p   | f64_to_f32 near 7fefffffffffffff = 7f800000 op
f64_to_f32 near 36a0000000000000 = 00000001 -   | f64_to_f32 near 0000000000000001 = 00000000 dup
f64_to_i32 near 4004000000000000 = 00000002 p   | f64_to_i32 up   4004000000000000 = 00000003 p
f64_to_i32 near 41e0000000000000 = 80000000 i   | f64_to_i32 near c1e0000000000000 = 80000000 -
f64_to_i64 near 7ff8000000000000 = 8000000000000000 i | f64_to_i32_truncated near bfeccccccccccccd = 00000000 p
f64_to_i64 near 43dfffffffffffff = 7ffffffffffffc00 - | f64_to_i64 near c3e0000000000000 = 8000000000000000 -
f64_div near 3ff0000000000000 4008000000000000 = 3fd5555555555555 p
f64_sqrt near 4000000000000000 = 3ff6a09e667f3bcd p
f64_mul near 0000000000000001 3fe0000000000000 = 0000000000000000 dup
"""


def rows(text):
    """The rows of a table, `|` and newlines between them."""
    return [row.strip() for line in text.strip().splitlines() for row in line.split("|")]


@pytest.mark.parametrize("row", rows(ROWS))
def test_rule(row):
    """Each row of the table holds: value and flags."""
    left, right = row.split("=")
    name, mode, *operands = left.split()
    want, flags = right.split()
    function = next(getattr(m, name) for m in (between, single, double) if hasattr(m, name))
    words = [U32(int(o, 16)) if len(o) == 8 else U64(int(o, 16)) for o in operands]
    got, raised = function(*words, U32(MODES[mode]))
    assert raised == sum(FLAGS[c] for c in flags), hex(raised)
    assert want == "?" or f"{int(got):0{len(want)}x}" == want


def bits(x):
    return U64(struct.unpack("<Q", struct.pack("<d", x))[0])


def test_doubles_are_pythons():
    """Sum, difference, product, quotient and root to nearest are what Python's doubles say."""
    rng = random.Random(1)
    mode = U32(RESET)
    for _ in range(300):
        scale = rng.choice((1, 30, 500, 1000))
        x, y = (math.ldexp(rng.uniform(-2, 2), rng.randint(-scale, scale)) for _ in range(2))
        assert double.f64_add(bits(x), bits(y), mode)[0] == bits(x + y)
        assert double.f64_sub(bits(x), bits(y), mode)[0] == bits(x - y)
        assert double.f64_mul(bits(x), bits(y), mode)[0] == bits(x * y)
        assert double.f64_div(bits(x), bits(y), mode)[0] == bits(x / y)
        assert double.f64_sqrt(bits(abs(x)), mode)[0] == bits(math.sqrt(abs(x)))
        relation = 0 if x == y else 1 if x < y else 2
        assert double.f64_compare(bits(x), bits(y), True, mode) == (relation, 0)


def test_integers_are_pythons():
    """Rounding to integral values and conversion from 64-bit integers agree with Python."""
    rng = random.Random(2)
    for _ in range(300):
        x = math.ldexp(rng.uniform(-2, 2), rng.randint(-3, 60))
        for control, python in ((0, round), (DOWN, math.floor), (UP, math.ceil), (CHOP, math.trunc)):
            got, flags = double.f64_round(bits(x), U32(control), U32(RESET))
            assert got == bits(math.copysign(float(python(x)), x))
            assert flags == (0 if x == python(x) else PE)
        n = rng.getrandbits(64) >> rng.randint(0, 63)
        assert double.i64_to_f64(U64(n), U32(RESET))[0] == bits(float(n - (n >> 63 << 64)))


def test_compare_of_nans():
    """UCOMISD signals on an SNaN only, COMISD on every NaN."""
    one, quiet, signalling = bits(1.0), U64(0x7FF8000000000000), U64(0x7FF0000000000001)
    for nan, signals, flags in ((quiet, False, 0), (quiet, True, IE), (signalling, False, IE), (signalling, True, IE)):
        assert double.f64_compare(one, nan, signals, U32(RESET)) == (3, flags)


def test_unmasked_precomputation_hides_the_rest():
    """With DE unmasked, an instruction that would also be inexact reports DE alone, and is due an #XM."""
    assert settle_mxcsr(U32(0x1E80), U32(DE | PE)) == (0x1E80 | DE, True)
    assert settle_mxcsr(U32(RESET), U32(DE | PE)) == (RESET | DE | PE, False)
    assert settle_mxcsr(U32(0x0F80), U32(DE | PE)) == (0x0F80 | DE | PE, True)
