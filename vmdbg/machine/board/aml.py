"""Just enough of an AML assembler for a DSDT (ACPI specification 6.5, chapter 20), and resource descriptors (6.4)."""

import struct


def length(content: bytes) -> bytes:
    """PkgLength (20.2.4), which counts itself, before `content`."""
    if len(content) + 1 < 0x40:
        return bytes([len(content) + 1])
    n = 2 if len(content) + 2 < 1 << 12 else 3
    total = len(content) + n
    return bytes([(n - 1) << 6 | total & 0xF, *(total >> 4 + 8 * k & 0xFF for k in range(n - 1))])


def integer(value: int) -> bytes:
    if value < 2:
        return bytes([value])
    for prefix, code in ((0x0A, "<B"), (0x0B, "<H"), (0x0C, "<I"), (0x0E, "<Q")):
        if value < 1 << 8 * struct.calcsize(code):
            return bytes([prefix]) + struct.pack(code, value)
    raise ValueError(f"{value:#x} has more than 64 bits")


def name(path: str, value: bytes) -> bytes:
    """Name (path, value)."""
    return b"\x08" + path.encode() + value


def scope(path: str, *parts: bytes) -> bytes:
    content = path.encode() + b"".join(parts)
    return b"\x10" + length(content) + content


def device(path: str, *parts: bytes) -> bytes:
    content = path.encode() + b"".join(parts)
    return b"\x5b\x82" + length(content) + content


def package(*parts: bytes) -> bytes:
    content = bytes([len(parts)]) + b"".join(parts)
    return b"\x12" + length(content) + content


def buffer(data: bytes) -> bytes:
    content = integer(len(data)) + data
    return b"\x11" + length(content) + content


def eisa(text: str) -> bytes:
    """EisaId ("PNP0A03"): three letters of five bits, then four hexadecimal digits, big-endian."""
    letters = [ord(c) - 0x40 for c in text[:3]]
    value = letters[0] << 26 | letters[1] << 21 | letters[2] << 16 | int(text[3:], 16)
    return b"\x0c" + struct.pack(">I", value)


def resources(*parts: bytes) -> bytes:
    """ResourceTemplate: descriptors and the end tag."""
    return buffer(b"".join(parts) + b"\x79\0")


def io(first: int, count: int) -> bytes:
    """Ports, 16-bit decode (6.4.2.5)."""
    return struct.pack("<BBHHBB", 0x47, 1, first, first, 1, count)


def irq(number: int) -> bytes:
    """An edge-triggered ISA interrupt (6.4.2.1)."""
    return struct.pack("<BH", 0x22, 1 << number)


def bus_range(first: int, last: int) -> bytes:
    """PCI bus numbers that a bridge produces (6.4.3.5.3)."""
    return struct.pack("<BHBBBHHHHH", 0x88, 13, 2, 0x0C, 0, 0, first, last, 0, last - first + 1)


def io_range(first: int, last: int) -> bytes:
    """Ports that a bridge passes on (6.4.3.5.3)."""
    return struct.pack("<BHBBBHHHHH", 0x88, 13, 1, 0x0C, 3, 0, first, last, 0, last - first + 1)


def memory_range(first: int, last: int) -> bytes:
    """Memory below 4 GiB that a bridge passes on, read and write, not cacheable (6.4.3.5.2)."""
    return struct.pack("<BHBBBIIIII", 0x87, 23, 0, 0x0C, 1, 0, first, last, 0, last - first + 1)
