"""--command, --script, --python: what they print, in which order, and how they end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmdbg.cli import main

TOP = Path(__file__).parents[2]
pytestmark = pytest.mark.core


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes, name: str = "script") -> str:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(tmp_path / name)

    return write


def test_in_the_order_in_which_they_are_given(capsys, file):
    """Commands, files of commands and files of Python take turns; the guest's words stay apart."""
    script = file("# stop in ring 3\n\n  b start_a\n\tc\n", "commands")
    python = file("print(session.registers.cs, Session.__name__, __name__)\nsession.run()\n", "more.py")
    arguments = [
        "run",
        "hello16",
        "--command",
        "p 1",
        "--script",
        script,
        "--command",
        "p cs",
        "--python",
        python,
        "--command",
        "info break",
    ]
    arguments[1] = "dual_mode"
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "0x1  1" and lines[1].startswith("breakpoint 1 ") and "start_a" in lines[2]
    assert lines[3] == "0x1b  27" and lines[4] == "27 Session __main__" and lines[5].endswith("hit 1 time") and len(lines) == 6
    assert err.startswith("kernel: ring 0, paging on, two tasks\n") and err.endswith("nobody left to run\n")


def test_json_is_an_object_a_line(capsys, file):
    python = file("print('one')\nprint('two')\n", "say.py")
    arguments = [
        "--command",
        "bp trap PF if cr2 == 0xdeadb000",
        "--command",
        "c",
        "--python",
        python,
        "--command",
        "goto",
        "--command",
        "p [cr2]",
    ]
    assert main(["run", "dual_mode", "--json", *arguments]) == 2
    out, err = capsys.readouterr()
    made, stopped, said, nothing, failed = map(json.loads, out.splitlines())
    assert made["command"] == "bp trap PF if cr2 == 0xdeadb000" and made["value"]["kind"] == "Trap" and made["console"] == ""
    assert stopped["value"]["vector"] == 14 and stopped["value"]["address"] == 0xDEADB000 and "A: hello" in stopped["console"]
    assert said == {"python": python, "ok": True, "lines": ["one", "two"], "value": None, "console": ""}
    assert nothing == {"command": "goto", "ok": True, "lines": [], "value": None, "console": ""}
    assert failed == {"command": "p [cr2]", "ok": False, "error": failed["error"], "console": ""} and "no memory" in failed["error"]
    assert err == f"vmdbg: {failed['error']}\n"


STATUS = [
    ("b0 10 e6 f4", ["c"], 0x21),
    ("b0 10 e6 f4", ["si"], 0),
    ("b0 10 e6 f4", ["c", "rsi"], 0),
    ("0f 0b", ["c"], 70),
    ("f4", ["c"], 72),
    ("fb f4", ["c"], 0),
    ("eb fe", ["c", "p 1"], 74),
]


@pytest.mark.parametrize("code, commands, status", STATUS)
def test_status_is_that_of_the_end_it_stands_at(capsys, file, code, commands, status):
    options = [word for c in commands for word in ("--command", c)]
    assert main(["run", file(bytes.fromhex(code)), "--memory", "2M", "--max-instructions", "1000", *options]) == status
    out, err = capsys.readouterr()
    assert out.startswith("1,000: instruction limit reached") == (status == 74) and "0x1  1" not in out
    assert ("1,000" in err) == (status == 74)


@pytest.mark.parametrize("code, status", [("raise SystemExit", 0), ("import sys; sys.exit(5)", 5), ("raise SystemExit('enough')", 1)])
def test_python_that_exits(capsys, file, code, status):
    assert main(["run", "hello16", "--python", file(code), "--command", "p 1"]) == status
    assert capsys.readouterr() == ("", "vmdbg: enough\n" if status == 1 else "")


