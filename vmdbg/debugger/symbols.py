"""Names of addresses: the symbol table of an ELF image."""

import bisect
import io
from pathlib import Path

NAMED = ("STT_NOTYPE", "STT_FUNC", "STT_OBJECT")


class Symbols:
    """Linear addresses by name, and names by address; empty for a guest without a symbol table."""

    def __init__(self, table: dict[str, int] | None = None):
        self.table = dict(table or {})
        self._ordered = sorted((address, name) for name, address in self.table.items())
        self._addresses = [address for address, _ in self._ordered]

    def address(self, name: str) -> int | None:
        return self.table.get(name)

    def exact(self, address: int) -> str | None:
        """The name of this very address."""
        i = bisect.bisect_left(self._addresses, address)
        return self._ordered[i][1] if i < len(self._ordered) and self._addresses[i] == address else None

    def near(self, address: int, within: int = 0x10000) -> str | None:
        """'name+0x12' for the nearest name at or below the address, None if it is `within` bytes away or more."""
        i = bisect.bisect_right(self._addresses, address) - 1
        if i < 0 or address - self._addresses[i] >= within:
            return None
        start = self._addresses[i]
        name = self.exact(start) or self._ordered[i][1]
        return name if start == address else f"{name}+{address - start:#x}"

    def before(self, address: int, within: int) -> int | None:
        """The nearest named address at or below this one, less than `within` bytes away."""
        i = bisect.bisect_right(self._addresses, address) - 1
        return self._addresses[i] if i >= 0 and address - self._addresses[i] < within else None

    def starting(self, prefix: str) -> list[str]:
        return sorted(name for name in self.table if name.startswith(prefix))


def read_symbols(path: Path) -> Symbols:
    """The symbols of an ELF file; none if it is no ELF file or its table is damaged (the loader judges the file, not we)."""
    image = path.read_bytes()
    if image[:4] != b"\x7fELF":
        return Symbols()
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    found: dict[str, int] = {}
    try:
        for section in ELFFile(io.BytesIO(image)).iter_sections():
            if isinstance(section, SymbolTableSection):
                for s in section.iter_symbols():
                    if s.name and isinstance(s["st_shndx"], int) and s["st_info"]["type"] in NAMED:
                        found.setdefault(s.name, s["st_value"])
    except (ELFError, ConstructError, ValueError, KeyError, OverflowError, UnicodeDecodeError):
        return Symbols()
    return Symbols(found)
