"""PVH (Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h): an ELF file whose note of the name "Xen" and the
type 18, XEN_ELFNOTE_PHYS32_ENTRY, is a physical address.

The guest starts there in flat 32-bit protected mode with paging off, EBX the address of hvm_start_info.
"""

import io
import struct
from dataclasses import replace
from pathlib import Path

from vmdbg.machine.board.acpi_tables import RSDP
from vmdbg.machine.state import RBX
from vmdbg.monitor.guest import Guest, GuestError, Options
from vmdbg.monitor.load_elf import is_elf, load_elf
from vmdbg.monitor.load_multiboot import after, read_modules
from vmdbg.monitor.memory_map import Room, ranges
from vmdbg.monitor.start import first_tables

PHYS32_ENTRY, MAGIC, VERSION = 18, 0x336EC578, 1


def notes(content: bytes):
    """(name, type, descriptor) of each whole note (System V ABI, generic, chapter 5)."""
    at = 0
    while at + 12 <= len(content):
        name_size, size, kind = struct.unpack_from("<III", content, at)
        name = at + 12
        first = name + -(-name_size // 4) * 4
        if first + size > len(content):
            return
        yield content[name : name + name_size].rstrip(b"\0"), kind, content[first : first + size]
        at = first + -(-size // 4) * 4


def find_entry(image: bytes) -> int | None:
    """The physical entry point, if the file has one."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    if not is_elf(image):
        return None
    try:
        for segment in ELFFile(io.BytesIO(image)).iter_segments():
            h = segment.header
            if h["p_type"] != "PT_NOTE":
                continue
            for name, kind, content in notes(image[h["p_offset"] : h["p_offset"] + h["p_filesz"]]):
                if name == b"Xen" and kind == PHYS32_ENTRY and len(content) in (4, 8):
                    return int.from_bytes(content, "little")
    except (ELFError, ConstructError, ValueError, KeyError, OverflowError, UnicodeDecodeError, MemoryError):
        pass
    return None


def is_pvh(image: bytes) -> bool:
    return find_entry(image) is not None


def load_pvh(path: Path, image: bytes, options: Options) -> Guest:
    """The ELF file's segments, modules (`initrd` is the first one), command line and memory map."""
    entry = find_entry(image)
    if entry is None:
        raise GuestError(f"{path}: no PVH entry point among its ELF notes")
    pieces = list(load_elf(path, image, replace(options, entry=entry, bits=None)).pieces)
    room = Room(pieces, first_tables(options.memory))
    listed = b"".join(
        struct.pack("<QQQQ", room.put(data, "a module", first=after(pieces)), len(data), room.put(text, "a module's name", 8), 0)
        for data, text in read_modules(options)
    )
    modules = room.put(listed, "the list of modules", 8) if listed else 0
    line = room.put((options.append or "").encode() + b"\0", "the command line", 8)
    found = ranges(options.memory)
    table = room.put(b"".join(struct.pack("<QQII", *entry, 0) for entry in found), "the memory map", 8)
    info = struct.pack("<IIIIQQQQII", MAGIC, VERSION, 0, len(listed) // 32, modules, line, RSDP, table, len(found), 0)
    registers = ((RBX, room.put(info, "the start information", 8)),)
    return Guest(path, "PVH", 32, entry, tuple(room.pieces), options.memory, cpus=options.cpus, registers=registers)
