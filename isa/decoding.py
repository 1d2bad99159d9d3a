"""The decoder's records and constants."""

import numpy as np

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
