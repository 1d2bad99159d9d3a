"""Names of addresses: lists as nm has them, the tables that Linux keeps of itself, and a slide that the CPU tells."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from vmdbg.debugger.kallsyms import EACH, kernel_symbols
from vmdbg.debugger.slide import find_slide, settled
from vmdbg.debugger.symbols import Symbols, listed_symbols, read_symbol_file
from vmdbg.monitor.guest import GuestError

SYSTEM_MAP = b"""\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81e00080 T entry_SYSCALL_64
ffffffff81e00be0 T asm_exc_page_fault
ffffffff81e00aa0 T asm_exc_divide_error
ffffffffc0001000 t helper\t[module]
                 U puts
"""
TEXT = 0xFFFFFFFF81000000


def test_lines_of_nm():
    """Absolute and undefined symbols have no address; a module's name is no part of a symbol's."""
    found = listed_symbols(SYSTEM_MAP)
    assert found["asm_exc_page_fault"] == 0xFFFFFFFF81E00BE0
    assert found["helper"] == 0xFFFFFFFFC0001000
    assert set(found) == {"_text", "startup_64", "entry_SYSCALL_64", "asm_exc_page_fault", "asm_exc_divide_error", "helper"}


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "no symbols"),
        (b"hello\n", "no symbols"),
        (b"\x7fELF", "no symbols"),
        (b"ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n", "the real one is in the -dbg package"),
    ],
)
def test_files_without_symbols(tmp_path, content, words):
    path = tmp_path / "map"
    path.write_bytes(content)
    if not content:
        with pytest.raises(GuestError, match="empty|no symbols"):
            read_symbol_file(path)
        return
    with pytest.raises(GuestError, match=words):
        read_symbol_file(path)


def test_a_slide_moves_every_name():
    symbols = Symbols(listed_symbols(SYSTEM_MAP)).moved(0x200000)
    assert symbols.near(TEXT + 0x200010) == "_text+0x10"
    assert symbols.moved(0).address("_text") == TEXT


# ---- the slide, from the CPU


class Kernel:
    """A session's face for slide.py: a CPU in long mode whose IDT and LSTAR lead into a kernel that has moved."""

    def __init__(self, slide, symbols, gates, lstar=0):
        self.symbols, self.rip = symbols, TEXT + slide
        self.cpu = SimpleNamespace(lstar=lstar, efer=0x500, idtr_base=0x1000, idtr_limit=0xFFF)
        self.idt = bytearray(0x1000)
        for vector, address in gates.items():
            value = address & 0xFFFF | 0x10 << 16 | 0x8E << 40 | (address >> 16 & 0xFFFF) << 48 | (address >> 32) << 64
            self.idt[16 * vector : 16 * vector + 16] = value.to_bytes(16, "little")

    def read(self, address, n):
        return bytes(self.idt[address - 0x1000 : address - 0x1000 + n]) if 0x1000 <= address <= 0x2000 - n else None


@pytest.mark.parametrize("slide", [0, 0x12E00000, 0x3F000000])
def test_the_slide_is_found(slide):
    """What the gates and SYSCALL agree on; a gate that leads elsewhere is outvoted."""
    symbols = Symbols(listed_symbols(SYSTEM_MAP))
    gates = {14: 0xFFFFFFFF81E00BE0 + slide, 0: 0xFFFFFFFF81E00AA0 + slide, 13: 0xFFFFFFFFC0000000}
    kernel = Kernel(slide, symbols, gates, lstar=0xFFFFFFFF81E00080 + slide)
    assert find_slide(kernel, symbols) == slide
    kernel.symbols = settled(kernel)
    assert kernel.symbols.address("_text") == TEXT + slide
    assert settled(kernel) is kernel.symbols, "it is found once"


def test_no_slide_where_the_guest_tells_none():
    symbols = Symbols(listed_symbols(SYSTEM_MAP))
    assert find_slide(Kernel(0, symbols, {}), symbols) is None
    given = symbols.moved(0x1000000)
    assert settled(Kernel(0, given, {14: 0xFFFFFFFF81E00BE0})) is given, "a slide that was given stays"


# ---- kallsyms, made as scripts/kallsyms.c makes it

N = EACH * 12 + 7
NAMES = [f"function_{n}" if n % 5 else f"longer_name_of_a_function_{n}_" + "x" * 120 for n in range(N)]
SLIDE = 0x1A000000


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def tables(order: str) -> bytes:
    """The tables in one order, with names of more than 127 tokens; the first symbol is an absolute one."""
    tokens = [bytes([c]) if 32 < c < 127 else b"" for c in range(256)]
    names, markers = b"", []
    for n, name in enumerate(NAMES):
        if n % EACH == 0:
            markers.append(len(names))
        text = ("A" if n == 0 else "T").encode() + name.encode()
        length = bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 0x7F | 0x80, len(text) >> 7])
        names += length + text
    index = [sum(len(t) + 1 for t in tokens[:k]) for k in range(256)]
    offsets = [0x100] + [-1 - 0x40 * n for n in range(1, N)]
    part = dict(
        offsets=struct.pack(f"<{N}i", *offsets),
        base=struct.pack("<Q", TEXT + SLIDE),
        count=struct.pack("<I", N),
        names=names,
        markers=struct.pack(f"<{len(markers)}I", *markers),
        seqs=bytes(3 * N),
        tokens=b"".join(t + b"\0" for t in tokens),
        index=struct.pack("<256H", *index),
    )
    return b"".join(pad(part[name]) for name in order.split())


@pytest.mark.parametrize(
    "order",
    [
        "offsets base count names markers tokens index",
        "offsets base count names markers seqs tokens index",
        "count names markers tokens index offsets base seqs",
    ],
)
def test_names_that_linux_keeps_of_itself(order):
    ram = np.zeros(4 << 20, np.uint8)
    made = tables(order)
    ram[0x123458 : 0x123458 + len(made)] = np.frombuffer(made, np.uint8)
    found = kernel_symbols(ram)
    assert found is not None
    assert found.table == {name: TEXT + SLIDE + 0x40 * n for n, name in enumerate(NAMES) if n}


def test_memory_without_a_kernel():
    """Nothing, digits alone, and tables that are damaged anywhere."""
    assert kernel_symbols(np.zeros(1 << 20, np.uint8)) is None
    digits = np.frombuffer(b"".join(b"%d\0" % n for n in range(10)) * 40000, np.uint8)
    assert kernel_symbols(digits) is None
    made = np.frombuffer(tables("offsets base count names markers seqs tokens index"), np.uint8)
    random = np.random.default_rng(3)
    for _ in range(30):
        damaged = made.copy()
        damaged[random.integers(0, len(made), 400)] = random.integers(0, 256, 400, np.uint8)
        kernel_symbols(damaged[: random.integers(1000, len(made)) & ~7])
