"""PCMPxSTRx: every control byte, lengths and strings that match here and there; as the host CPU does it."""

import numpy as np
import pytest

from tests.machine.alone import compare
from tests.oracles import native
from vmdbg.machine.semantics.sse_string import pcmpestri, pcmpestrm, pcmpistri, pcmpistrm

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
COUNTS = [3, pytest.param(20, marks=pytest.mark.slow)]

MEANINGS = {0x60: pcmpestrm, 0x61: pcmpestri, 0x62: pcmpistrm, 0x63: pcmpistri}


def strings(seed):
    """Makes operands of few different elements, and lengths around the ends."""

    def mangle(states):
        rng = np.random.default_rng(seed)
        pair = states["fx"]["xmm"][:, 1:3]
        pair[:] = np.where(rng.random(pair.shape) < 0.5, rng.integers(0, 4, pair.shape), pair)
        pair[::3] = rng.choice([97, 98, 99, 255], pair[::3].shape)
        for register in (0, 2):
            short = rng.random(len(states)) < 0.7
            states["gpr"][short, register] = rng.integers(-20, 20, len(states)).astype(np.int64).view(np.uint64)[short]

    return mangle


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("opcode", MEANINGS, ids=hex)
def test_every_control_byte(opcode, count):
    for control in range(128):
        code, operands = f"0f3a{opcode:02x}ca{control:02x}", ["x1", "x2", f"i.{control}"]
        assert compare("66" + code, MEANINGS[opcode], operands, count, mangle=strings(control)) == []
        assert compare("6648" + code, MEANINGS[opcode], operands, count, mangle=strings(control + 1000), osize=64) == []
