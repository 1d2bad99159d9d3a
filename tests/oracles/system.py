"""States of a whole CPU, for the oracles that are machines: segments with hidden parts, control, debug and descriptor-table registers.

To the memory map of layout.py (here physical addresses, and linear ones: paging is off or maps them one to one) come

    3000_0000  TABLES      two pages, part of the state: descriptor tables and TSS, then the stacks of the inner rings
    3000_2000  PAGING      six pages of page tables, fixed for each kind of state

    TABLES + 0   GDT       descriptors by selector: SELECTORS
           + 200 LDT       code32 at 4, data32 at C, and for ring 3 at 17, 1F
           + 300 TSS       104 bytes, then an I/O bitmap: ports 0-63 open, others closed
           + 400 TSS2      for task switches
           + 800 IDT       16-byte gates in long mode, 8-byte otherwise, in real mode the vectors
           + 1000 .. 2000  stacks: ring 0 from 2000, ring 1 from 1C00, ring 2 from 1800, IST1 from 1400 down

Kinds of states: KINDS. Where paging is off nothing faults beyond the window, so segment limits end inside it.
"""

from dataclasses import dataclass

import numpy as np

from . import states as plain
from .layout import CODE, CODE_SIZE, IF, PAGE, RBP, RBX, RDI, READ_ONLY, RSI, RSP, STATE, WINDOW, WINDOW_SIZE, empty

TABLES, TABLES_SIZE = 0x3000_0000, 2 * PAGE
PAGING, PAGING_SIZE = 0x3000_2000, 6 * PAGE
LDT, TSS, TSS2, IDT = TABLES + 0x200, TABLES + 0x300, TABLES + 0x400, TABLES + 0x800
TSS_LIMIT = 0x68 + 16

ES, CS, SS, DS, FS, GS, LDTR, TR = range(8)
SEGMENT_NAMES = "es cs ss ds fs gs ldtr tr".split()
UNUSABLE = 0x10000
# attributes: the access-rights format of the VMCS (SDM volume 3, 24.4.1)
SEGMENT = np.dtype([("selector", "<u2"), ("attributes", "<u4"), ("limit", "<u4"), ("base", "<u8")])
REGISTERS = "cr0 cr2 cr3 cr4 cr8 efer xcr0 gdtr_base gdtr_limit idtr_base idtr_limit star lstar cstar sfmask kernel_gs_base".split()
REGISTERS += "sysenter_cs sysenter_esp sysenter_eip tsc_aux".split()
SYSTEM = np.dtype([*STATE.descr[:5], ("fx", STATE.fields["fx"][0]), STATE.descr[-1], ("segment", SEGMENT, 8)]
                  + [(name, "<u8") for name in REGISTERS] + [("dr", "<u8", 8), ("tables", "u1", TABLES_SIZE)])  # fmt: skip
SYSTEM_RESULT = np.dtype(
    [(name, SYSTEM.fields[name][0]) for name in SYSTEM.names] + [("vector", "<i4"), ("error_code", "<u4"), ("fault_address", "<u8")]
)
# Results of the machine oracles beyond vectors.
HALTED, WAITING, MISSING, TRIPLE_FAULT, PORT = -2, -3, -4, -5, -6
SOFTWARE_INTERRUPT = 0x100  # + vector: INT n, INT3, INTO, INT1, when delivery is only reported

PE, MP, ET, NE, WP, AM, PG = 1, 2, 0x10, 0x20, 0x10000, 0x40000, 0x8000_0000
CR4 = 0x10 | 0x20 | 0x200 | 0x400 | 0x10000 | 0x40000  # PSE PAE OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE
VM = 1 << 17

