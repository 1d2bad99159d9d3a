"""Rows: everything known about one instruction form, in the notation of the manual.

`I(opcode, text, sem, **facts)`.  The opcode column is the SDM's:

    NP 66 F2 F3     mandatory prefix (NP: none of them; NFx: neither F2 nor F3; nothing said: any)
    REX.W W0 W1     the W bit         o16 o32 o64  operand size      a16 a32 a64  address size
    VEX.L.pp.map.W  and EVEX.L.pp.map.W; parts may come in any order; no L: any length
    01 0F 38 ..     opcode bytes      C1 after the opcode: a fixed ModRM byte (C0+i: with a register in it)
    /r /0../7       ModRM             +r +cc       a register or a condition in the opcode
    i64 o64         not in, only in 64-bit mode;  d64 f64  operand size is by default, always 64 there
    rexb0           REX.B is 0        rm0          ModRM.rm is 0 and names nothing
    mod11           ModRM.mod is not looked at and means 11

The text column has the mnemonic (`CBW|CWDE|CDQE`: by operand size) and operands with the codes of SDM vol. 2, appendix A.2:
E G M R Z(+r) I J A O X Y S C D, P N Q (MMX), V U W H L (vectors), B (GPR in vvvv), K KM KR KV (masks: reg, rm, rm register only, vvvv),
then the type: b w d q dq qq, v z y (by operand size), p s a, x hx qx ox (whole, half, quarter, eighth vector) and so on;
`Rv/Mw` differs between register and memory; `Jx` is XBEGIN's; `Ibs` is an immediate byte, sign-extended.
Decorations of EVEX: {k} {kz} {er} {ner} (accepted, without effect) {sae} {b16} {b32} {b64} {n4}
(size of the unit of a compressed displacement), {kn} (a mask is required), {u} {ud} (all register numbers, or the first
and the others, must differ), {pair} {block} (of registers).
"""

import re
from dataclasses import dataclass, replace

from isa.exits import Exit

# What a row demands of the current privilege (`priv`).
CPL0 = "CPL 0"
IOPL = "CPL <= IOPL"
IOPL_OR_BITMAP = "CPL <= IOPL, or the TSS I/O bitmap allows the port"
IOPL_V86 = "IOPL 3 in virtual-8086 mode"
UMIP = "CPL 0 while CR4.UMIP is set"
TSD = "CPL 0 while CR4.TSD is set"
PCE = "CPL 0 unless CR4.PCE is set"

# Kinds of flag columns (`flags`): written, read, cleared, set, undefined.
ALL, LOGIC, BUT_C = "w=oszapc", "w=szp 0=oc u=a", "w=oszap"
CONDITIONS = "O NO B AE E NE BE A S NS P NP L GE LE G".split()
CONDITION_FLAGS = "o o c c z z cz cz s s p p so so zso zso".split()


@dataclass(frozen=True, slots=True)
class Row:
    """One instruction form of the manual.  `access` and everything after it are facts that are never derived twice."""

    opcode: str
    text: str
    sem: str  # the function that means it
    flags: str = ""  # w= written r= read 0= cleared 1= set u= undefined; letters o s z a p c d i t n, or * for all
    access: str = ""  # direction of each operand, comma-separated; the first is rw and the others r where nothing is said
    reads: str = ""  # implicit operands
    writes: str = ""
    priv: str = ""  # what it demands of the current privilege
    exit: Exit | None = None  # the VM exit it causes in VMX non-root operation
    lock: bool = False  # LOCK is allowed with a memory destination
    feature: str = ""  # its CPUID feature; nothing: every x86 of this model has it
    hint: bool = False  # a NOP where the feature is absent, not #UD
    faults: str = ""  # beyond those of its memory operands
    note: str = ""
    sized: bool = False  # depends on the operand size though no operand says so
    cc: int | None = None  # a number the meaning takes last: the condition of +cc, the lane width of packed integers ...
    align: bool = True  # a legacy SSE operand of 128 bits in memory must be aligned

    @property
    def mnemonic(self) -> str:
        """The mnemonic; the one of the smallest operand size if it depends on that."""
        return self.text.split()[0].split("|")[0]

    @property
    def mnemonics(self) -> list[str]:
        return self.text.split()[0].split("|")

    @property
    def operands(self) -> list[str]:
        """The operand codes."""
        rest = self.text.partition(" ")[2]
        return [t.strip() for t in rest.split(",") if t.strip()]

    def flag_set(self, kind: str) -> str:
        """The letters of one flag column (w r 0 1 u)."""
        found = re.search(rf"(?:^|\s){kind}=(\S+)", self.flags)
        return found[1].replace("*", "oszapcditn") if found else ""

    def directions(self) -> list[str]:
        """r, w or rw for each operand."""
        given = self.access.split(",") if self.access else []
        return given + ["rw" if i == 0 else "r" for i in range(len(given), len(self.operands))]


def I(opcode: str, text: str, sem: str, **facts) -> Row:  # noqa: E743, E741
    """A row.  See the module's page for the notation."""
    return Row(opcode, text, sem, **facts)


def expand(row: Row) -> list[Row]:
    """The row itself, or its 16 rows if its opcode has +cc."""
    if "+cc" not in row.opcode:
        return [row]
    head, tail = row.opcode.split("+cc")
    out = []
    for cc, name in enumerate(CONDITIONS):
        flags = f"{row.flags} r={CONDITION_FLAGS[cc]}".strip()
        out.append(
            replace(row, opcode=f"{head[:-1]}{int(head[-1], 16) + cc:X}{tail}", text=row.text.replace("cc", name, 1), flags=flags, cc=cc)
        )
    return out
