"""Disassembly of files: flat binaries, boot sectors, the code of ELF images."""

import io
from collections.abc import Iterator
from pathlib import Path

from isa.instruction import Instruction
from isa.records import installed, records
from vmdbg.debugger.symbols import read_symbols
from vmdbg.monitor.guest import GuestError
from vmdbg.monitor.load import read_image
from vmdbg.monitor.load_elf import is_elf
from vmdbg.monitor.load_flat import BOOT_SECTOR, SECTOR_SIZE, is_boot_sector

SHF_EXECINSTR = 4
LONGEST = 15  # bytes of an instruction
PIECE = 1 << 16  # bytes that are decoded at once
WORTH_LOADING = 1 << 15  # bytes that the compiled decoder is loaded for


def disassemble(path: Path, bits: int | None, address: int | None, syntax: str, section: str | None) -> Iterator[str]:
    """The lines of a file's code; GuestError says in one sentence why there are none."""
    image = read_image(path)
    if is_elf(image):
        if address is not None:
            raise GuestError(f"{path}: an ELF file says itself where its code is: --address is for flat binaries")
        names = {address: name for name, address in read_symbols(path).table.items()}
        for name, start, code, width in code_sections(path, image, section):
            yield f"section {name}"
            yield from lines(code, bits or width, start, syntax, names)
    elif section is not None:
        raise GuestError(f"{path}: no ELF file, so it has no section '{section}'")
    elif is_boot_sector(image) and bits in (None, 16):
        yield from lines(image[:SECTOR_SIZE], 16, BOOT_SECTOR if address is None else address, syntax, {})
    else:
        yield from lines(image, bits or 64, address or 0, syntax, {})


def code_sections(path: Path, image: bytes, wanted: str | None) -> list[tuple[str, int, bytes, int]]:
    """(name, address, bytes, 32 or 64) of the executable sections of an ELF file, or of the wanted one."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(image))
        found = [
            (s.name, s["sh_addr"], s.data(), elf.elfclass)
            for s in elf.iter_sections()
            if s["sh_type"] == "SHT_PROGBITS" and (s.name == wanted if wanted else s["sh_flags"] & SHF_EXECINSTR)
        ]
        if not found and not wanted:
            found = [
                ("segment", s["p_vaddr"], s.data(), elf.elfclass)
                for s in elf.iter_segments()
                if s["p_type"] == "PT_LOAD" and s["p_flags"] & 1
            ]
    except (ELFError, ConstructError, ValueError, KeyError, OverflowError, UnicodeDecodeError, MemoryError) as e:
        raise GuestError(f"{path}: a damaged ELF file: {e or type(e).__name__}") from None
    if not found:
        raise GuestError(f"{path}: " + (f"no section '{wanted}' with code" if wanted else "an ELF file without code"))
    return found


def lines(code: bytes, bits: int, address: int, syntax: str, names: dict[int, str]) -> Iterator[str]:
    """One line an instruction: address, bytes, text; a byte that starts none is shown as data."""
    digits = 16 if address + len(code) > 1 << 32 else 8
    for at, length, found in decoded(code, bits, address):
        if address + at in names:
            yield f"{names[address + at]}:"
        text = found.format(syntax) if found is not None else f"db {code[at]:#04x}"
        yield f"{address + at:0{digits}x}  {code[at : at + length].hex():<20}  {text}"


def decoded(code: bytes, bits: int, address: int) -> Iterator[tuple[int, int, Instruction | None]]:
    """(offset, length, instruction or None) of everything in `code`, decoded a piece at a time."""
    use_core(len(code))
    start = 0
    while start < len(code):
        piece = code[start : start + PIECE]
        last = start + len(piece) == len(code)
        at = 0
        for record in records(piece, bits=bits, ip=address + start):
            if not last and at > PIECE - LONGEST:
                break  # it may go on in the next piece
            length = int(record["length"])
            yield start + at, length, None if record["reason"] else Instruction(record, address + start + at, piece[at : at + length])
            at += length
        start += at


def use_core(size: int) -> None:
    """Let the compiled decoder do the work where there is much of it, and a core to take it from."""
    if size >= WORTH_LOADING and not installed():
        from vmdbg.machine import core

        if core.path().exists():
            core.load()
