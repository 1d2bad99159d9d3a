"""Files of source, and where in them execution stands.

A file is looked for beside the guest and the file with the debugging information, where that says that it is, and in the folders
that the user named (--source), there with as much of its path as fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vmdbg.debugger.dwarf.debug import Place
from vmdbg.debugger.symbols import WORD

LARGEST = 16 << 20  # bytes of a file that is shown
TAB = 8


@dataclass(frozen=True)
class Text:
    """A file's lines, or in one sentence why there are none."""

    path: str  # as the debugging information has it
    lines: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class SourceView:
    """What a pane shows: a file, the line at which execution (or what is looked at) stands, and where its lines' code begins."""

    text: Text
    line: int  # from 1; 0: none
    here: bool = True  # execution stands there: nothing else is looked at
    code: dict[int, int] = field(default_factory=dict, hash=False, compare=False)  # linear addresses by line
    breakpoints: frozenset[int] = frozenset()  # lines


class Sources:
    """The files of one session, each read once."""

    def __init__(self, beside: tuple[Path, ...] = (), folders: tuple[Path, ...] = ()):
        self.beside, self.folders = beside, folders
        self._texts: dict[str, Text] = {}

    def text(self, path: str) -> Text:
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> Text:
        for candidate in self.candidates(path):
            try:
                if not candidate.is_file():
                    continue
                if candidate.stat().st_size > LARGEST:
                    return Text(path, (), f"{candidate} is too large to be shown: over {LARGEST >> 20} MiB")
                found = candidate.read_bytes().decode(errors="replace")
            except (OSError, ValueError):
                continue
            lines = found.replace("\r\n", "\n").split("\n")
            return Text(path, tuple(printable(line) for line in (lines[:-1] if not lines[-1] else lines)))
        where = (
            "beside the guest, there, or in a folder of --source" if path.startswith("/") else "beside the guest or in a folder of --source"
        )
        return Text(path, (), f"{path} is not to be found: {where}")

    def candidates(self, path: str) -> Iterator[Path]:
        """Where a file may be, best first."""
        pure = PurePosixPath(path.replace("\0", ""))
        for file in dict.fromkeys(self.beside):
            yield file.parent / pure.name
            yield file.parent / pure
        if pure.is_absolute():
            yield Path(pure)
        parts = pure.parts[1:] if pure.is_absolute() else pure.parts
        for folder in self.folders:
            for n in range(len(parts)):
                yield folder.joinpath(*parts[n:])


def printable(line: str) -> str:
    return "".join(c if c.isprintable() else "·" for c in line.expandtabs(TAB))


def place_of(session, address: int) -> Place | None:
    """The line of source of a linear address."""
    symbols = session.symbols
    return None if symbols.debug is None else symbols.debug.line_at(address - symbols.slide & WORD)


def linear_addresses(session, name: str, line: int) -> tuple[int, ...]:
    """Where the code of a line begins: the lowest address in each function that has some."""
    symbols = session.symbols
    if symbols.debug is None:
        return ()
    found: dict[int | None, int] = {}
    for address in symbols.debug.addresses(name, line):
        at = address + symbols.slide & WORD
        found.setdefault(symbols.before(at, 1 << 32), at)
    return tuple(sorted(found.values()))


def source_view(session) -> SourceView:
    """What there is to see of the source at the place of execution, or at what is looked at instead."""
    focus, symbols = session.listing.focus, session.symbols
    at = session.rip if focus is None else focus
    if symbols.debug is None or not symbols.debug.has_lines:
        return SourceView(Text("", (), "the guest has no debugging information: its file (or --symbols FILE) has no DWARF"), 0)
    table = symbols.debug.table_at(at - symbols.slide & WORD)
    place = None if table is None else table.line_at(at - symbols.slide & WORD)
    if table is None or place is None:
        return SourceView(Text("", (), f"nothing is known of the source at {at:#x} {symbols.near(at) or ''}".rstrip()), 0)
    path, line = place
    code = {n: addresses[0] + symbols.slide & WORD for n, addresses in table.lines(path).items()}
    there = {a for b in session.breakpoints if b.enabled for a in b.addresses}
    marked = {n for a in there if (p := table.line_at(a - symbols.slide & WORD)) is not None and p[0] == path for n in (p[1],)}
    return SourceView(session.sources.text(path), line, focus is None or focus == session.rip, code, frozenset(marked))