WRONG = [
    ("--script", "p 1\n\n# so far\nfrob\np 2\n", ":4: 'frob' is no command"),
    ("--script", "b nowhere", ":1: 'nowhere' is no register, no symbol"),
    ("--python", "x = 1\ndef f():\n    session.goto(99)\nf()\n", ":3: position 99 is not recorded"),
    ("--python", "\n1 / 0", ":2: ZeroDivisionError: division by zero"),
    ("--python", "assert session.rip == 0", ":1: AssertionError"),
    ("--python", "x = = 1", ":1: invalid syntax"),
    ("--python", b"\0", "null bytes"),
    ("--script", b"\xff\xfe", "not a text in UTF-8"),
]


@pytest.mark.parametrize("option, text, words", WRONG)
def test_errors_name_file_and_line(capsys, file, option, text, words):
    """One sentence, status 2; what comes before has been done, what comes after has not."""
    assert main(["run", "hello16", option, file(text), "--command", "p 3"]) == 2
    out, err = capsys.readouterr()
    assert out == ("0x1  1\n" if "frob" in words else "")
    assert err.startswith("vmdbg: ") and words in err and err.count("\n") == 1 and "Traceback" not in err
    if b"\0" not in (text if isinstance(text, bytes) else b""):
        assert "script" in err


USAGE = [
    (["run", "hello16", "--json"], "--json is how commands answer"),
    (["run", "hello16", "--command", "c", "--stats", "/dev/null"], "--stats is of a run without"),
    (["run", "hello16", "--script", "/nowhere"], "/nowhere: No such file"),
    (["run", "hello16", "--python", "/"], "/: Is a directory"),
    (["run", "hello16", "--command"], "--command"),
    (["hello16", "--command", "c"], "needs a terminal; without one: vmdbg GUEST --web, or vmdbg run GUEST"),
    (["replay", "README.md", "--command", "c"], "not a trace"),
    (["replay", "README.md", "--verify", "--command", "c"], "--verify runs all of it"),
]


@pytest.mark.parametrize("arguments, words", USAGE)
def test_usage(capsys, arguments, words):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.count("\n") == 1


def test_over_a_trace(capsys, tmp_path):
    """A recording answers without its guest, forwards and backwards."""
    trace = str(tmp_path / "trace")
    assert main(["record", "dual_mode", "-o", trace]) == 0
    capsys.readouterr()
    commands = ["bp trap 0x80", "c", "seek end", "rc"]
    assert main(["replay", trace, "--json", *(word for c in commands for word in ("--command", c))]) == 0
    _, first, end, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["value"]["vector"] == last["value"]["vector"] == 0x80 and first["value"]["position"] < last["value"]["position"]
    assert "nobody left to run" in end["console"]


def test_input_goes_to_the_guest_and_is_read_once(capsys, file):
    """An echo over COM1 by polling: what it has read in the past it reads again, and no more than that."""
    guest = file(bytes.fromhex("ba fd 03 ec a8 01 74 fb ba f8 03 ec ee eb f1"), "guest")
    commands = ["c 500000", "seek 0", "c 500000", "history"]
    options = ["--bits", "16", "--load-address", "0x7c00", "--memory", "2M", "--input", file("echo"), "--json"]
    assert main(["run", guest, *options, *(word for c in commands for word in ("--command", c))]) == 0
    first, _, again, history = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["console"] == again["console"] == "echo"
    assert history["value"]["inputs"] == 4 and len(history["value"]["lines"]) == 1


def test_an_interrupt_ends_a_script(file):
    command = [sys.executable, "-m", "vmdbg", "run", file(b"\xeb\xfe"), "--command", "p 1", "--command", "c", "--command", "p 2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TOP, env=dict(os.environ))
    assert process.stdout is not None and process.stdout.readline() == "0x1  1\n"
    process.terminate()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 76 and "0x2" not in out and "Traceback" not in err


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_standard_streams(file, closed):
    """Closed streams are nobody's: the status is what is left."""
    options = f"--command 'p 1' --command c --python {file('print(5)')} --command 'p 2'"
    line = f"{sys.executable} -m vmdbg run hello16 {options} --command frob {closed}"
    found = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=TOP)
    assert found.returncode == 2 and "Traceback" not in found.stdout + found.stderr
