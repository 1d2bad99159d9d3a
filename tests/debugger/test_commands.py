"""Commands over the stub machine: check(line, expected output) tables and dialogues."""

import pytest

from tests.debugger.stub_session import CODE, stub_session
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.commands.registry import COMMANDS, CommandError


def interpreter():
    return Interpreter(stub_session())


ANSWERS = [
    ("p 1+2*3", "0x7  7"),
    ("p/x 255", "0xff"),
    ("p/d -1", "-1"),
    ("p/t 5", "0" * 61 + "101"),
    ("p/c 0x41", "'A'"),
    ("print -1", "0xffffffffffffffff  18446744073709551615  -1"),
    ("p ip", "0x7c00  31744  <start>"),
    ("p start", "0x7c00  31744  <start>"),
    ("p u16(start)", "0x9090  37008"),
    ("x/4xb start", "00007c00 <start>: 0x90  0x90  0xe8  0x1b"),
    ("x/2xh 0x7c00", "00007c00 <start>: 0x9090  0x1be8"),
    ("x/2i start", "=> 0000:7c00  90                     <start> nop\n   0000:7c01  90                     nop"),
    ("info break", "no breakpoints"),
    ("b start", "breakpoint 1    0x7c00 start"),
    ("b *0x7c05", "breakpoint 1    0x7c05 start+0x5"),
    ("b 0x7c05 if rax == 3 once count 2", "breakpoint 1    0x7c05 start+0x5  if rax == 3  once  count 2"),
    ("tb work", "breakpoint 1    0x7c20 work  once"),
    ("bp trap PF if address < 0x1000", "breakpoint 1    trap 14 #PF  if address < 0x1000"),
    ("bp trap #GP", "breakpoint 1    trap 13 #GP"),
    ("bp trap 0x20-0x2f once", "breakpoint 1    traps 0x20-0x2f  once"),
    ("si", "1: step"),
    ("si 3", "3: 3 steps"),
    ("until 0x7c02", "2: at 0x7c02 start+0x2"),
    ("help si", "si [COUNT]\n  one step: an instruction, or the delivery of a trap\n  also: si, s, step"),
    ("info registers ax ip", "ax         0x0\nip         0x7c00"),
    ("info idt 3", "IVT at 0, 256 vectors\n03 #BP  f000:ff53"),
    ("info page 0x1234", "paging is off: linear 1234 is physical 1234"),
]


@pytest.mark.parametrize("line, expected", ANSWERS)
def test_answers(line, expected):
    if expected is None:
        with pytest.raises(CommandError):
            interpreter().execute(line)
    else:
        assert "\n".join(interpreter().execute(line)) == expected


MALFORMED = [
    ("frob", "'frob' is no command"),
    ("si x", "a count of steps from 1 up"),
    ("si 0", "from 1 up"),
    ("b", None),
    ("b nowhere", "is no register, no symbol"),
    ("b 0x7c00 if", "expression after 'if'"),
    ("b 0x7c00 if rax =", "at '='"),
    ("b 0x7c00 count x", "number from 1 up after 'count'"),
    ("b 0x7c00 junk", "at 'junk'"),
    ("bp", "expected 'bp trap | ring"),
    ("bp frob 3", "not 'bp frob 3'"),
    ("bp ring 4->0", "rings 0 to 3"),
    ("bp ring 3", "rings 0 to 3"),
    ("bp mode weird", "expected a mode"),
    ("bp io 0x10000", "a port or a range of ports up to 0xffff"),
    ("bp io", "expected a port"),
    ("bp msr 5-3", "an MSR or a range"),
    ("bp cr 1", "a control register"),
    ("bp insn frobnicate", "or a mnemonic"),
    ("bp write", "expected an address"),
    ("bp write 0x500 0", "length from 1"),
    ("bp write 0xfee00000 physical", "neither RAM nor ROM"),
    ("watch", "expected an address"),
    ("bp trap", "expected a vector"),
    ("bp trap 300", "0 to 255"),
    ("bp trap 5-3", "empty range"),
    ("bp trap 5-", "expected a vector"),
    ("delete 9", "there is no breakpoint '9'"),
    ("x", "expected an address"),
    ("x/16qz 0", "expected x/16xg"),
    ("x/99999x 0", "count from 1 to 4096"),
    ("x/0x 0", "count from 1 to 4096"),
    ("p", "expected an expression"),
    ("p 1 +", "stops too early"),
    ("p/z 1", "expected p/x"),
    ("p [0xffffffff]", "no memory at"),
    ("info", "expected one of"),
    ("info nothing", "expected one of"),
    ("info page", "expected a linear address"),
    ("info registers r77", "is no register"),
    ("help frob", "is no command"),
    ("undisplay 4", "there is no display"),
    ("until", "expected an address"),
    ("disassemble 0xffffffff", "no memory"),
    ("trap 3", "takes nothing"),
]


@pytest.mark.parametrize("line, words", [m for m in MALFORMED if m[1]])
def test_malformed_input_says_what_was_expected_and_changes_nothing(line, words):
    i = interpreter()
    with pytest.raises(CommandError, match="(?s).") as caught:
        i.execute(line)
    assert words in str(caught.value)
    assert (i.session.position, len(i.session.breakpoints), i.displays) == (0, 0, {})
    assert i.session.rip == CODE


def test_an_empty_line_repeats_what_is_to_repeat():
    i = interpreter()
    assert i.execute("") == []
    i.execute("si")
    i.execute("")
    i.execute("")
    assert i.session.position == 3
    i.execute("p rax")
    assert i.execute("") == []
    assert i.execute("x/2xb start") == ["00007c00 <start>: 0x90  0x90"]
    assert i.execute("") == ["00007c02 <start+0x2>: 0xe8  0x1b"]


def test_display_follows_every_stop():
    i = interpreter()
    assert i.execute("display rax") == ["1: rax = 0x0  0"]
    assert i.execute("si 2") == ["2: 2 steps", "1: rax = 0x2  2"]
    i.execute("undisplay 1")
    assert i.execute("si") == ["3: step"]


def test_nothing_runs_after_the_end():
    i = Interpreter(stub_session(b"\x0f\x0b"))
    assert "triple fault" in i.execute("c")[0]
    with pytest.raises(CommandError, match="nothing can run any more: triple fault"):
        i.execute("si")


def test_completion():
    i = interpreter()
    assert "continue" in i.complete("cont")
    assert i.complete("b st") == ["b start"]
    assert i.complete("info re") == ["info registers"]
    assert i.complete("nonsense x") == []
    assert "bp trap PF" in i.complete("bp trap P")


def test_help_lists_every_command():
    text = "\n".join(interpreter().execute("help"))
    for c in COMMANDS.values():
        assert c.help in text
