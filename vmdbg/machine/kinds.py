"""Kinds: what the engines are made of.  A kind is a meaning together with where its operands are.

Rows say which meaning and which operands; registers, immediates, displacements are data of a uop.  So one kind serves
every form with the same meaning, widths and places: `ADD r/m32, r32` and `ADD r32, r/m32` between registers are one.
The memory operands of a kind come in shapes: FLAT (64-bit address size and a segment without base or limit)
and SEGMENTED (everything else).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from isa.kept import kept
from isa.row import CPL0

if TYPE_CHECKING:
    from isa.forms import Form, Operand

SEGMENTED, FLAT = 0, 1
SHAPES = 2

# Places: how the glue makes a place of an operand.
GPR = "gpr"  # bytes of a general register, found by u.rK, a byte offset
NUMBER = "number"  # u.rK itself
XMM = "xmm"
MMX = "mmx"
IMM = "imm"  # the low bytes of u.imm
MEM = "mem"
EA = "ea"  # the offset of a memory operand, nothing is accessed
ONE = "one"  # a constant

NUMBERED = frozenset("seg cr dr st k ymm zmm".split())
DIRECT = frozenset("jmp jcc call_near loop loope loopne jcxz".split())
INDIRECT = frozenset("call_indirect jmp_indirect ret ret_imm".split())
ENDING = frozenset(
    """sti cli popf hlt pause iret int_ int3 int1 into syscall sysret sysenter sysexit jmp_far jmp_far_memory call_far call_far_memory
    ret_far ret_far_imm rsm in_ out ins outs
    mov_to_cr lmsw clts mov_to_dr wrmsr rdtsc rdtscp rdmsr cpuid rdrand rdseed swapgs stac clac invlpg invpcid ltr lldt xsetbv ud""".split()
)


@dataclass(frozen=True, slots=True)
class PlaceSpec:
    """One operand of a kind: where it is, how wide, whether it is read and written."""

    where: str
    bits: int
    reads: bool
    writes: bool
    aligned: bool = False

    @property
    def name(self) -> str:
        way = "" if self.where not in (MEM, GPR) else "r" * self.reads + "w" * self.writes
        return f"{self.where}{self.bits}{way}{'a' if self.aligned else ''}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A meaning, its operands' places, and what the glue checks before it."""

    sem: str
    places: tuple[PlaceSpec, ...]
    cc: int | None
    string_bits: int  # of the elements of a string instruction, else 0
    cpl0: bool
    unit: str  # "sse", "mmx", "sse_mmx", "x87", "x87_control": availability is checked first; else ""
    shape: int
    long: bool = False  # 64-bit operand size: it runs in 64-bit mode only

    @property
    def name(self) -> str:
        parts = [self.sem] + [p.name for p in self.places]
        if self.cc is not None:
            parts.append(f"cc{self.cc:x}")
        if self.string_bits:
            parts.append(f"s{self.string_bits}")
        parts += ["cpl0"] * self.cpl0 + [self.unit] * bool(self.unit) + ["flat"] * (self.shape == FLAT) + ["long"] * self.long
        return "_".join(parts)

    @property
    def ends(self) -> bool:
        return self.sem in DIRECT or self.sem in INDIRECT or self.sem in ENDING


def place_of(operand: "Operand") -> PlaceSpec | None:
    """The place of an operand; None for operands that a meaning is not handed (strings)."""
    reads, writes = "r" in operand.access, "w" in operand.access
    kind, bits = operand.kind, operand.bits
    if kind == "str":
        return None
    if kind == "reg":
        return PlaceSpec(GPR, bits or 64, reads, writes)
    if kind in NUMBERED:
        return PlaceSpec(NUMBER, 8, True, False)
    if kind == "xmm":
        return PlaceSpec(XMM, bits, reads, writes)
    if kind == "mm":
        return PlaceSpec(MMX, bits, reads, writes)
    if kind == "imm":
        return PlaceSpec(IMM, bits, True, False)
    if kind in ("rel", "far"):
        return PlaceSpec(IMM, 64, True, False)
    if kind == "one":
        return PlaceSpec(ONE, 8, True, False)
    if kind == "ea" or bits not in (8, 16, 32, 64, 128):
        return PlaceSpec(EA, 64, True, False)
    return PlaceSpec(MEM, bits, reads, writes)


# Meanings that compute or check their own addresses, so their memory operand is handed over as an offset.
OWN_MEMORY = frozenset(
    """bt_memory bts_memory btr_memory btc_memory pop_memory bound les lds lss lfs lgs call_far_memory jmp_far_memory cmpxchg8b cmpxchg16b
    invlpg invpcid clflush nop ud
    arpl_memory sgdt sidt lgdt lidt fxsave fxrstor xsave xsaveopt xsavec xsaves xrstor xrstors fldenv fnstenv fnsave frstor""".split()
)

# Meanings that raise #UD before #GP(0) looks at CPL, or know better what CPL forbids.
OWN_PRIVILEGE = frozenset("stac clac monitor mwait sysret xsetbv mov_from_cr mov_to_cr mov_from_dr mov_to_dr".split())

