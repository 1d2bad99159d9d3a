"""How long Linux takes to boot and to switch itself off: here, under QEMU's TCG and in Bochs, one after the other.

The kernel and the initrd are given, or found: the newest /boot/vmlinuz-*cloud* and an initramfs made of the installed busybox,
whose /init ends by itself.  A given initrd has to do the same.  Every run has a limit; where it is reached that is said.
"""

import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import guests
from vmdbg.bench import emulators
from vmdbg.bench.initramfs import busybox_initramfs, is_static
from vmdbg.machine.state import RSI
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.monitor.load_linux import ACPI_RSDP_ADDR

LONGEST = 300  # seconds that one boot may take
MEGABYTES, COMMAND_LINE = 256, "console=ttyS0"
SECTOR, TABLE, PIECES, BIOS_MEGABYTES = 512, 0x1A0, 4, 2  # of guests/bench/linux.asm; what Bochs's BIOS keeps
DONE = b"reboot: Power down"  # the kernel's last words
BUSYBOX = (Path("/bin/busybox"), Path("/usr/bin/busybox"))
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
poweroff -f
"""


@dataclass(frozen=True)
class Linux:
    """A kernel and its initrd, as files."""

    kernel: Path
    initrd: Path


@dataclass(frozen=True)
class Boot:
    """One boot: seconds by the clock and of user CPU; `note` says what went wrong, if anything did."""

    seconds: float
    user_cpu: float
    note: str = ""
    instructions: int = 0  # where they are counted: in our machine


def find(kernel: Path | None, initrd: Path | None, folder: Path) -> Linux | str:
    """What to boot, made in `folder` if need be; or why there is nothing."""
    if kernel is None:
        found = [path for path in Path("/boot").glob("vmlinuz-*cloud*") if os.access(path, os.R_OK)]
        if not found:
            return "no kernel: none is installed as /boot/vmlinuz-*cloud*; --kernel FILE names one"
        kernel = max(found, key=lambda path: path.stat().st_mtime)
    if initrd is None:
        busybox = next((path for path in BUSYBOX if path.is_file() and is_static(path.read_bytes())), None)
        if busybox is None:
            return "no initrd: no static busybox is installed (Debian's busybox-static); --initrd FILE names one"
        initrd = folder / "initrd"
        initrd.write_bytes(busybox_initramfs(busybox.read_bytes(), INIT))
    return Linux(kernel.resolve(), initrd.resolve())


def run(command: list[str], folder: Path, serial: Path, limit: float | None = None) -> Boot:
    """Run a machine to its end; the serial port's words in `serial` say whether Linux switched it off."""
    limit = limit or LONGEST
    began = time.perf_counter()
    user_cpu, ended = emulators.spent(command, folder, limit)
    seconds = time.perf_counter() - began
    said = serial.read_bytes() if serial.exists() else b""
    note = f"gave up after {limit:.0f} s" if not ended else "" if DONE in said else "it did not switch itself off"
    return Boot(seconds, user_cpu, note)


def ours(linux: Linux, folder: Path) -> Boot:
    """vmdbg run, with its own count of instructions."""
    options = ["--initrd", str(linux.initrd), "--append", COMMAND_LINE, "--memory", f"{MEGABYTES}M", "--stats", "stats"]
    command = [sys.executable, "-m", "vmdbg", "run", str(linux.kernel), *options]
    found = run(["sh", "-c", 'exec "$@" >serial', "sh", *command], folder, folder / "serial")
    try:
        counted = json.loads((folder / "stats").read_text())["instructions"]
    except (OSError, ValueError, KeyError):
        return found
    return Boot(found.seconds, found.user_cpu, found.note, counted)


def qemu(linux: Linux, folder: Path) -> Boot:
    kernel = ["-kernel", str(linux.kernel), "-initrd", str(linux.initrd), "-append", COMMAND_LINE]
    head = ["qemu-system-x86_64", "-accel", "tcg", "-m", str(MEGABYTES), "-display", "none", "-monitor", "none", "-no-reboot"]
    return run([*head, "-serial", f"file:{folder}/serial", *kernel], folder, folder / "serial")


def bochs(linux: Linux, folder: Path) -> Boot:
    """Bochs loads no kernel: ours, as it lies in memory, is read from a disk (guests/bench/linux.asm)."""
    image = disk(linux)
    cylinders = -(-len(image) // (emulators.HEADS * emulators.SECTORS * SECTOR))
    (folder / "disk").write_bytes(image.ljust(cylinders * emulators.HEADS * emulators.SECTORS * SECTOR, b"\0"))
    return run(emulators.bochs(folder, megs=MEGABYTES, cylinders=cylinders), folder, folder / "serial")


def disk(linux: Linux) -> bytes:
    """The loader, its table, and what our own loader would put into memory; the last of that memory is the BIOS's, and so are
    the ACPI tables, which the kernel finds as on any PC."""
    options = Options((MEGABYTES - BIOS_MEGABYTES) << 20, append=COMMAND_LINE, initrd=str(linux.initrd), bits=32)
    guest = load_guest(linux.kernel, options)
    zero_page = dict(guest.registers)[RSI]
    image, table = bytearray(guests.linux_loader().read_bytes()), b""
    for piece in guest.pieces:
        data = bytearray(piece.data)
        if piece.address == zero_page:
            data[ACPI_RSDP_ADDR : ACPI_RSDP_ADDR + 8] = bytes(8)
        sectors = -(-len(data) // SECTOR)
        table += struct.pack("<3I", len(image) // SECTOR, piece.address, sectors)
        image += data.ljust(sectors * SECTOR, b"\0")
    table = table.ljust(PIECES * 12, b"\0") + struct.pack("<2I", zero_page, guest.entry)
    image[TABLE : TABLE + len(table)] = table
    return bytes(image)


BOOTS: dict[str, Callable[[Linux, Path], Boot]] = {"vmdbg": ours, "qemu": qemu, "bochs": bochs}


def measure(kernel: Path | None, initrd: Path | None, installed: dict[str, str | None], progress=lambda text: None) -> dict:
    """Figures as JSON has them: `missing` says why there are none."""
    with tempfile.TemporaryDirectory() as scratch:
        linux = find(kernel, initrd, Path(scratch))
        if isinstance(linux, str):
            return dict(missing=linux)
        runs = {}
        for name, boot in BOOTS.items():
            if name != "vmdbg" and not installed.get(name):
                continue
            progress(f"Linux on {name}")
            folder = Path(scratch) / name
            folder.mkdir()
            found = boot(linux, folder)
            runs[name] = dict(seconds=round(found.seconds, 2), user_cpu=round(found.user_cpu, 2), note=found.note)
            if found.instructions:
                runs[name] |= dict(instructions=found.instructions, per_second=round(found.instructions / max(found.user_cpu, 1e-3)))
        return dict(kernel=linux.kernel.name, runs=runs)
