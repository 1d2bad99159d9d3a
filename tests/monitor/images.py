"""Small guests of every format, as bytes."""

import struct

BASE = 0x100000


def elf(code: bytes, *, bits: int = 32, notes: bytes = b"", entry: int = BASE) -> bytes:
    """One segment of code at BASE; with notes, a PT_NOTE segment too."""
    count = 2 if notes else 1
    if bits == 32:
        at = 52 + 32 * count
        header = struct.pack("<4s5B7xHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1, 0, 0, 2, 3, 1, entry, 52, 0, 0, 52, 32, count, 40, 0, 0)
        header += struct.pack("<8I", 1, at, BASE, BASE, len(code), len(code) + 0x1000, 7, 4096)
        if notes:
            header += struct.pack("<8I", 4, at + len(code), 0, 0, len(notes), len(notes), 4, 4)
    else:
        at = 64 + 56 * count
        header = struct.pack("<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1, entry, 64, 0, 0, 64, 56, count, 64, 0, 0)
        header += struct.pack("<IIQQQQQQ", 1, 7, at, BASE, BASE, len(code), len(code) + 0x1000, 4096)
        if notes:
            header += struct.pack("<IIQQQQQQ", 4, 4, at + len(code), 0, 0, len(notes), len(notes), 4)
    return header + code + notes


def multiboot(code: bytes, flags: int = 3) -> bytes:
    """An ELF32 file: header, then code at BASE + 12."""
    header = struct.pack("<III", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)
    return elf(header + code, entry=BASE + 12)


def multiboot_addresses(code: bytes) -> bytes:
    """No ELF: the header says where it goes."""
    flags = 0x10003
    header = struct.pack("<III", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)
    body = header + struct.pack("<5I", BASE + 16, BASE, 0, BASE + 0x4000, BASE + 48)
    return bytes(16) + body + code


def multiboot2(code: bytes, *tags: tuple[int, int, bytes]) -> bytes:
    body = b""
    for kind, flags, content in (*tags, (0, 0, b"")):
        body += struct.pack("<HHI", kind, flags, 8 + len(content)) + content
        body += bytes(-len(body) % 8)
    size = 16 + len(body)
    header = struct.pack("<IIII", 0xE85250D6, 0, size, -(0xE85250D6 + size) & 0xFFFFFFFF)
    pad = bytes(4)  # 52 + 32 bytes of ELF headers come before: to a multiple of 8
    return elf(pad + header + body + code, entry=BASE + 4 + size)


def pvh(code: bytes, bits: int = 64) -> bytes:
    note = struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", BASE)
    return elf(code, bits=bits, notes=struct.pack("<III4sI", 4, 4, 6, b"Xen\0", 1) + note, entry=0xFFFF0000)


def linux(code: bytes, flags: int = 1, version: int = 0x20F) -> bytes:
    """A bzImage whose kernel is `code` at both entries."""
    kernel = code.ljust(0x200, b"\xf4") + code
    kernel += bytes(-len(kernel) % 16)
    setup = bytearray(1024)
    setup[0x1F1] = 1
    struct.pack_into("<I", setup, 0x1F4, len(kernel) // 16)
    setup[0x1FE:0x206] = b"\x55\xaa\xeb\x66HdrS"
    struct.pack_into("<H", setup, 0x206, version)
    setup[0x211] = 1
    struct.pack_into("<I", setup, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<I", setup, 0x230, 0x200000)
    setup[0x234] = 1
    struct.pack_into("<HI", setup, 0x236, flags, 255)
    struct.pack_into("<QI", setup, 0x258, 0x1000000, 0x100000)
    return bytes(setup) + kernel
