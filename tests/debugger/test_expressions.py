"""The expression language: check(text, value) and check(text, what is said)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.debugger.stub_session import stub_session
from vmdbg.debugger.expressions import ExpressionError, parse

SESSION = stub_session()
CPU = SESSION.cpu
CPU.gpr[0], CPU.gpr[4], CPU.gpr[5] = 0x1122334455667788, 0x7C00, 0x7C02
CPU.seg_base[2] = 0  # SS
CPU.seg_base[3] = 0x10  # DS

VALUES = [
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("10 - 3 - 2", 5),
    ("7 / 2", 3),
    ("7 % 4", 3),
    ("1 << 4 | 1", 0x11),
    ("0xff & ~0xf", 0xF0),
    ("6 ^ 3", 5),
    ("-1", 2**64 - 1),
    ("1 << 64", 0),
    ("0b101 + 0o17 + 1_000", 1020),
    ("!0", 1),
    ("not 3", 0),
    ("1 < 2", 1),
    ("1 == 2 || 2 == 2", 1),
    ("1 == 1 and 2 != 2", 0),
    ("2 >= 2 && 3 <= 3", 1),
    ("al", 0x88),
    ("ah", 0x77),
    ("ax", 0x7788),
    ("eax", 0x55667788),
    ("$rax", 0x1122334455667788),
    ("RAX", 0x1122334455667788),
    ("start + 1", 0x7C01),
    ("[sp]", 0x9090),
    ("u8(bp)", 0xE8),
    ("u32(0x7c00)", 0x1BE89090),
    ("[ss:bp]", 0x1BE8),
    ("ds:0", 0x10),
    ("[0x7c02]", 0x1BE8),
    ("cpl", 0),
    ("if", 1),
    ("position", 0),
]


@pytest.mark.parametrize("text, value", VALUES)
def test_values(text, value):
    assert parse(text).value(SESSION.context()) == value


ADDRESSES = [("sp", 0x7C00), ("ax", 0x7798), ("0x20", 0x20), ("cs:ip", 0x7C00), ("ip", 0x7C00), ("ds:bp", 0x7C12)]


@pytest.mark.parametrize("text, address", ADDRESSES)
def test_addresses_go_through_the_segment_the_cpu_would_take(text, address):
    assert parse(text).address(SESSION.context()) == address


ERRORS = [
    ("", "expected an expression"),
    ("1 +", "stops too early"),
    ("rax = 3", "at '= 3'"),
    ("nowhere", "is no register, no symbol"),
    ("vector", "has no value at this stop"),
    ("1 / 0", "division by zero"),
    ("[0xfffffffff]", "no memory at 0xfffffffff"),
    ("u8 5", "at '5'"),
    ("é", "at 'é'"),
]


@pytest.mark.parametrize("text, words", ERRORS)
def test_errors_say_what_was_expected(text, words):
    with pytest.raises(ExpressionError) as caught:
        parse(text).value(SESSION.context())
    assert words in str(caught.value)


@given(st.text(alphabet="rax 0123456789abcdef[]()+-*/%<>=!&|^~:u_xes$", max_size=40))
def test_any_text_gives_a_value_or_a_sentence(text):
    """Nothing but ExpressionError ever comes out."""
    try:
        value = parse(text).value(SESSION.context())
    except ExpressionError as e:
        assert str(e)
    else:
        assert 0 <= value < 1 << 64


def test_deep_nesting_is_an_error_not_a_crash():
    with pytest.raises(ExpressionError):
        parse("~" * 20_000 + "1").value(SESSION.context())
