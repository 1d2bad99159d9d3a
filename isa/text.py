"""Instructions as text, derived from the rows: Intel syntax, and AT&T's.

Register numbers: general registers 0-15, AH CH DH BH are 20-23; everything else counts from 0.
"""

from isa.decoding import NOTHING
from isa.forms import SEGMENTS, Operand

LEGACY = "ax cx dx bx sp bp si di".split()
LOW = "al cl dl bl spl bpl sil dil".split()
KEYWORDS = {
    8: "byte ptr ",
    16: "word ptr ",
    32: "dword ptr ",
    48: "fword ptr ",
    64: "qword ptr ",
    80: "tbyte ptr ",
    128: "xmmword ptr ",
    256: "ymmword ptr ",
    512: "zmmword ptr ",
}
HIDDEN = frozenset("STOS LODS SCAS".split())  # the accumulator goes without saying
STRING_OPS = frozenset("MOVS CMPS STOS LODS SCAS INS OUTS".split())
SIZE_LETTER = {8: "b", 16: "w", 32: "d", 64: "q"}
ROUNDINGS = ("{rn-sae}", "{rd-sae}", "{ru-sae}", "{rz-sae}")


def gpr(number: int, bits: int) -> str:
    """The name of a general register."""
    if bits == 8:
        if number >= 20:
            return ("ah", "ch", "dh", "bh")[number - 20]
        return LOW[number] if number < 8 else f"r{number}b"
    if number >= 8:
        return f"r{number}" + {16: "w", 32: "d", 64: ""}[bits]
    return {16: "", 32: "e", 64: "r"}[bits] + LEGACY[number]


def register(kind: str, number: int, bits: int) -> str:
    """The name of a register of any kind, as in Intel syntax."""
    if kind == "reg":
        return gpr(number, bits)
    if kind == "seg":
        return SEGMENTS[number].lower()
    if kind == "st":
        return f"st({number})"
    return f"{kind}{number}"


def number(value: int) -> str:
    """A number as shown: hexadecimal from 10 on."""
    return str(value) if value < 10 else hex(value)


def _signed(value: int, bits: int = 64) -> int:
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


def address_parts(i, operand: Operand):
    """(base, index, scale, displacement): names and a signed or absolute number of a memory operand."""
    if operand.kind == "str":
        return gpr(6 if operand.source == "si" else 7, i.asize), "", 1, 0
    base = gpr(i.base, i.asize) if i.base != NOTHING else ""
    index = ""
    if operand.vsib:
        index = f"{'zmm' if operand.vsib == 512 else 'ymm' if operand.vsib == 256 else 'xmm'}{i.index}"
    elif i.index != NOTHING:
        index = gpr(i.index, i.asize)
    disp = i.disp
    if i.rip_relative:
        base = "rip" if i.asize == 64 else "eip"
        disp = _signed(disp - i.ip - i.length, i.asize)
    elif base or index:
        disp = _signed(disp, i.asize)
    return base, index, 1 << i.scale, disp


def segment_shown(i, operand: Operand) -> str:
    """The segment if the text must name it: the effective one is not what the address would take by itself."""
    if operand.source == "di" or operand.kind == "ea":
        return ""
    if operand.kind == "str" or operand.kind == "moffs":
        default = 3
    else:
        default = 2 if i.base in (4, 5) else 3
    if i.bits == 64 and i.seg < 4:
        return ""
    return SEGMENTS[i.seg].lower() if i.seg != default else ""


def shown_segment(i) -> str:
    """The segment of an implicit memory operand, if it is not DS."""
    return "" if i.seg == 3 or (i.bits == 64 and i.seg < 4) else SEGMENTS[i.seg].lower()


def _intel_memory(i, operand, keyword):
    base, index, scale, disp = address_parts(i, operand)
    segment = "es" if operand.source == "di" else segment_shown(i, operand)
    inside = base
    if index:
        scaled = scale > 1 or (not base and i.asize != 16)
        inside += ("+" if inside else "") + (f"{index}*{scale}" if scaled else index)
    if not inside:
        inside = number(disp)
    elif disp:
        inside += ("-" if disp < 0 else "+") + number(abs(disp))
    return f"{keyword}{segment}{':' if segment else ''}[{inside}]"


def memory_keyword(i, operand) -> str:
    """`dword ptr ` and so on; nothing for blocks and for LEA."""
    if operand.kind == "ea" or operand.code in ("Ms", "Msib") or i.mnemonic == "INVLPG":
        return ""
    if operand.code == "Ma":
        return KEYWORDS[operand.bits]
    if i.vector & 4 and not i.vector & 8:
        for mark in operand.marks:
            if mark[0] == "b":
                return KEYWORDS[int(mark[1:])].replace("ptr", "bcst")
    return KEYWORDS.get(operand.bits, "")


