"""The options that say how a guest is loaded and on what machine: those of the debugger and of `vmdbg run`."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vmdbg.cli.values import Bits, Number, Size, check_address

if TYPE_CHECKING:
    from pathlib import Path

    from vmdbg.debugger.symbols import Symbols
    from vmdbg.monitor.guest import Guest

NAMES = ("symbols", "slide", "source")  # options that say nothing about the machine

Format = Literal["linux", "multiboot2", "multiboot", "pvh", "elf", "iso", "floppy", "disk", "rom", "flat"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Boot:
    """How a guest is loaded, and on what machine."""

    memory: Size = 256 << 20
    "Size of the guest's memory: 64M, 512K, 1G."
    cpus: int = 1
    "How many CPUs the machine has, 1 to 8."
    format: Format | None = None
    "What the file is, instead of what its content says."
    append: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
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
    source: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    "A folder in which the debugger looks for files of source, after the guest's own; may be repeated."


def machine(boot: Boot) -> dict:
    """What these options say about the machine, in the words of debugger/opening.py."""
    check_address("--load-address", boot.load_address, 1 << 52)
    check_address("--entry", boot.entry, 1 << 52)
    return {f.name: getattr(boot, f.name) for f in fields(boot) if f.name not in NAMES}


def sources(boot: Boot) -> "tuple[Path, ...]":
    """The folders that --source names."""
    from vmdbg.debugger import opening

    return opening.folders(boot.source)


def names_guest(guest: str | None, boot: Boot) -> bool:
    """Whether the command line says what to start."""
    return bool(guest is not None or boot.bios is not None or boot.disk or boot.cdrom is not None)


def choose(guest: str | None, boot: Boot) -> "Guest":
    """What the command line starts; what cannot be loaded is refused before anything is built or shown."""
    from vmdbg.debugger import opening

    return opening.choose(guest, **machine(boot))


def symbols(boot: Boot) -> "Symbols | None":
    """Those that --symbols names, where --slide says; None for those of the guest's file."""
    from vmdbg.debugger import opening

    return opening.named_symbols(boot.symbols, boot.slide)
