"""The harness: encodings decode back to their form, and a planted error in one form is found and reported."""

import pytest

from isa.forms import FORMS

from . import native
from .compare import compare, exclusions, report
from .compare_system import known_errors
from .encode import decodes_to, encode
from .layout import RAX

pytestmark = pytest.mark.oracle
on_host = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_every_form_encodes_to_itself(bits):
    wrong, none = [], []
    for number, form in enumerate(FORMS):
        if form.encoding.space == "evex" or any(o.vsib for o in form.operands):
            continue
        for n in range(2):
            instance = encode(form, bits, [number, n])
            if instance is None:
                none.append(form)
                break
            # Illegal ones (LOCK on a register, MOV CS, CR5) decode to nothing: they must raise #UD.
            legal = not instance.lock and form.offered and not {"cr", "dr", "seg"} & {o.kind for o in form.operands}
            if legal and form.row.sem not in ("nop", "xchg") and not decodes_to(instance):
                wrong.append((form.row.opcode, form.row.text, instance.code.hex(" ")))
    assert not wrong, wrong[:20]
    assert len(none) < len(FORMS) / 2


def test_the_same_seed_gives_the_same_instance():
    assert all(encode(form, 64, [1, 2]) == encode(form, 64, [1, 2]) for form in FORMS[:200])


def _form(name):
    return next(form for form in FORMS if form.name == name)


@on_host
def test_a_planted_error_is_found():
    def wrong(states, code, bits):
        results = native.run(states, code, bits)
        results["gpr"][:, RAX] ^= results["rflags"] & 1
        return results

    form = _form("adc_reg32_reg32")
    assert not list(compare(form, native.run, states=100))
    found = list(compare(form, wrong, states=100))
    assert len(found) >= 5  # some instances are LOCK on a register and raise #UD on both sides
    text = report(found[0])
    assert "ADC" in text and "rax" in text and "expected" in text


@on_host
def test_undefined_flags_are_not_compared():
    def wrong(states, code, bits):
        results = native.run(states, code, bits)
        results["rflags"] ^= 0x10
        return results

    assert not list(compare(_form("shl_reg32_imm8"), wrong, states=50))
    assert list(compare(_form("add_reg32_reg32"), wrong, states=50))


def test_the_rows_of_both_files_are_whole():
    for row in exclusions():
        assert row["forms"] and row["why"] and row["manual"] and ("ignore" in row or "within" in row)
    for row in known_errors():
        assert row["oracle"] in ("bochs", "unicorn") and row["forms"] and row["what"] and row["manual"] and row["ignore"]
