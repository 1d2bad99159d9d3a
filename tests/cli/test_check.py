"""vmdbg check: what holds, what does not and what was found instead, and what is no expectation."""

import json
from pathlib import Path

import pytest

import guests
from vmdbg.cli import main

DUAL_MODE = guests.shipped()["dual_mode"].with_suffix(".expect")
pytestmark = pytest.mark.core


@pytest.fixture
def expectations(tmp_path):
    def write(text: str) -> str:
        (tmp_path / "expect").write_text(text)
        return str(tmp_path / "expect")

    return write


@pytest.fixture
def code(tmp_path):
    def write(text: str) -> list[str]:
        (tmp_path / "guest").write_bytes(bytes.fromhex(text))
        return [str(tmp_path / "guest"), "--memory", "2M"]

    return write


def test_the_example_that_ships_holds(capsys):
    assert main(["check", "dual_mode", "--expect", str(DUAL_MODE)]) == 0
    assert capsys.readouterr() == (f"{DUAL_MODE}: all 20 hold\n", "")


def test_it_does_not_hold_for_another_guest(capsys):
    """A kernel without these names is malformed input; one that does something else fails."""
    assert main(["check", "hello16", "--expect", str(DUAL_MODE)]) == 2
    assert ":5: 'start_a' is no register, no symbol" in capsys.readouterr().err


FAILS = [  # a statement that does not hold of dual_mode, and what was found
    ("stop start_b within 100", "not within 100 instructions: found 0x"),
    ("stop trap GP if eip == start_a", "found idle at "),
    ('wait "kernel: there"', "found idle at "),
    ('wait "kernel: killed" within 9000', "not within 9,000 instructions: found 0x"),
    ("expect eip == start_a && if == 1", "found 0x10000c == 0x8048000 && 0x0 == 0x1 at 0x10000c start, position 0"),
    ("expect u32(0xf0000000)", "no memory at 0xf0000000"),
    ('expect console contains "ring"', "it says nothing"),
    ("expect ebp + 0", "found 0x0 at"),
    ('console contains "panic"', 'found 15 lines, the last of them "kernel: nobody left to run"'),
    ('console lacks "ring 3"', 'found "ring 3, through int 0x80"'),
    ("console matches /^hello/", "found 15 lines"),
    ('screen contains "panic"', "found 15 lines"),
    ("end exit", "found idle at"),
    ("end triple fault", "found idle at"),
    ("status 1", "found 0: idle at"),
    ("never trap PF if cr2 == 0xdeadb000", "found breakpoint 1 trap 14 #PF: read of 0xdeadb000 in ring 3, page not present, position "),
    ("count trap PF > 100", "found 4"),
    ("never start", "found breakpoint 1 at 0x10000c start, position 0"),
    ("count ring 3->0 if rax == 77 != 0", "found 0"),
]


@pytest.mark.parametrize("statement, found", FAILS)
def test_what_does_not_hold_is_said_with_what_was_found(capsys, expectations, statement, found):
    file = expectations(f"# one that does not\n\n{statement}\nlimit 100_000_000\nstatus 0\nend idle\n")
    status = main(["check", "dual_mode", "--expect", file])
    out, err = capsys.readouterr()
    lines = out.splitlines()
    if statement != "status 1":
        assert lines[1:] == [f"{file}: 1 of 3 do not hold"]
    assert status == 1 and lines[0].startswith(f"{file}:3: {statement}: ") and found in lines[0] and err == ""


