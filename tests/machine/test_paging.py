"""Page walks: permissions, error codes, A and D bits, page sizes, reserved bits (SDM vol. 3, chapter 4)."""

import numpy as np
import pytest

from isa.lang.word import U64
from vmdbg.machine.paging import CLEAN, linear_to_physical_debug, load_pdptes, set_dirty, walk, walk_implicit
from vmdbg.machine.physical import PAGE_TABLE
from vmdbg.machine.state import (
    CR0_PE,
    CR0_PG,
    CR0_WP,
    CR4_PAE,
    CR4_PSE,
    CR4_SMAP,
    CR4_SMEP,
    EFER_LMA,
    EFER_LME,
    EFER_NXE,
    F_AC,
    PF,
    Cpu,
    Shared,
)

RAM = 1 << 20
NX = 1 << 63
READ, WRITE, FETCH = "r", "w", "x"


class Memory:
    """A vCPU with 1 MiB of RAM and page tables at 0x1000 .. 0x4000 (PML4, PDPT, PD, PT)."""

    def __init__(self, mode: str):
        self.ram = np.zeros(RAM, np.uint8)
        self.flags, self.dirty = np.zeros((2, RAM >> 12), np.uint8)
        self.structs = np.zeros(Cpu.size + Shared.size, np.uint8)
        self.cpu = cpu = Cpu(self.structs.ctypes.data)
        cpu.shared = self.structs.ctypes.data + Cpu.size
        cpu.ram, cpu.ram_size, cpu.page_flags, cpu.a20_mask = self.ram.ctypes.data, RAM, self.flags.ctypes.data, (1 << 64) - 1
        cpu.page_dirty = self.dirty.ctypes.data
        cpu.cr0, cpu.cr3, cpu.cr4 = CR0_PE | CR0_PG | CR0_WP, 0x1000, 0
        self.mode = mode
        if mode != "32":
            cpu.cr4 = CR4_PAE
            cpu.efer = EFER_NXE | (EFER_LMA | EFER_LME if mode == "long" else 0)

    def entry(self, at: int, value: int | None = None) -> int:
        """Read or write the entry at a physical address."""
        size = 4 if self.mode == "32" else 8
        if value is not None:
            self.ram[at : at + size] = np.frombuffer(value.to_bytes(size, "little"), np.uint8)
        return int.from_bytes(self.ram[at : at + size].tobytes(), "little")

    def map(self, *entries: int) -> None:
        """Entries from the top level down, all at index 0 of tables at 0x1000, 0x2000 ..."""
        for n, value in enumerate(entries):
            self.entry(0x1000 * (n + 1), value)
        if self.mode == "pae":
            self.cpu.pdpte[0] = self.entry(0x1000)

    def walk(self, access: str = READ, user: bool = False, linear: int = 0x123) -> int | str:
        """The physical address, or "#PF" and the error code."""
        ok, physical = walk(self.cpu, U64(linear), access == WRITE, user, access == FETCH)
        return self.outcome(ok, physical, linear)

    def outcome(self, ok, physical, linear) -> int | str:
        if ok:
            return int(physical)
        assert int(self.cpu.vector) == PF and int(self.cpu.fault_address) == linear and int(self.cpu.has_error) == 1
        return f"#PF {int(self.cpu.error_code):x}"


def long(leaf: int, upper: int = 7) -> Memory:
    m = Memory("long")
    m.map(0x2000 | upper, 0x3000 | upper, 0x4000 | upper, leaf)
    return m


