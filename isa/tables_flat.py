"""The decoder's flat tables, made of the forms."""

import re
from functools import cache

import numpy as np

from isa.encoding import GROUPS
from isa.forms import ENCODINGS, FORMS, ROWS, VARIANTS, Operand

from isa.decoding import (  # isort: skip
    ABORT, ALL_DISTINCT, BCST_SHIFT, CR, DISP_SHIFT, DR, ENTER, FACTS, FAR, FIRST_DISTINCT, FIXED, FIXED_AT, FLAGS,
    GPR8_OPCODE, GPR8_REG, GPR8_RM, GPR_OPCODE, GPR_REG, GPR_RM, HAS_DEFAULT64, HAS_FORCED64, HAS_IGNORED_MOD, IMM16, IMM8,
    IMMEDIATE, IS4, LOCKABLE, LOW_REG, LOW_RM, MASK_NEEDED, MASK_OK, MASK_REG, MASK_RM, MASK_VVVV, MOFFS, NEEDS_SIB,
    PREFIX_66, PREFIX_67, PREFIX_LOCK, PREFIX_REP, PREFIX_REX, REL, REL8, ROUNDING, SEG_REG, SEG_REG_WRITTEN, SIGNED8,
    SOURCES, SUPPRESSING, TILE_RM, VALUE, VECTOR_REG, VECTOR_RM, VECTOR_VVVV, VSIB, VVVV, VVVV_USED, WHOLE, ZEROING_OK,
)  # fmt: skip


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


def flat() -> dict[str, np.ndarray]:
    """The tables by the names of `DecodeTables`, which says what they are."""
    cells = {}
    for row, encoding, variants in zip(ROWS, ENCODINGS, VARIANTS, strict=True):
        for low in range(encoding.span):
            cells.setdefault((encoding.group, encoding.opcode + low), []).append((row, encoding, variants))
    total = sum(map(len, cells.values()))
    starts, counts, modrms = (np.zeros(GROUPS * 256, d) for d in (np.uint16, np.uint8, np.uint8))
    masks, values, flags = (np.zeros(total, d) for d in (np.uint32, np.uint32, np.uint8))
    chosen = np.zeros((total, 12), np.uint16)
    n = 0
    for (group, opcode), found in sorted(cells.items(), key=lambda cell: cell[0]):
        entry = group << 8 | opcode
        starts[entry], counts[entry] = n, len(found)
        modrms[entry] = any(encoding.modrm for _, encoding, _ in found)
        # What demands most is looked at first, so a special case needs no exclusion in the general row.
        for row, encoding, variants in sorted(found, key=lambda f: -f[1].mask.bit_count()):
            masks[n], values[n], flags[n] = encoding.mask, encoding.value, _row_flags(row, encoding)
            chosen[n] = variants
            n += 1
    facts = np.frombuffer(b"".join(_facts(form.operands, form.row.lock) for form in FORMS), np.uint8)
    prefixes = _prefix_kinds()
    return dict(
        prefixes=prefixes,
        starts=starts,
        counts=counts,
        modrms=modrms,
        masks=masks,
        values=values,
        flags=flags,
        variants=chosen,
        facts=facts,
    )
