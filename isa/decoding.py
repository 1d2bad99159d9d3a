"""The decoder's records and constants, and the flat tables made of the forms."""

import re
from functools import cache

import numpy as np

from isa.encoding import GROUPS
from isa.forms import ENCODINGS, FORMS, ROWS, VARIANTS, Operand
from isa.lang.struct import Struct
from isa.lang.word import U8, U16, U64

# Why there is no instruction.
UNDEFINED, TOO_LONG, TRUNCATED = 1, 2, 3
NO_FORM, NO_REGISTER, NO_SEGMENT, NOTHING = 0xFFFF, 255, 6, 16

# Kinds of prefix bytes; a segment override is its number + 1.
PREFIX_66, PREFIX_67, PREFIX_REP, PREFIX_LOCK, PREFIX_REX = 11, 12, 13, 14, 15

# Flags of a row, as the decoder wants them.
HAS_DEFAULT64, HAS_FORCED64, HAS_IGNORED_MOD, ROUNDING, SUPPRESSING = 1, 2, 4, 8, 16

# The facts of a form: FACTS bytes each, at these offsets.
FACTS, IMMEDIATE, FLAGS, SOURCES, FIXED_AT, DISP_SHIFT, BCST_SHIFT = 16, 0, 1, 4, 8, 12, 13
LOCKABLE, VVVV_USED, VSIB = 1, 2, 4  # at FLAGS
MASK_OK, ZEROING_OK, MASK_NEEDED, ALL_DISTINCT, FIRST_DISTINCT, NEEDS_SIB = 1, 2, 4, 8, 16, 32  # at FLAGS + 1

# Kinds of immediates.  VALUE: 16 or 32 bits, sign-extended to the operand size; WHOLE: as wide as the operand.
# ABORT: where XBEGIN goes: as wide as the mode, whatever the operand size.
IMM8, SIGNED8, IMM16, VALUE, WHOLE, REL8, REL, FAR, ENTER, MOFFS, ABORT = range(1, 12)

# Where an operand's register number comes from.  LOW: three bits, no extension.
(
    GPR_REG, GPR8_REG, GPR_RM, GPR8_RM, GPR_OPCODE, GPR8_OPCODE, FIXED, SEG_REG, SEG_REG_WRITTEN, CR, LOW_REG, LOW_RM,
    VECTOR_REG, VECTOR_RM, VECTOR_VVVV, VVVV, IS4, MASK_REG, MASK_RM, MASK_VVVV, TILE_RM, DR,
) = range(1, 23)  # fmt: skip


class Decoded(Struct):
    """A decoded instruction: 48 bytes."""

    disp: U64  # sign-extended; absolute (masked to the address size) if there is neither base nor index; moffs
    imm: U64  # sign-extended within the operand size; branch target; far pointer: offset | selector << 32; ENTER: size | level << 16
    form: U16  # index in FORMS
    length: U8  # in bytes; 0: none
    reason: U8  # why none: UNDEFINED, TOO_LONG, TRUNCATED
    bits: U8  # the mode it was decoded for
    osize: U8  # effective operand size: 16, 32, 64
    asize: U8  # effective address size
    seg: U8  # segment of the memory operand, 0-5: ES CS SS DS FS GS
    rep: U8  # 0, 0xF2, 0xF3
    lock: U8
    r0: U8  # register number of operand 0; AH CH DH BH are 20..23
    r1: U8
    r2: U8
    r3: U8
    base: U8  # 16: none
    index: U8  # 16: none, unless it is a vector
    scale: U8  # log2
    disp_size: U8  # bytes of displacement in the encoding
    prefixes: U8  # bit 0: 66, bit 1: 67, bit 2: RIP-relative
    vvvv: U8
    mask: U8  # EVEX: aaa, bit 7: z
    vector: U8  # vector length field, bit 2: EVEX.b, bit 3: rounding or exception suppression
    rex: U8


class DecodeTables(Struct):
    """Addresses of the flat tables."""

    prefixes: U64  # 256 bytes: kind of prefix
    starts: U64  # U16 per map and opcode: first candidate
    counts: U64  # U8: number of candidates
    modrms: U64  # U8: ModRM follows
    masks: U64  # U32 per candidate, over the decode key
    values: U64  # U32
    flags: U64  # U8
    variants: U64  # 12 x U16: form by size, W, memory
    facts: U64  # FACTS bytes per form


UNIT = Decoded.size
RECORD = np.dtype(
    dict(
        names=list(Decoded.fields),
        formats=[f"<u{word.bits // 8}" for _, word, _ in Decoded.fields.values()],
        offsets=[offset for offset, _, _ in Decoded.fields.values()],
        itemsize=UNIT,
    )
)


def _prefix_kinds():
    kinds = np.zeros(256, np.uint8)
    for number, byte in enumerate((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)):
        kinds[byte] = number + 1
    kinds[0x66], kinds[0x67], kinds[0xF0], kinds[0x40:0x50] = PREFIX_66, PREFIX_67, PREFIX_LOCK, PREFIX_REX
    kinds[0xF2] = kinds[0xF3] = PREFIX_REP
    return kinds


