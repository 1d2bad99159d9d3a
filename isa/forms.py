"""Forms: a row with its operand size (or vector length) settled, and its r/m settled as register or memory.

A form is what semantics are written for and engines compile.  `FORMS[n]` is form number n; numbers are stable
within one version of the rows.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module

from isa import cpuid
from isa.encoding import Encoding, parse
from isa.kept import kept
from isa.row import Row, expand

FAMILIES = "integer system x87 mmx sse sse4 bmi vmx_svm avx avx2 avx_later amx avx512_masks avx512 avx512_fp16".split()
FIXED = dict(AL=(0, 8), CL=(1, 8), AX=(0, 16), DX=(2, 16), EAX=(0, 32), ECX=(1, 32), EDX=(2, 32), RAX=(0, 64))
SEGMENTS = "ES CS SS DS FS GS".split()
GPR_CODES = dict(E="rm", R="rm", G="reg", B="vvvv", Z="opcode")
VECTOR_CODES = dict(W="rm", U="rm", V="reg", H="vvvv", L="is4")
MASK_CODES = dict(K="reg", KM="rm", KR="rm", KV="vvvv")
TILE_CODES = dict(T="reg", TM="rm", TV="vvvv")
BITS = dict(
    b=8,
    w=16,
    d=32,
    q=64,
    dq=128,
    qq=256,
    oq=512,
    ss=32,
    sd=64,
    sh=16,
    pi=64,
    t=80,
    bs=8,
    i=32,
    s=80,
    e=0,
    xs=0,
    zz=512,
    kl=384,
    fx=0,
    sib=0,
)
VECTOR_SHARES = dict(x=1, ps=1, pd=1, ph=1, hx=2, qx=4, ox=8)
SIZED_TYPES = frozenset("v z y p a".split())


@dataclass(frozen=True, slots=True)
class Operand:
    """One resolved operand.

    kind    reg mem imm rel seg cr dr mm xmm ymm zmm k st far moffs ea str one
    bits    of the value; 0: as wide as an address (registers), or a block whose size the instruction defines (memory)
    source  where the number comes from: reg rm vvvv opcode is4 imm, fixed (then `number` is it), si di
    access  r, w or rw
    marks   EVEX: k kz er sae b16 b32 b64 n4
    """

    kind: str
    bits: int
    source: str
    access: str = "r"
    number: int = 0
    marks: tuple = ()
    code: str = ""
    vsib: int = 0  # bits of the index register of a vector memory operand


@dataclass(frozen=True, slots=True)
class Form:
    row: Row
    encoding: Encoding = field(repr=False)
    osize: int  # 16, 32, 64; 0 if the form does not depend on it
    vector: int  # 128, 256, 512; 0 if not encoded with a vector length
    memory: bool | None  # r/m is memory; None: no r/m operand
    operands: tuple[Operand, ...]
    mnemonic: str
    name: str
    offered: bool  # by the model's CPUID; else it raises #UD

    @property
    def cc(self) -> int | None:
        return self.row.cc


def _bits(kind: str, osize: int, vector: int) -> int:
    if kind in BITS:
        return BITS[kind]
    if kind in VECTOR_SHARES:
        return (vector or 128) // VECTOR_SHARES[kind]
    return dict(v=osize, z=min(osize, 32), y=max(osize, 32), p=osize + 16, a=2 * osize)[kind]


def _vector_register(bits: int) -> str:
    return "zmm" if bits == 512 else "ymm" if bits == 256 else "xmm"


@cache
def resolve(text: str, access: str, osize: int, vector: int, memory: bool | None) -> Operand:
    """One operand of the text column, with sizes and r/m settled."""
    code, *marks = re.split(r"[{}]+", text.rstrip("}"))
    marks = tuple(marks)

    def made(kind, bits, source, number=0, vsib=0):
        return Operand(kind, bits, source, access, number, marks, text, vsib)

    if "/" in code:
        code = code.split("/")[1 if memory else 0]
    if code in FIXED:
        number, bits = FIXED[code]
        return made("reg", bits, "fixed", number)
    if code == "rAXa":
        return made("reg", 0, "fixed", 0)
    if code in ("rAX", "eAX"):
        return made("reg", osize if code == "rAX" else min(osize, 32), "fixed", 0)
    if code in SEGMENTS:
        return made("seg", 16, "fixed", SEGMENTS.index(code))
    if code in ("1", "3"):
        return made("one", 8, "fixed", int(code))
    if code == "XMM0":
        return made("xmm", 128, "fixed", 0)
    if code == "ST":
        return made("st", 80, "fixed", 0)
    if code == "STi":
        return made("st", 80, "rm")
    letter, kind = re.fullmatch(r"(K[MRV]?|T[MV]?|VM|[A-Z])([a-z]*)", code).groups()
    if letter in MASK_CODES:
        if letter == "KM" and memory:
            return made("mem", _bits(kind, osize, vector), "rm")
        return made("k", _bits(kind, osize, vector), MASK_CODES[letter])
    if letter in TILE_CODES:
        return made("tmm", 0, TILE_CODES[letter])
    if letter == "I":
        return made("imm", osize if kind in ("bs", "z") and osize else _bits(kind, osize, vector), "imm")
    if letter == "J":
        return made("rel", osize, "imm")
    if letter == "A":
        return made("far", osize + 16, "imm")
    if letter == "O":
        return made("moffs", _bits(kind, osize, vector), "imm")
    if letter in "XY":
        return made("str", _bits(kind, osize, vector), "si" if letter == "X" else "di")
    if letter in "SCD":
        return made(dict(S="seg", C="cr", D="dr")[letter], 16 if letter == "S" else osize if osize == 64 else 32, "reg")
    if letter == "VM":  # VMdx: index register x (vector), elements d
        element, index = kind[0], kind[1:]
        return made("mem", BITS[element], "rm", vsib=max(128, (vector or 128) // VECTOR_SHARES[index]))
    if letter == "M" or (memory and letter in "EQW"):
        if letter == "M" and not kind:
            return made("ea", 0, "rm")
        return made("mem", 2 * osize if kind == "a" else _bits(kind, osize, vector), "rm")
    if letter in GPR_CODES:
        return made("reg", 0 if kind == "a" else _bits(kind, osize, vector), GPR_CODES[letter])
    if letter in "PNQ":
        return made("mm", _bits(kind, osize, vector), "reg" if letter == "P" else "rm")
    bits = _bits(kind, osize, vector)
    return made(_vector_register(bits), bits, VECTOR_CODES[letter])


@cache
def _kinds(text: str) -> frozenset[str]:
    """The type codes of one operand of the text column."""
    found = set()
    for code in re.sub(r"\{.*?\}", "", text).split("/"):
        if code in ("eAX", "rAX"):
            found.add("z" if code == "eAX" else "v")
        elif code not in FIXED and code != "rAXa":
            found.add(re.sub(r"^(K[MRV]?|T[MV]?|VM|[A-Z])", "", code))
        if code[0] == "J" or code == "Ibs":
            found.add("v")
    return frozenset(found)


@cache
def _settles(text: str) -> str:
    """Whether one operand can be a register or memory ("both"), is memory always ("memory"), or has nothing to do with r/m."""
    text = re.sub(r"\{.*?\}", "", text)
    if "/" in text or re.match(r"KM|[EQW](?![A-Z])", text):
        return "both"
    return "memory" if re.match(r"M|VM", text) else ""


def forms_of(row: Row, encoding: Encoding):
    """Yields (size selectors, wide selectors, memory, form) of a row; a selector is what the decode key has then."""
    texts, directions = row.operands, row.directions()
    kinds = set().union(*map(_kinds, texts))
    sized = row.sized or bool(kinds & SIZED_TYPES) or "y" in kinds or len(row.mnemonics) > 1
    only_y = sized and not row.sized and "y" in kinds and not kinds & (SIZED_TYPES - {"y"})
    settles = set(map(_settles, texts))
    memories = (False, True) if "both" in settles else (True,) if "memory" in settles else (None,)
    if encoding.space == "legacy":
        cases = [((i,), (0, 1), size, 0) for i, size in enumerate((16, 32, 64)) if encoding.osize in (None, size)]
        if only_y:
            cases = [((0, 1), (0, 1), 32, 0), ((2,), (0, 1), 64, 0)]
        elif not sized:
            cases = [((0, 1, 2), (0, 1), 0, 0)]
    else:
        lengths = [encoding.length] if encoding.length is not None else [128, 256] if encoding.space == "vex" else [128, 256, 512]
        if encoding.length == 0:  # LIG, LZ: vector length plays no part
            lengths = [0]
        cases = []
        for length in lengths:
            chosen = (0, 1, 2) if length == 0 else ((128, 256, 512).index(length),)
            if sized:
                cases += [(chosen, (0,), 32, length), (chosen, (1,), 64, length)]
            else:
                cases.append((chosen, (0, 1), 0, length))
    names = row.mnemonics
    for chosen, wide, osize, vector in cases:
        for memory in memories:
            operands = tuple(resolve(t, a, osize, vector, memory) for t, a in zip(texts, directions, strict=True))
            if len(names) == 1:
                mnemonic = names[0]
            elif len(names) == 2:
                mnemonic = names[osize == (64 if "y" in kinds or encoding.space != "legacy" else 32)]
            else:
                mnemonic = names[(16, 32, 64).index(osize)]
            name = "_".join([mnemonic.lower()] + [f"{o.kind}{o.bits}" if o.kind != "one" else "one" for o in operands])
            if sized and row.sized:
                name += f"_o{osize}"
            offered = row.hint or cpuid.offered(row.feature)
            yield chosen, wide, memory, Form(row, encoding, osize, vector, memory, operands, mnemonic, name, offered)


def _load():
    """All rows, all forms, and for each row the numbers of its forms by (size, W, memory)."""
    rows, forms, cells = [], [], []
    for family in FAMILIES:
        for row in import_module(f"isa.tables.{family}").ROWS:
            rows.extend(expand(row))
    encodings = [parse(row) for row in rows]
    for row, encoding in zip(rows, encodings):
        variants = [0xFFFF] * 12
        for chosen, wide, memory, form in forms_of(row, encoding):
            for c in chosen:
                for w in wide:
                    for m in (0, 1) if memory is None else (int(memory),):
                        variants[(c * 2 + w) * 2 + m] = len(forms)
            forms.append(form)
        cells.append(variants)
    return rows, encodings, forms, cells


ROWS, ENCODINGS, FORMS, VARIANTS = kept("forms", _load)
