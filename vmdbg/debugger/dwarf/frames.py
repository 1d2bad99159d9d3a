"""Call frame information: .eh_frame or .debug_frame, by address (DWARF 5, 6.4).

Only where each entry lies and what addresses it is about are read for all; pyelftools reads the one that is asked for.
"""

import bisect
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

WORDS = {0: "", 2: "H", 3: "I", 4: "Q", 10: "h", 11: "i", 12: "q"}  # DW_EH_PE_*: the low four bits; '' is an address
RELATIVE = 0x10  # DW_EH_PE_pcrel
NOBODYS = 0xFF  # no encoding
MASK = (1 << 64) - 1


class Row(NamedTuple):
    """How the caller's registers are found from some address on: rules of pyelftools, by DWARF's numbers."""

    cfa: Any  # CFARule
    registers: dict[int, Any]  # RegisterRule
    returns: int  # the number that the return address goes by
    signal: bool  # the frame of an interrupt: its return address is the very instruction, not what follows a call


class Frames:
    """One section of a file.  `dwarf`: DWARFInfo, `section`: DebugSectionDescriptor."""

    def __init__(self, dwarf, section, is_eh: bool):
        from elftools.dwarf.callframe import CallFrameInfo

        self.section, self.is_eh = section, is_eh
        self.width = dwarf.config.default_address_size
        self._entries = CallFrameInfo(section.stream, section.size, section.address or 0, dwarf.structs, is_eh)
        self._starts: list[int] = []
        self._found: list[tuple[int, int]] = []  # end of the addresses, offset of the entry
        try:
            ordered = sorted(self._scan())
        except Exception:  # damaged: nothing of it is believed
            ordered = []
        self._starts = [start for start, _, _ in ordered]
        self._found = [(end, offset) for _, end, offset in ordered]
        self._rows: dict[int, list[tuple[int, Row]]] = {}

    def row(self, address: int) -> Row | None:
        """The row for an address; None if there is none, or it cannot be read."""
        i = bisect.bisect_right(self._starts, address) - 1
        if i < 0 or address >= self._found[i][0]:
            return None
        offset = self._found[i][1]
        if offset not in self._rows:
            try:
                self._rows[offset] = self._read(offset)
            except Exception:  # whatever damaged bytes lead pyelftools to
                self._rows[offset] = []
        rows = self._rows[offset]
        at = bisect.bisect_right([start for start, _ in rows], address) - 1
        return rows[at][1] if at >= 0 else None

    def _read(self, offset: int) -> list[tuple[int, Row]]:
        self.section.stream.seek(0)
        entry: Any = self._entries._parse_entry_at(offset)
        cie = entry.cie
        signal, returns = b"S" in cie.header["augmentation"], cie.header["return_address_register"]
        found = []
        for line in entry.get_decoded().table:
            rules = {n: rule for n, rule in line.items() if isinstance(n, int)}
            found.append((line["pc"] & MASK if self.width == 8 else line["pc"] & 0xFFFFFFFF, Row(line["cfa"], rules, returns, signal)))
        return found

    def _scan(self) -> Iterator[tuple[int, int, int]]:
        """(first address, end, offset) of every entry that is about code."""
        stream, size = self.section.stream, self.section.size
        stream.seek(0)
        data = stream.read(size)
        encodings: dict[int, int] = {}
        at = 0
        while at + 8 <= len(data):
            offset = at
            (length,) = struct.unpack_from("<I", data, at)
            at += 4
            wide = length == 0xFFFFFFFF
            if wide:
                (length,) = struct.unpack_from("<Q", data, at)
                at += 8
            end = at + length
            if length and end <= len(data):
                (cie,) = struct.unpack_from("<Q" if wide and not self.is_eh else "<I", data, at)
                if cie != (0 if self.is_eh else MASK if wide else 0xFFFFFFFF):
                    found = self._range(data, at, 8 if wide and not self.is_eh else 4, cie, encodings)
                    if found is not None:
                        yield *found, offset
            at = end

    def _range(self, data: bytes, at: int, skip: int, cie: int, encodings: dict[int, int]) -> tuple[int, int] | None:
        home = at - cie if self.is_eh else cie
        if home not in encodings:
            encodings[home] = self._encoding(home)
        encoding = encodings[home]
        if encoding & 0x70 not in (0, RELATIVE) or encoding & 15 not in WORDS:
            return None
        word = WORDS[encoding & 15] or ("Q" if self.width == 8 else "I")
        at += skip
        start, count = struct.unpack_from(f"<{word}{word.upper()}", data, at)
        if encoding & RELATIVE:
            start += (self.section.address or 0) + at
        start &= MASK if self.width == 8 else 0xFFFFFFFF
        return (start, start + count) if count else None

    def _encoding(self, home: int) -> int:
        """How the entries of a CIE write addresses."""
        if not self.is_eh:
            return 0
        try:
            self.section.stream.seek(0)
            cie: Any = self._entries._parse_entry_at(home)
            return cie.augmentation_dict.get("FDE_encoding", 0)
        except Exception:  # it describes nothing that can be read
            return NOBODYS