# (selector, type and flags as in the descriptor's second word bits 8-23, base, limit in bytes)
_CODE32, _DATA32, _CODE64, _CODE16, _DATA16 = 0xC09B, 0xC093, 0xA09B, 0x009B, 0x0093
SELECTORS = {
    "code32": (0x08, _CODE32, 0, 0xFFFFFFFF),
    "data32": (0x10, _DATA32, 0, 0xFFFFFFFF),
    "code64": (0x18, _CODE64, 0, 0xFFFFFFFF),
    "code32_3": (0x2B, _CODE32 | 0x60, 0, 0xFFFFFFFF),
    "data32_3": (0x33, _DATA32 | 0x60, 0, 0xFFFFFFFF),
    "code64_3": (0x3B, _CODE64 | 0x60, 0, 0xFFFFFFFF),
    "code16": (0x40, _CODE16, CODE, 0xFFFF),
    "data16": (0x48, _DATA16, WINDOW, 0x1FFF),
    "conforming": (0x50, 0xC09F, 0, 0xFFFFFFFF),
    "expand_down": (0x58, 0x4097, WINDOW, 0x0FFF),
    "read_only": (0x60, 0xC091, 0, 0xFFFFFFFF),
    "not_present": (0x68, 0xC013, 0, 0xFFFFFFFF),
    "execute_only": (0x70, 0xC099, 0, 0xFFFFFFFF),
    "tss": (0x78, 0x0089, TSS2, TSS_LIMIT),
    "tss_busy": (0x88, 0x008B, TSS, TSS_LIMIT),
    "ldt": (0x98, 0x0082, LDT, 0x3F),
    "data16_3": (0xD3, _DATA16 | 0x60, WINDOW, 0x1FFF),
    "code16_3": (0xDB, _CODE16 | 0x60, CODE, 0xFFFF),
    "not_accessed": (0xE0, 0xC092, 0, 0xFFFFFFFF),
    "code32_odd": (0xE8, 0x409B, CODE, 0xFFFF),
    "data32_odd": (0xF0, 0x4093, WINDOW, 0x1FFF),
}
CALL_GATE, CALL_GATE_0, TASK_GATE = 0xAB, 0xB8, 0xCB
# What segment loads and far transfers ask for: null, all of the above at two RPLs, gates, the LDT's, and beyond both limits.
FAR_SELECTORS = [0, 3, CALL_GATE, CALL_GATE_0, TASK_GATE, 0x04, 0x0C, 0x17, 0x1F, 0x24, 0x3C, 0xF8, 0x100, 0xFFFC]
FAR_SELECTORS += [s for selector, _, _, _ in SELECTORS.values() for s in (selector, selector ^ 3)]


def descriptor(attributes: int, base: int, limit: int) -> bytes:
    """Eight bytes of a segment descriptor (SDM volume 3, figure 3-8); `limit` in bytes."""
    if attributes & 0x8000:
        limit >>= 12
    low = limit & 0xFFFF | (base & 0xFFFF) << 16
    high = base >> 16 & 0xFF | (attributes & 0xF0FF) << 8 | limit & 0xF0000 | base & 0xFF000000
    return (low | high << 32).to_bytes(8, "little")


def gate(kind: int, dpl: int, selector: int, offset: int, long: bool, extra: int = 0) -> bytes:
    """A call, interrupt or trap gate; `extra`: parameter count, or the IST in long mode."""
    low = offset & 0xFFFF | selector << 16
    high = extra | (0x80 | dpl << 5 | kind) << 8 | offset & 0xFFFF0000
    return (low | high << 32).to_bytes(8, "little") + ((offset >> 32).to_bytes(8, "little") if long else b"")


@dataclass(frozen=True)
class Kind:
    """A kind of state: code size, mode, privilege, and how memory is reached."""

    name: str
    bits: int
    mode: str  # real v86 protected long
    cpl: int
    paging: bool
    flat: bool


KINDS = {
    kind.name: kind
    for kind in (
        Kind("real", 16, "real", 0, False, False),
        Kind("v86", 16, "v86", 3, False, False),
        Kind("protected16", 16, "protected", 0, False, False),
        Kind("protected32", 32, "protected", 0, True, True),
        Kind("protected32_ring3", 32, "protected", 3, True, True),
        Kind("segmented32", 32, "protected", 0, False, False),
        Kind("compatibility", 32, "long", 3, True, True),
        Kind("long", 64, "long", 0, True, True),
        Kind("long_ring3", 64, "long", 3, True, True),
    )
}
HANDLER = CODE + 0x4000  # + 16 * vector


