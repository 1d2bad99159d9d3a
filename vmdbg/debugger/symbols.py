"""Names of addresses: the symbol table of an ELF file, or a list as nm, System.map and /proc/kallsyms have it."""

import bisect
import io
import re
from pathlib import Path

from vmdbg.debugger.dwarf.debug import Debug
from vmdbg.monitor.guest import GuestError
from vmdbg.monitor.read_image import GZIP, read_kernel

NAMED = ("STT_NOTYPE", "STT_FUNC", "STT_OBJECT")
WORD = (1 << 64) - 1
LINE = re.compile(rb"^([0-9a-fA-F]{4,16}) ([A-Za-z?-]) (\S+)(?:[ \t]+\[\S+\])?[ \t\r]*$", re.M)
NO_ADDRESSES = b"aAuUNw"  # types of nm: absolute values (Linux's per-CPU offsets), undefined, debugging


class Symbols:
    """Linear addresses by name, and names by address; empty for a guest without a symbol table.

    `slide` is how far the guest moved itself away from the addresses of the file (Linux's KASLR); it is in the addresses.
    `settled`: it is known, and need not be looked for.  `debug`: the file's debugging information, which nobody has read yet.
    """

    def __init__(self, table: dict[str, int] | None = None, slide: int = 0, settled: bool = False, debug: Debug | None = None):
        self.slide, self.settled, self.debug = slide, settled, debug
        self.table = {name: address + slide & WORD for name, address in (table or {}).items()}
        self._ordered = sorted((address, name) for name, address in self.table.items())
        self._addresses = [address for address, _ in self._ordered]

    def moved(self, slide: int, settled: bool = True) -> "Symbols":
        """The same symbols at another slide."""
        return Symbols({name: address - self.slide & WORD for name, address in self.table.items()}, slide, settled, self.debug)

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
    with path.open("rb") as f:
        if not f.read(4).startswith((b"\x7fELF", GZIP)):  # it may be a disk of any size
            return Symbols()
    try:
        image = read_kernel(path)
    except GuestError:
        return Symbols()
    return Symbols(elf_symbols(image), debug=Debug(path)) if image[:4] == b"\x7fELF" else Symbols()


def read_symbol_file(path: Path) -> Symbols:
    """The symbols of a file that was named for them; GuestError if it has none."""
    image = read_kernel(path)
    is_elf = image[:4] == b"\x7fELF"
    found = elf_symbols(image) if is_elf else listed_symbols(image)
    if not found:
        hint = " (Debian's System.map is a note: the real one is in the -dbg package)" if b"System.map is in" in image[:200] else ""
        raise GuestError(f"{path}: no symbols: neither an ELF file with a symbol table nor lines of nm or System.map{hint}")
    return Symbols(found, debug=Debug(path) if is_elf else None)


def elf_symbols(image: bytes) -> dict[str, int]:
    """Names and addresses of an ELF file; none if its tables are damaged."""
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
        return {}
    return found


def listed_symbols(text: bytes) -> dict[str, int]:
    """'ffffffff81000000 T _text', a line a symbol; /proc/kallsyms adds the module in brackets."""
    found: dict[str, int] = {}
    for address, kind, name in LINE.findall(text):
        if kind not in NO_ADDRESSES:
            found.setdefault(name.decode(errors="replace"), int(address, 16))
    return found
