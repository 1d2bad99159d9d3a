"""SSE moves and shuffles, and MXCSR: as the host CPU does them."""

import pytest

from tests.machine.alone import compare
from tests.oracles import native
from vmdbg.machine.semantics import sse_move

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
COUNTS = [8, pytest.param(300, marks=pytest.mark.slow)]

CASES = """
0f28ca move_vector x1,x2 | f30f10ca move_scalar x1,x2.32 | f20f10ca move_scalar x1,x2.64
f30f11ca move_low x2.32,x1 | f20f11ca move_low x2.64,x1 | f30f110f move_low w.32,x1 | f20f110f move_low w.64,x1
f30f100f move_zero_extended x1,w.32 | f20f100f move_zero_extended x1,w.64
660f6eca move_zero_extended x1,r2.32 | 66480f6eca move_zero_extended x1,r2.64 | 0f6eca move_zero_extended m1,r2.32
f30f7eca move_zero_extended x1,x2.64 | 660fd6ca move_zero_extended x2,x1.64 | f30fd6ca move_zero_extended x1,m2
660f7eca move_low r2.32,x1 | 66480f7eca move_low r2.64,x1 | f20fd6ca move_low m1,x2
0f160f movhps_load x1,w.64 | 0f170f movhps_store w.64,x1 | 0f120f move_scalar x1,w.64 | 0f130f move_low w.64,x1
0f12ca movhlps x1,x2 | 0f16ca movlhps x1,x2 | f20f12ca movddup x1,x2.64 | f30f12ca movsldup x1,x2 | f30f16ca movshdup x1,x2
0fae1f stmxcsr w.32 | 0fae17 ldmxcsr w.32
"""
SHUFFLES = """
0fc6ca shufps x1,x2,i | 660fc6ca shufpd x1,x2,i | 660f3a21ca insertps x1,x2,i | 660f3a210f insertps x1,w.32,i
"""


def rows(table):
    return [tuple(r.split()) for line in table.strip().splitlines() for r in line.split("|")]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("code, name, operands", rows(CASES))
def test_moves(code, name, operands, count):
    assert compare(code, getattr(sse_move, name), operands.split(","), count) == []


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("code, name, operands", rows(SHUFFLES))
def test_shuffles(code, name, operands, count):
    for control in range(256) if count > 2 else range(0, 256, 7):
        places = operands.replace("i", f"i.{control}").split(",")
        assert compare(f"{code}{control:02x}", getattr(sse_move, name), places, count, seed=control) == []


def test_mxcsr_takes_all_defined_bits_and_no_other():
    def narrow(states):
        states["window"][:, 2:4] = 0

    assert compare("0fae17", sse_move.ldmxcsr, ["w.32"], 8, mangle=narrow) == []
