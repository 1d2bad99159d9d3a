"""Every legacy form in every mode does what Bochs does: real, virtual-8086, protected 16 and 32, compatibility, 64-bit, rings 0 and 3.

One instruction is run from random states by the whole machine: fetch, decoding, segmentation, paging, privilege, the meaning.  The
outcome is compared: registers, flags, memory, hidden parts of segments, system registers, or vector, error code and address of a
fault.  What is accepted is in tests/oracles/known_errors.toml and exclusions.toml.

By hand, for more states:  python -m tests.oracles.compare_system --ours tests.machine.whole:run_threaded --states 200
"""

import pytest

from isa.forms import FORMS
from tests.machine import whole
from tests.oracles import bochs_oracle
from tests.oracles.compare_system import compare_system
from tests.oracles.system import KINDS

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(bochs_oracle.unavailable() is not None, reason=str(bochs_oracle.unavailable()))]

LEGACY = [f for f in FORMS if f.offered and f.encoding.space == "legacy"]
SHARE = 10


def of_units(form) -> bool:
    """x87, MMX and SSE forms: those have tests of their own, and do not ask for the mode."""
    return form.row.text.startswith("F") or any(o.kind in ("xmm", "mm", "st") for o in form.operands)


INTEGER = [f for f in LEGACY if not of_units(f)]


def differences(forms, kind, run, states, seed) -> str:
    found = []
    for form in forms:
        instances = min(4, states)
        found += compare_system(form, run, bochs_oracle.run, kind=KINDS[kind], states=states, instances=instances, seed=seed)
    return "\n\n".join(map(str, found))


@pytest.mark.parametrize("kind", KINDS)
def test_sample(kind):
    """A tenth of the forms, another one in each mode, by the plain engine."""
    first = list(KINDS).index(kind)
    assert differences(INTEGER[first::SHARE], kind, whole.run, 2, 3) == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_long(kind):
    """All forms by the threaded engine."""
    assert differences(LEGACY, kind, whole.run_threaded, 40, 7) == ""
