"""Opening a guest: what a user calls it -> guest -> machine -> monitor -> session.

The words for a machine (WORDS) are those of the command line's options, for Session.open too.
"""

from collections.abc import Callable, Iterable
from os import PathLike, fspath, path
from pathlib import Path

import guests
from vmdbg.debugger.past.history import BOUND
from vmdbg.debugger.session import Session
from vmdbg.debugger.source import Sources
from vmdbg.debugger.symbols import Symbols, read_symbol_file, read_symbols
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Guest, GuestError, Options
from vmdbg.monitor.load import FORMATS, load_guest

ENGINES = ("threaded", "plain")
CONSOLES = ("serial", "virtio")
MEDIA = ("bios", "disk", "cdrom")  # can be started instead of a guest
SEVERAL = {"module": "modules", "disk": "disks", "virtio_disk": "virtio_disks"}  # given once for each
ALIKE = ("memory", "cpus", "format", "append", "initrd", "cdrom", "com2", "load_address", "entry", "bits")  # in Options
NUMBERS = ("memory", "cpus", "load_address", "entry")
WORDS = (*ALIKE, *SEVERAL, "bios", "console", "write_disk")


def find_guest(name: str) -> Path:
    """A file, or a shipped guest by its name."""
    if name and path.lexists(name):
        return Path(name)
    if name in guests.shipped():
        return guests.shipped()[name]
    raise GuestError(f"{name[:80]!r}: no such file, and no shipped guest of this name ({', '.join(guests.shipped())})")


def choose(guest: str | PathLike | None, **machine) -> Guest:
    """The guest, or the firmware that `bios` names; without either, the first disk or the CD-ROM is the guest.

    GuestError says in one sentence what cannot be loaded; TypeError, which word is none of WORDS.
    """
    for word in machine:
        if word not in WORDS:
            raise TypeError(f"'{word}' says nothing about a machine: expected {', '.join(WORDS)}")
    given: dict = {word: value for word, value in machine.items() if value is not None}
    disk, bios = several(given.get("disk", ())), given.get("bios")
    if bios is not None:
        if guest is not None:
            raise GuestError("--bios starts firmware, which finds its guest on a disk: not a GUEST as well")
        guest, given["format"] = bios, "rom"
    elif guest is None and disk:
        guest, given["disk"], given["format"] = disk[0], disk[1:], "disk"
    elif guest is None and "cdrom" in given:
        guest, given["format"] = given.pop("cdrom"), "iso"
    elif guest is None:
        raise GuestError(f"nothing to start: expected a guest, or one of {', '.join(MEDIA)}")
    return load_guest(find_guest(fspath(guest)), options_of(given))


def options_of(given: dict) -> Options:
    """WORDS as the loaders take them."""
    for word, known in (("format", FORMATS), ("console", CONSOLES), ("bits", (16, 32, 64))):
        if given.get(word) is not None and given[word] not in known:
            raise GuestError(f"--{word} {given[word]!r}: expected one of {', '.join(map(str, known))}")
    for word in NUMBERS:
        if not isinstance(given.get(word, 0), int):
            raise GuestError(f"--{word.replace('_', '-')} {given[word]!r}: expected a number")
    found = {word: fspath(given[word]) if isinstance(given[word], PathLike) else given[word] for word in ALIKE if word in given}
    found["memory"] = found.get("memory", Options.memory) & ~0xFFF
    found |= {name: several(given[word]) for word, name in SEVERAL.items() if word in given}
    return Options(**found, virtio_console=given.get("console") == "virtio", write_disks=given.get("write_disk", False))


def several(value: str | PathLike | Iterable) -> tuple[str, ...]:
    """One file or several."""
    return (fspath(value),) if isinstance(value, (str, PathLike)) else tuple(map(fspath, value))


def named_symbols(file: str | PathLike | None, slide: int | None = None) -> Symbols | None:
    """Those of a file that was named for them, moved by `slide`; None for those of the guest's own file."""
    if slide is not None and file is None:
        raise GuestError("--slide moves the addresses of a symbol file: expected --symbols FILE as well")
    if file is None:
        return None
    found = read_symbol_file(Path(file))
    return found if slide is None else found.moved(slide)


def folders(named: str | PathLike | Iterable) -> tuple[Path, ...]:
    """Folders of source; GuestError if one is none."""
    found = tuple(map(Path, several(named)))
    for folder in found:
        if not folder.is_dir():
            raise GuestError(f"--source {str(folder)[:80]!r}: expected a folder")
    return found


def open_session(
    guest: str | PathLike | None,
    *,
    engine: str = "threaded",
    history: int = BOUND,
    symbols: str | PathLike | None = None,
    slide: int | None = None,
    source: str | PathLike | Iterable = (),
    **machine,
) -> Session:
    """What Session.open does."""
    if engine not in ENGINES:
        raise GuestError(f"--engine {engine!r}: expected one of {', '.join(ENGINES)}")
    found, names = choose(guest, **machine), named_symbols(symbols, slide)
    return open_bare(found, engine=engine, symbols=names, history=history, sources=folders(source))


def open_bare(
    guest: Guest,
    serial: Callable[[int], object] | None = None,
    engine: str = "threaded",
    symbols: Symbols | None = None,
    history: int = 0,
    sources: tuple[Path, ...] = (),
) -> Session:
    """A session over a bare PC with the guest loaded; `serial` gets every byte it sends; engine: threaded or plain.

    `symbols` are those of its file unless others are given; it is recorded in at most `history` bytes, or not at all;
    `sources`: folders in which files of source are looked for.
    """
    from vmdbg.machine.machine import Machine  # here, so that what can be refused without it is refused first

    monitor = Bare(Machine(memory=guest.memory, cpus=guest.cpus, engine=engine), guest, serial)
    session = Session(monitor, symbols or read_symbols(guest.path))
    debug = session.symbols.debug
    session.sources = Sources((guest.path, *([debug.path] if debug is not None else [])), sources)
    if history:
        session.record(history)
    return session
