"""The real program in a real terminal, driven by tmux as a user would."""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.tmux, pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")]
SERVERS = itertools.count()  # a server that is killed takes a moment to give its socket up
FIRST_FRAME = 120  # seconds: the core may have to be built
LONGEST = 60  # seconds that anything else takes, on a machine that has other things to do


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, socket: str, columns: int, lines: int, *command: str):
        self.socket = socket
        environment = f"COLORTERM=truecolor VMDBG_CACHE={os.environ.get('VMDBG_CACHE', '')}"
        shell = f"env -u COLUMNS -u LINES {environment} {shlex.join(command)}; echo status $?; sleep 60"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines), shell)

    def tmux(self, *arguments: str) -> str:
        return subprocess.run(["tmux", "-L", self.socket, *arguments], check=True, capture_output=True, text=True).stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def command(self, line: str) -> None:
        """Type a line of commands as fast as a terminal can, and leave the command line."""
        self.tmux("send-keys", "-l", f":{line}\r")
        self.wait_for("f7 Step")
        self.keys("Escape")
        self.wait_for("s Step n")

    def wait_for(self, words: str, seconds: float = LONGEST, shown: bool = True) -> str:
        end = time.monotonic() + seconds
        while (words in (screen := self.screen())) != shown:
            assert time.monotonic() < end, f"'{words}' did not {'appear' if shown else 'go'}:\n{screen}"
            time.sleep(0.05)
        return screen

    def wait_while(self, words: str) -> str:
        """What is typed after an escape is a key of its own only when the escape has been understood."""
        return self.wait_for(words, shown=False)


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def open_terminal(columns: int, lines: int, *command: str) -> Terminal:
        t = Terminal(f"vmdbg-test-{os.getpid()}-{next(SERVERS)}", columns, lines, *command)
        opened.append(t)
        return t

    yield open_terminal
    for t in opened:
        t.tmux("kill-server")


VMDBG = (sys.executable, "-m", "vmdbg")


def test_a_session_with_dual_mode(terminal):
    """Break in ring 3, step, run to the page fault, see the console, quit."""
    t = terminal(120, 36, *VMDBG, "dual_mode")
    t.wait_for("not started", FIRST_FRAME)
    t.command("b start_a")
    t.wait_for("breakpoint 1")
    t.keys("c")
    screen = t.wait_for("breakpoint 1 at 0x8048000 start_a")
    assert "3 user    ◀" in screen
    t.keys("s")
    t.wait_for("▶08048005")
    t.command("bp trap PF")
    t.wait_for("trap 14 #PF")
    t.keys("c")
    t.wait_for("write of 0x804ffec in ring 3, pa")
    t.keys("s")
    t.wait_for("0 kernel  ◀")
    t.command("delete")
    t.keys("c")
    t.wait_for("nobody left to run")
    t.wait_for("nothing is due")
    t.keys("q")
    t.wait_for("status 0")


def test_80_columns(terminal):
    """It stays usable at 80x24: step, change panes, help, quit."""
    t = terminal(80, 24, *VMDBG, "hello16")
    t.wait_for("not started", FIRST_FRAME)
    t.keys("s")
    t.wait_for("▶0000:7c05")
    t.keys("c")
    t.wait_for("nothing is due")
    t.keys("v", "v")
    t.wait_for("Hello from real mode")
    t.keys("?")
    t.wait_for("escape closes")
    t.keys("Escape")
    t.wait_while("escape closes")
    t.keys("q")
    t.wait_for("status 0")


def test_a_bad_guest_leaves_the_screen_alone(terminal, tmp_path):
    empty = tmp_path / "empty.bin"
    empty.touch()
    t = terminal(100, 24, *VMDBG, str(empty))
    assert "an empty file" in t.wait_for("status 2")
