"""Debian's own kernel, as it is shipped, through the command line: to a shell that answers, and off again."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guests.debian_packages import linux_kernel, static_busybox
from vmdbg.bench.initramfs import busybox_initramfs

LONGEST = 600  # seconds; it takes about ten
TYPED = 'echo $((1234*5678)); cat /proc/cpuinfo | while read a b; do [ "$a" = processor ] && echo cpu$b; done\npoweroff -f\n'


@pytest.fixture(scope="module")
def initrd(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("linux") / "initramfs"
    path.write_bytes(busybox_initramfs(static_busybox()))
    return path


def run(*options: str, typed: str) -> subprocess.CompletedProcess:
    """vmdbg run, with text on standard input."""
    command = [sys.executable, "-m", "vmdbg", "run", *options]
    return subprocess.run(command, input=typed.encode(), capture_output=True, timeout=LONGEST)


@pytest.mark.debian
@pytest.mark.parametrize(
    "cpus, entry",
    [(1, []), (2, []), (1, ["--bits", "16"]), (1, ["--bits", "32"])],
    ids=["threaded-1-cpu", "threaded-2-cpus", "threaded-real-mode-entry", "threaded-32-bit-entry"],
)
def test_the_shell_answers_and_the_machine_powers_off(initrd, cpus, entry):
    """256 MB, a console on the serial port: what is typed is computed by the guest, and power-off is status 0."""
    options = [*entry, "--initrd", str(initrd), "--append", "console=ttyS0", "--memory", "256M", "--cpus", str(cpus)]
    found = run(str(linux_kernel()), *options, typed=TYPED)
    out = found.stdout.decode(errors="replace")
    assert found.returncode == 0, out[-2000:] + found.stderr.decode()
    lines = [line.strip() for line in out.splitlines()]
    assert "7006652" in lines
    assert [line for line in lines if re.fullmatch(r"cpu: \d", line)] == [f"cpu: {n}" for n in range(cpus)]
    assert "reboot: Power down" in out
    assert "BUG:" not in out and "WARNING: CPU" not in out and "Oops" not in out
    assert found.stderr == b""


@pytest.mark.debian
def test_a_triple_fault_of_the_kernel_names_its_functions(initrd, tmp_path):
    """reboot=t resets the machine by a triple fault on purpose: INT3 without an IDT.  The kernel has moved itself (KASLR) and
    brings no symbols; its own names for its addresses are found in memory.  (threaded)"""
    stats = tmp_path / "stats.json"
    options = ["--initrd", str(initrd), "--append", "console=ttyS0 reboot=t", "--memory", "256M", "--stats", str(stats)]
    found = run(str(linux_kernel()), *options, typed="reboot -f\n")
    err = found.stderr.decode(errors="replace")
    assert found.returncode == 70, err
    assert re.match(r"vmdbg: triple fault at 0xffffffff[0-9a-f]{8} native_machine_emergency_restart\+0x\w+, after [\d,]+ steps\n", err)
    assert re.search(r"13 #GP\(0x1a\), IDT gate 0x03 at .*native_machine.*: int3: gate 3 lies beyond the IDT's limit of 0x0\n", err)
    figures = json.loads(stats.read_text())
    assert figures["status"] == 70 and figures["format"] == "Linux"
    assert figures["steps"] == figures["instructions"] + figures["events"] > 500_000_000
    assert figures["events_by_vector"]["14 #PF"] > 100 and figures["ports"]["0x3f8"]["out"] > 10_000
