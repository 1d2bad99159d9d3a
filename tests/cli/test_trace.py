"""vmdbg record, replay --verify, trace info: what they print, and their exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


def vmdbg(*arguments, **options):
    command = [sys.executable, "-m", "vmdbg", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=TOP, env=dict(os.environ, **options))


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
