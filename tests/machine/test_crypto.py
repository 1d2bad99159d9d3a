"""AES, SHA, PCLMULQDQ, CRC32: as the host CPU does them."""

import pytest

from tests.machine.alone import compare
from tests.oracles import native
from vmdbg.machine.semantics import crypto

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
COUNTS = [8, pytest.param(200, marks=pytest.mark.slow)]

CASES = """
660f38dcca aesenc x1,x2 | 660f38ddca aesenclast x1,x2 | 660f38deca aesdec x1,x2 | 660f38dfca aesdeclast x1,x2 | 660f38dbca aesimc x1,x2
0f38c8ca sha1nexte x1,x2 | 0f38c9ca sha1msg1 x1,x2 | 0f38caca sha1msg2 x1,x2
0f38cbca sha256rnds2 x1,x2,x0 | 0f38ccca sha256msg1 x1,x2 | 0f38cdca sha256msg2 x1,x2
f20f38f0ca crc32 r1.32,r2.8 | 66f20f38f1ca crc32 r1.32,r2.16 | f20f38f1ca crc32 r1.32,r2.32
f2480f38f0ca crc32 r1.64,r2.8 | f2480f38f1ca crc32 r1.64,r2.64
"""
IMMEDIATE = """
0f3accca sha1rnds4 x1,x2,i | 660f3a44ca pclmulqdq x1,x2,i | 660f3adfca aeskeygenassist x1,x2,i
"""


def rows(table):
    return [tuple(r.split()) for line in table.strip().splitlines() for r in line.split("|")]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("code, name, operands", rows(CASES))
def test_without_immediate(code, name, operands, count):
    assert compare(code, getattr(crypto, name), operands.split(","), count) == []


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("code, name, operands", rows(IMMEDIATE))
def test_immediates(code, name, operands, count):
    for value in (0, 1, 2, 3, 16, 17, 27, 128, 254, 255):
        places = operands.replace("i", f"i.{value}").split(",")
        assert compare(f"{code}{value:02x}", getattr(crypto, name), places, count, seed=value) == []