def tables(kind: Kind) -> np.ndarray:
    """The image of TABLES for a kind of state."""
    out = np.zeros(TABLES_SIZE, np.uint8)

    def put(address, data):
        out[address - TABLES : address - TABLES + len(data)] = np.frombuffer(data, np.uint8)

    long = kind.mode == "long"
    for selector, attributes, base, limit in SELECTORS.values():
        put(TABLES + (selector & ~7), descriptor(attributes, base, limit))
    inner = 0x18 if long else 0x08
    kinds = 0xC
    put(TABLES + (CALL_GATE & ~7), gate(kinds, 3, inner, HANDLER + 0x1000, long, 0 if long else 2))
    put(TABLES + CALL_GATE_0, gate(kinds, 0, inner, HANDLER + 0x1100, long))
    if not long:
        put(TABLES + (TASK_GATE & ~7), gate(5, 3, 0x78, 0, False))
    for offset, name in ((0x00, "code32"), (0x08, "data32"), (0x10, "code32_3"), (0x18, "data32_3")):
        put(LDT + offset, descriptor(*SELECTORS[name][1:]))
    stacks = [TABLES + 0x2000, TABLES + 0x1C00, TABLES + 0x1800, TABLES + 0x1400]
    if long:
        put(TSS + 4, b"".join(s.to_bytes(8, "little") for s in stacks[:3]))
        put(TSS + 0x24, stacks[3].to_bytes(8, "little"))
    else:
        put(TSS + 4, b"".join(s.to_bytes(4, "little") + (0x10).to_bytes(4, "little") for s in stacks[:3]))
        words = [
            0,
            stacks[0],
            0x10,
            0,
            0,
            0,
            0,
            0,
            HANDLER + 0x1200,
            2,
            1,
            2,
            3,
            4,
            stacks[3],
            6,
            WINDOW,
            WINDOW + 64,
            0x10,
            8,
            0x10,
            0x10,
            0,
            0,
            0,
        ]
        put(TSS2, b"".join(w.to_bytes(4, "little") for w in words))
    for tss in (TSS, TSS2):
        put(tss + 0x66, (0x68).to_bytes(2, "little") + bytes(8) + b"\xff" * 9)
    if kind.mode == "real":
        for vector in range(256):
            put(IDT + 4 * vector, (0x1000 + vector).to_bytes(2, "little") + (0xF000).to_bytes(2, "little"))
    else:
        for vector in range(128 if long else 256):
            dpl = 3 if vector in (3, 4, 0x30, 0x31) else 0
            data = gate(0xF if vector & 1 else 0xE, dpl, inner, HANDLER + 16 * vector, long, 1 if long and vector == 2 else 0)
            put(IDT + len(data) * vector, data)
    return out


