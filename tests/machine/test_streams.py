"""Random instruction streams in all modes: no crash, no hang, no traceback, no host memory outside the guest."""

import random

import pytest

from isa.decode_tables import TABLES
from isa.decoder import decode_into
from isa.decoding import Decoded, DecodeTables
from isa.forms import FORMS
from isa.lang.struct import words8
from isa.lang.word import U64
from vmdbg.machine import kinds

from . import streams

# Registers there are of each kind of operand, as the structs have them.
ROOM = {"seg": 8, "cr": 16, "dr": 16, "mm": 8, "xmm": 16, "st": 8, "mem": 256}


@pytest.mark.parametrize(
    "engine, first, count",
    [
        pytest.param("threaded", 0, 1500, id="sample"),
        pytest.param("plain", 5000, 25, id="plain"),
        pytest.param("threaded", 10_000, 1_000_000, id="long", marks=pytest.mark.slow),
    ],
)
def test_streams(engine, first, count):
    """Each stream comes back within its budget, for a reason that a guest can have."""
    found = streams.hunt(first, count, engine)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("count", [200, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("bits", [16, 32, 64])
def test_decoded_numbers_are_in_range(bits, count):
    """Every register number that becomes an address in the core lies inside what it numbers."""
    dice, table, buffer = random.Random(bits), kinds.operand_table(FORMS), streams.Guarded(256)
    code, d = words8(buffer.address), Decoded(buffer.address + 32)
    for _ in range(count):
        text = dice.choice(streams.pool(bits))[:15] if dice.random() < 0.5 else b""
        text = (text + dice.randbytes(15))[:15]
        for n, byte in enumerate(text):
            code[n] = byte
        decode_into(DecodeTables(int(TABLES.pointer.address)), U64(buffer.address), U64(15), U64(bits), U64(0x1000), d)
        if int(d.length) == 0:
            continue
        form = FORMS[int(d.form)]
        assert int(d.length) <= 15 and int(d.base) <= 16 and int(d.index) <= 16 and int(d.scale) <= 3 and int(d.seg) <= 5, text.hex()
        for k, operand in enumerate(form.operands[:3]):
            number = int((d.r0, d.r1, d.r2)[k])
            if table[int(d.form), k] == kinds.GPR_OFFSET:
                assert number < 16 or 20 <= number < 24, f"{text.hex()} {form.name}"
            elif table[int(d.form), k] == kinds.PLAIN_NUMBER and form.offered:
                assert number < ROOM[operand.kind], f"{text.hex()} {form.name}"