# Meanings that ask for the operand size or the stack's address size: with 64-bit operands the answer is known.
BY_SIZE = frozenset("push pop push_seg pop_seg call_near call_indirect ret leave jmp jcc jmp_indirect pushf loop loope loopne jcxz".split())


# x87 instructions that do not wait for pending exceptions.
X87_CONTROL = frozenset("fnstcw fnstsw fnstenv fnsave".split())


# Meanings that look at the mode, or at UMIP, before their memory operand.
PROTECTED, PROTECTED_UMIP = frozenset("lldt ltr lar lsl verr verw arpl arpl_memory".split()), frozenset("sldt str_".split())


def unit_of(form: "Form") -> str:
    """The execution units whose availability is checked first, so that #UD, #NM and #MF come before #PF; see Kind.unit.

    CVTPI2PS and CVTPI2PD from memory touch no MMX register and make no transition.
    """
    kinds = {o.kind for o in form.operands}
    if form.encoding.space != "legacy":
        return ""
    if "xmm" in kinds:
        return "sse_mmx" if "mm" in kinds else "sse"
    if form.row.sem in ("ldmxcsr", "stmxcsr"):
        return "sse"
    if "mm" in kinds and form.mnemonic.endswith("2PI"):  # CVTPS2PI and its kin, from memory
        return "sse_mmx"
    if form.row.sem in PROTECTED:
        return "protected"
    if form.row.sem in PROTECTED_UMIP:
        return "protected_umip"
    if form.row.sem == "smsw":
        return "umip"
    if "mm" in kinds or form.row.sem == "emms":
        return "mmx"
    if form.memory and re.match(r"(\S+ )*D[89A-F] ", form.row.opcode + " "):
        return "x87_control" if form.row.sem in X87_CONTROL else "x87"
    return ""


def kind_of(form: "Form", shape: int) -> Kind:
    """The kind of a form; the shape counts only if it has a memory operand."""
    places, has_memory, string_bits = [], False, 0
    unit = unit_of(form)
    for operand in form.operands:
        place = place_of(operand)
        if place is None:
            string_bits = operand.bits
            continue
        if place.where == MEM:
            if form.row.sem in OWN_MEMORY:
                place = PlaceSpec(EA, 64, True, False)
            else:
                has_memory = True
                if unit in ("sse", "sse_mmx") and place.bits == 128 and getattr(form.row, "align", True):
                    place = PlaceSpec(MEM, 128, place.reads, place.writes, True)
        places.append(place)
    if string_bits:
        places = []
    sem = form.row.sem if form.offered else "ud"
    if sem in ("ud", "nop"):
        places = []
    long = sem in BY_SIZE and form.osize == 64
    return Kind(
        sem,
        tuple(places),
        form.cc,
        string_bits,
        form.row.priv == CPL0 and sem != "ud" and sem not in OWN_PRIVILEGE,
        unit if sem != "ud" else "",
        shape if has_memory else 0,
        long,
    )


def all_kinds(forms: "Sequence[Form] | None" = None) -> tuple[list[Kind], np.ndarray]:
    """(kinds, number of the kind of [form, shape] as uint16), of all forms."""
    if forms is None:
        from isa.forms import FORMS as forms  # here, because a run needs no more than `Tables`
    numbers: dict[Kind, int] = {}
    table = np.zeros((len(forms), SHAPES), np.uint16)
    for n, form in enumerate(forms):
        for shape in range(SHAPES):
            kind = kind_of(form, shape)
            table[n, shape] = numbers.setdefault(kind, len(numbers))
    return list(numbers), table


NOT_A_REGISTER, GPR_OFFSET, PLAIN_NUMBER = 0, 1, 2


def operand_table(forms: "Sequence[Form]") -> np.ndarray:
    """For each form, how the decoded register number of its first three operands becomes u.r0 .. u.r2 (uint8[n, 4])."""
    table = np.zeros((len(forms), 4), np.uint8)
    for n, form in enumerate(forms):
        for i, operand in enumerate(form.operands[:3]):
            if operand.kind == "reg":
                table[n, i] = GPR_OFFSET
            elif operand.kind in NUMBERED or operand.kind in ("xmm", "mm"):
                table[n, i] = PLAIN_NUMBER
    return table


@dataclass(frozen=True, slots=True)
class Tables:
    """What translation needs to know of forms and kinds."""

    kinds: np.ndarray  # number of the kind of [form, shape], uint16
    operands: np.ndarray  # of operand_table
    ends: np.ndarray  # for each kind: does it end a block, uint8


def _make() -> Tables:
    from isa.forms import FORMS

    kinds, table = all_kinds(FORMS)
    return Tables(table, operand_table(FORMS), np.array([k.ends for k in kinds], np.uint8))


@cache
def tables() -> Tables:
    """The tables of this version of the rows."""
    return kept("kinds", _make, __file__)