def test_after_a_stop_that_does_not_come(capsys, expectations):
    """What follows it in order is not come to; what is of the whole run is judged all the same."""
    file = expectations('console contains "nobody left"\nstop trap DF\nexpect eax == 1\nstop start_b\n')
    assert main(["check", "dual_mode", "--expect", file, "--json"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(f["line"], f["ok"]) for f in found] == [(2, False), (3, False), (4, False), (1, True)]
    assert found[1]["found"] == "not come to: line 2 does not hold" and found[3] == dict(
        line=1, statement='console contains "nobody left"', ok=True, found=None
    )


ENDS = [
    ("b0 10 e6 f4", "end exit\nstatus 33\n"),
    ("0f 0b", "end triple fault\nstatus 70\ncount trap UD == 1\n"),
    ("f4", "end halt\nstatus 72\n"),
    ("fb f4", "end idle\nstatus 0\n"),
    ("eb fe", "limit 1000\nend limit\nstatus 74\nexpect position == 0\n"),
    ("40 eb fd", "stop 0x100001 count 5 within 10\nexpect eax == 5\nlimit 20\n"),
    ("40 eb fd", "stop 0x100000\nexpect eax == 0 && position == 0\nstop 0x100000\nexpect eax == 1\nlimit 20\ncount 0x100000 == 10\n"),
    ("40 eb fd", "limit 9\nnever 0x100002\nexpect eax == 0\n"),
    ("cd 80 eb fc", "stop trap 0x80\nexpect vector == 0x80\nlimit 50\nnever trap PF"),
]


@pytest.mark.parametrize("guest, text", ENDS)
def test_every_end_can_be_expected(capsys, code, expectations, guest, text):
    assert main(["check", *code(guest), "--bits", "32", "--expect", expectations(text)]) == 0, capsys.readouterr().out


# mov dx, 3fd; in al, dx; test al, 1; jz; mov dx, 3f8; in al, dx; out dx, al; inc bx; cmp al, 'q'; jne start; mov al, 0; out f4, al
ECHO = "66ba fd03 ec a801 74fb 66ba f803 ec ee 43 3c71 75ec b000 e6f4"


def test_a_dialogue(capsys, code, expectations):
    """What is typed arrives; a text that is waited for stops the run with its last byte; what counts counts once."""
    text = 'type "abc"\nwait "ab"\nexpect ebx == 1\nwait "c"\nexpect ebx == 2\ntype "de\\n"\nwait "d"\ntype "q"\nwait "q"\n'
    text += "end exit\nstatus 1\nlimit 5_000_000\n"
    file = expectations(text + 'count io 0x3f8 w == 7\ncount 0x10000d == 7\nconsole contains "abcde\\nq"\n')
    assert main(["check", *code(ECHO), "--bits", "32", "--expect", file]) == 0, capsys.readouterr().out


def test_input_from_a_file(capsys, code, expectations, tmp_path):
    (tmp_path / "keys").write_text("xyzq")
    file = expectations('limit 5_000_000\nconsole contains "xyzq"\nend exit\n')
    assert main(["check", *code(ECHO), "--bits", "32", "--input", str(tmp_path / "keys"), "--expect", file]) == 0, capsys.readouterr().out


MALFORMED = [
    ("frob 1", "expected one of stop, wait, type, expect, console, screen, end, status, never, count, limit, not 'frob'"),
    ("stop", "expected a place"),
    ("stop nowhere", "no symbol"),
    ("stop start_a within x", "a number from 0 up, not 'x'"),
    ("stop start_a trace", "stops nowhere"),
    ("wait ring", 'expected a text in double quotes, "...", not ring'),
    ('wait ""', "expected a text in double quotes"),
    ("type 5", "expected a text in double quotes"),
    ("expect", "expected an expression"),
    ("expect eax =", "at '='"),
    ('console says "x"', "expected 'console contains | lacks | matches ...', not 'console says'"),
    ("console", "expected 'console contains"),
    ('console matches "x"', "a regular expression between slashes"),
    ("console matches /(/", "is no regular expression"),
    ("end well", "expected one of exit, idle, halt, limit, triple fault, not 'well'"),
    ("status zero", "a number from 0 up"),
    ("never", "expected a place"),
    ("count trap PF", "expected a place, a comparison and a number"),
    ("count trap PF if cr2 > 5", "expected a place, a comparison and a number"),
    ("limit -1", "a number from 0 up"),
]


@pytest.mark.parametrize("statement, words", MALFORMED)
def test_malformed_input_names_its_line(capsys, expectations, statement, words):
    """Status 2, and nothing runs: not even what stands before it."""
    file = expectations(f"# so\nend exit\n{statement}\n")
    assert main(["check", "dual_mode", "--expect", file]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"vmdbg: {file}:3: ") and words in err and err.count("\n") == 1


USAGE = [
    (["dual_mode"], "--expect"),
    (["dual_mode", "--expect", "/nowhere"], "/nowhere: No such file"),
    (["dual_mode", "--expect", "/"], "/: Is a directory"),
    (["--expect", "/dev/null"], "check requires an argument"),
    (["dual_mode", "--expect", "/dev/null"], "/dev/null: it expects nothing"),
    (["dual_mode", "--expect", "/dev/null", "--max-instructions", "0"], "expected 1 or more"),
    (["nowhere", "--expect", "/dev/null"], "no shipped guest"),
]


@pytest.mark.parametrize("arguments, words", USAGE)
def test_usage(capsys, arguments, words):
    assert main(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.count("\n") == 1


def test_the_help_names_every_statement():
    from vmdbg.cli.check import check
    from vmdbg.debugger.unattended import expectations

    for word in expectations.PARSERS:
        assert word in str(check.__doc__) and f"    {word}" in str(expectations.__doc__).replace("console|screen", "console\n    screen"), (
            word
        )
    assert Path(DUAL_MODE).exists()
