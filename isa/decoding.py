"""The decoder's records and constants, and the flat tables made of the forms."""

import math
import re

import numpy as np

from isa.encoding import GROUPS
from isa.forms import FORMS, ROWS, VARIANTS, Form
from isa.encoding import parse
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


def _source(form, position, operand):
    """The source code and fixed number of one operand; (0, 0): it names no register."""
    byte = operand.bits == 8
    at = operand.source
    if at == "fixed" and operand.kind != "one":
        return FIXED, operand.number
    if operand.kind == "reg":
        if at == "vvvv":
            return VVVV, 0
        wide, narrow = dict(reg=(GPR_REG, GPR8_REG), rm=(GPR_RM, GPR8_RM), opcode=(GPR_OPCODE, GPR8_OPCODE))[at]
        return (narrow if byte else wide), 0
    if operand.kind in ("xmm", "ymm", "zmm"):
        return dict(reg=VECTOR_REG, rm=VECTOR_RM, vvvv=VECTOR_VVVV, is4=IS4)[at], 0
    if operand.kind == "tmm":
        return dict(reg=MASK_REG, rm=TILE_RM, vvvv=MASK_VVVV)[at], 0
    if operand.kind == "k":
        return dict(reg=MASK_REG, rm=MASK_RM, vvvv=MASK_VVVV)[at], 0
    if operand.kind == "seg":
        return (SEG_REG_WRITTEN if form.row.sem == "mov_to_seg" else SEG_REG), 0
    if operand.kind in ("mm", "st"):
        return dict(reg=LOW_REG, rm=LOW_RM)[at], 0
    if operand.kind in ("cr", "dr"):
        return (CR if operand.kind == "cr" else DR), 0
    return 0, 0


def _immediate(form: Form) -> int:
    kinds = [(o, o.code) for o in form.operands if o.source in ("imm", "is4")]
    if not kinds:
        return 0
    codes = [code for _, code in kinds]
    if codes == ["Iw", "Ib"]:
        return ENTER
    operand, code = kinds[0]
    if operand.kind == "rel":
        return REL8 if code == "Jb" else ABORT if code == "Jx" else REL
    if operand.kind in ("far", "moffs"):
        return FAR if operand.kind == "far" else MOFFS
    return dict(Ib=IMM8, Ibs=SIGNED8, Iw=IMM16, Iz=VALUE, Iv=WHOLE).get(code, IMM8)


def _facts(form: Form, out) -> None:
    """Write the facts of a form into FACTS bytes."""
    marks = {m for o in form.operands for m in o.marks}
    out[IMMEDIATE] = _immediate(form)
    flags = LOCKABLE if form.row.lock else 0
    flags |= VVVV_USED if any(o.source == "vvvv" for o in form.operands) else 0
    flags |= VSIB if any(o.vsib for o in form.operands) else 0
    out[FLAGS] = flags
    masking = MASK_OK if marks & {"k", "kz", "kn"} else 0
    first_is_memory = bool(form.operands) and form.operands[0].kind == "mem"
    masking |= ZEROING_OK if "kz" in marks and not first_is_memory else 0
    masking |= MASK_NEEDED if "kn" in marks else 0
    masking |= ALL_DISTINCT if "u" in marks else FIRST_DISTINCT if "ud" in marks else 0
    masking |= NEEDS_SIB if any(o.code == "Msib" for o in form.operands) else 0
    out[FLAGS + 1] = masking
    for i, operand in enumerate(form.operands[:4]):
        out[SOURCES + i], out[FIXED_AT + i] = _source(form, i, operand)
    for operand in form.operands:
        if operand.kind == "mem":
            unit = [int(m[1:]) * 8 for m in operand.marks if re.fullmatch(r"n\d+", m)] or [operand.bits]
            out[DISP_SHIFT] = int(math.log2(max(unit[0], 8) // 8))
            for mark in operand.marks:
                if mark in ("b16", "b32", "b64"):
                    out[BCST_SHIFT] = int(math.log2(int(mark[1:]) // 8))


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
        for row, variants in zip(ROWS, VARIANTS, strict=True):
            encoding = parse(row)
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
        self.facts = np.zeros((len(FORMS), FACTS), np.uint8)
        for number, form in enumerate(FORMS):
            _facts(form, self.facts[number])
        self.memory = np.zeros(DecodeTables.size, np.uint8)
        self.pointer = DecodeTables(self.memory.ctypes.data)
        for name in DecodeTables.fields:
            setattr(self.pointer, name, U64(getattr(self, name).ctypes.data))


TABLES = Tables()
