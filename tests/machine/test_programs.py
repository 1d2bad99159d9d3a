"""Random programs end as they do in Bochs: the same state after the whole program, run in one go by the machine.

What is tested beyond single instructions: blocks, flags kept as answers from one instruction to the next, segments loaded on the way.
"""

import pytest

from tests.machine import programs, whole
from tests.oracles import bochs_oracle
from tests.oracles.system import KINDS

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(bochs_oracle.unavailable() is not None, reason=str(bochs_oracle.unavailable()))]


def failures(kind: str, engine: str, seeds) -> list[str]:
    found = []
    for seed in seeds:
        p = programs.grow(KINDS[kind], seed)
        if p is not None:
            parts = programs.differences(p.result, whole.shared(engine).program(p.state, p.image, p.kind, 100_000), p.kind)
            found += [f"{kind} {seed}: {'; '.join(parts[:6])}"] * bool(parts)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_sample(kind):
    """Six programs of about 30 instructions, by the plain engine."""
    assert failures(kind, "plain", range(6)) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_long(kind):
    """By the threaded engine."""
    assert failures(kind, "threaded", range(1000, 2000)) == []
