"""SSE floating point: results, MXCSR and #XM are the host CPU's, in every rounding mode, with DAZ, FTZ and unmasked exceptions."""

import numpy as np
import pytest

from isa.lang.word import U32
from tests.machine.alone import compare
from tests.oracles import native
from tests.oracles.states import FLOAT32, FLOAT64
from vmdbg.machine.semantics import sse_convert, sse_float

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
COUNTS = [12, pytest.param(500, marks=pytest.mark.slow)]

CASES = """
0f58ca single_arithmetic x1,x2 8 | 0f59ca single_arithmetic x1,x2 9 | 0f5cca single_arithmetic x1,x2 12
0f5dca single_arithmetic x1,x2 13 | 0f5eca single_arithmetic x1,x2 14 | 0f5fca single_arithmetic x1,x2 15
660f58ca double_arithmetic x1,x2 8 | 660f59ca double_arithmetic x1,x2 9 | 660f5cca double_arithmetic x1,x2 12
660f5dca double_arithmetic x1,x2 13 | 660f5eca double_arithmetic x1,x2 14 | 660f5fca double_arithmetic x1,x2 15
f30f58ca scalar_arithmetic x1,x2.32 8 | f30f59ca scalar_arithmetic x1,x2.32 9 | f30f5cca scalar_arithmetic x1,x2.32 12
f30f5dca scalar_arithmetic x1,x2.32 13 | f30f5eca scalar_arithmetic x1,x2.32 14 | f30f5fca scalar_arithmetic x1,x2.32 15
f20f58ca scalar_arithmetic x1,x2.64 8 | f20f59ca scalar_arithmetic x1,x2.64 9 | f20f5cca scalar_arithmetic x1,x2.64 12
f20f5dca scalar_arithmetic x1,x2.64 13 | f20f5eca scalar_arithmetic x1,x2.64 14 | f20f5fca scalar_arithmetic x1,x2.64 15
0f51ca packed_sqrt x1,x2 32 | 660f51ca packed_sqrt x1,x2 64 | f30f51ca scalar_sqrt x1,x2.32 | f20f51ca scalar_sqrt x1,x2.64
0f2fca comis x1,x2.32 | 660f2fca comis x1,x2.64 | 0f2eca ucomis x1,x2.32 | 660f2eca ucomis x1,x2.64
f20f7cca horizontal_add x1,x2 32 | 660f7cca horizontal_add x1,x2 64 | f20f7dca horizontal_sub x1,x2 32 | 660f7dca horizontal_sub x1,x2 64
f20fd0ca addsub x1,x2 32 | 660fd0ca addsub x1,x2 64
f30f5aca cvtss2sd x1,x2.32 | f20f5aca cvtsd2ss x1,x2.64 | 0f5aca cvtps2pd x1,x2.64 | 660f5aca cvtpd2ps x1,x2
f30f2aca cvtsi2ss x1,r2.32 | f3480f2aca cvtsi2ss x1,r2.64 | f20f2aca cvtsi2sd x1,r2.32 | f2480f2aca cvtsi2sd x1,r2.64
f30f2dca scalar_to_integer r1.32,x2.32 0 | f3480f2dca scalar_to_integer r1.64,x2.32 0
f20f2dca scalar_to_integer r1.32,x2.64 0 | f2480f2dca scalar_to_integer r1.64,x2.64 0
f30f2cca scalar_to_integer r1.32,x2.32 1 | f3480f2cca scalar_to_integer r1.64,x2.32 1
f20f2cca scalar_to_integer r1.32,x2.64 1 | f2480f2cca scalar_to_integer r1.64,x2.64 1
0f5bca cvtdq2ps x1,x2 | 660f5bca singles_to_integers x1,x2 0 | f30f5bca singles_to_integers x1,x2 1
f30fe6ca cvtdq2pd x1,x2.64 | 660fe6ca doubles_to_integers x1,x2 1 | f20fe6ca doubles_to_integers x1,x2 0
0f2aca cvtpi2ps x1,m2 | 660f2aca cvtdq2pd x1,m2 | 0f2dca singles_to_integers m1,x2.64 0 | 0f2cca singles_to_integers m1,x2.64 1
660f2dca doubles_to_integers m1,x2 0 | 660f2cca doubles_to_integers m1,x2 1
"""
# Code without the immediate byte, meaning, operands, how many values of the immediate, lane width.
IMMEDIATE = """
0fc2ca packed_compare x1,x2,i 8 32 | 660fc2ca packed_compare x1,x2,i 8 64
f30fc2ca scalar_compare x1,x2.32,i 8 | f20fc2ca scalar_compare x1,x2.64,i 8
660f3a08ca packed_round x1,x2,i 16 32 | 660f3a09ca packed_round x1,x2,i 16 64
660f3a0aca scalar_round x1,x2.32,i 16 | 660f3a0bca scalar_round x1,x2.64,i 16
660f3a40ca dot_product x1,x2,i 256 32 | 660f3a41ca dot_product x1,x2,i 256 64
"""


