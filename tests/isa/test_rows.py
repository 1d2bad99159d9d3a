"""The rows: they parse, they expand, and what is derived from them agrees with itself."""

import re

from isa import cpuid
from isa.forms import FORMS, ROWS, VARIANTS
from isa.row import I, expand

KINDS = set("reg mem imm rel seg cr dr mm xmm ymm zmm k st far moffs ea str one tmm".split())


def test_every_condition_has_its_row():
    rows = expand(I("70+cc f64", "Jcc Jb", "jcc"))
    assert [r.opcode.split()[0] for r in rows] == [f"{0x70 + n:02X}" for n in range(16)]
    assert (rows[4].text, rows[4].cc, rows[4].flags) == ("JE Jb", 4, "r=z")


def test_forms_settle_size_and_memory():
    forms = [f for f in FORMS if f.row.text == "ADD Ev,Gv"]
    assert {(f.osize, f.memory) for f in forms} == {(size, memory) for size in (16, 32, 64) for memory in (False, True)}
    assert all(f.operands[0].bits == f.osize and f.operands[1].bits == f.osize for f in forms)
    assert {f.operands[0].kind for f in forms} == {"reg", "mem"}


def test_operands_are_of_known_kinds():
    assert {o.kind for f in FORMS for o in f.operands} <= KINDS
    assert all(set(o.access) <= set("rw") and o.access for f in FORMS for o in f.operands)


def test_every_form_can_be_reached():
    reached = {n for variants in VARIANTS for n in variants} - {0xFFFF}
    assert reached == set(range(len(FORMS)))


def test_every_feature_is_in_the_list():
    for row in ROWS:
        for name in filter(None, row.feature.split("+")):
            assert name in cpuid.BY_NAME, f"{row.text}: {name}"


def test_flag_columns_are_disjoint():
    """A flag has one fate: written, cleared, set or undefined."""
    for row in ROWS:
        letters = "".join(row.flag_set(kind) for kind in "w01u")
        assert len(letters) == len(set(letters)) or "u" in row.flags, row.text
        assert re.fullmatch(r"((w|r|0|1|u)=[oszapcditn*]+ ?)*", row.flags), row.text


def test_lock_needs_a_memory_destination():
    for form in FORMS:
        if form.row.lock and form.memory:
            assert "w" in next(o.access for o in form.operands if o.kind == "mem"), form.name
