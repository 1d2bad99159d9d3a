"""Our CPU against the host's, run natively: every form that the model offers, registers, flags, memory, fault or not.

The machine runs whole (decoder, translation, page tables, faults as they are delivered), at CPL 3. What is not compared stands in
exclusions.toml; what cannot be encoded is told by `left_out`.  The long form, 1,000 states of each form on the threaded engine:

    pytest -m slow tests/oracles/test_cpu_host.py
    python -m tests.oracles.test_cpu_host [--bits 64|32] [--states 1000] [--plain]      the same, with figures and what is left out
"""

import argparse
import functools
import time
from collections import Counter, defaultdict

import pytest

import isa
from isa.forms import FORMS, Form
from tests.oracles import native, ours
from tests.oracles.compare import Difference, compare, excluded, report
from tests.oracles.encode import encode, spellings, unencodable

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
OFFERED = [form for form in FORMS if form.offered]
GROUP = 64  # forms of one test
SAMPLE, LONG = (4, 2), (1000, 20)  # states and encodings of a form
BLOCKS = [("FXSAVE", "fx"), ("FXRSTOR", "fx"), ("XSAVE", "xs"), ("XRSTOR", "xs"), ("XSAVEOPT", "xs")]
EXCLUDED = "excluded on every state by a row of exclusions.toml"
# Instructions that the other code size alone has, though their opcodes mean something.
NOT_IN = {64: {"JCXZ Jb"}, 32: {"JRCXZ Jb", "CMPXCHG16B Mdq", *(f"{name}64 M{size}" for name, size in BLOCKS)}}
NO_SIZE = "no prefixes give it its operand size in this code size"
REASONS = {
    EXCLUDED,
    "exists only in 64-bit code",
    "does not exist in 64-bit code",
    NO_SIZE,
    "no prefixes give it its address size in this code size",
}


def left_out(form: Form, bits: int) -> str | None:
    """Why a form is not compared in code of this size, or None: it is."""
    if excluded(form, bits, native.vendor()):
        return EXCLUDED
    return unencodable(form, bits)


@functools.cache
def compared(bits: int) -> list[Form]:
    """The forms that are compared in code of this size."""
    return [form for form in OFFERED if left_out(form, bits) is None]


def differences(forms: list[Form], bits: int, states: int, instances: int, run=ours.run) -> list[Difference]:
    return [d for form in forms for d in compare(form, run, native.run, bits=bits, states=states, instances=instances)]


@pytest.mark.parametrize("states, instances", [SAMPLE, pytest.param(*LONG, marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", range(0, len(OFFERED), GROUP))
@pytest.mark.parametrize("bits", [64, 32])
def test_as_the_host(bits, first, states, instances):
    found = differences(OFFERED[first : first + GROUP], bits, states, instances)
    assert not found, f"{len(found)} encodings differ, the first:\n{report(found[0])}"


@pytest.mark.parametrize("bits", [64, 32])
def test_every_form_is_compared_or_has_a_reason(bits):
    why = {left_out(form, bits) for form in OFFERED} - {None}
    assert why <= REASONS
    assert {form.row.text for form in OFFERED if left_out(form, bits) == EXCLUDED} <= {"SYSENTER"} | ({"SYSCALL"} if bits == 32 else set())
    for form in compared(bits):
        assert encode(form, bits, [1, 2]) is not None, form.row.text


@pytest.mark.parametrize("bits", [64, 32])
def test_forms_without_their_size_are_other_names_of_forms_that_are_compared(bits):
    """PUSH r32 in 64-bit code, say: whatever the prefixes, its opcode is a form of another size, and that one is compared."""
    rows, missing = {form.row.text for form in compared(bits)}, set()
    for form in OFFERED:
        if (left_out(form, bits) or "").startswith("no prefixes"):
            seen = [i.form for i in (isa.decode(code, bits=bits) for code in spellings(form, bits)) if i is not None]
            assert not any(f is form for f in seen), form.name
            assert all(left_out(f, bits) in (None, EXCLUDED) for f in seen if f.offered), form.name
            missing |= {form.row.text} - rows
    assert missing == NOT_IN[bits]


@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("bits", [64, 32])
def test_the_plain_engine_is_the_same(bits, step):
    """Forms of every family on the plain engine, two encodings of each; the long form: all."""
    found = differences(compared(bits)[::step], bits, 4, 2, ours.run_plain)
    assert not found, report(found[0])


def main() -> None:
    """The long form with its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--states", type=int, default=LONG[0])
    parser.add_argument("--instances", type=int, default=LONG[1])
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--list", action="store_true", help="only tell what is left out")
    a = parser.parse_args()
    reasons = defaultdict(list)
    for form in OFFERED:
        if why := left_out(form, a.bits):
            reasons[why].append(form)
    for why, forms in sorted(reasons.items()):
        print(
            f"{len(forms):4} {why}: " + ", ".join(f"{t}{f' x{n}' if n > 1 else ''}" for t, n in Counter(f.row.text for f in forms).items())
        )
    print(f"{len(FORMS) - len(OFFERED):4} not offered by the model: they raise #UD, whatever the host does")
    if a.list:
        return
    run, started, bad = ours.run_plain if a.plain else ours.run, time.time(), 0
    for form in compared(a.bits):
        found = differences([form], a.bits, a.states, a.instances, run)
        bad += bool(found)
        for d in found[:1]:
            print(f"{len(found)} of {a.instances} encodings differ\n{d}\n", flush=True)
    print(f"{len(compared(a.bits))} forms x {a.states} states in {a.bits}-bit code: {bad} forms differ, {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
