"""How our decoder and iced-x86 are compared: iced's settings, and every rule of normalisation, in one place.

iced is set up, not normalised, where it has a setting (hexadecimal as 0x2a, numbers below 10 in decimal, a blank after
commas, sizes of memory always shown, RIP-relative addresses, no pseudo-operations).  What remains are these rules.
"""

import re

import iced_x86
from iced_x86 import Code, Decoder, Formatter, FormatterSyntax, MemorySizeOptions

NAMES = {getattr(Code, n): n for n in dir(Code) if n.isupper() and isinstance(getattr(Code, n), int)}


def formatter(syntax=FormatterSyntax.MASM):
    """iced's formatter, set up as far as it can be."""
    f = Formatter(syntax)
    f.hex_prefix, f.hex_suffix, f.uppercase_hex = "0x", "", False
    f.small_hex_numbers_in_decimal = True
    f.space_after_operand_separator = True
    f.memory_size_options = MemorySizeOptions.ALWAYS
    f.show_branch_size = False
    f.rip_relative_addresses = True
    f.add_leading_zero_to_hex_numbers = f.branch_leading_zeros = False
    f.use_pseudo_ops = False
    f.masm_add_ds_prefix32 = False
    return f


# (number, what, pattern, replacement), applied to iced's text and to ours alike.
RULES = [
    (1, "prefixes that are hints or restate a size are not compared",
     r"^((bnd|notrack|xacquire|xrelease|hnt|ht|data16|data32|data64|addr16|addr32|rex\.w) )+", ""),
    (1, "", r"^repn?e? (?=ret)", ""),
    (2, "size keywords: mmword is qword, oword is xmmword", r"\bmmword ptr", "qword ptr"),
    (2, "", r"\boword ptr", "xmmword ptr"),
    (2, "", r"\bfpu(state|env)\d+ ptr ", ""),
    (2, "", r"^([sl][gi]dt[wd]?) fword ptr ", r"\1 "),
    (2, "", r"\bmem384 ptr ", ""),
    (3, "aliases: fwait is wait, int 3 is int3, sal is shl", r"^fwait$", "wait"),
    (3, "", r"^int 3$", "int3"),
    (3, "", r"^sal ", "shl "),
    (3, "", r"^(v?pcmpestr[im])64 ", r"\1 "),
    (3, "", r"^getsecq$", "getsec"),
    (4, "the size letter of stack, return and string instructions whose operands do not show it",
     r"^(pusha|popa|pushf|popf|push|pop|ret|retn|retf|enter|leave|iret|sysret|sysexit)[wdq]\b", r"\1"),
    (4, "", r"^retn\b", "ret"),
    (5, "a string instruction may be written with its operands, and with or without es:",
     r"^((?:rep|repe|repne) )?(movs|cmps|stos|lods|scas|ins|outs) (.*)$", None),
    (6, "xchg of the accumulator with itself is nop", r"^xchg (ax, ax|eax, eax|rax, rax)$", "nop"),
    (7, "the operands of xchg: in either order", r"^((?:lock )?xchg) (.+), (.+)$", None),
    (8, "MOV to a segment register: the source may be shown 16, 32 or 64 bits wide",
     r"^(mov [defgs]s, )[er]?(ax|bx|cx|dx|si|di|bp|sp|[0-9]+)[wd]?$", None),
    (9, "MONITOR and MWAIT: operands that cannot be chosen", r"^(monitor|mwait) .*$", r"\1"),
    (10, "{sae} and {er} stand before or behind the immediate", r"(\{(?:sae|r[nduz]-sae)\}), (\w+)$", r", \2\1"),
]  # fmt: skip


# AT&T: iced's GAS formatter leaves more to the assembler than the GNU tools' own disassembler, whose habits are ours.
ATT_RULES = [
    ("hints and prefixes that restate a size",
     r"^(?:(?:bnd|notrack|xacquire|xrelease|data16|data32|data64|addr16|addr32|rex\.w|\.byte 0x66;) )+", ""),
    ("", r"^repn?e? (?=ret)", ""),
    ("", r"^(j\w+),p[nt] ", r"\1 "),
    ("the segment of a string destination", r"%es:\((%[re]?di)\)", r"(\1)"),
    ("a scale of 1, and an empty index", r"(,1)\)|,\)", ")"),
    ("the letter of lods, stos and scas", r"^((?:repn?e? )?)(lods|stos|scas)[bwlq]? ", r"\1\2 "),
    ("the letter where the mode gives it",
     r"^(pusha?f?|popa?f?|l?ret|iret|l?jmp|l?call|leave|enter|[sl][gi]dt|loopn?e?|sysret|sysexit|crc32)[bwlq]\b",
     r"\1"),
    ("", r"^mov([sz])ww ", r"mov\1xw "),
    ("", r"^(fnsave|fnstenv|fldenv|frstor)[sl] ", r"\1 "),
    ("", r"^(v?pcmpestr[im])(?:64|q) ", r"\1 "),
    ("", r"^getsecq$", "getsec"),
    ("", r"^(v?extractps .*, %)(?:r(\d+)d?|[er](\w\w))$", r"\1\2\3"),
    ("aliases", r"^sal", "shl"),
    ("", r"^xlat.*$", "xlat"),
    ("", r"^fwait$", "wait"),
    ("", r"^int3$", "int $3"),
    ("", r"^xchg (%ax, %ax|%eax, %eax|%rax, %rax)$", "nop"),
    ("", r"^movabs ", "mov "),
    ("operands that cannot be chosen", r"^(vmload|vmsave|vmrun|skinit|invlpga|monitor|mwait)\b.*$", r"\1"),
    ("the operands of xchg: in either order", r"^((?:lock )?xchg\w?) (.+), (.+)$", None),
    ("the source of a MOV to a segment register", r"^mov %[er]?(\w\w|\d+)[wd]?, (%[c-g]s|%ss)$", r"mov %\1, \2"),
    ("the letter of a far indirect branch", r"^(lcall|ljmp)l ", r"\1 "),
]  # fmt: skip


def normal_att(text: str) -> str:
    """An AT&T text with all rules applied."""
    for _, pattern, replacement in ATT_RULES:
        text = re.sub(pattern, _sorted if replacement is None else replacement, text)
    return text


def _string(m):
    if m[2] in ("stos", "scas") and (size := re.match("[bwdq]", m[3])):
        return f"{m[1] or ''}{m[2]}{size[0]}"
    return f"{m[1] or ''}{m[2]} {m[3].replace('es:[', '[')}"


def _sorted(m):
    return f"{m[1]} " + ", ".join(sorted((m[2], m[3])))


SPECIAL = {5: _string, 7: _sorted, 8: lambda m: m[1] + m[2]}


def normal(text: str) -> str:
    """A text with all rules applied."""
    for number, _, pattern, replacement in RULES:
        text = re.sub(pattern, SPECIAL[number] if replacement is None else replacement, text)
    return text


def iced(code: bytes, bits: int, ip: int):
    """(length, code name, instruction) as iced sees it; length 0: invalid."""
    i = Decoder(bits, code, ip=ip).decode()
    return (0 if i.code == Code.INVALID else i.len), NAMES[i.code], i


VERSION = getattr(iced_x86, "__version__", "")
