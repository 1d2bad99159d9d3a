"""AT&T syntax, as the GNU assembler writes it: sources first, %registers, $immediates, sizes as letters of the mnemonic."""

from isa import text
from isa.forms import Operand

# These take no size letter though memory is all they have.
PLAIN = frozenset("INVLPG CMPXCHG8B SLDT STR SMSW LLDT LTR LMSW VERR VERW CLFLUSH".split())
# These go from a whole vector in memory to an XMM or a mask register, whatever the length: the letter tells it.
NARROWING = frozenset(
    "vcvtpd2dq vcvttpd2dq vcvtpd2ps vcvtpd2udq vcvttpd2udq vcvtqq2ps vcvtuqq2ps vcvtneps2bf16 "
    "vfpclassph vfpclassps vfpclasspd vcvtdq2ph vcvtudq2ph vcvtps2phx vcvtpd2ph vcvtqq2ph vcvtuqq2ph".split()
)
LETTERS = {8: "b", 16: "w", 32: "l", 64: "q"}
FLOAT_LETTERS = {16: "s", 32: "s", 64: "l", 80: "t"}
INTEGER_LETTERS = {16: "s", 32: "l", 64: "ll"}
RENAMED = dict(
    cbw="cbtw", cwde="cwtl", cdqe="cltq", cwd="cwtd", cdq="cltd", cqo="cqto",
    pushad="pushal", popad="popal", pusha="pushaw", popa="popaw", pushfd="pushfl", popfd="popfl", pushf="pushfw", popf="popfw",
    iret="iretw", iretd="iretl",
)  # fmt: skip
FAR = dict(CALL="lcall", JMP="ljmp")
# AT&T's assembler exchanged these two when the destination is not the top of the stack, and all others followed.
SWAPPED = dict(
    fsub="fsubr", fsubr="fsub", fdiv="fdivr", fdivr="fdiv", fsubp="fsubrp", fsubrp="fsubp", fdivp="fdivrp", fdivrp="fdivp"
)  # fmt: skip
KEPT_ORDER = frozenset("enter bound".split())


def _address(i, operand: Operand) -> str:
    base, index, scale, disp = text.address_parts(i, operand)
    segment = "es" if operand.source == "di" else text.segment_shown(i, operand)
    shown = "" if (base or index) and not disp else text.number(disp) if disp >= 0 else "-" + text.number(-disp)
    inside = f"%{base}" if base else ""
    if index:
        inside += f",%{index}" + (f",{scale}" if i.asize != 16 else "")
    if i.asize == 16 and index and not base:
        inside = f"%{index}"
    return (f"%{segment}:" if segment else "") + shown + (f"({inside})" if inside else "")


def _operand(i, position: int) -> str:
    operand = i.form.operands[position]
    kind = operand.kind
    masking = text.masking(i, operand, position).replace("{k", "{%k")
    if kind in ("mem", "str", "moffs", "ea"):
        shown = _address(i, operand)
        if i.vector & 4 and not i.vector & 8:
            for mark in operand.marks:
                if mark[0] == "b":
                    shown += f"{{1to{operand.bits // int(mark[1:])}}}"
        return _indirect(i) + shown + masking
    if kind == "imm":
        return "$" + text.number(text.immediate(i, operand))
    if kind == "rel":
        return text.number(i.imm)
    if kind == "far":
        return f"${text.number(i.imm >> 32)}, ${text.number(i.imm & 0xFFFFFFFF)}"
    if kind == "one":
        return f"${operand.number}"
    number = operand.number if operand.source == "fixed" else i.numbers[position]
    if kind == "st":
        return "%st" if operand.source == "fixed" else f"%st({number})"
    return _indirect(i) + "%" + text.register(kind, number, operand.bits or i.asize) + masking


def _indirect(i) -> str:
    """The star of a jump or call through a register or memory."""
    return "*" if i.mnemonic in FAR and i.form.operands[0].kind in ("reg", "mem") else ""


def _suffix(i, name: str) -> str:
    """The size letter, where no register operand tells the size."""
    form, row = i.form, i.form.row
    memory = [o for o in form.operands if o.kind in ("mem", "moffs")]
    if name.startswith("f") and row.feature.startswith("FPU") and memory and memory[0].bits:
        if name.startswith("fi"):
            return INTEGER_LETTERS[memory[0].bits]
        return FLOAT_LETTERS[memory[0].bits] if not name.startswith(("fldcw", "fnst", "fb")) else ""
    if name.startswith(("cvtsi2", "vcvtsi2", "vcvtusi2", "ptwrite")) and memory:
        return LETTERS[memory[0].bits]
    if name in NARROWING and memory and not i.vector & 4 and form.operands[0].bits <= 128:
        return {128: "x", 256: "y", 512: "z"}[form.vector]
    if name in ("ret", "leave", "enter", "retf", "push", "pop"):
        if i.osize != i.bits or name == "retf":
            return LETTERS[i.osize] if not any(o.kind == "reg" for o in form.operands) else ""
        return LETTERS[i.osize] if memory else ""
    if not memory or memory[0].bits not in LETTERS or row.feature not in ("", "CX8", "MOVBE", "BMI1", "POPCNT", "LZCNT"):
        return ""
    plain = [
        o for o in form.operands if o.kind in ("reg", "seg", "cr", "k") and not (o.source == "fixed" and o.number == 1 and o.bits == 8)
    ]
    if plain or (form.mnemonic in PLAIN or row.sem == "setcc" or (row.sem == "nop" and name != "nop")):
        return ""
    return LETTERS[memory[0].bits]


def _mnemonic(i) -> str:
    form, row = i.form, i.form.row
    name = form.mnemonic.lower()
    if form.mnemonic in FAR and form.operands[0].code in ("Ap", "Mp"):
        return FAR[form.mnemonic] + ("w" if i.osize != i.bits and i.osize == 16 else "")
    if name in RENAMED:
        return RENAMED[name]
    if name == "movsxd" and form.osize == 64:
        return "movslq"
    if name in SWAPPED and form.operands[0].kind == "st" and form.operands[0].source == "rm" and len(form.operands) == 2:
        return SWAPPED[name]
    if form.mnemonic in ("MOVZX", "MOVSX"):
        return f"mov{'z' if form.mnemonic == 'MOVZX' else 's'}{LETTERS[form.operands[1].bits]}{LETTERS[form.operands[0].bits]}"
    if form.mnemonic in text.STRING_OPS:
        return name + LETTERS[next(o.bits for o in form.operands if o.kind == "str")]
    if name == "mov" and any(o.kind == "moffs" for o in form.operands) and i.bits == 64:
        return "movabs"
    if name == "mov" and row.opcode.startswith("B8") and form.osize == 64:
        return "movabs"
    if name == "retf":
        return "lret" + LETTERS[i.osize]
    if name == "crc32":
        return name + LETTERS[form.operands[1].bits]
    if name == "bound":
        return name
    return name + _suffix(i, name)


def att(i) -> str:
    """An instruction in AT&T syntax."""
    form = i.form
    hidden = form.mnemonic == "XLATB"
    shown = [] if hidden else [_operand(i, n) for n in range(len(form.operands))]
    if form.mnemonic in ("AAM", "AAD") and i.imm == 10:
        shown = []
    if form.mnemonic.lower() not in KEPT_ORDER:
        shown.reverse()
    rounding = text.rounding_text(i)
    if rounding:
        at = 1 if form.operands[-1].kind in ("imm", "reg") else 0
        shown.insert(at, rounding)
    return f"{text.prefix_text(i)}{_mnemonic(i)} {', '.join(shown)}".rstrip()
