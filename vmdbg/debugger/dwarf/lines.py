"""The line table of one unit of DWARF: rows in the order of addresses, in compact arrays."""

import bisect
import posixpath
from array import array

NO_LINE = 0  # of a row: what follows has no line, or is no code


class LineTable:
    """Rows (address, number of the path, line, whether it is a statement's beginning); each holds up to the next one's address."""

    def __init__(self, paths: list[str], sequences: list[list[tuple[int, int, int, bool]]]):
        self.paths = paths
        self._addresses, self._files, self._lines, self._begins = array("Q"), array("I"), array("I"), bytearray()
        for sequence in sorted(sequences, key=lambda s: s[0][0]):
            for address, file, line, begins in sequence:
                self._addresses.append(address)
                self._files.append(file)
                self._lines.append(line)
                self._begins.append(begins)
        self._by_path: dict[str, dict[int, tuple[int, ...]]] = {}

    def line_at(self, address: int) -> tuple[str, int] | None:
        """(path, line) of an address."""
        i = bisect.bisect_right(self._addresses, address) - 1
        while i > 0 and not self._begins[i] and self._addresses[i - 1] == self._addresses[i]:
            i -= 1  # of several rows for one address the last that begins a statement says more
        if i < 0 or self._lines[i] == NO_LINE or self._files[i] >= len(self.paths):
            return None
        return self.paths[self._files[i]], self._lines[i]

    def paths_like(self, name: str) -> list[str]:
        """Those that end in this name, part by part."""
        return [path for path in dict.fromkeys(self.paths) if path == name or path.endswith("/" + name)]

    def lines(self, path: str) -> dict[int, tuple[int, ...]]:
        """Addresses by line of one file: where a run of the line's code begins."""
        if path not in self._by_path:
            self._by_path[path] = self._runs({n for n, p in enumerate(self.paths) if p == path})
        return self._by_path[path]

    def _runs(self, files: set[int]) -> dict[int, tuple[int, ...]]:
        found: dict[int, list[int]] = {}
        before = None  # what the addresses below this row's belong to
        for i, line in enumerate(self._lines):
            file, address = self._files[i], self._addresses[i]
            if i and self._addresses[i - 1] != address:
                before = (self._files[i - 1], self._lines[i - 1])
            if line != NO_LINE and file in files and self._begins[i] and (file, line) != before:
                runs = found.setdefault(line, [])
                if not runs or runs[-1] != address:
                    runs.append(address)
        return {line: tuple(addresses) for line, addresses in found.items()}

    def line_with_code(self, path: str, line: int) -> int | None:
        """This line, or the first after it that has code."""
        return min((n for n in self.lines(path) if n >= line), default=None)

    def addresses(self, path: str, line: int) -> tuple[int, ...]:
        return self.lines(path).get(line, ())


def line_table(dwarf, unit) -> LineTable | None:
    """The table of a unit (CompileUnit of pyelftools), None if it has none."""
    program = dwarf.line_program_for_CU(unit)
    if program is None:
        return None
    paths = paths_of(program, unit)
    first = 0 if program["version"] >= 5 else 1
    sequences: list[list[tuple[int, int, int, bool]]] = []
    rows: list[tuple[int, int, int, bool]] = []
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if state.end_sequence:
            if rows and state.address >= rows[-1][0]:
                sequences.append([*rows, (state.address, 0, NO_LINE, False)])
            rows = []
        elif not rows or state.address >= rows[-1][0]:
            rows.append((state.address, max(state.file - first, 0), state.line, state.is_stmt))
    return LineTable(paths, sequences)


def paths_of(program, unit) -> list[str]:
    """The files of a line program by their number, each joined with its folders."""
    if program is None:
        return []
    attributes = unit.get_top_DIE().attributes
    home = attributes["DW_AT_comp_dir"].value.decode(errors="replace") if "DW_AT_comp_dir" in attributes else ""
    header = program.header
    folders = [text(f) for f in header["include_directory"]]
    if header["version"] < 5:
        folders = [home, *folders]
    found = []
    for entry in header["file_entry"]:
        folder = folders[entry.dir_index] if entry.dir_index < len(folders) else ""
        found.append(posixpath.normpath(posixpath.join(home, folder, text(entry.name))))
    return found


def text(value) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
