"""vmdbg run: what the guest says, and how it ended."""

import functools
import signal
import subprocess
import sys
import threading
import time

import pytest

from vmdbg.cli import main
from vmdbg.debugger import headless
from vmdbg.debugger.opening import open_bare


@pytest.fixture(params=["plain", "threaded"])
def engine(request, monkeypatch):
    """Every engine behind the same command."""
    monkeypatch.setattr(headless, "open_bare", functools.partial(open_bare, engine=request.param))
    monkeypatch.setattr("vmdbg.cli.run.ensure_core", lambda: None)
    return request.param


STATUS = [
    ("b0 00 e6 f4", [], 1),
    ("b0 10 e6 f4", [], 0x21),
    ("fb f4", [], 0),
    ("f4", [], 72),
    ("0f 0b", [], 70),
    ("eb fe", ["--max-instructions", "1000"], 74),
]


@pytest.mark.parametrize("code, options, status", STATUS, ids=[str(s[2]) for s in STATUS])
def test_status(tmp_path, capfd, engine, code, options, status):
    path = tmp_path / "guest.bin"
    path.write_bytes(bytes.fromhex(code))
    assert main(["run", str(path), *options]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert bool(err) == (status in (70, 72, 74))


def test_serial_is_standard_output(capfd, engine):
    assert main(["run", "hello16"]) == 0
    assert capfd.readouterr() == ("Hello from real mode: 16 bits, one ring, no walls.\r\n", "")


def test_a_triple_fault_says_where(tmp_path, capfd, engine):
    path = tmp_path / "guest.bin"
    path.write_bytes(b"\x90\x0f\x0b")
    assert main(["run", str(path)]) == 70
    err = capfd.readouterr().err
    assert "triple fault at 0x100001" in err
    assert "ud2" in err


def test_control_c_is_the_users_break(tmp_path, capfd, engine):
    path = tmp_path / "guest.bin"
    path.write_bytes(b"\xeb\xfe")
    threading.Timer(1.0, signal.raise_signal, (signal.SIGINT,)).start()
    began = time.monotonic()
    assert main(["run", str(path)]) == 76
    assert time.monotonic() - began < 10
    assert "paused" in capfd.readouterr().err


def test_the_installed_program():
    """python -m vmdbg, as a user starts it."""
    found = subprocess.run([sys.executable, "-m", "vmdbg", "run", "hello16"], capture_output=True, timeout=600)
    assert found.stdout == b"Hello from real mode: 16 bits, one ring, no walls.\r\n"
    assert found.returncode == 0
