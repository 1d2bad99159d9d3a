"""ELF images (System V ABI, generic, chapters 4 and 5): the loadable segments at their physical addresses.

ELF32 starts in flat 32-bit protected mode with paging off, ELF64 in long mode on an identity map.
"""

import io
from pathlib import Path

from vmdbg.monitor.guest import Guest, GuestError, Options, Piece

EM_386, EM_X86_64 = "EM_386", "EM_X86_64"


def is_elf(image: bytes) -> bool:
    return image[:4] == b"\x7fELF"


def load_elf(path: Path, image: bytes, options: Options) -> Guest:
    """Every PT_LOAD segment at p_paddr (memory beyond its bytes is 0); start at e_entry, or at `entry`."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(image))
        machine, kind, entry = elf["e_machine"], elf["e_type"], elf["e_entry"]
        headers = [s.header for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_memsz"]]
    except (ELFError, ConstructError, ValueError, KeyError, OverflowError, UnicodeDecodeError, MemoryError) as e:
        raise GuestError(f"{path}: a damaged ELF file: {e or type(e).__name__}") from None
    if machine not in (EM_386, EM_X86_64) or not elf.little_endian:
        raise GuestError(f"{path}: an ELF file for {machine}, not for x86")
    if kind != "ET_EXEC":
        raise GuestError(f"{path}: an ELF file of type {kind}; a guest is ET_EXEC, linked to a fixed address")
    if not headers:
        raise GuestError(f"{path}: an ELF file without loadable segments")

    bits = 64 if elf.elfclass == 64 else 32
    pieces = []
    for h in headers:
        first, size, data = h["p_paddr"], h["p_memsz"], image[h["p_offset"] : h["p_offset"] + h["p_filesz"]]
        if len(data) < h["p_filesz"]:
            raise GuestError(f"{path}: a truncated ELF file: the segment at {first:#x} ends beyond the end of the file")
        if h["p_filesz"] > size:
            raise GuestError(f"{path}: a damaged ELF file: the segment at {first:#x} is larger in the file than in memory")
        if first + size > options.memory:
            raise GuestError(
                f"{path}: the segment {first:#x}-{first + size:#x} does not fit into {options.memory >> 20} MiB of memory (--memory)"
            )
        pieces.append(Piece(first, data, size))
    start = options.entry if options.entry is not None else physical_entry(entry, headers)
    if not any(p.address <= start < p.address + p.size for p in pieces):
        raise GuestError(f"{path}: entry {start:#x} is in none of the loaded segments")
    return Guest(path, f"ELF{bits}", bits, start, tuple(pieces), options.memory, cpus=options.cpus)


def physical_entry(entry: int, headers) -> int:
    """e_entry is a linear address; the guest starts without its own paging, so at the physical place of that byte."""
    for h in headers:
        if h["p_vaddr"] <= entry < h["p_vaddr"] + h["p_memsz"] and h["p_vaddr"] != h["p_paddr"]:
            return entry - h["p_vaddr"] + h["p_paddr"]
    return entry
