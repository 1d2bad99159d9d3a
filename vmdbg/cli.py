"""The command line.  Everything heavy is imported by the command that needs it."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

import guests
from vmdbg.monitor.guest import Guest, GuestError, Options

USAGE_ERROR, USER_BREAK, CANNOT_GO_ON = 2, 76, 78  # exit status; those of a guest's end are in debugger/headless.py
SIZE = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)\s*([kKmMgG]?)(?:i?[bB])?$")
UNITS = {"": 0, "k": 10, "m": 20, "g": 30}

app = App(
    name="vmdbg",
    help="A terminal debugger for whole x86 virtual machines.\n\nvmdbg GUEST opens one; without a guest, vmdbg lists those that ship.",
    help_format="plaintext",
    version_flags=["--version"],
    result_action="return_value",
)


class UsageError(Exception):
    """A sentence for the user; exit status 2."""


def size(type_, tokens) -> int:
    """'64M', '0x1000', '512k' in bytes."""
    text = tokens[0].value
    found = SIZE.match(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is no size: expected bytes, or a number with K, M or G")
    return int(found[1], 0 if found[1][:2].lower() == "0x" else 10) << UNITS[found[2].lower()]


def number(type_, tokens) -> int:
    """'0x7c00', '1000', '1_000_000'."""
    text = tokens[0].value
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"'{text}' is no number: expected decimal, or hexadecimal with 0x") from None


class CannotGoOn(Exception):
    """A sentence for the user; exit status 78."""


Size = Annotated[int, Parameter(converter=size)]
Number = Annotated[int | None, Parameter(converter=number)]
Bits = Literal[16, 32, 64]


def find_guest(name: str) -> Path:
    """A file, or a shipped guest by its name."""
    if name and os.path.lexists(name):
        return Path(name)
    if name in guests.shipped():
        return guests.shipped()[name]
    raise UsageError(f"{name[:80]!r}: no such file, and no shipped guest of this name ({', '.join(guests.shipped())})")


Format = Literal["linux", "multiboot2", "multiboot", "pvh", "elf", "boot-sector", "rom", "flat"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Boot:
    """How a guest is loaded, and on what machine."""

    memory: Size = 64 << 20
    "Size of the guest's memory: 64M, 512K, 1G."
    cpus: int = 1
    "How many CPUs the machine has, 1 to 8."
    format: Format | None = None
    "What the file is, instead of what its content says."
    append: str | None = None
    "Command line of a Linux, multiboot or PVH guest."
    initrd: str | None = None
    "Initial RAM disk of a Linux guest; a first module for the others."
    module: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    "A module, FILE or 'FILE ARGUMENTS'; may be repeated."
    disk: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    "A disk image; the guest's writes stay in memory; up to 3."
    cdrom: str | None = None
    "A CD-ROM image."
    bios: str | None = None
    "Firmware that runs from reset, instead of a guest."
    load_address: Number = None
    "Where a flat binary goes: 7C00 for 16 bits, else 1 MiB."
    entry: Number = None
    "Where it starts: its first byte, or an ELF file's own entry."
    bits: Bits | None = None
    "The mode a flat binary starts in: 16 real, 32 protected, 64 long."


def load(name: str, boot: Boot) -> Guest:
    """The guest that a command line means; what cannot be loaded is refused before anything is built or shown."""
    check_address("--load-address", boot.load_address, 1 << 52)
    check_address("--entry", boot.entry, 1 << 52)
    from vmdbg.monitor.load import load_guest

    return load_guest(
        find_guest(name),
        Options(
            boot.memory & ~0xFFF,
            boot.load_address,
            boot.entry,
            boot.bits,
            format=boot.format,
            append=boot.append,
            initrd=boot.initrd,
            modules=boot.module,
            cpus=boot.cpus,
            disks=boot.disk,
            cdrom=boot.cdrom,
        ),
    )


def choose(guest: str | None, boot: Boot) -> Guest:
    """The guest, or the firmware that --bios names."""
    if boot.bios is None:
        return load(str(guest), boot)
    if guest is not None:
        raise UsageError("--bios starts firmware, which finds its guest on a disk: not a GUEST as well")
    return load(boot.bios, replace(boot, format="rom", bios=None))


def check_address(option: str, value: int | None, end: int) -> None:
    if value is not None and not 0 <= value < end:
        raise UsageError(f"{option} {value:#x}: expected an address from 0 to {end - 1:#x}")


@app.default
def debug(
    guest: str | None = None,
    *,
    boot: Boot = Boot(),
) -> int:
    """Open a guest in the debugger; without one, list the guests that ship.

    Parameters
    ----------
    guest
        A Linux bzImage, a multiboot or PVH kernel, an ELF file, a boot sector, firmware or a flat binary;
        or the name of a shipped guest.
    """
    if guest is None and boot.bios is None:
        return list_guests()
    found = choose(guest, boot)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the debugger needs a terminal; without one: vmdbg run GUEST")
    ensure_core()
    from vmdbg.debugger.opening import open_bare
    from vmdbg.ui.app import run as run_app

    status, text = run_app(found.path.name, lambda: open_bare(found))
    if text:
        print(f"vmdbg: {text}" if status == USAGE_ERROR else text, file=sys.stderr)
    return status


def list_guests() -> int:
    print("Shipped guests: vmdbg NAME opens one in the debugger, vmdbg run NAME runs it.\n")
    for name in guests.shipped():
        print(f"  {name:<12} {guests.about(name)}")
    print("\nvmdbg --help says more.")
    return 0


@app.command
def run(
    guest: str | None = None,
    *,
    boot: Boot = Boot(),
    max_instructions: Number = None,
    input: str | None = None,
) -> int:
    """Run a guest without a debugger: its serial port is standard output and input.

    In a terminal every key goes to the guest; control-] leaves.

    Exit status: what the guest wrote to port F4, times 2, plus 1; 0 powered off or idle; 2 usage; 70 triple fault;
    72 halted for ever; 74 instruction limit; 76 interrupted; 78 the machine or its core cannot go on.

    Parameters
    ----------
    guest
        A Linux bzImage, a multiboot or PVH kernel, an ELF file, a boot sector, firmware or a flat binary;
        or the name of a shipped guest.
    max_instructions
        Stop after this many instructions.
    input
        A file whose bytes go to the serial port, instead of standard input.
    """
    if guest is None and boot.bios is None:
        raise UsageError("run requires an argument: a guest, or --bios FILE")
    found = choose(guest, boot)
    if input is not None and not os.path.isfile(input):
        raise UsageError(f"--input {input[:80]!r}: not a file")
    if max_instructions is not None and max_instructions < 1:
        raise UsageError(f"--max-instructions {max_instructions}: expected 1 or more")
    ensure_core()
    from vmdbg.debugger.headless import run_headless

    return run_headless(found, max_instructions, Path(input) if input is not None else None)


@app.command
def disasm(
    file: str,
    *,
    bits: Bits | None = None,
    address: Number = None,
    att: bool = False,
    section: str | None = None,
) -> int:
    """Disassemble a flat binary, or the code of an ELF file.

    Parameters
    ----------
    file
        The file; or the name of a shipped guest.
    bits
        16, 32 or 64: an ELF file knows it; a boot sector is 16, any other file 64.
    address
        Of the first byte of a flat binary: 7C00 for a boot sector, else 0.
    att
        AT&T syntax instead of Intel's.
    section
        Only this section of an ELF file.
    """
    check_address("--address", address, 1 << 64)
    from vmdbg.debugger.disassemble import disassemble

    sys.stdout.writelines(f"{line}\n" for line in disassemble(find_guest(file), bits, address, "att" if att else "intel", section))
    return 0


@app.command
def isa(mnemonic: str | None = None, *, sensitive: bool = False, cpuid: bool = False) -> int:
    """The instruction set: one mnemonic's page, the sensitive instructions, or the CPU model.

    Parameters
    ----------
    mnemonic
        An instruction: ADD, popf, sgdt.
    sensitive
        The unprivileged sensitive instruction forms, with why.
    cpuid
        The CPU model: what CPUID says.
    """
    if (mnemonic is not None) + sensitive + cpuid != 1:
        raise UsageError("isa: expected one of a mnemonic, --sensitive, --cpuid")
    from importlib import import_module

    if sensitive:
        text = import_module("isa.sensitivity").report()
    elif cpuid:
        text = import_module("isa.pages").cpuid_page()
    else:
        text = import_module("isa.pages").page(mnemonic)
        if text is None:
            raise UsageError(f"isa: there is no instruction '{mnemonic}'{similar(mnemonic or '')}")
    print(text)
    return 0


def similar(mnemonic: str) -> str:
    """', perhaps POPF, PUSHF': instructions whose names are close."""
    from difflib import get_close_matches
    from importlib import import_module

    names = {name.upper() for row in import_module("isa.forms").ROWS for name in row.mnemonics}
    close = get_close_matches(mnemonic.upper(), sorted(names), 3)
    return f"; perhaps {', '.join(close)}" if close else ""


@app.command
def bench(*, json: bool = False, build: bool = False) -> int:
    """Measure the engine: alu, memory, fib, sys, single steps, start; Bochs and QEMU too, where they are installed.

    Parameters
    ----------
    json
        Figures as JSON.
    build
        Measure also how long the core takes to build from nothing (a minute or more).
    """
    ensure_core()
    from importlib import import_module

    return import_module("vmdbg.bench").main(json=json, build=build)


@app.command
def build() -> int:
    """Build the core now: otherwise the first run does it.  It goes to the user's cache directory, or to VMDBG_CACHE."""
    from vmdbg.machine import core

    there = core.path().exists()
    ensure_core()
    print(f"{'the core is built' if there else 'built'}: {core.path()}")
    return 0


def ensure_core() -> None:
    """Build the core if there is none for these sources, with a progress bar where a terminal shows it.

    CannotGoOn says why it cannot be built.
    """
    from vmdbg.machine import core

    if core.path().exists():
        return
    try:
        build_core(core.build)
    except core.BuildError as e:
        raise CannotGoOn(str(e)) from None


def build_core(build: Callable) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        print("vmdbg: building the core, once (a minute or two)", file=sys.stderr, flush=True)
        build()
        return
    columns = (TextColumn("Building the core, once"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=1)
        build(lambda done, total, text: bar.update(task, completed=done, total=total, description=text))


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; its exit status.  Errors of input are one sentence on standard error, and status 2."""
    try:
        return app(arguments, exit_on_error=False, print_error=False) or 0
    except (UsageError, GuestError) as e:
        return fail(str(e))
    except CannotGoOn as e:
        return fail(str(e), CANNOT_GO_ON)
    except CycloptsError as e:
        return fail(" ".join(str(e).split()))
    except KeyboardInterrupt:
        return fail("interrupted", USER_BREAK)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has had enough
        return 0


def fail(sentence: str, status: int = USAGE_ERROR) -> int:
    print(f"vmdbg: {sentence}", file=sys.stderr)
    return status
