"""Multiboot 1 (Multiboot Specification 0.6.96): header in the first 8 KiB; ELF, or the header's own addresses.

The guest starts in flat 32-bit protected mode with paging off (3.2): EAX the magic number, EBX the information structure
(3.3), which has memory sizes and map, command line (its first word names the program), modules and the loader's name.
"""

import struct
from dataclasses import replace
from pathlib import Path

from vmdbg.machine.state import RAX, RBX
from vmdbg.monitor.guest import Guest, GuestError, Options, Piece
from vmdbg.monitor.load_elf import is_elf, load_elf
from vmdbg.monitor.memory_map import Room, lower_kib, ranges, upper_kib
from vmdbg.monitor.read_image import read_image
from vmdbg.monitor.start import first_tables

HEADER_MAGIC, LOADER_MAGIC, SEARCHED = 0x1BADB002, 0x2BADB002, 8192
PAGE_ALIGN, MEMORY_INFO, VIDEO_MODE, ADDRESSES = 1, 2, 4, 0x10000  # header flags; the lower 16 must be understood
I_MEMORY, I_COMMAND_LINE, I_MODULES, I_MAP, I_NAME = 1, 4, 8, 0x40, 0x200  # information flags
INFO_SIZE = 116
LOADER_NAME = b"vmdbg\0"


def find_header(image: bytes) -> int | None:
    """The offset of a header whose checksum is right."""
    for at in range(0, min(len(image), SEARCHED) - 11, 4):
        if image[at : at + 4] == HEADER_MAGIC.to_bytes(4, "little"):
            magic, flags, checksum = struct.unpack_from("<III", image, at)
            if (magic + flags + checksum) & 0xFFFFFFFF == 0:
                return at
    return None


def is_multiboot(image: bytes) -> bool:
    return find_header(image) is not None


def load_multiboot(path: Path, image: bytes, options: Options) -> Guest:
    """The image with its modules (`initrd` is the first one) and the information structure."""
    at = find_header(image)
    if at is None:
        raise GuestError(f"{path}: no multiboot header in its first {SEARCHED:,} bytes")
    flags = struct.unpack_from("<I", image, at + 4)[0]
    if flags & 0xFFFF & ~(PAGE_ALIGN | MEMORY_INFO | VIDEO_MODE):
        raise GuestError(f"{path}: its multiboot header demands what nobody has defined: flags {flags:#x}")
    if flags & ADDRESSES:
        if len(image) < at + 32:
            raise GuestError(f"{path}: a truncated multiboot header")
        addresses = struct.unpack_from("<5I", image, at + 12)
        pieces, entry = addressed(path, image, options, at, *addresses)
    else:
        pieces, entry = from_elf(path, image, options)
    room = Room(pieces, first_tables(options.memory))
    modules = [(room.put(data, "a module", first=after(pieces)), len(data), name) for data, name in read_modules(options)]
    info = room.put(bytes(INFO_SIZE), "the multiboot information", 16)
    place = len(room.pieces) - 1
    room.pieces[place] = Piece(info, information(path, options, room, modules), INFO_SIZE)
    registers = ((RAX, LOADER_MAGIC), (RBX, info))
    return Guest(path, "multiboot", 32, entry, tuple(room.pieces), options.memory, cpus=options.cpus, registers=registers)


def information(path: Path, options: Options, room: Room, modules: list[tuple[int, int, bytes]]) -> bytes:
    """The information structure (3.3); what it points to is put into `room`."""
    line = room.put(command_line(path, options), "the command line", 4)
    name = room.put(LOADER_NAME, "the loader's name", 4)
    table = b"".join(struct.pack("<IIII", first, first + size, room.put(text, "a module's name", 4), 0) for first, size, text in modules)
    listed = room.put(table, "the list of modules", 4) if modules else 0
    entries = b"".join(struct.pack("<IQQI", 20, first, size, kind) for first, size, kind in ranges(options.memory))
    mapped = room.put(entries, "the memory map", 4)
    info = bytearray(INFO_SIZE)
    flags = I_MEMORY | I_COMMAND_LINE | I_MAP | I_NAME | I_MODULES
    struct.pack_into("<III", info, 0, flags, lower_kib(), upper_kib(options.memory))
    struct.pack_into("<III", info, 16, line, len(modules), listed)
    struct.pack_into("<II", info, 44, len(entries), mapped)
    struct.pack_into("<I", info, 64, name)
    return bytes(info)


def command_line(path: Path, options: Options) -> bytes:
    """The program's name and what the user appends, ended by 0."""
    return " ".join([path.name, *([options.append] if options.append else [])]).encode() + b"\0"


def read_modules(options: Options) -> list[tuple[bytes, bytes]]:
    """(content, command line ended by 0) of the initrd and of each module."""
    texts = [*([options.initrd] if options.initrd is not None else []), *options.modules]
    found = []
    for text in texts:
        name = text if Path(text).exists() else text.split(" ", 1)[0]
        found.append((read_image(Path(name), options.memory), text.encode() + b"\0"))
    return found


def after(pieces: list[Piece]) -> int:
    """Where modules may begin: above the guest, or above 1 MiB."""
    return max([1 << 20, *(p.address + p.size for p in pieces)])


def from_elf(path: Path, image: bytes, options: Options) -> tuple[list[Piece], int]:
    if not is_elf(image):
        raise GuestError(f"{path}: a multiboot header without addresses, and not an ELF file")
    guest = load_elf(path, image, replace(options, entry=None, bits=None))
    return list(guest.pieces), guest.entry


def addressed(path: Path, image: bytes, options: Options, at: int, header: int, first: int, end: int, bss_end: int, entry: int):
    """What the header's own address fields say (3.1.3): (pieces, entry).  `at` is the header's place in the file."""
    offset = at - (header - first)
    if first > header or offset < 0:
        raise GuestError(f"{path}: a damaged multiboot header: it says that loading begins before the file does")
    size = end - first if end else len(image) - offset
    if size <= 0 or offset + size > len(image):
        raise GuestError(f"{path}: a truncated multiboot image: {size:,} bytes from {offset:#x} on are announced")
    whole = max(size, bss_end - first if bss_end else 0)
    if first + whole > options.memory:
        raise GuestError(f"{path}: {first:#x}-{first + whole:#x} does not fit into {options.memory >> 20} MiB of memory (--memory)")
    if not first <= entry < first + whole:
        raise GuestError(f"{path}: entry {entry:#x} is not in what is loaded")
    return [Piece(first, image[offset : offset + size], whole)], entry
