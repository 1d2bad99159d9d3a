"""The options that say how a guest is loaded and on what machine: those of the debugger and of `vmdbg run`."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import guests
from vmdbg.cli.values import Bits, Number, Size, UsageError, check_address
from vmdbg.debugger.symbols import Symbols, read_symbol_file
from vmdbg.monitor.guest import Guest, Options


def find_guest(name: str) -> Path:
    """A file, or a shipped guest by its name."""
    if name and os.path.lexists(name):
        return Path(name)
    if name in guests.shipped():
        return guests.shipped()[name]
    raise UsageError(f"{name[:80]!r}: no such file, and no shipped guest of this name ({', '.join(guests.shipped())})")


Format = Literal["linux", "multiboot2", "multiboot", "pvh", "elf", "iso", "floppy", "disk", "rom", "flat"]


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
    "A disk image; the guest's writes stay in memory; up to 3.  Without a guest, the first one is booted."
    cdrom: str | None = None
    "A CD-ROM image.  Without a guest or a disk, it is booted."
    virtio_disk: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    "A disk image behind virtio-blk instead of IDE; up to 8."
    write_disk: Annotated[bool, Parameter(negative="")] = False
    "What the guest writes to its disks goes to the files."
    console: Literal["serial", "virtio"] = "serial"
    "Where what is typed arrives: COM1, or virtio-console (hvc0), which is there then."
    com2: str | None = None
    "A file for what leaves the second serial port."
    bios: str | None = None
    "Firmware that runs from reset, instead of a guest."
    load_address: Number = None
    "Where a flat binary goes: 7C00 for 16 bits, else 1 MiB."
    entry: Number = None
    "Where it starts: its first byte, or an ELF file's own entry."
    bits: Bits | None = None
    "The mode a flat binary starts in: 16 real, 32 protected, 64 long."
    symbols: str | None = None
    "Names of addresses: an ELF file, a System.map, what nm or /proc/kallsyms say; else those of the guest's own file."
    slide: Number = None
    "How far the kernel moved away from those addresses (KASLR); without it, it is found out where the guest tells."


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
            virtio_disks=boot.virtio_disk,
            virtio_console=boot.console == "virtio",
            write_disks=boot.write_disk,
            com2=boot.com2,
        ),
    )


def symbols(boot: Boot) -> Symbols | None:
    """Those that --symbols names, where --slide says; None for those of the guest's file."""
    if boot.slide is not None and boot.symbols is None:
        raise UsageError("--slide moves the addresses of a symbol file: expected --symbols FILE as well")
    if boot.symbols is None:
        return None
    found = read_symbol_file(Path(boot.symbols))
    return found if boot.slide is None else found.moved(boot.slide)


def names_guest(guest: str | None, boot: Boot) -> bool:
    """Whether the command line says what to start."""
    return bool(guest is not None or boot.bios is not None or boot.disk or boot.cdrom is not None)


def choose(guest: str | None, boot: Boot) -> Guest:
    """The guest, or the firmware that --bios names; without either, the first disk or the CD-ROM is the guest."""
    if boot.bios is None:
        if guest is None and boot.disk:
            return load(boot.disk[0], replace(boot, disk=boot.disk[1:], format="disk"))
        if guest is None:
            return load(str(boot.cdrom), replace(boot, cdrom=None, format="iso"))
        return load(guest, boot)
    if guest is not None:
        raise UsageError("--bios starts firmware, which finds its guest on a disk: not a GUEST as well")
    return load(boot.bios, replace(boot, format="rom", bios=None))
