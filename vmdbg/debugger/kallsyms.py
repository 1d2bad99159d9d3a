"""Names that a Linux kernel keeps of itself: the tables of kallsyms, found in guest memory once it has unpacked itself.

They say where its functions are now, so a KASLR slide is in them.  Layout (scripts/kallsyms.c of Linux; every table on a
multiple of 8 bytes), up to 6.3 and from 6.4 on:

    offsets  relative_base  num_syms  names  markers  [seqs]  token_table  token_index
    num_syms  names  markers  token_table  token_index  offsets  relative_base  [seqs]

    names         per symbol a length (bit 7: one more byte, of 128s) and so many tokens; the first letter is nm's type
    markers       u32: where every 256th symbol begins in names
    token_table   256 strings, each with its NUL; token_index: u16, where each begins
    offsets       i32: from 0 up an absolute value (per-CPU), below 0 relative_base - 1 - offset; or all u32 from relative_base
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from vmdbg.debugger.symbols import NO_ADDRESSES, Symbols

DIGITS = re.compile(re.escape(b"\0" + b"".join(b"%d\0" % n for n in range(10))))  # tokens 30h-39h stand for themselves
FIRST_DIGIT, TOKENS, LONGEST_TOKENS = 0x30, 256, 16 << 10
EACH = 256  # symbols a marker
MOST_PLACES = 64  # that look like the table at first sight
MOST_SYMBOLS, FEWEST_MARKERS = 1 << 20, 8
BEFORE_TOKENS = 6 << 20  # bytes that markers and seqs take at most
LONGEST_CHUNK = EACH * 130  # bytes of the names between two markers
KERNEL = 0xFFFF_FFFF_8000_0000  # the kernel's text and data are above


@dataclass(frozen=True)
class Tokens:
    """Where token_table and the end of token_index lie in memory, and the tokens."""

    start: int
    end: int
    texts: tuple[bytes, ...]


def kernel_symbols(ram: np.ndarray) -> Symbols | None:
    """The symbols of the Linux kernel in `ram` (bytes of guest-physical memory); None if there is none, or not yet."""
    for hit in islice(DIGITS.finditer(ram.data), MOST_PLACES):
        tokens = tokens_around(ram, hit.start() + 1)
        for found in symbols_at(ram, tokens) if tokens is not None else ():
            return found
    return None


def up(address: int) -> int:
    return (address + 7) & ~7


def tokens_around(ram: np.ndarray, digit: int) -> Tokens | None:
    """The tokens, if the bytes at `digit` are token 30h of such a table."""
    first = max(digit - LONGEST_TOKENS, 0)
    before = ram[first:digit].tobytes().split(b"\0")[:-1]
    if len(before) < FIRST_DIGIT + 1:
        return None
    latest = digit - sum(len(token) + 1 for token in before[-FIRST_DIGIT:])
    for start in range(latest & ~7, latest - 8, -8):  # what is empty at the end of `before` may be the padding in front
        texts = ram[start : start + LONGEST_TOKENS].tobytes().split(b"\0")[:TOKENS]
        places = [0]
        for text in texts:
            places.append(places[-1] + len(text) + 1)
        index = up(start + places.pop())
        expected = struct.pack(f"<{len(places)}H", *(place & 0xFFFF for place in places))
        if len(texts) == TOKENS and ram[index : index + 2 * TOKENS].tobytes() == expected:
            return Tokens(start, index + 2 * TOKENS, tuple(texts))
    return None


def symbols_at(ram: np.ndarray, tokens: Tokens) -> Iterator[Symbols]:
    """Symbols by every reading of what lies around the tokens that holds together."""
    for markers, values in islice(marker_tables(ram, tokens.start), MOST_PLACES):
        last = markers - values[-1]
        for base in range(up(max(last - 8 - LONGEST_CHUNK, 8)), last + 1, 8):
            n = int.from_bytes(ram[base - 8 : base].tobytes(), "little")
            if not 0 < n <= MOST_SYMBOLS or -(-n // EACH) != len(values):
                continue
            names = read_names(ram[base:markers].tobytes(), n, values, tokens.texts)
            if names is None:
                continue
            for offsets in (up(tokens.end), base - 16 - up(4 * n)):
                addresses = read_addresses(ram, offsets, n)
                if addresses is not None:
                    kinds = [(name, address) for name, address in zip(names, addresses) if name[0] not in NO_ADDRESSES]
                    yield Symbols({name[1:].decode(errors="replace"): address for name, address in kinds if address >= KERNEL})


def marker_tables(ram: np.ndarray, end: int) -> Iterator[tuple[int, list[int]]]:
    """(address, values) of u32s in the last bytes before `end` that begin with 0 and ascend as markers do."""
    first = max(end - BEFORE_TOKENS, 0) & ~7
    words = ram[first : end & ~7].view("<u4").astype(np.int64)
    steps = np.diff(words)
    rising = (steps >= 2 * EACH) & (steps <= LONGEST_CHUNK)
    ends = np.append(np.flatnonzero(~rising), len(rising))
    for start in np.flatnonzero((words[:-1] == 0) & rising & (np.arange(len(rising)) % 2 == 0))[::-1]:
        count = int(ends[np.searchsorted(ends, start)]) - int(start) + 1
        if count >= FEWEST_MARKERS:
            yield first + 4 * int(start), words[start : start + count].tolist()


def read_names(names: bytes, n: int, markers: list[int], texts: tuple[bytes, ...]) -> list[bytes] | None:
    """The n names, type letter first; None if they do not begin where the markers say."""
    found, at = [], 0
    for k in range(n):
        if k % EACH == 0 and markers[k // EACH] != at:
            return None
        if at + 2 > len(names):
            return None
        length, at = names[at], at + 1
        if length & 0x80:
            length, at = length & 0x7F | names[at] << 7, at + 1
        name = b"".join([texts[token] for token in names[at : at + length]])
        at += length
        if len(name) < 2 or at > len(names):
            return None
        found.append(name)
    return found if len(names) - at < 8 else None


def read_addresses(ram: np.ndarray, at: int, n: int) -> list[int] | None:
    """The n addresses of the offsets at `at`, relative_base behind them; None if they are none: they ascend within a kernel."""
    behind = up(at + 4 * n)
    if at < 0 or at & 7 or behind + 8 > len(ram):
        return None
    base = int.from_bytes(ram[behind : behind + 8].tobytes(), "little")
    offsets = ram[at : at + 4 * n].view("<i4").astype(np.int64)
    if base < KERNEL:
        return None
    absolute = bool((offsets < 0).any())
    wide = np.where(offsets < 0, -1 - offsets, 0) if absolute else offsets & 0xFFFFFFFF
    ordered = wide[offsets < 0] if absolute else wide
    if (np.diff(ordered) < 0).any() or base + int(ordered[-1]) >= 1 << 64:
        return None
    return [int(o) if absolute and o >= 0 else base + int(w) for o, w in zip(offsets.tolist(), wide.tolist())]