def immediate(i, operand) -> int:
    """The value of an immediate operand, as wide as it is shown."""
    if operand.kind == "rel":
        return i.imm
    if operand.code == "Ib" and i.mnemonic == "ENTER":
        return i.imm >> 16 & 0xFF
    return i.imm & ((1 << operand.bits) - 1)


def masking(i, operand, position) -> str:
    """{k1}{z} on the destination of an EVEX instruction."""
    if position or not i.mask & 7 or not set(operand.marks) & {"k", "kz"}:
        return ""
    return f"{{k{i.mask & 7}}}" + ("{z}" if i.mask & 0x80 else "")


def intel_operand(i, position: int) -> str:
    """One operand in Intel syntax."""
    operand = i.form.operands[position]
    kind = operand.kind
    if kind in ("mem", "str", "moffs", "ea"):
        return _intel_memory(i, operand, memory_keyword(i, operand)) + masking(i, operand, position)
    if kind in ("imm", "rel"):
        return number(immediate(i, operand))
    if kind == "far":
        return f"{number(i.imm >> 32)}:{number(i.imm & 0xFFFFFFFF)}"
    if kind == "one":
        return str(operand.number)
    which = operand.number if operand.source == "fixed" else i.numbers[position]
    if kind == "st" and operand.source == "fixed":
        return "st"
    return register(kind, which, operand.bits or i.asize) + masking(i, operand, position)


def prefix_text(i) -> str:
    """lock and rep, where they mean something."""
    text = "lock " if i.lock else ""
    name = i.mnemonic
    if i.rep and name in STRING_OPS:
        if name in ("CMPS", "SCAS"):
            text += "repe " if i.rep == 0xF3 else "repne "
        else:
            text += "rep " if i.rep == 0xF3 else "repne "
    return text


def rounding_text(i) -> str:
    """The rounding or suppress-all-exceptions decoration of an EVEX instruction."""
    if not i.vector & 8:
        return ""
    text = i.form.row.text
    return ROUNDINGS[i.vector & 3] if "{er}" in text else "{sae}" if "{sae}" in text else ""


def string_mnemonic(i) -> str:
    """MOVSB .. MOVSQ, if operands add nothing to that; else nothing."""
    memory = [o for o in i.form.operands if o.kind == "str"]
    if any(o.source == "si" and segment_shown(i, o) for o in memory) or i.asize != i.bits:
        return ""
    return i.form.mnemonic.lower() + SIZE_LETTER[memory[0].bits]


def mnemonic(i) -> str:
    """The mnemonic as shown; with the size where it is not the usual one and no operand shows it."""
    form = i.form
    name = form.mnemonic.lower()
    if name in ("push", "pop") and form.operands[0].kind in ("seg", "imm") and i.osize != i.bits:
        return name + SIZE_LETTER[i.osize]
    if name in ("lgdt", "lidt", "sgdt", "sidt") and i.bits != 64 and i.osize != i.bits:
        return name + SIZE_LETTER[i.osize]
    if name.startswith("loop") and i.asize != i.bits:
        return name + SIZE_LETTER[i.asize]
    return name


def intel(i) -> str:
    """An instruction in Intel syntax."""
    form = i.form
    if form.mnemonic in STRING_OPS and (name := string_mnemonic(i)):
        return prefix_text(i) + name
    if form.mnemonic == "XLATB" and (i.asize != i.bits or shown_segment(i)):
        segment = shown_segment(i)
        return f"xlat byte ptr {segment}{':' if segment else ''}[{gpr(3, i.asize)}]"
    if form.row.reads == "rdi" and form.row.writes == "[rdi]" and (i.asize != i.bits or shown_segment(i)):
        size = KEYWORDS[64 if form.operands[0].kind == "mm" else 128]
        segment = shown_segment(i)
        operands = [f"{size}{segment}{':' if segment else ''}[{gpr(7, i.asize)}]"]
        return f"{mnemonic(i)} {', '.join(operands + [intel_operand(i, n) for n in range(len(form.operands))])}"
    if form.mnemonic in ("AAM", "AAD") and i.imm == 10:
        return mnemonic(i)
    operands = [intel_operand(i, n) for n in range(len(form.operands)) if not (form.mnemonic in HIDDEN and form.operands[n].kind == "reg")]
    rounding = rounding_text(i)
    if rounding:
        at = max(n for n, o in enumerate(form.operands) if o.kind != "imm")
        operands[at] += rounding
    return f"{prefix_text(i)}{mnemonic(i)} {', '.join(operands)}".rstrip()


def bare_address(i, operand: Operand) -> str:
    """A memory operand without its size."""
    return _intel_memory(i, operand, "")