def floats(seed):
    """Makes registers 1 and 2 vectors of special and ordinary numbers, and MXCSR often with unmasked exceptions."""

    def mangle(states):
        rng, n = np.random.default_rng(seed), len(states)
        signs32, signs64 = rng.integers(0, 2, (2, n, 4), np.uint32) << 31, rng.integers(0, 2, (2, n, 2), np.uint64) << np.uint64(63)
        for k in (0, 1):
            near = (rng.normal(0, 1, (n, 4)) * 10.0 ** rng.integers(-3, 4, (n, 4))).astype(np.float32).view(np.uint32)
            single = np.where(rng.random((n, 4)) < 0.4, near, FLOAT32[rng.integers(0, len(FLOAT32), (n, 4))] | signs32[k]).astype(np.uint32)
            near = (rng.normal(0, 1, (n, 2)) * 10.0 ** rng.integers(-3, 4, (n, 2))).view(np.uint64)
            double = np.where(rng.random((n, 2)) < 0.4, near, FLOAT64[rng.integers(0, len(FLOAT64), (n, 2))] | signs64[k])
            kind, other = rng.random((n, 1)), states["fx"]["xmm"][:, k + 1]
            vector = np.where(kind < 0.9, double.view(np.uint8).reshape(n, 16), other)
            states["fx"]["xmm"][:, k + 1] = np.where(kind < 0.45, single.view(np.uint8).reshape(n, 16), vector)
        states["fx"]["xmm"][::5, 2] = states["fx"]["xmm"][::5, 1]
        kind, random = rng.random(n), rng.integers(0, 1 << 16, n)
        states["fx"]["mxcsr"] = np.where(kind < 0.4, 0x1F80, np.where(kind < 0.7, 0x1F80 | random & 0xE07F, random))

    return mangle


def rows(table):
    return [tuple(r.split()) for line in table.strip().splitlines() for r in line.split("|")]


def meaning(name):
    return getattr(sse_float, name, None) or getattr(sse_convert, name)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("row", rows(CASES), ids="-".join)
def test_without_immediate(row, count):
    code, name, operands, *constant = row
    constant = int(constant[0]) if constant else None
    assert compare(code, meaning(name), operands.split(","), count, constant=constant, mangle=floats(count)) == []


@pytest.mark.parametrize("count", [4, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("row", rows(IMMEDIATE), ids="-".join)
def test_immediates(row, count):
    code, name, operands, values, *constant = row
    constant = int(constant[0]) if constant else None
    for value in range(0, int(values), 17 if int(values) == 256 else 1):
        places = operands.replace("i", f"i.{value}").split(",")
        got = compare(f"{code}{value:02x}", meaning(name), places, count, seed=value, constant=constant, mangle=floats(value))
        assert got == []


@pytest.mark.parametrize("approximation, exact", [(sse_float.reciprocal, lambda x: 1 / x), (sse_float.reciprocal_root, lambda x: x**-0.5)])
def test_approximations_are_close_enough(approximation, exact):
    """SDM vol. 2, RCPPS and RSQRTPS: the relative error is at most 1.5 * 2**-12."""
    numbers = np.exp(np.random.default_rng(1).uniform(-80, 80, 300)).astype(np.float32)
    for x in numbers:
        got = np.uint32(int(approximation(U32(int(x.view(np.uint32)))))).view(np.float32)
        assert abs(float(got) / exact(float(x)) - 1) <= 1.5 * 2**-12


@pytest.mark.parametrize(
    "approximation, x, expected",
    [
        (sse_float.reciprocal, 0x00000001, 0x7F800000),
        (sse_float.reciprocal, 0x80000000, 0xFF800000),
        (sse_float.reciprocal, 0xFF800000, 0x80000000),
        (sse_float.reciprocal, 0x7F000000, 0x00000000),
        (sse_float.reciprocal, 0x7F800001, 0x7FC00001),
        (sse_float.reciprocal, 0x3F800000, 0x3F800000),
        (sse_float.reciprocal_root, 0x80000001, 0xFF800000),
        (sse_float.reciprocal_root, 0x7F800000, 0x00000000),
        (sse_float.reciprocal_root, 0xBF800000, 0xFFC00000),
        (sse_float.reciprocal_root, 0xFFFFFFFF, 0xFFFFFFFF),
    ],
)
def test_approximations_at_the_edges(approximation, x, expected):
    """Denormals count as zeros, tiny results are zeros, no exception is raised."""
    assert int(approximation(U32(x))) == expected
