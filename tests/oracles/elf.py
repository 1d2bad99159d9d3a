"""The two ELF files the oracles need, written out byte by byte, so that no compiler is needed."""

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


def forwarding_library(forwards: dict[str, str]) -> bytes:
    """A shared library that defines every key of `forwards` as a jump to the symbol it maps to, resolved by the loader.

    One segment, read, write and execute:  header | code | slots | symbols | relocations | hash | strings | dynamic.
    """
    names = list(forwards)
    strings = b"\0"
    string_at = {}
    for name in [*names, *dict.fromkeys(forwards.values())]:
        string_at[name] = len(strings)
        strings += name.encode() + b"\0"
    targets = list(dict.fromkeys(forwards.values()))
    count = 1 + len(names) + len(targets)

    code_at = PAGE
    slots_at = code_at + 8 * len(names)
    symbols_at = slots_at + 8 * len(targets)
    relocations_at = symbols_at + 24 * count
    hash_at = relocations_at + 24 * len(targets)
    strings_at = hash_at + 4 * (2 + 1 + count)
    dynamic_at = (strings_at + len(strings) + 7) & ~7

    code, symbols, relocations = b"", bytes(24), b""
    for n, name in enumerate(names):
        slot = slots_at + 8 * targets.index(forwards[name])
        code += b"\xff\x25" + struct.pack("<i", slot - (code_at + 8 * n + 6)) + b"\xcc\xcc"  # jmp [rip+slot]
        symbols += struct.pack("<IBBHQQ", string_at[name], 0x12, 0, 1, code_at + 8 * n, 6)  # global function, defined
    for n, target in enumerate(targets):
        symbols += struct.pack("<IBBHQQ", string_at[target], 0x12, 0, 0, 0, 0)  # global function, undefined
        relocations += struct.pack("<QQq", slots_at + 8 * n, (1 + len(names) + n) << 32 | 6, 0)  # R_X86_64_GLOB_DAT
    # One bucket, whose chain runs through all symbols.
    chain = [0, *range(2, count), 0]
    hashes = struct.pack(f"<II{1 + count}I", 1, count, 1, *chain)
    tags = [(4, hash_at), (5, strings_at), (6, symbols_at), (10, len(strings)), (11, 24)]
    tags += [(7, relocations_at), (8, 24 * len(targets)), (9, 24), (0x18, 0), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)

    body = code + bytes(8 * len(targets)) + symbols + relocations + hashes + strings
    body += bytes(dynamic_at - PAGE - len(body)) + dynamic
    size = PAGE + len(body)
    segments = struct.pack("<IIQQQQQQ", _PT_LOAD, 7, 0, 0, 0, size, size, PAGE)
    segments += struct.pack("<IIQQQQQQ", _PT_DYNAMIC, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8)
    segments += struct.pack("<IIQQQQQQ", _PT_GNU_STACK, 6, 0, 0, 0, 0, 0, 16)
    head = _header(_ET_DYN, 0, 3) + segments
    return head + bytes(PAGE - len(head)) + body
