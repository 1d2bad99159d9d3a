"""vmdbg record, replay --verify, trace info: what they print, and their exit status."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


def vmdbg(*arguments, cwd=TOP, **options):
    command = [sys.executable, "-m", "vmdbg", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=cwd, env=dict(os.environ, **options))


@pytest.fixture
def recorded(tmp_path):
    found = vmdbg("record", "hello16", "-o", tmp_path / "trace")
    assert (found.returncode, found.stderr) == (0, "") and found.stdout == "Hello from real mode: 16 bits, one ring, no walls.\n"
    return tmp_path / "trace"


def test_record_and_verify_threaded(recorded):
    found = vmdbg("trace", "info", recorded)
    assert found.returncode == 0 and found.stdout.startswith("guest        hello16.bin, boot sector, 256 MiB, 1 CPU\npositions    0 to ")
    assert "said         52 bytes" in found.stdout
    found = vmdbg("replay", recorded, "--verify")
    assert found.returncode == 0 and "are equal" in found.stdout and found.stderr == ""


def test_a_damaged_trace_threaded(recorded):
    recorded.write_bytes(recorded.read_bytes()[:-5])
    found = vmdbg("replay", recorded, "--verify")
    assert found.returncode == 0 and "are equal" in found.stdout
    assert "damaged at byte" in found.stderr and "the file ends within a frame of kind DONE" in found.stderr
    assert "damage       at byte" in vmdbg("trace", "info", recorded).stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("trace", "info", "/nowhere"), "No such file"),
        (("replay", "README.md", "--verify"), "README.md: not a trace of vmdbg"),
        (("replay", "README.md"), "needs a terminal"),
        (("record", "hello16", "-o", "/nowhere/x"), "/nowhere/x: No such file or directory"),
        (("record", "hello16"), "output"),
    ],
)
def test_refusals_threaded(arguments, words):
    found = vmdbg(*arguments)
    assert found.returncode == 2 and words in found.stderr and found.stderr.count("\n") == 1 and "Traceback" not in found.stderr


def test_a_guest_that_leaves_threaded(tmp_path):
    """It ends within an instruction, which is no place for a checkpoint; but that far it is recorded."""
    (tmp_path / "guest").write_bytes(bytes.fromhex("b000 e6f4"))  # mov al,0; out f4h,al
    assert vmdbg("record", tmp_path / "guest", "--bits", "16", "--memory", "1M", "-o", tmp_path / "trace").returncode == 1
    found = vmdbg("replay", tmp_path / "trace", "--verify")
    assert (found.returncode, found.stderr) == (0, "") and "are equal" in found.stdout
    assert "positions    0 to 1;" in vmdbg("trace", "info", tmp_path / "trace").stdout


# mov ecx,100000000; wait: dec ecx; jnz wait; read: in al,61h; and al,10h; add [8000h],al; jmp read
WAITS_THEN_ASKS = bytes.fromhex("66b900e1f505 6649 75fc e461 2410 00060080 ebf6")
WAITED = 200_000_001  # steps


def test_a_trace_of_another_version_threaded(tmp_path):
    """Recorded by a program whose bit for the refresh of memory toggles at another speed: it opens, is the same until that is
    read, and it is said where it differs."""
    other = tmp_path / "other"
    for name in ("isa", "vmdbg", "guests"):
        shutil.copytree(TOP / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
    pit = other / "vmdbg/machine/board/pit.py"
    pit.write_text(pit.read_text().replace("REFRESH = 15085", "REFRESH = 15000"))
    (tmp_path / "guest").write_bytes(WAITS_THEN_ASKS)
    options = ("--bits", "16", "--memory", "1M", "--max-instructions", "200_200_000", "-o", tmp_path / "trace")
    there = dict(cwd=other, PYTHONPATH=str(other))
    assert vmdbg("record", tmp_path / "guest", *options, **there).returncode == 74
    found = vmdbg("replay", tmp_path / "trace", "--verify")
    assert found.returncode == 1 and found.stderr == ""
    said = re.fullmatch(
        r".*trace, which another version recorded: equal to position ([\d,]+); "
        r"at position ([\d,]+), or since, it is not what was recorded: (.+)\n",
        found.stdout,
    )
    assert said is not None
    good, position = (int(n.replace(",", "")) for n in said.groups()[:2])
    assert 0 < good <= WAITED < position and said[3].startswith(("the state of gpr", "memory at 0x8000"))
    info = vmdbg("trace", "info", tmp_path / "trace").stdout
    assert re.search(r"^semantics    [0-9a-f]{16}; this program: [0-9a-f]{16}$", info, re.M)
