"""The descriptor tables that user mode meets: Linux's GDT, asked for with LAR and LSL, and an LDT of our own making.

What user mode can see of a GDT is what it can load: `read(run)` asks for every selector, so that a guest can be given the same
tables. What it cannot see (DPL 0, or empty) faults alike whatever it is; there stand Linux's descriptors (arch/x86/kernel/cpu/
common.c: gdt_page). Each process has its own LDT, by modify_ldt (asm/ldt.h): always DPL 3 and accessed, never conforming code.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .layout import CODE, CODE_SIZE, CODE_START, RAX, RBX, RSI, WINDOW, WINDOW_SIZE, ZF, empty

_DATA, _DATA_DOWN, _CODE = 0, 1, 2  # user_desc.contents
_BIG, _READ_ONLY, _PAGES, _ABSENT, _USEABLE = 1, 8, 16, 32, 64  # user_desc's other flags
# (base, limit field, flags)
LDT_ENTRIES = (
    (0, 0xFFFFF, _BIG | _PAGES | _USEABLE | _DATA << 1),
    (0, 0xFFFFF, _BIG | _PAGES | _READ_ONLY | _DATA << 1),
    (0, WINDOW - 1 >> 12, _BIG | _PAGES | _DATA_DOWN << 1),
    (WINDOW, WINDOW_SIZE - 1, _BIG | _DATA << 1),
    (WINDOW + 0x10, 0xFFF, _DATA << 1),
    (0, 0xFFFFF, _BIG | _PAGES | _CODE << 1),
    (0, 0xFFFFF, _BIG | _PAGES | _READ_ONLY | _CODE << 1),
    (0, 0xFFFFF, _PAGES | _CODE << 1),
    (0, CODE_START + 0x1000 >> 12, _BIG | _PAGES | _CODE << 1),
    (0, 0xFFFFF, _BIG | _PAGES | _ABSENT | _DATA << 1),
    (0, 0xFFFFF, _BIG | _PAGES | _ABSENT | _CODE << 1),
    (0, 0xFFFFF, _BIG | _PAGES | _ABSENT | 3 << 1),
    (CODE, CODE_SIZE - 1, _CODE << 1),
    (WINDOW, 0xFFFFF, _DATA_DOWN << 1),
)
GDT_SIZE = 0x80
LINUX = (0, 0x00CF9B000000FFFF, 0x00AF9B000000FFFF, 0x00CF93000000FFFF)  # descriptors 1 to 3: the kernel's
TSS_SELECTOR, LDT_SELECTOR = 0x40, 0x50
# Null, the kernel's, Linux's flat ones, system descriptors, empty ones, the processor's number, the LDT's, and beyond both limits.
SELECTORS = np.array(
    [0, 1, 2, 3, 0x08, 0x0B, 0x10, 0x13, 0x18, 0x1B, 0x20, 0x23, 0x28, 0x2A, 0x2B, 0x30, 0x33, 0x23, 0x2B, 0x33, 0x3B, 0x43, 0x50, 0x63]
    + [0x78, 0x7B, 0x80, 0x83, 0xFFF8, 0xFFFF]
    + [8 * n | 7 for n in range(len(LDT_ENTRIES) + 2)]
    + [4, 0x2C, 0x2D],
    np.uint64,
)


def user_desc(n: int) -> bytes:
    """modify_ldt's record of entry `n`."""
    base, limit, flags = LDT_ENTRIES[n]
    return struct.pack("<IIII", n, base, limit, flags)


@dataclass(frozen=True)
class HostTables:
    """`gdt` and `ldt`: descriptors as words; gdtr and idtr: (base, limit) as SGDT and SIDT tell; selectors; TSC_AUX."""

    gdt: np.ndarray
    ldt: np.ndarray
    gdtr: tuple[int, int]
    idtr: tuple[int, int]
    tr: int
    ldtr: int
    tsc_aux: int


def _descriptor(base: int, rights: int, limit: int) -> int:
    """A descriptor from LAR's answer (access rights in bits 8-23) and LSL's."""
    field = limit >> 12 if rights & 0x800000 else limit
    low = field & 0xFFFF | (base & 0xFFFFFF) << 16
    return low | ((rights & 0xF0FF00) | field & 0xF0000 | base & 0xFF000000) << 32


def read(run: Callable) -> HostTables:
    """The tables as `run` (native.run) finds them."""

    def one(code: str, selectors: list[int]) -> np.ndarray:
        states = empty(len(selectors))
        states["rip"], states["rflags"] = CODE_START, 0x202
        states["fx"]["fcw"], states["fx"]["mxcsr"] = 0x37F, 0x1F80
        states["gpr"][:, RBX], states["gpr"][:, RSI] = selectors, WINDOW
        return run(states, bytes.fromhex(code), 64)

    def table(selectors: list[int], bases: list[int]) -> np.ndarray:
        rights, limits = one("0f 02 c3", selectors), one("0f 03 c3", selectors)
        words = zip(bases, rights["gpr"][:, RAX].tolist(), limits["gpr"][:, RAX].tolist())
        return np.where(rights["rflags"] & np.uint64(ZF) != 0, np.array([_descriptor(*w) for w in words], np.uint64), np.uint64(0))

    gdt = table([n | 3 for n in range(0, GDT_SIZE, 8)], [0] * (GDT_SIZE // 8))
    gdt[: len(LINUX)] = LINUX
    ldt = table([8 * n | 7 for n in range(len(LDT_ENTRIES))], [base for base, _, _ in LDT_ENTRIES])
    pseudo = [bytes(one(code, [0])["window"][0, :10]) for code in ("0f 01 06", "0f 01 0e")]
    gdtr, idtr = ((int.from_bytes(p[2:], "little"), int.from_bytes(p[:2], "little")) for p in pseudo)
    tr, ldtr, aux = (int(one(code, [0])["gpr"][0, RAX]) for code in ("66 0f 00 c8", "66 0f 00 c0", "f3 0f c7 f8"))
    return HostTables(gdt, ldt, gdtr, idtr, tr & 0xFFFF, ldtr & 0xFFFF, aux & 0xFFFFFFFF)
