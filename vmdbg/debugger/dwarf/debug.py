"""DWARF of an ELF file: lines of source by address, and addresses by line.

Nothing is read before somebody asks, and then only what the question needs: .debug_aranges, or the head of each unit, says
which unit an address belongs to, and that unit's line program is run once.  Damaged DWARF answers nothing.

    Debug.line_at(0x100040) -> Place("dual_mode.asm", 68)        Debug.addresses("dual_mode.asm", 68) -> (0x100040,)

Addresses are those of the file; who moved it adds the slide (symbols.py).
"""

import bisect
import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vmdbg.debugger.dwarf.frames import Frames
from vmdbg.debugger.dwarf.lines import LineTable, line_table, paths_of
from vmdbg.monitor.read_image import GZIP, read_kernel

# Sections that pyelftools' DWARFInfo takes, by the name of its argument
SECTIONS = {
    f"debug_{name}_sec": f".debug_{name}"
    for name in (
        "info aranges abbrev frame str loc ranges line pubtypes pubnames addr str_offsets line_str loclists rnglists sup types"
    ).split()
} | {"eh_frame_sec": ".eh_frame", "gnu_debugaltlink_sec": ".gnu_debugaltlink"}
LARGEST_TABLES = 64  # units whose lines are kept, and in which a line is looked for
CHUNK = 1 << 16  # bytes that are read at once


class Place(NamedTuple):
    """A line of source; `path` as the compiler wrote it, joined with its folder."""

    path: str
    line: int

    @property
    def words(self) -> str:
        return f"{self.path.rpartition('/')[2]}:{self.line}"


