"""Every form of the integer set, decoder and memory included, does what the host CPU does; exclusions.toml says what is not compared."""

from collections import defaultdict

import pytest

from isa.forms import FORMS
from tests.machine import one
from tests.oracles import native
from tests.oracles.compare import compare, report

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
FAMILIES = "arithmetic logic shifts moves control strings".split()
AMD = "AuthenticAMD"


def families():
    """{(family, first letter of the meaning): forms}"""
    found = defaultdict(list)
    for form in FORMS:
        f = one.shared().meanings.get(form.row.sem)
        if form.offered and f is not None and f.__module__.rpartition(".")[2] in FAMILIES:
            found[f.__module__.rpartition(".")[2], form.row.sem].append(form)
    return found


FORMS_OF = families()


def vendors_own(d):
    """Differences that are the vendor's: AMD is not Intel here, and the manual is followed."""
    vectors, sem = (int(d.expected["vector"]), int(d.got["vector"])), d.instance.form.row.sem
    return native.vendor() == AMD and (
        (vectors == (13, 14) and d.instance.bits == 64)  # it wants the offset canonical before FS or GS is added
        or (sem == "nop" and 6 in vectors)  # 0F 0D with a register, 0F 1C
        or (sem == "movsx" and d.instance.form.osize == 16)  # MOVSXD r16 reads 32 bits
        or (sem == "push_seg" and set(d.fields) == {"window"})  # PUSH Sreg writes all 32 bits
        or (sem == "popa" and vectors == (14, 14))  # POPA is not all or nothing
        or (sem == "enter" and set(d.fields) == {"window"} and vectors[0] == vectors[1] != -1)  # ENTER neither
    )


@pytest.mark.parametrize("states, instances", [(4, 2), pytest.param(1000, 20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("family, sem", FORMS_OF)
def test_host(family, sem, bits, states, instances):
    found = [
        d
        for form in FORMS_OF[family, sem]
        for d in compare(form, one.run, native.run, bits=bits, states=states, instances=instances)
        if not vendors_own(d)
    ]
    assert not found, report(found[0])