@pytest.mark.parametrize(
    ("leaf", "access", "user", "expected"),
    [
        (0x5007, READ, True, 0x5123),
        (0x5007, WRITE, True, 0x5123),
        (0x5006, READ, True, "#PF 4"),
        (0x5006, WRITE, True, "#PF 6"),
        (0x5006, WRITE, False, "#PF 2"),
        (0x5006, FETCH, True, "#PF 14"),
        (0x5003, READ, True, "#PF 5"),
        (0x5005, WRITE, True, "#PF 7"),
        (0x5005, WRITE, False, "#PF 3"),  # WP
        (0x5005, READ, False, 0x5123),
        (0x5007 | NX, FETCH, True, "#PF 15"),
        (0x5007 | NX, READ, True, 0x5123),
        (0x5003 | NX, FETCH, False, "#PF 11"),
        (0x5007 | 1 << 45, READ, False, "#PF 9"),  # beyond MAXPHYADDR
        (0x5007 | 1 << 45, WRITE, True, "#PF f"),
        (0x5007 | 1 << 58, READ, True, 0x5123),  # ignored bits
    ],
)
def test_leaf_decides(leaf, access, user, expected):
    assert long(leaf).walk(access, user) == expected


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize(
    ("entry", "access", "expected"), [(3, READ, "#PF 5"), (5, WRITE, "#PF 7"), (7 | NX, FETCH, "#PF 15"), (6, READ, "#PF 4")]
)
def test_every_level_counts(level, entry, access, expected):
    m = Memory("long")
    m.map(*((0x2000 + 0x1000 * n) | (entry if n == level else 7) for n in range(4)))
    assert m.walk(access, True) == expected


@pytest.mark.parametrize(
    ("cr0", "cr4", "ac", "access", "leaf", "expected"),
    [
        (0, 0, False, WRITE, 0x5005, 0x5123),  # without WP the supervisor writes read-only pages
        (0, 0, False, WRITE, 0x5001, 0x5123),
        (CR0_WP, CR4_SMEP, False, FETCH, 0x5007, "#PF 11"),
        (CR0_WP, CR4_SMEP, False, FETCH, 0x5003, 0x5123),
        (CR0_WP, CR4_SMAP, False, READ, 0x5007, "#PF 1"),
        (CR0_WP, CR4_SMAP, True, READ, 0x5007, 0x5123),
        (CR0_WP, CR4_SMAP, True, WRITE, 0x5007, 0x5123),
        (0, CR4_SMAP, False, WRITE, 0x5005, "#PF 3"),
        (CR0_WP, CR4_SMAP, False, READ, 0x5003, 0x5123),
        (CR0_WP, CR4_SMAP, False, FETCH, 0x5007, 0x5123),
    ],
)
def test_supervisor(cr0, cr4, ac, access, leaf, expected):
    m = long(leaf)
    m.cpu.cr0 = CR0_PE | CR0_PG | cr0
    m.cpu.cr4 = CR4_PAE | cr4
    m.cpu.eflags = F_AC if ac else 0
    assert m.walk(access, False) == expected


def test_implicit_accesses_do_not_honour_ac():
    m = long(0x5007)
    m.cpu.cr4, m.cpu.eflags = CR4_PAE | CR4_SMAP, F_AC
    assert m.outcome(*walk_implicit(m.cpu, U64(0x123), False), 0x123) == "#PF 1"


def test_fetch_bit_needs_nx_or_smep():
    m = long(0x5006)
    m.cpu.efer = EFER_LMA | EFER_LME
    assert m.walk(FETCH, True) == "#PF 4"
    m.cpu.cr4 = CR4_PAE | CR4_SMEP
    assert m.walk(FETCH, True) == "#PF 14"


def test_bit_63_is_reserved_without_nxe():
    m = long(0x5007 | NX)
    m.cpu.efer = EFER_LMA | EFER_LME
    assert m.walk(READ, False) == "#PF 9"


def test_accessed_and_dirty():
    """A in every entry of a successful walk; the leaf of a write that lacks D is named, and gets it later; a failed walk sets nothing."""
    m = long(0x5005)
    assert m.walk(WRITE, True) == "#PF 7"
    assert [m.entry(0x1000 * n) & 0x60 for n in (1, 2, 3, 4)] == [0, 0, 0, 0]
    m.walk(READ, True)
    assert [m.entry(0x1000 * n) & 0x60 for n in (1, 2, 3, 4)] == [0x20] * 4
    m.entry(0x4000, 0x5007)
    m.walk(WRITE, True)
    assert [m.entry(0x1000 * n) & 0x60 for n in (1, 2, 3, 4)] == [0x20] * 4 and int(m.cpu.clean_entry) == 0x4000
    set_dirty(m.cpu, m.cpu.clean_entry)
    assert [m.entry(0x1000 * n) & 0x60 for n in (1, 2, 3, 4)] == [0x20, 0x20, 0x20, 0x60]
    m.walk(WRITE, True)
    assert int(m.cpu.clean_entry) == CLEAN
    assert all(m.flags[1:5] & PAGE_TABLE) and not m.flags[5]