def paging(kind: Kind) -> np.ndarray:
    """The image of PAGING: one-to-one maps of the window, the read-only page, code and tables; the rest is not present."""
    out = np.zeros(PAGING_SIZE, np.uint8)
    pages = [(WINDOW + n * PAGE, 7) for n in range(WINDOW_SIZE // PAGE)] + [(READ_ONLY, 5)]
    pages += [(CODE + n * PAGE, 5) for n in range(CODE_SIZE // PAGE)] + [(TABLES + n * PAGE, 3) for n in range(TABLES_SIZE // PAGE)]
    accessed = 0x60  # A and D are set already: the oracles write no page tables
    if kind.mode == "long":
        words, upper = out.view("<u8"), 3
        words[0] = PAGING + PAGE | 7 | accessed
        words[512] = PAGING + 2 * PAGE | 7 | accessed
        directory, shift, low = 1024, 21, 9
    else:
        words, upper = out.view("<u4"), 1
        directory, shift, low = 0, 22, 10
    found = {}
    for address, flags in pages:
        table = found.setdefault(address >> shift, upper + len(found))
        words[directory + (address >> shift)] = PAGING + table * PAGE | 7 | accessed
        words[table * (PAGE // words.itemsize) + (address >> 12 & (1 << low) - 1)] = address | flags | accessed
    return out


def _set(segment: np.ndarray, selector: int, attributes: int, base: int, limit: int) -> None:
    segment["selector"], segment["attributes"], segment["base"], segment["limit"] = selector, attributes, base, limit


def _odd_segments(states: np.ndarray, kind: Kind, rng: np.random.Generator) -> None:
    """Data segments whose bases lie in the window and whose limits end with it, at odd places."""
    count, seg = len(states), states["segment"]
    for number in (ES, SS, DS, FS, GS):
        first = rng.choice([0, 0, 0x10, 0x800, 0x1000], count) if kind.mode == "protected" else rng.choice([0, 0, 0x10, 0x800], count)
        seg["base"][:, number] = WINDOW + first
        seg["limit"][:, number] = WINDOW_SIZE - 1 - first
        if kind.mode in ("real", "v86"):
            seg["selector"][:, number] = rng.integers(0, 1 << 16, count)
            seg["attributes"][:, number] = 0xF3 if kind.mode == "v86" else 0x93
        else:
            seg["selector"][:, number] = 0x48 if kind.bits == 16 else 0xF0
            seg["attributes"][:, number] = 0x93 if kind.bits == 16 else 0x4093
    if kind.mode == "protected":
        plainly = seg["attributes"][:, DS].copy()
        seg["attributes"][:, DS] = np.where(rng.random(count) < 0.1, plainly & 0xFFFD, plainly)  # read-only
        down = rng.random(count) < 0.1
        seg["attributes"][down, ES] |= 4
        # Expand-down: valid above the limit, up to FFFF; so that is where the window lies in it.
        seg["attributes"][down, ES] &= 0xFFFF ^ 0x4000
        seg["base"][down, ES] = WINDOW + WINDOW_SIZE - 0x10000
        seg["limit"][down, ES] = 0xFFFF - WINDOW_SIZE
        null = rng.random(count) < 0.1
        seg["selector"][null, FS], seg["attributes"][null, FS] = 0, UNUSABLE


def generate(name: str, count: int, seed: int) -> np.ndarray:
    """`count` states of SYSTEM of one kind, reproducible. rip is CODE_START as an offset in CS."""
    kind = KINDS[name]
    rng = np.random.default_rng([seed, list(KINDS).index(name)])
    states = empty(count, SYSTEM)
    base = plain.generate(count, [seed, 77], kind.bits)
    for field in STATE.names:
        states[field] = base[field]
    states["gdtr_base"], states["gdtr_limit"] = TABLES, 0xFF
    states["idtr_base"], states["idtr_limit"] = IDT, 0x3FF if kind.mode == "real" else 0x7FF
    states["cr0"] = (ET | NE | MP) | (0 if kind.mode == "real" else PE | WP) | (PG if kind.paging else 0)
    states["cr0"] |= np.where(rng.random(count) < 0.3, AM, 0).astype(np.uint64)
    states["cr3"] = PAGING
    states["cr4"] = CR4 if kind.mode == "long" else CR4 & ~0x20
    states["efer"] = 0xD01 if kind.mode == "long" else 0
    states["xcr0"] = 3
    states["dr"][:, 6], states["dr"][:, 7] = 0xFFFF0FF0, 0x400
    states["star"], states["lstar"] = 0x0028_0018_0000_0000 | (CODE + 0x100), CODE + 0x200
    states["cstar"], states["sfmask"] = CODE + 0x300, 0x47700
    states["kernel_gs_base"] = WINDOW + 0x100
    states["sysenter_cs"], states["sysenter_esp"], states["sysenter_eip"] = 0x08, TABLES + 0x1F00, CODE + 0x400
    states["tsc_aux"] = 5
    states["tables"] = tables(kind)
    seg = states["segment"]
    ring = "_3" if kind.cpl == 3 else ""
    if kind.mode in ("real", "v86"):
        for n in range(count):
            selector = int(rng.integers(0, 0x4000)) * 4
            _set(seg[n, CS], selector | (3 if kind.mode == "v86" else 0), 0xF3 if kind.mode == "v86" else 0x93, CODE, 0xFFFF)
        states["rip"] = 0x8000
    else:
        code = {16: "code16", 32: "code32" if kind.flat else "code32_odd", 64: "code64"}[kind.bits] + ring
        selector, attributes, base_, limit = SELECTORS[code]
        _set(seg[:, CS], selector, attributes, base_, limit)
        if base_:
            states["rip"] -= np.uint64(base_)
    if kind.flat:
        selector, attributes, base_, limit = SELECTORS["data32" + ring]
        for number in (ES, SS, DS, FS, GS):
            _set(seg[:, number], selector, attributes, base_, limit)
    else:
        _odd_segments(states, kind, rng)
    _set(seg[:, LDTR], 0x98, 0x82, LDT, 0x3F)
    _set(seg[:, TR], 0x88, 0x8B, TSS, TSS_LIMIT)
    states["fs_base"] = np.where(np.full(count, kind.bits == 64), base["fs_base"], seg["base"][:, FS])
    states["gs_base"] = np.where(np.full(count, kind.bits == 64), base["gs_base"], seg["base"][:, GS])
    seg["base"][:, FS], seg["base"][:, GS] = states["fs_base"], states["gs_base"]
    if kind.mode == "v86":
        states["rflags"] |= np.where(rng.random(count) < 0.5, VM | 0x3000, VM).astype(np.uint64)
    else:
        states["rflags"] |= (rng.integers(0, 4, count) << 12).astype(np.uint64)
    states["rflags"] &= ~np.where(rng.random(count) < 0.5, np.uint64(IF), np.uint64(0))
    if not kind.flat:
        gpr = states["gpr"]
        for register, number in ((RSP, SS), (RBP, SS), (RSI, DS), (RDI, ES), (RBX, DS)):
            offset = gpr[:, register] - seg["base"][:, number]
            inside = gpr[:, register] - np.uint64(WINDOW) < WINDOW_SIZE + 64
            gpr[inside, register] = (offset & np.uint64(0xFFFFFFFF if kind.bits == 32 else 0xFFFF))[inside]
    return states


def flat(states: np.ndarray, kind: Kind) -> np.ndarray:
    """States of layout.STATE as states of a whole CPU of a flat kind."""
    whole = np.repeat(generate(kind.name, 1, 0), len(states))
    for name in STATE.names:
        whole[name] = states[name]
    whole["cr0"] |= np.uint64(AM)
    whole["segment"]["selector"][:, :LDTR] = 0x2B  # what they are under Linux (asm/segment.h)
    whole["segment"]["selector"][:, CS] = 0x33 if kind.bits == 64 else 0x23
    for number, name in ((FS, "fs_base"), (GS, "gs_base")):
        whole["segment"]["base"][:, number] = states[name]
    return whole
