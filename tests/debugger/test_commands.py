"""Commands over the stub machine: check(line, expected output) tables and dialogues."""

import pytest

from tests.debugger.stub_session import CODE, stub_session
from vmdbg.debugger.commands.dialects import DIALECTS
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


WRITTEN = [
    ("set eax = 5", "eax = 0x5", "p eax", "0x5  5"),
    ("set $ax = -1", "ax = 0xffff", "p/x ax", "0xffff"),
    ("set zf = 1", "zf = 0x1", "p zf", "0x1  1"),
    ("set var rbx = start + 2", "rbx = 0x7c02", "p/x rbx", "0x7c02"),
    ("set [0x500] = 0x1234", "u16(0x500) = 0x1234", "x/2xh 0x500", "00000500: 0x1234  0x0000"),
    ("set u32(0x500) = 1 == 1", "u32(0x500) = 0x1", "x/2xh 0x500", "00000500: 0x0001  0x0000"),
    ("set u8(start)=0xf4", "u8(0x7c00) = 0xf4", "x/1xb start", "00007c00 <start>: 0xf4"),
]


@pytest.mark.parametrize("line, answer, look, expected", WRITTEN)
def test_set(line, answer, look, expected):
    i = real_interpreter()
    assert i.execute(line) == [answer] and i.execute(look)[0].partition("  <")[0] == expected.partition("  <")[0]


def real_interpreter():
    from tests.debugger.test_triggers import interpreter as of

    i = of()
    i.session.symbols = type(i.session.symbols)({"start": CODE})
    return i


REFUSED = [
    ("condition ² ax", "there is no breakpoint '²'"),
    ("b 0x7c00 count ²", "a number from 1 up"),
    ("set", "expected set REGISTER"),
    ("set eax", "expected set REGISTER"),
    ("set eax = ", "expected set REGISTER"),
    ("set eax == 5", "expected set REGISTER"),
    ("set frob = 5", "'frob' is no register and no memory"),
    ("set al = 0x100", "does not fit into al"),
    ("set u8(0x500) = 256", "does not fit into 1 byte"),
    ("set [0xfee00000] = 1", "RAM"),
    ("set cpl = 3", "cannot be written"),
    ("set eax = nowhere", "is no register, no symbol"),
    ("b 0x7c00 in ring 4", "a ring from 0 to 3, not '4'"),
    ("b 0x7c00 on cpu 1", "a cpu from 0 to 0, not '1'"),
    ("b 0x7c00 in cr3 nowhere", "is no register, no symbol"),
    ("b 0x7c00 in frob", "expected 'in ring N', 'in cr3 EXPRESSION' or 'on cpu N'"),
    ("b 0x7c00 on ring 3", "expected 'in ring N'"),
    ("bp trap PF in ring", "expected 'in ring N'|expected a vector"),
    ("b 0x10000:0", "a segment and an offset of 16 bits"),
    ("b 0:0x10000", "a segment and an offset of 16 bits"),
    ("b nowhere:4", "is no register"),
    ("bp execute", "expected an address"),
    ("bp execute 0x7c00 0", "a length from 1"),
    ("vb 0x7c00", "expected segment:offset"),
    ("pb", "expected a physical address"),
    ("modebp weird", "expected a mode"),
    ("vmexitbp weird", "the number or the name of a VM exit"),
    ("info vmcs", "this machine has no VMCS"),
    ("info evtchn", "this machine has no event channels"),
    ("finish now", "takes nothing"),
    ("bt 0", "from 1 up"),
    ("advance", "expected an address"),
    ("watch 0x500 0x20000", "a length from 1"),
    ("who 0x500 0x", "0x"),
]


@pytest.mark.parametrize("line, words", REFUSED)
def test_what_is_refused(line, words):
    i = real_interpreter()
    with pytest.raises(CommandError, match=words):
        i.execute(line)
    assert (i.session.position, len(i.session.breakpoints)) == (0, 0)


PLACES = [
    ("b 0x7c0:5", "breakpoint 1    0x7c05 start+0x5"),
    ("b 07c0:0005", "breakpoint 1    0x7c05 start+0x5"),  # as the disassembly shows it
    ("b cs:ip + 3", "breakpoint 1    0x7c03 start+0x3"),
    ("b ax:0x7c02", "breakpoint 1    0x7c02 start+0x2"),
    ("vb 0x7c0:5", "breakpoint 1    0x7c05 start+0x5"),
    ("tb once", "breakpoint 1    0x7c00 start  once"),
    ("lb 0x7c05 once", "breakpoint 1    0x7c05 start+0x5  once"),
    ("pb 0x7c05", "breakpoint 1    at physical 0x7c05"),
    ("modebp", "breakpoint 1    mode protected"),
    ("bp execute start 0x10", "breakpoint 1    execute of 0x7c00-0x7c0f"),
    ("bp execute 0x7c00 physical", "breakpoint 1    execute of physical 0x7c00"),
    ("bp write 0x500 + 8", "breakpoint 1    write of 0x508-0x509"),
    ("bp write 0x500 010", "breakpoint 1    write of 0x500-0x509"),
    ("b start in ring 3 in cr3 0x1000 + 0x1000 on cpu 0 once count 2 if ax == 1", None),
    ("b start once if ax == 1 in ring 3", "breakpoint 1    0x7c00 start  in ring 3  if ax == 1  once"),
]


@pytest.mark.parametrize("line, expected", PLACES)
def test_places(line, expected):
    expected = expected or "breakpoint 1    0x7c00 start  in ring 3 in cr3 0x2000 on cpu 0  if ax == 1  once  count 2"
    assert real_interpreter().execute(line) == [expected]


def test_every_instruction_of_a_range():
    i = real_interpreter()
    i.execute("bp execute 0x7c03 4")
    found = []
    while not i.session.run().ended:
        found.append(i.session.rip)
    assert found == [0x7C03, 0x7C05, 0x7C06]


def test_tables_of_real_mode():
    i = real_interpreter()
    assert i.execute("info ivt 0x20") == ["IVT at 0, 256 vectors", "20      0000:7000"] or "20" in i.execute("info ivt 0x20")[1]
    assert i.execute("info tss") == ["no task: real mode has none"]
    assert i.execute("creg")[0].startswith("cr0  ") and " pe" in i.execute("info creg")[0]
    assert i.execute("sreg")[1].startswith("cs   0000  base 00000000")
    assert i.execute("page 0x1234") == ["paging is off: linear 1234 is physical 1234"]
    assert isinstance(i.execute("info tlb"), list)


def test_words_of_other_debuggers():
    """By their key maps only: with gdb's, p prints and t runs to a trap."""
    i = Interpreter(stub_session(), DIALECTS["windbg"])
    assert i.execute("t")[0] == "1: step" and i.execute("p 3")[0].startswith("7: ") and i.execute("r ax")[0].startswith("ax")
    assert i.execute("u start 1")[0].startswith("   0000:7c00") and "trap" in i.execute("bp trap 0x22")[0]
    assert "trap 34" in i.execute("g")[0]
    assert Interpreter(stub_session(), DIALECTS["bochs"]).execute("p")[0] == "1: step"
    assert interpreter().execute("p 3") == ["0x3  3"]