@pytest.mark.parametrize(
    ("entries", "linear", "expected"),
    [
        ((0x2007, 0x3007, 0x200087), 0x1FFFFF, 0x3FFFFF),  # 2 MiB
        ((0x2007, 0x40000087), 0x3FFFFFFF, 0x7FFFFFFF),  # 1 GiB
        ((0x2007, 0x3007, 0x202087), 0, "#PF 9"),  # PAT bit 12 is no address; bit 13 is reserved
        ((0x2007, 0x3007, 0x201087), 0x123, 0x200123),
        ((0x2007, 0x40002087), 0, "#PF 9"),
        ((0x2087,), 0, "#PF 9"),  # PS is reserved in a PML4E
        ((0x2007, 0x200007), 0, "#PF 9"),  # a table outside RAM reads as all ones
    ],
)
def test_page_sizes(entries, linear, expected):
    m = Memory("long")
    m.map(*entries)
    assert m.walk(READ, False, linear) == expected


@pytest.mark.parametrize(
    ("entries", "pse", "linear", "write", "expected"),
    [
        ((0x2007, 0x5007), True, 0x123, True, 0x5123),
        ((0x2005, 0x5007), True, 0x123, True, "#PF 7"),
        ((0x400087,), True, 0x3FFFFF, True, 0x7FFFFF),
        ((0x402087,), True, 0x123, False, 0x1_0040_0123),  # PSE-36
        ((0x600087,), True, 0x123, False, "#PF d"),  # bit 21 is reserved
        ((0x2087, 0x5007), False, 0x123, False, 0x5123),  # without PSE bit 7 is ignored
        ((0x2007, 0x5006), True, 0x123, False, "#PF 4"),
    ],
)
def test_32_bit_paging(entries, pse, linear, write, expected):
    m = Memory("32")
    m.cpu.cr4 = CR4_PSE if pse else 0
    m.map(*entries)
    assert m.walk(WRITE if write else READ, True, linear) == expected
    if isinstance(expected, int):
        leaf = 0x1000 * len(entries) if pse or len(entries) > 1 else 0x1000
        assert m.entry(leaf) & 0x60 == 0x20 and int(m.cpu.clean_entry) == (leaf if write else CLEAN)


def test_pae():
    m = Memory("pae")
    m.map(0x2001, 0x3007, 0x5007)
    assert m.walk(WRITE, True) == 0x5123
    assert m.entry(0x1000) == 0x2001  # PDPTEs have no A bit
    m.entry(0x3000, 0x5007 | 1 << 52)
    assert m.walk(READ, False) == "#PF 9"
    m.cpu.pdpte[0] = 0
    assert m.walk(READ, True) == "#PF 4"


def test_pdptes_are_checked_when_loaded():
    m = Memory("pae")
    m.map(0x2001)
    assert load_pdptes(m.cpu, U64(0x1000), True) and m.cpu.pdpte[0] == 0x2001
    for bad in (0x2003, 0x2021, 0x2001 | 1 << 45, 0x2001 | NX):
        m.entry(0x1008, bad)
        assert not load_pdptes(m.cpu, U64(0x1000), True) and m.cpu.pdpte[1] == 0
    m.entry(0x1008, 0x2002)  # not present: nothing is reserved
    assert load_pdptes(m.cpu, U64(0x1000), True)


def test_debug_view_has_no_effects():
    m = long(0x5007)
    before, flags = m.ram.copy(), m.flags.copy()
    physical, levels = linear_to_physical_debug(m.cpu, 0x123)
    assert physical == 0x5123
    assert levels == [("PML4E", 0x1000, 0x2007), ("PDPTE", 0x2000, 0x3007), ("PDE", 0x3000, 0x4007), ("PTE", 0x4000, 0x5007)]
    assert linear_to_physical_debug(m.cpu, 0x5123000)[0] is None
    assert np.array_equal(before, m.ram) and np.array_equal(flags, m.flags)
