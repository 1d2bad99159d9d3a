"""QEMU's TCG and Bochs, each run headless on the disk image that a workload is."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vmdbg
from vmdbg.bench.workloads import ALL as WORKLOADS
from vmdbg.bench.workloads import Run, Workload

LONGEST = 120  # seconds until an emulator that does not end is given up
ANSWER = 20  # ... that does not even say its version
CYLINDERS, HEADS, SECTORS = 2, 16, 63  # of the disk
DISK_SIZE = CYLINDERS * HEADS * SECTORS * 512
BOCHS_FILES = (Path("/usr/share/bochs"), Path("/usr/local/share/bochs"), Path("/usr/share/vgabios"))
BOCHS_DISPLAYS = ("nogui", "term")  # those that need no screen

ALU = WORKLOADS[0]

BOCHSRC = """\
display_library: {display}
megs: {megs}
romimage: file="{bios}"
vgaromimage: file="{vga}"
ata0-master: type=disk, path="{disk}", mode=flat, cylinders={cylinders}, heads={heads}, spt={sectors}
boot: disk
sound: driver=dummy
cpu: count=1, ips=100000000
com1: enabled=1, mode=file, dev="{serial}"
log: "{log}"
panic: action=fatal
error: action=report
"""


@dataclass(frozen=True)
class Emulator:
    """`version()` is None where it is not installed; `command(folder)` runs folder/disk and leaves what COM1 got in folder/serial."""

    name: str
    version: Callable[[], str | None]
    command: Callable[[Path], list[str]]

    def run(self, workload: Workload, iterations: int) -> Run:
        """Run a workload to its end."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "disk").write_bytes(workload.image(iterations).ljust(DISK_SIZE, b"\0"))
            seconds, ended = spent(self.command(folder), folder, LONGEST)
            serial = folder / "serial"
            said = serial.read_text(errors="replace").strip() if serial.exists() else ""
            return Run(seconds, said, note="" if ended else f"gave up after {LONGEST} s")


def spent(command: list[str], folder: Path, limit: float) -> tuple[float, bool]:
    """(user CPU seconds, whether it ended by itself) of a command, its output thrown away; after `limit` seconds it is killed,
    with everything that it has started."""
    null = subprocess.DEVNULL
    given = dict(stdin=null, stdout=null, stderr=null, env=environment())
    process = subprocess.Popen(command, cwd=folder, start_new_session=True, **given)  # away from our terminal
    late = threading.Event()

    def give_up() -> None:
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit, give_up)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime, not late.is_set()
    finally:
        timer.cancel()


def environment() -> dict[str, str]:
    """Bochs's display `term` wants a terminal type; a vmdbg that is started is this one."""
    path = os.pathsep.join([str(Path(vmdbg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return dict(os.environ, TERM="xterm", PYTHONPATH=path)


def first_line(command: list[str]) -> str | None:
    """The first line that a program says, None if it is not there."""
    if shutil.which(command[0]) is None:
        return None
    try:
        said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        return None
    return next((line.strip(" =") for line in (said.stdout + said.stderr).splitlines() if line.strip(" =")), None)


# ---- QEMU


def qemu_version() -> str | None:
    return first_line(["qemu-system-x86_64", "--version"])


def qemu(folder: Path, *more: str) -> list[str]:
    exit_port = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    disk = ["-drive", f"format=raw,file={folder}/disk"]
    head = ["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-display", "none", "-monitor", "none", "-no-reboot"]
    return [*head, *exit_port, *disk, "-serial", f"file:{folder}/serial", *more]


# ---- Bochs


@cache
def bochs_found() -> tuple[str, str] | None:
    """(version, display library) of a Bochs that runs the smallest workload here, None if there is none."""
    if shutil.which("bochs") is None or bochs_files() is None:
        return None
    for display in BOCHS_DISPLAYS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "disk").write_bytes(ALU.image(ALU.least).ljust(DISK_SIZE, b"\0"))
            command = bochs(folder, display)
            try:
                given = dict(stdin=subprocess.DEVNULL, capture_output=True, env=environment(), timeout=60)
                said = subprocess.run(command, cwd=folder, start_new_session=True, **given)
            except subprocess.TimeoutExpired:
                continue
            version = re.search(rb"Bochs x86 Emulator [\w.]+", said.stdout + said.stderr)
            if version and (folder / "serial").exists() and ALU.least_checksum in (folder / "serial").read_text(errors="replace"):
                return version[0].decode(), display
    return None


def bochs_version() -> str | None:
    found = bochs_found()
    return found[0] if found else None


def bochs_files() -> tuple[Path, Path] | None:
    """Bochs's BIOS and VGA BIOS."""
    bios = [p for folder in BOCHS_FILES for p in [folder / "BIOS-bochs-latest"] if p.exists()]
    vga = [p for folder in BOCHS_FILES for name in ("vgabios.bin", "VGABIOS-lgpl-latest") for p in [folder / name] if p.exists()]
    return (bios[0], vga[0]) if bios and vga else None


@cache
def bochs_has_debugger() -> bool:
    """Whether it is built with its debugger (Debian's is), which waits for a command at the start."""
    try:
        said = subprocess.run(["bochs", "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        return False
    return "-rc " in said.stdout + said.stderr


def bochs(folder: Path, display: str | None = None, megs: int = 64, cylinders: int = CYLINDERS) -> list[str]:
    bios, vga = bochs_files()
    paths = dict(bios=bios, vga=vga, disk=folder / "disk", serial=folder / "serial", log=folder / "log")
    geometry = dict(megs=megs, cylinders=cylinders, heads=HEADS, sectors=SECTORS)
    (folder / "bochsrc").write_text(BOCHSRC.format(display=display or bochs_found()[1], **geometry, **paths))
    (folder / "commands").write_text("continue\n")
    return ["bochs", "-q", "-f", "bochsrc", *(["-rc", "commands"] if bochs_has_debugger() else [])]


ALL = (
    Emulator("qemu", qemu_version, qemu),
    Emulator("qemu_icount", qemu_version, lambda folder: qemu(folder, "-icount", "shift=0")),
    Emulator("bochs", bochs_version, bochs),
)


def installed() -> dict[str, str | None]:
    """Name -> version of what is installed, None of what is not."""
    return {e.name: e.version() for e in ALL}
