"""Multiboot 2 (Multiboot2 Specification 2.0): header with tags in the first 32 KiB; information as tags.

The guest starts in flat 32-bit protected mode with paging off (3.3): EAX the magic number, EBX the information.
"""

import struct
from pathlib import Path

from vmdbg.machine.board.acpi_tables import RSDP, rsdp
from vmdbg.machine.state import RAX, RBX
from vmdbg.monitor.guest import Guest, GuestError, Options
from vmdbg.monitor.load_multiboot import LOADER_NAME, addressed, after, command_line, from_elf, read_modules
from vmdbg.monitor.memory_map import Room, lower_kib, ranges, upper_kib
from vmdbg.monitor.start import first_tables

HEADER_MAGIC, LOADER_MAGIC, SEARCHED = 0xE85250D6, 0x36D76289, 32768
END, REQUEST, ADDRESS, ENTRY, CONSOLE, FRAMEBUFFER, ALIGN, EFI, EFI32, EFI64, RELOCATABLE = range(11)  # header tags
OPTIONAL = 1  # in a tag's flags
COMMAND_LINE, NAME, MODULE, BASIC_MEMORY, MAP, OLD_ACPI, NEW_ACPI = 1, 2, 3, 4, 6, 14, 15  # information tags
PROVIDED = {COMMAND_LINE, NAME, MODULE, BASIC_MEMORY, MAP, OLD_ACPI, NEW_ACPI}


def find_header(image: bytes) -> int | None:
    """The offset of a header of i386 whose checksum is right."""
    for at in range(0, min(len(image), SEARCHED) - 15, 8):
        if image[at : at + 4] == HEADER_MAGIC.to_bytes(4, "little"):
            if sum(struct.unpack_from("<IIII", image, at)) & 0xFFFFFFFF == 0:
                return at
    return None


def is_multiboot2(image: bytes) -> bool:
    return find_header(image) is not None


def header_tags(path: Path, image: bytes, at: int) -> dict[int, tuple[int, bytes]]:
    """(flags, content) by type."""
    _, architecture, length, _ = struct.unpack_from("<IIII", image, at)
    if architecture != 0:
        raise GuestError(f"{path}: a multiboot 2 header for architecture {architecture}, not for i386")
    if length < 16 or at + length > len(image):
        raise GuestError(f"{path}: a truncated multiboot 2 header: {length:,} bytes are announced")
    tags, place, end = {}, at + 16, at + length
    while place + 8 <= end:
        kind, flags, size = struct.unpack_from("<HHI", image, place)
        if kind == END:
            break
        if size < 8 or place + size > end:
            raise GuestError(f"{path}: a damaged multiboot 2 header: its tag {kind} has {size:,} bytes")
        tags[kind] = (flags, image[place + 8 : place + size])
        place += -(-size // 8) * 8
    return tags


def load_multiboot2(path: Path, image: bytes, options: Options) -> Guest:
    """The image with its modules (`initrd` is the first one) and the information tags."""
    at = find_header(image)
    if at is None:
        raise GuestError(f"{path}: no multiboot 2 header in its first {SEARCHED:,} bytes")
    tags = header_tags(path, image, at)
    for kind, (flags, _) in tags.items():
        if kind > RELOCATABLE and not flags & OPTIONAL:
            raise GuestError(f"{path}: its multiboot 2 header demands tag {kind}, which is not provided")
    flags, wanted = tags.get(REQUEST, (OPTIONAL, b""))
    missing = {n for (n,) in struct.iter_unpack("<I", wanted[: len(wanted) // 4 * 4])} - PROVIDED
    if missing and not flags & OPTIONAL:
        raise GuestError(f"{path}: its multiboot 2 header demands information {min(missing)}, which is not provided")
    for kind, size in ((ADDRESS, 16), (ENTRY, 4)):
        if kind in tags and len(tags[kind][1]) < size:
            raise GuestError(f"{path}: a damaged multiboot 2 header: its tag {kind} is too short")
    own = struct.unpack_from("<I", tags[ENTRY][1])[0] if ENTRY in tags else None
    if ADDRESS in tags:
        if own is None:
            raise GuestError(f"{path}: a multiboot 2 header with addresses and no entry")
        header, first, end, bss_end = struct.unpack_from("<4I", tags[ADDRESS][1])
        pieces, entry = addressed(path, image, options, at, header, first if first != 0xFFFFFFFF else header - at, end, bss_end, own)
    else:
        pieces, entry = from_elf(path, image, options)
        entry = entry if own is None else own
        if not any(p.address <= entry < p.address + p.size for p in pieces):
            raise GuestError(f"{path}: entry {entry:#x} is not in what is loaded")
    room = Room(pieces, first_tables(options.memory))
    modules = [(room.put(data, "a module", first=after(pieces)), len(data), name) for data, name in read_modules(options)]
    info = room.put(information(path, options, modules), "the multiboot information", 8, first=0x8000)
    registers = ((RAX, LOADER_MAGIC), (RBX, info))
    return Guest(path, "multiboot 2", 32, entry, tuple(room.pieces), options.memory, cpus=options.cpus, registers=registers)


def information(path: Path, options: Options, modules: list[tuple[int, int, bytes]]) -> bytes:
    """The information (3.6): total size, reserved, tags, each padded to 8 bytes."""
    table = b"".join(struct.pack("<QQII", *entry, 0) for entry in ranges(options.memory))
    tags = [
        (COMMAND_LINE, command_line(path, options)),
        (NAME, LOADER_NAME),
        *((MODULE, struct.pack("<II", first, first + size) + text) for first, size, text in modules),
        (BASIC_MEMORY, struct.pack("<II", lower_kib(), upper_kib(options.memory))),
        (MAP, struct.pack("<II", 24, 0) + table),
        (OLD_ACPI, rsdp(RSDP)[:20]),
        (NEW_ACPI, rsdp(RSDP)),
        (END, b""),
    ]
    body = b""
    for kind, content in tags:
        body += struct.pack("<II", kind, 8 + len(content)) + content
        body += bytes(-len(body) % 8)
    return struct.pack("<II", 8 + len(body), 0) + body
