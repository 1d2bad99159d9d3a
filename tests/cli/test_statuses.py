"""The exit statuses of the contract's section 7, and what goes in and out, through the command as a user starts it."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = [sys.executable, "-m", "vmdbg", "run"]
TERMINALS = itertools.count()
LONGEST = 120  # seconds; the core is there (conftest.py builds it first)
# 16 bits: sends every byte that comes on COM1 back, plus 1; q ends with 3 written to port F4
ECHO = "ba fd 03 ec a8 01 74 f8 b2 f8 ec 3c 71 74 05 fe c0 ee eb ec b0 03 e6 f4"
FLOOD = "66 ba f8 03 b0 41 ee eb fd"  # sends for ever
SPIN = "eb fe"
POWER_OFF = "66 ba 04 06 66 b8 00 20 66 ef"  # 32 bits: SLP_TYP 0 and SLP_EN to PM1_CNT
STATUSES = {  # code, options -> status, words on standard error
    "threaded-powered off": (POWER_OFF, ["--bits", "32"], 0, ""),
    "threaded-idle": ("fb f4", [], 0, ""),
    "threaded-port F4, 0": ("b0 00 e6 f4", [], 1, ""),
    "threaded-port F4, 5": ("b0 05 e6 f4", [], 11, ""),
    "threaded-usage": (SPIN, ["--memory", "lots"], 2, "is no size"),
    "threaded-unreadable guest": ("7f 45 4c 46", [], 2, "damaged ELF file"),
    "threaded-triple fault": ("0f 0b", [], 70, "-> a fault while #DF is delivered shuts the CPU down"),
    "threaded-halted for ever": ("90 f4", [], 72, "halted for ever at 0x100002: interrupts are off, after 2 steps"),
    "threaded-instruction limit": (SPIN, ["--max-instructions", "12345"], 74, "limit reached at 0x100000, after 12,345 steps"),
    "threaded-two CPUs": (SPIN, ["--cpus", "2", "--max-instructions", "100"], 74, "limit reached at 0x100000 on CPU 0, after 100 steps"),
}
ODD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def guest(tmp_path):
    def write(code: str) -> str:
        path = tmp_path / "guest.bin"
        path.write_bytes(bytes.fromhex(code))
        return str(path)

    return write


def in_real_mode(path: str) -> list[str]:
    return [*RUN, path, "--bits", "16", "--load-address", "0x7c00"]


@pytest.mark.parametrize("name", STATUSES)
def test_status(guest, name):
    """Nothing but the guest's words on standard output; why it stopped on standard error, never a traceback."""
    code, options, status, words = STATUSES[name]
    found = subprocess.run([*RUN, guest(code), *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST)
    assert found.returncode == status, found.stderr
    assert found.stdout == ""
    assert words in found.stderr and bool(words) == bool(found.stderr)
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("number", ODD, ids=[f"threaded-{n.name}" for n in ODD])
def test_a_signal_is_the_users_break(guest, number):
    process = subprocess.Popen([*RUN, guest(FLOOD)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1000) == b"A" * 1000
    process.send_signal(number)
    _, err = process.communicate(timeout=LONGEST)
    assert process.returncode == 76
    assert err.startswith(b"vmdbg: paused at 0x10000") and b"Traceback" not in err


def test_threaded_standard_input_is_the_serial_port(guest):
    """A pipe: bytes wait until the guest takes them."""
    found = subprocess.run(in_real_mode(guest(ECHO)), input=b"HAL" * 100 + b"q", capture_output=True, timeout=LONGEST)
    assert (found.returncode, found.stdout, found.stderr) == (7, b"IBM" * 100, b"")


def test_threaded_a_pipe_that_is_slow(guest):
    """What is written later arrives later."""
    process = subprocess.Popen(in_real_mode(guest(ECHO)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    for sent, came in ((b"a", b"b"), (b"xyy", b"yzz")):
        process.stdin.write(sent)
        assert b"".join(process.stdout.read(1) for _ in came) == came
        time.sleep(0.1)
    assert process.communicate(b"q", timeout=LONGEST) == (b"", None)
    assert process.returncode == 7


def test_threaded_a_file_is_the_serial_port(guest, tmp_path):
    """--input; standard input is left alone."""
    (tmp_path / "keys").write_bytes(b"HALq")
    found = subprocess.run(
        [*in_real_mode(guest(ECHO)), "--input", str(tmp_path / "keys")], input=b"zzz", capture_output=True, timeout=LONGEST
    )
    assert (found.returncode, found.stdout, found.stderr) == (7, b"IBM", b"")


def test_threaded_nobody_reads_any_more(guest):
    """vmdbg run ... | head -c 5: no traceback, no word; the run ends as if the user had ended it."""
    head = subprocess.run(
        ["bash", "-c", '"$@" | head -c 5; echo " ${PIPESTATUS[0]}"', "x", *RUN, guest(FLOOD)], capture_output=True, timeout=LONGEST
    )
    assert (head.stdout, head.stderr) == (b"AAAAA 76\n", b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("code, status", [(SPIN, 74), ("66 ba f8 03 b0 41 ee b0 01 e6 f4", 3)], ids=["threaded-limit", "threaded-exit"])
def test_without_standard_streams(guest, closed, code, status):
    """Closed streams are nobody's: the status is what is left."""
    command = ["bash", "-c", f'"$@" {closed}', "x", *RUN, guest(code), "--max-instructions", "1000"]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST)
    assert found.returncode == status, found.stderr
    assert b"Traceback" not in found.stderr + found.stdout


def test_threaded_a_full_disk(guest):
    """What cannot be written is a sentence, not a traceback."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        found = subprocess.run([*RUN, guest(FLOOD)], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=LONGEST)
    assert found.returncode == 78
    assert found.stderr == b"vmdbg: standard output: No space left on device\n"


# ---- a terminal


@pytest.fixture
def tmux(tmp_path):
    """Runs a shell line in a terminal of its own: (send keys, wait for words on its screen)."""
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    socket = f"vmdbg-run-{os.getpid()}-{next(TERMINALS)}"  # a server that ends and one that begins must not meet

    def call(*arguments: str) -> str:
        return subprocess.run(["tmux", "-L", socket, *arguments], check=True, capture_output=True, text=True).stdout

    def start(line: str):
        call("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "60", f"stty -g; {line}; echo status $?; stty -g; sleep 60")
        return (lambda *keys: call("send-keys", *keys)), wait

    def wait(words: str) -> str:
        end = time.monotonic() + LONGEST
        while words not in (screen := call("capture-pane", "-p")):
            assert time.monotonic() < end, f"'{words}' did not appear:\n{screen}"
            time.sleep(0.05)
        return screen

    yield start
    call("kill-server")


def command_line(path: str) -> str:
    return f"env VMDBG_CACHE='{os.environ.get('VMDBG_CACHE', '')}' PYTHONPATH='{Path(__file__).parents[2]}' {' '.join(in_real_mode(path))}"


def settings(wait: Callable[[str], str]) -> list[str]:
    """The two lines of `stty -g`, before the run and after it."""
    end = time.monotonic() + LONGEST
    while len(found := [line for line in wait("status").splitlines() if line.count(":") > 20]) < 2:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


@pytest.mark.tmux
def test_every_key_goes_to_the_guest(guest, tmux):
    """Raw mode: single keys, control keys too, arrive at once and are not shown by the terminal; control-] leaves with 76."""
    send, wait = tmux(command_line(guest(ECHO)))
    wait("control-] leaves")
    send("-l", "HAL")
    assert "HAL" not in wait("IBM")
    send("C-_")  # 1F: the guest makes a space of it
    send("-l", "N")
    assert "status" not in wait("IBM O")
    send("C-]")
    screen = wait("status 76")
    before, after = settings(wait)
    assert before == after, screen


@pytest.mark.tmux
@pytest.mark.parametrize("code, status", [("0f 0b 00", 0), (ECHO, 7)], ids=["an error", "the guest's end"])
def test_the_terminal_is_left_as_it_was(guest, tmux, code, status):
    """Whatever ends the run."""
    broken = "0f 01 1e 20 7c 0f 0b" + " 00" * 40  # lidt with limit 0; ud2
    send, wait = tmux(command_line(guest(broken if status == 0 else code)))
    if status:
        wait("control-] leaves")
        send("-l", "q")
    screen = wait(f"status {status or 70}")
    before, after = settings(wait)
    assert before == after, screen
