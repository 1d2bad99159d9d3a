"""The two kinds of ELF file the oracles need, written out byte by byte, so that no compiler is needed."""

import struct

EXEC, WRITE, READ = 1, 2, 4
PAGE = 0x1000
_PT_LOAD, _PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_ET_EXEC, _ET_DYN = 2, 3


def _header(kind: int, entry: int, segments: int) -> bytes:
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, entry, 64, 0, 0, 64, 56, segments, 0, 0, 0)


def executable(entry: int, segments: list[tuple[int, int, bytes, int]]) -> bytes:
    """A static program. `segments`: (address, READ|WRITE|EXEC, contents, size in memory), page aligned, by rising address."""
    offset = PAGE
    table, body = b"", b""
    for address, flags, contents, size in segments:
        table += struct.pack("<IIQQQQQQ", _PT_LOAD, flags, offset, address, address, len(contents), size, PAGE)
        padded = contents + bytes(-len(contents) % PAGE)
        body += padded
        offset += len(padded)
    table += struct.pack("<IIQQQQQQ", _PT_GNU_STACK, READ | WRITE, 0, 0, 0, 0, 0, 16)
    head = _header(_ET_EXEC, entry, len(segments) + 1) + table
    return head + bytes(PAGE - len(head)) + body


def library(body: bytes, symbols: dict[str, int], imports: dict[int, str]) -> bytes:
    """A shared library: `body` stands at address PAGE of one read, write and execute segment; `symbols` are the addresses it defines,
    `imports` the 8-byte slots that the loader fills with other libraries' symbols.

    header | body | symbols | relocations | hash | strings | dynamic
    """
    strings, string_at = b"\0", {}
    for name in [*symbols, *dict.fromkeys(imports.values())]:
        string_at[name] = len(strings)
        strings += name.encode() + b"\0"
    targets = list(dict.fromkeys(imports.values()))
    count = 1 + len(symbols) + len(targets)

    symbols_at = (PAGE + len(body) + 7) & ~7
    relocations_at = symbols_at + 24 * count
    hash_at = relocations_at + 24 * len(imports)
    strings_at = hash_at + 4 * (2 + 1 + count)
    dynamic_at = (strings_at + len(strings) + 7) & ~7

    table, relocations = bytes(24), b""
    for name, address in symbols.items():
        table += struct.pack("<IBBHQQ", string_at[name], 0x12, 0, 1, address, 8)  # global function, defined
    for target in targets:
        table += struct.pack("<IBBHQQ", string_at[target], 0x12, 0, 0, 0, 0)  # global function, undefined
    for slot, target in imports.items():
        number = 1 + len(symbols) + targets.index(target)
        relocations += struct.pack("<QQq", slot, number << 32 | 6, 0)  # R_X86_64_GLOB_DAT
    # One bucket, whose chain runs through all symbols.
    hashes = struct.pack(f"<II{1 + count}I", 1, count, 1, 0, *range(2, count), 0)
    tags = [(4, hash_at), (5, strings_at), (6, symbols_at), (10, len(strings)), (11, 24)]
    tags += [(7, relocations_at), (8, 24 * len(imports)), (9, 24), (0x18, 0), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)

    body += bytes(symbols_at - PAGE - len(body)) + table + relocations + hashes + strings
    body += bytes(dynamic_at - PAGE - len(body)) + dynamic
    size = PAGE + len(body)
    segments = struct.pack("<IIQQQQQQ", _PT_LOAD, 7, 0, 0, 0, size, size, PAGE)
    segments += struct.pack("<IIQQQQQQ", _PT_DYNAMIC, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8)
    segments += struct.pack("<IIQQQQQQ", _PT_GNU_STACK, 6, 0, 0, 0, 0, 0, 16)
    head = _header(_ET_DYN, 0, 3) + segments
    return head + bytes(PAGE - len(head)) + body
