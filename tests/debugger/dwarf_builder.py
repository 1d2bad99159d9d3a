"""Small ELF files with DWARF, made byte by byte: no compiler is needed."""

import struct

WIDTHS = {32: 4, 64: 8}
STANDARD = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))  # operands of the standard opcodes of a line program
# One abbreviation: a unit with name, folder, line program, low and high address (DWARF 4, 7.5)
ABBREVIATION = bytes((1, 0x11, 0, 0x03, 0x08, 0x1B, 0x08, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0, 0))


def uleb(value: int) -> bytes:
    found = bytearray()
    while True:
        found.append(value & 0x7F | (0x80 if value >> 7 else 0))
        value >>= 7
        if not value:
            return bytes(found)


def sleb(value: int) -> bytes:
    found = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        done = value == (-1 if byte & 0x40 else 0)
        found.append(byte | (0 if done else 0x80))
        if done:
            return bytes(found)


def word(value: int, bits: int) -> bytes:
    return value.to_bytes(WIDTHS[bits], "little")


def line_program(files: list[str], sequences: list[list[tuple[int, int, int]]], bits: int) -> bytes:
    """Sequences of rows (address, number of the file from 1, line); the last row of each says where it ends."""
    code = bytearray()
    for rows in sequences:
        code += b"\0" + uleb(1 + WIDTHS[bits]) + b"\x02" + word(rows[0][0], bits)  # set_address
        at, file, line = rows[0][0], 1, 1
        for address, number, to in rows:
            code += b"\x02" + uleb(address - at)  # advance_pc
            at = address
            if (address, number, to) == rows[-1]:
                code += b"\0\x01\x01"  # end_sequence
                break
            if number != file:
                code += b"\x04" + uleb(number)  # set_file
                file = number
            code += b"\x03" + sleb(to - line) + b"\x01"  # advance_line, copy
            line = to
    names = b"\0" + b"".join(f.encode() + b"\0\0\0\0" for f in files) + b"\0"
    rest = bytes((1, 1, 1, 0xFB, 14, 13)) + STANDARD + names
    body = struct.pack("<HI", 4, len(rest)) + rest + code
    return struct.pack("<I", len(body)) + body


def unit(name: str, folder: str, lines_at: int, low: int, size: int, bits: int) -> bytes:
    entry = b"\x01" + name.encode() + b"\0" + folder.encode() + b"\0"
    entry += struct.pack("<I", lines_at) + word(low, bits) + struct.pack("<I", size)
    body = struct.pack("<HIB", 4, 0, WIDTHS[bits]) + entry
    return struct.pack("<I", len(body)) + body


def arange(unit_at: int, low: int, size: int, bits: int) -> bytes:
    width = WIDTHS[bits]
    head = struct.pack("<HIBB", 2, unit_at, width, 0)
    padding = -(4 + len(head)) % (2 * width)
    body = head + bytes(padding) + word(low, bits) + word(size, bits) + bytes(2 * width)
    return struct.pack("<I", len(body)) + body


def frames(entries: list[tuple[int, int, bytes]], returns: int, stack: int, bits: int, augmentation: bytes = b"") -> bytes:
    """.debug_frame: entries (address, size, instructions) after a call pushed what to return to; numbers are DWARF's."""
    width = WIDTHS[bits]
    first = b"\x0c" + uleb(stack) + uleb(width) + bytes((0x80 | returns,)) + uleb(1)  # def_cfa, offset
    length = uleb(0) if augmentation.startswith(b"z") else b""
    head = b"\xff\xff\xff\xff\x01" + augmentation + b"\0" + uleb(1) + sleb(-width) + bytes((returns,)) + length + first
    head += bytes(-(4 + len(head)) % width)
    found = struct.pack("<I", len(head)) + head
    for address, size, code in entries:
        body = bytes(4) + word(address, bits) + word(size, bits) + length + code
        body += bytes(-(4 + len(body)) % width)
        found += struct.pack("<I", len(body)) + body
    return found


def elf(sections: dict[str, bytes], bits: int = 32) -> bytes:
    """An ELF file with these sections and nothing else."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, ".shstrtab"))
    wide = bits == 64
    head_size, row = (64, 64) if wide else (52, 40)
    data, rows = bytearray(head_size), [bytes(row)]
    for name, content in {**sections, ".shstrtab": names}.items():
        at, kind = len(data), 3 if name == ".shstrtab" else 1
        where = names.index(name.encode() + b"\0")
        rows.append(
            struct.pack("<IIQQQQIIQQ", where, kind, 0, 0, at, len(content), 0, 0, 1, 0)
            if wide
            else struct.pack("<10I", where, kind, 0, 0, at, len(content), 0, 0, 1, 0)
        )
        data += content
    identity = b"\x7fELF" + bytes((2 if wide else 1, 1, 1)) + bytes(9)
    tail = (0, head_size, 0, 0, row, len(rows), len(rows) - 1)
    if wide:
        data[:64] = identity + struct.pack("<HHIQQQI6H", 2, 62, 1, 0, 0, len(data), *tail)
    else:
        data[:52] = identity + struct.pack("<HHIIIII6H", 2, 3, 1, 0, 0, len(data), *tail)
    return bytes(data) + b"".join(rows)


def program(units: list[tuple[str, list[str], list[list[tuple[int, int, int]]]]], bits: int = 32, listed: int | None = None, **more: bytes):
    """An ELF file of units (name, files, sequences of rows); the first `listed` of them are in .debug_aranges."""
    info, line, ranges = b"", b"", b""
    for n, (name, files, sequences) in enumerate(units):
        low = min(rows[0][0] for rows in sequences)
        size = max(rows[-1][0] for rows in sequences) - low
        if listed is None or n < listed:
            ranges += arange(len(info), low, size, bits)
        info += unit(name, "/src", len(line), low, size, bits)
        line += line_program(files, sequences, bits)
    sections = {".debug_info": info, ".debug_abbrev": ABBREVIATION, ".debug_line": line, ".debug_aranges": ranges}
    return elf(sections | {f".{name}": content for name, content in more.items()}, bits)
