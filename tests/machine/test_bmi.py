"""BMI1, BMI2, ADX, POPCNT, LZCNT, TZCNT, MOVBE: results and defined flags are the host CPU's."""

import pytest

from tests.machine.alone import compare
from tests.oracles import native
from tests.oracles.layout import AF, OF, PF, SF
from vmdbg.machine.semantics import bmi

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
COUNTS = [10, pytest.param(500, marks=pytest.mark.slow)]

# Map, prefix (0 none, 1 66, 2 F3, 3 F2), vvvv, opcode, ModRM, meaning, registers, undefined flags.
VEX = [
    (2, 0, 3, 0xF2, 0xCA, "andn", (1, 3, 2), AF | PF),
    (2, 0, 1, 0xF3, 0xDA, "blsi", (1, 2), AF | PF),
    (2, 0, 1, 0xF3, 0xCA, "blsr", (1, 2), AF | PF),
    (2, 0, 1, 0xF3, 0xD2, "blsmsk", (1, 2), AF | PF),
    (2, 0, 3, 0xF7, 0xCA, "bextr", (1, 2, 3), AF | PF | SF),
    (2, 0, 3, 0xF5, 0xCA, "bzhi", (1, 2, 3), AF | PF),
    (2, 3, 3, 0xF6, 0xCA, "mulx", (1, 3, 2), 0),
    (2, 3, 1, 0xF6, 0xCA, "mulx", (1, 1, 2), 0),
    (2, 3, 3, 0xF5, 0xCA, "pdep", (1, 3, 2), 0),
    (2, 2, 3, 0xF5, 0xCA, "pext", (1, 3, 2), 0),
    (2, 2, 3, 0xF7, 0xCA, "sarx", (1, 2, 3), 0),
    (2, 1, 3, 0xF7, 0xCA, "shlx", (1, 2, 3), 0),
    (2, 3, 3, 0xF7, 0xCA, "shrx", (1, 2, 3), 0),
]
LEGACY = [
    ("f3", "0fb8ca", "popcnt", "r1,r2", (16, 32, 64), 0),
    ("f3", "0fbdca", "lzcnt", "r1,r2", (16, 32, 64), OF | SF | PF | AF),
    ("f3", "0fbcca", "tzcnt", "r1,r2", (16, 32, 64), OF | SF | PF | AF),
    ("", "0f38f00f", "movbe", "r1,w", (16, 32, 64), 0),
    ("", "0f38f10f", "movbe", "w,r1", (16, 32, 64), 0),
    ("66", "0f38f6ca", "adcx", "r1,r2", (32, 64), 0),
    ("f3", "0f38f6ca", "adox", "r1,r2", (32, 64), 0),
]


def vex(opcode_map, prefix, wide, vvvv, opcode, modrm):
    return bytes([0xC4, 0xE0 | opcode_map, wide << 7 | (~vvvv & 15) << 3 | prefix, opcode, modrm]).hex()


def small_control(states):
    """Half of the fields and indexes (register 3) near the operand's width."""
    states["gpr"][::2, 3] %= 0x4050


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("opcode_map, prefix, vvvv, opcode, modrm, name, registers, undefined", VEX)
def test_vex_encoded(opcode_map, prefix, vvvv, opcode, modrm, name, registers, undefined, bits, count):
    code = vex(opcode_map, prefix, bits == 64, vvvv, opcode, modrm)
    operands = [f"r{n}.{bits}" for n in registers]
    assert compare(code, getattr(bmi, name), operands, count, undefined=undefined, mangle=small_control) == []


@pytest.mark.parametrize("bits", [32, 64])
def test_rorx(bits):
    code = vex(3, 3, bits == 64, 0, 0xF0, 0xCA)
    for n in (0, 1, 5, 31, 32, 33, 63, 255):
        assert compare(f"{code}{n:02x}", bmi.rorx, [f"r1.{bits}", f"r2.{bits}", f"i.{n}"], 4) == []


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("prefix, code, name, operands, widths, undefined", LEGACY, ids=[f"{r[2]}-{r[3]}" for r in LEGACY])
def test_legacy_encoded(prefix, code, name, operands, widths, undefined, count):
    for bits in widths:
        places = [f"{text}.{bits}" for text in operands.split(",")]
        full = ("66" if bits == 16 else "") + prefix + ("48" if bits == 64 else "") + code
        assert compare(full, getattr(bmi, name), places, count, undefined=undefined) == []