class Window:
    """A part of a file as a stream, without a copy of it; no map of it either, for the file may be built anew meanwhile."""

    def __init__(self, file: BinaryIO, start: int, size: int):
        self.file, self.start, self.size, self.at = file, start, size, 0
        self._chunk, self._from = b"", 0  # bytes of the part, and where they begin

    def seek(self, to: int, whence: int = 0) -> int:
        self.at = max(0, to + (0, self.at, self.size)[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, count: int = -1) -> bytes:
        end = self.size if count < 0 else min(self.size, self.at + count)
        if end <= self.at:
            return b""
        if not self._from <= self.at or end > self._from + len(self._chunk):
            self.file.seek(self.start + self.at)
            self._chunk, self._from = self.file.read(min(max(end - self.at, CHUNK), self.size - self.at)), self.at
        found = self._chunk[self.at - self._from : end - self._from]
        self.at += len(found)
        return found


def careful(otherwise: Callable[[], Any]):
    """Damaged bytes lead pyelftools to nearly any exception: what cannot be read is not there."""

    def decorate(method):
        def asked(self, *arguments):
            try:
                return method(self, *arguments)
            except ImportError:
                raise
            except Exception:
                return otherwise()

        asked.__doc__ = method.__doc__
        return asked

    return decorate


class Debug:
    """The debugging information of one file; all questions may be asked of any file, and those it cannot answer get None or nothing."""

    def __init__(self, path: Path):
        self.path = path
        self._dwarf: Any = None
        self._opened = False
        self._sections: dict[str, tuple[Any, int]] = {}  # stream and size, by the name of the argument
        self._tables: dict[int, LineTable | None] = {}  # by offset of the unit
        self._units: list[int] | None = None
        self._covered: tuple[list[int], list[int], list[int]] | None = None  # starts, ends, units: by .debug_aranges
        self._ranged: tuple[list[int], list[int], list[int]] | None = None  # the same by the units' own heads
        self._named: dict[str, list[int]] = {}  # units by the last part of a path
        self._all_named = False
        self._frames: list[Frames] | None = None

    # ---- The file

    @careful(lambda: None)
    def _open(self):
        """DWARFInfo, or None if the file has none."""
        if self._opened:
            return self._dwarf
        self._opened = True
        from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo
        from elftools.elf.elffile import ELFFile

        file: BinaryIO = self.path.open("rb", buffering=0)
        if file.read(len(GZIP)) == GZIP:
            file = io.BytesIO(read_kernel(self.path))
        whole: Any = Window(file, 0, file.seek(0, io.SEEK_END))
        elf = ELFFile(whole)
        found: dict[str, Any] = dict.fromkeys(SECTIONS)
        for argument, name in SECTIONS.items():
            section = elf.get_section_by_name(name)
            if section is None or section["sh_type"] == "SHT_NOBITS":
                continue
            stream: Any
            if section.compressed:
                unpacked = section.data()
                stream, size = io.BytesIO(unpacked), len(unpacked)
            else:
                size = min(section["sh_size"], max(0, whole.size - section["sh_offset"]))
                stream = Window(file, section["sh_offset"], size)
            found[argument] = DebugSectionDescriptor(stream, name, section["sh_offset"], size, section["sh_addr"])
            self._sections[argument] = stream, size
        config = DwarfConfig(little_endian=elf.little_endian, default_address_size=elf.elfclass // 8, machine_arch=elf.get_machine_arch())
        self._dwarf = DWARFInfo(config=config, **found)
        return self._dwarf

    # ---- Questions

    @property
    def has_lines(self) -> bool:
        """Whether there is anything about source in the file."""
        return self._open() is not None and "debug_line_sec" in self._sections and "debug_info_sec" in self._sections

    def line_at(self, address: int) -> Place | None:
        """The line of source that an address of the file belongs to."""
        table = self.table_at(address)
        found = table.line_at(address) if table is not None else None
        return None if found is None else Place(*found)

    def table_at(self, address: int) -> LineTable | None:
        """The lines of the unit that an address belongs to."""
        if not self.has_lines:
            return None
        unit = self._unit_at(address)
        return None if unit is None else self._table(unit)

    @careful(tuple)
    def addresses(self, name: str, line: int) -> tuple[int, ...]:
        """Where the code of a line begins, once for each run of it; of the next line with code if that line has none.

        `name` is the end of a path: main.c, kernel/main.c.  Nothing if no file of this name has code there or after it.
        """
        tables = self._tables_with(name)
        found = min((n for t in tables for path in t.paths_like(name) if (n := t.line_with_code(path, line)) is not None), default=None)
        if found is None:
            return ()
        return tuple(sorted({a for t in tables for path in t.paths_like(name) for a in t.addresses(path, found)}))

    def knows(self, name: str) -> bool:
        """Whether some unit has a file of this name."""
        return any(t.paths_like(name) for t in self._tables_with(name))

    def frames(self) -> list[Frames]:
        """The tables of call frames: .debug_frame, .eh_frame."""
        if self._frames is None:
            self._frames = self._find_frames()
        return self._frames

    @careful(list)
    def _find_frames(self) -> list[Frames]:
        dwarf = self._open()
        if dwarf is None:
            return []
        names = [n for n in ("debug_frame_sec", "eh_frame_sec") if n in self._sections]
        return [Frames(dwarf, getattr(dwarf, n), n == "eh_frame_sec") for n in names]

    # ---- Units

    def _tables_with(self, name: str) -> list[LineTable]:
        """Of the first units that have a file of this name: a header may be everywhere."""
        return [t for t in map(self._table, self._units_named(name)[:LARGEST_TABLES]) if t is not None]

    @careful(lambda: None)
    def _table(self, unit: int) -> LineTable | None:
        if unit not in self._tables:
            while len(self._tables) >= LARGEST_TABLES:
                self._tables.pop(next(iter(self._tables)))
            self._tables[unit] = None
            self._tables[unit] = line_table(self._dwarf, self._dwarf.get_CU_at(unit))
        return self._tables[unit]

    def _unit_at(self, address: int) -> int | None:
        """By .debug_aranges; what is not in there, by the heads of the units."""
        if self._covered is None:
            self._covered = ranges_in_order(self._aranges())
        found = unit_in(self._covered, address)
        if found is not None:
            return found
        if self._ranged is None:
            known = set(self._covered[2])
            self._ranged = ranges_in_order([r for unit in self._all_units() if unit not in known for r in self._ranges(unit)])
        return unit_in(self._ranged, address)

    @careful(list)
    def _all_units(self) -> list[int]:
        if self._units is None:
            self._units = []
            for unit in self._dwarf.iter_CUs():
                self._units.append(unit.cu_offset)
        return self._units

    @careful(list)
    def _ranges(self, unit: int) -> list[tuple[int, int, int]]:
        """(start, end, unit) of the code of a unit, as its first entry says."""
        cu = self._dwarf.get_CU_at(unit)
        attributes = cu.get_top_DIE().attributes
        low = attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in attributes else 0
        if "DW_AT_ranges" in attributes:
            base, found = low, []
            for entry in self._dwarf.range_lists().get_range_list_at_offset(attributes["DW_AT_ranges"].value, cu):
                if hasattr(entry, "base_address"):
                    base = entry.base_address
                else:
                    by = 0 if getattr(entry, "is_absolute", False) else base
                    found.append((entry.begin_offset + by, entry.end_offset + by, unit))
            return found
        high = attributes["DW_AT_high_pc"]
        return [(low, high.value if high.form == "DW_FORM_addr" else low + high.value, unit)]

    @careful(list)
    def _aranges(self) -> list[tuple[int, int, int]]:
        """(start, end, unit) by .debug_aranges (DWARF 5, 6.1.2); what comes before a damaged set counts."""
        stream, size = self._sections.get("debug_aranges_sec", (None, 0))
        if stream is None:
            return []
        stream.seek(0)
        return list(parse_aranges(stream.read(size)))

    @careful(list)
    def _units_named(self, name: str) -> list[int]:
        """Units whose own name ends in this file's; else all that have such a file in their tables."""
        if not self.has_lines:
            return []
        last = name.rpartition("/")[2]
        if not self._named:
            for unit in self._all_units():
                self._named.setdefault(self._name(unit).rpartition("/")[2], []).append(unit)
        if last not in self._named and not self._all_named:
            self._all_named = True
            for unit in self._all_units():
                for path in self._paths(unit):
                    units = self._named.setdefault(path.rpartition("/")[2], [])
                    if not units or units[-1] != unit:
                        units.append(unit)
        return self._named.get(last, [])

    @careful(str)
    def _name(self, unit: int) -> str:
        return self._dwarf.get_CU_at(unit).get_top_DIE().attributes["DW_AT_name"].value.decode(errors="replace")

    @careful(list)
    def _paths(self, unit: int) -> list[str]:
        cu = self._dwarf.get_CU_at(unit)
        return paths_of(self._dwarf.line_program_for_CU(cu), cu)


def ranges_in_order(ranges: list[tuple[int, int, int]]) -> tuple[list[int], list[int], list[int]]:
    ordered = sorted(r for r in ranges if r[0] < r[1])
    return [r[0] for r in ordered], [r[1] for r in ordered], [r[2] for r in ordered]


def unit_in(ranges: tuple[list[int], list[int], list[int]], address: int) -> int | None:
    i = bisect.bisect_right(ranges[0], address) - 1
    return ranges[2][i] if i >= 0 and address < ranges[1][i] else None


def parse_aranges(data: bytes) -> Iterator[tuple[int, int, int]]:
    at = 0
    while at + 12 <= len(data):
        start = at
        (length,) = struct.unpack_from("<I", data, at)
        wide = length == 0xFFFFFFFF
        if wide:
            if at + 24 > len(data):
                return
            (length,) = struct.unpack_from("<Q", data, at + 4)
        body = at + (12 if wide else 4)
        end = body + length
        if length < 8 or end > len(data):
            return
        version, unit, size, segment = struct.unpack_from("<HQBB" if wide else "<HIBB", data, body)
        if version != 2 or size not in (4, 8) or segment:
            return
        at = body + (12 if wide else 8)
        at = start + -(-(at - start) // (2 * size)) * 2 * size  # pairs are aligned to their size
        for address, count in struct.iter_unpack("<QQ" if size == 8 else "<II", data[at : at + (end - at) // (2 * size) * 2 * size]):
            if count:
                yield address, address + count, unit
        at = end
