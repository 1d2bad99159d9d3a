"""vmdbg run: what the guest says, and how it ended."""

import functools
import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.monitor.images import multiboot
from vmdbg.cli import main
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.unattended import headless


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


def test_a_command_line_may_begin_with_a_hyphen(tmp_path, capfd, engine):
    """What follows --append is the guest's, whatever it looks like; the program's name stands before it, as boot loaders put it."""
    path = tmp_path / "says"
    say = "8b7310 66baf803 ac 84c0 7403 ee ebf8 e6f4"  # mov esi, [ebx + 16]; lodsb; out to COM1 up to the 0; out 0xf4
    path.write_bytes(multiboot(bytes.fromhex(say)))
    assert main(["run", str(path), "--append", "-slow_test --cpus 2", "--cpus", "1"]) == 1
    assert capfd.readouterr() == ("says -slow_test --cpus 2", "")


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


def test_figures_of_a_run(tmp_path, capfd, engine):
    """--stats: what was counted is what the guest did: 3 bytes to COM1, one INT, the way out."""
    path, stats = tmp_path / "guest.bin", tmp_path / "stats.json"
    path.write_bytes(bytes.fromhex("ba f8 03 b0 41 ee ee ee cd 30 b0 07 e6 f4"))  # real mode: its INTs lead to an IRET
    assert main(["run", str(path), "--bits", "16", "--load-address", "0x7c00", "--stats", str(stats)]) == 15
    assert capfd.readouterr().out == "AAA"
    found = json.loads(stats.read_text())
    assert found["status"] == 15 and found["format"] == "flat binary"
    assert found["instructions"] == found["steps"] == 8 and found["instructions_by_cpu"] == [8]  # the last OUT never ends
    assert found["events_by_vector"] == {"48": 1}
    assert found["exits"] == {"out": 4}
    assert found["ports"] == {"0x3f8": {"out": 3}, "0xf4": {"out": 1}}
    assert found["idle"] == 0 and found["translation"]["drops"] >= 0
    assert found["seconds"] > 0 and found["instructions_per_second"] > 0


def test_a_place_has_the_name_that_symbols_give_it(tmp_path, capfd, engine):
    """--symbols, moved by --slide: in the reason of a stop and in the chain."""
    path, names = tmp_path / "guest.bin", tmp_path / "System.map"
    path.write_bytes(b"\x90\x0f\x0b")
    names.write_text("0000000000001000 T begin\n0000000000001001 t break_it\n")
    assert main(["run", str(path), "--symbols", str(names), "--slide", "0xff000"]) == 70
    err = capfd.readouterr().err
    assert "triple fault at 0x100001 break_it, after 1 steps" in err
    assert "6 #UD at 00100001 break_it: ud2" in err
    path.write_bytes(b"\xeb\xfe")
    assert main(["run", str(path), "--symbols", str(names), "--slide", "0xff000", "--max-instructions", "10"]) == 74
    assert "instruction limit reached at 0x100000 begin, after 10 steps" in capfd.readouterr().err