REGISTER_SOURCES = {
    ("reg", "reg"): GPR_REG,
    ("reg", "rm"): GPR_RM,
    ("reg", "opcode"): GPR_OPCODE,
    ("reg", "vvvv"): VVVV,
    ("byte", "reg"): GPR8_REG,
    ("byte", "rm"): GPR8_RM,
    ("byte", "opcode"): GPR8_OPCODE,
    ("vector", "reg"): VECTOR_REG,
    ("vector", "rm"): VECTOR_RM,
    ("vector", "vvvv"): VECTOR_VVVV,
    ("vector", "is4"): IS4,
    ("k", "reg"): MASK_REG,
    ("k", "rm"): MASK_RM,
    ("k", "vvvv"): MASK_VVVV,
    ("tmm", "reg"): MASK_REG,
    ("tmm", "rm"): TILE_RM,
    ("tmm", "vvvv"): MASK_VVVV,
    ("mm", "reg"): LOW_REG,
    ("mm", "rm"): LOW_RM,
    ("st", "rm"): LOW_RM,
    ("seg", "reg"): SEG_REG,
    ("cr", "reg"): CR,
    ("dr", "reg"): DR,
}
IMMEDIATES = dict(Ib=IMM8, Ibs=SIGNED8, Iw=IMM16, Iz=VALUE, Iv=WHOLE, Jb=REL8, Jz=REL, Jx=ABORT)


@cache
def _source(operand: Operand, first: bool) -> tuple[int, int]:
    """The source code and fixed number of one operand; (0, 0): it names no register."""
    if operand.kind == "one" or operand.kind in ("mem", "str", "ea", "imm", "rel", "far", "moffs"):
        return 0, 0
    if operand.source == "fixed":
        return FIXED, operand.number
    if operand.kind == "seg" and first:
        return SEG_REG_WRITTEN, 0
    kind = "vector" if operand.kind in ("xmm", "ymm", "zmm") else "byte" if operand.kind == "reg" and operand.bits == 8 else operand.kind
    return REGISTER_SOURCES[kind, operand.source], 0


@cache
def _immediate(operands: tuple[Operand, ...]) -> int:
    """The kind of immediate that the operands need; 0: none."""
    found = [o for o in operands if o.source in ("imm", "is4")]
    if not found:
        return 0
    if [o.code for o in found] == ["Iw", "Ib"]:
        return ENTER
    if found[0].kind in ("far", "moffs"):
        return FAR if found[0].kind == "far" else MOFFS
    return IMMEDIATES.get(found[0].code, IMM8)


@cache
def _facts(operands: tuple[Operand, ...], lock: bool) -> bytes:
    """The facts of a form: FACTS bytes."""
    out = bytearray(FACTS)
    marks = {m for o in operands for m in o.marks}
    out[IMMEDIATE] = _immediate(operands)
    out[FLAGS] = LOCKABLE * lock | VVVV_USED * any(o.source == "vvvv" for o in operands) | VSIB * any(o.vsib for o in operands)
    first_is_memory = bool(operands) and operands[0].kind == "mem"
    masking = (
        MASK_OK * bool(marks & {"k", "kz", "kn"}) | ZEROING_OK * ("kz" in marks and not first_is_memory) | MASK_NEEDED * ("kn" in marks)
    )
    masking |= ALL_DISTINCT * ("u" in marks) | FIRST_DISTINCT * ("ud" in marks) | NEEDS_SIB * any(o.code == "Msib" for o in operands)
    out[FLAGS + 1] = masking
    for n, operand in enumerate(operands[:4]):
        out[SOURCES + n], out[FIXED_AT + n] = _source(operand, n == 0)
        if operand.kind == "mem":
            unit = [int(m[1:]) * 8 for m in operand.marks if re.fullmatch(r"n\d+", m)] or [operand.bits]
            out[DISP_SHIFT] = (max(unit[0], 8) // 8).bit_length() - 1
            for mark in operand.marks:
                if mark in ("b16", "b32", "b64"):
                    out[BCST_SHIFT] = (int(mark[1:]) // 8).bit_length() - 1
    return bytes(out)


def _row_flags(row, encoding) -> int:
    return (
        HAS_DEFAULT64 * encoding.default64
        | HAS_FORCED64 * encoding.forced64
        | HAS_IGNORED_MOD * encoding.ignore_mod
        | ROUNDING * ("{er}" in row.text or "{ner}" in row.text)
        | SUPPRESSING * ("{sae}" in row.text)
    )


class Tables:
    """The flat tables as numpy arrays (kept alive here), and `pointer`, the DecodeTables that points to them."""

    def __init__(self):
        cells = {}
        for row, encoding, variants in zip(ROWS, ENCODINGS, VARIANTS, strict=True):
            for low in range(encoding.span):
                cells.setdefault((encoding.group, encoding.opcode + low), []).append((row, encoding, variants))
        total = sum(map(len, cells.values()))
        self.prefixes = _prefix_kinds()
        self.starts, self.counts, self.modrms = (np.zeros(GROUPS * 256, d) for d in (np.uint16, np.uint8, np.uint8))
        self.masks, self.values, self.flags = (np.zeros(total, d) for d in (np.uint32, np.uint32, np.uint8))
        self.variants = np.zeros((total, 12), np.uint16)
        n = 0
        for (group, opcode), found in sorted(cells.items(), key=lambda cell: cell[0]):
            entry = group << 8 | opcode
            self.starts[entry], self.counts[entry] = n, len(found)
            self.modrms[entry] = any(encoding.modrm for _, encoding, _ in found)
            # What demands most is looked at first, so a special case needs no exclusion in the general row.
            for row, encoding, variants in sorted(found, key=lambda f: -f[1].mask.bit_count()):
                self.masks[n], self.values[n], self.flags[n] = encoding.mask, encoding.value, _row_flags(row, encoding)
                self.variants[n] = variants
                n += 1
        self.facts = np.frombuffer(b"".join(_facts(form.operands, form.row.lock) for form in FORMS), np.uint8)
        self.memory = np.zeros(DecodeTables.size, np.uint8)
        self.pointer = DecodeTables(self.memory.ctypes.data)
        for name in DecodeTables.fields:
            setattr(self.pointer, name, U64(getattr(self, name).ctypes.data))


TABLES = Tables()
