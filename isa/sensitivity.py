"""Privileged and sensitive instructions, derived from the rows' facts.

After Popek and Goldberg (Formal Requirements for Virtualizable Third Generation Architectures, 1974): an instruction is
*privileged* if it traps in user mode; *control-sensitive* if it changes the configuration of the machine's resources;
*behaviour-sensitive* if what it does depends on that configuration or on the privilege it runs at; else *innocuous*.
A machine can be virtualized by trap and emulate if every sensitive instruction is privileged.  Robin and Irvine
(Analysis of the Intel Pentium's Ability to Support a Secure Virtual Machine Monitor, 2000) found those of x86 that are not.
"""

from dataclasses import dataclass

from isa import cpuid
from isa.forms import ROWS, SEGMENTS
from isa.row import CPL0, IOPL, IOPL_OR_BITMAP, PCE, TSD, UMIP, Row

# Implicit operands that belong to the machine's configuration, as the report names them.
CONFIGURATION = {
    "gdtr": "GDTR",
    "idtr": "IDTR",
    "ldtr": "LDTR",
    "tr": "the task register",
    "cr0": "CR0",
    "cr": "control registers",
    "dr": "debug registers",
    "msr": "model-specific registers",
    "xcr0": "XCR0",
    "vmcs": "the current VMCS",
    "cpl": "CPL",
    "iopl": "IOPL",
    "if": "the interrupt flag",
    "ac": "RFLAGS.AC",
    "descriptor": "descriptor tables",
    "kernel_gs_base": "IA32_KERNEL_GS_BASE",
    "tsc": "the time-stamp counter",
    "tsc_aux": "IA32_TSC_AUX",
    "pmc": "performance counters",
    "tlb": "the translation caches",
    "io": "the ports",
    "activity": "whether the processor runs",
    "star": "the system-call MSRs",
    "sysenter_cs": "the SYSENTER MSRs",
}
# Behaviour that only the time of the machine shows; kept apart, for it is no configuration.
TIME = {"tsc", "pmc"}


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of one row, with the operands that put it there."""

    privileged: str  # what it needs, or ""
    control_sensitive: tuple[str, ...]
    behaviour_sensitive: tuple[str, ...]

    @property
    def sensitive(self) -> bool:
        return bool(self.control_sensitive or self.behaviour_sensitive)

    @property
    def innocuous(self) -> bool:
        return not self.sensitive and not self.privileged


def _explicit(row: Row, direction: str) -> list[str]:
    """Control, debug and segment registers among the operands."""
    found = []
    for code, access in zip(row.operands, row.directions()):
        if direction in access:
            if code[0] in "CD" and code[1:] in ("y", "t"):
                found.append("cr" if code[0] == "C" else "dr")
    return found


def classify(row: Row, *, umip: bool = False) -> Classes:
    """The classes of a row, for user code with IOPL 0 and CR4.UMIP as told and CR4.TSD and CR4.PCE clear."""
    needs = row.priv
    if not (needs in (CPL0, IOPL, IOPL_OR_BITMAP, PCE) or (needs == UMIP and umip)) or needs == TSD:
        needs = ""
    writes = row.writes.split() + _explicit(row, "w")
    reads = row.reads.split() + _explicit(row, "r")
    control = [name for name in writes if name in CONFIGURATION and name not in ("cpl",)]
    behaviour = [name for name in reads if name in CONFIGURATION]
    if "i" in row.flag_set("r"):
        behaviour.append("if")
    if "i" in row.flag_set("w") + row.flag_set("0") + row.flag_set("1"):
        control.append("if")
    return Classes(needs, tuple(dict.fromkeys(control)), tuple(dict.fromkeys(behaviour)))


def sensitive_unprivileged(*, umip: bool = False) -> list[Row]:
    """The rows that are sensitive and do not trap: what trap-and-emulate cannot virtualize."""
    return [
        row
        for row in ROWS
        if cpuid.offered(row.feature) and not (c := classify(row, umip=umip)).privileged and c.sensitive and not timekeeping(row)
    ]


def timekeeping(row: Row) -> bool:
    """Sensitive by nothing but the time it reads."""
    c = classify(row)
    return not c.control_sensitive and set(c.behaviour_sensitive) <= TIME


def robin_irvine(row: Row) -> str:
    """The name under which Robin and Irvine (2000) list a row, or ""."""
    name, codes = row.mnemonic, row.operands
    if name in ("SGDT", "SIDT", "SLDT", "SMSW", "PUSHF", "POPF", "LAR", "LSL", "VERR", "VERW", "STR"):
        return name
    if name in ("PUSH", "POP") and codes[0] in SEGMENTS:
        return name
    if name == "MOV" and any(code.startswith("S") for code in codes):
        return name
    if name in ("CALL", "JMP") and codes[0] in ("Ap", "Mp"):
        return name
    return {"RETF": "RET", "INT": "INT n"}.get(name, "")


REGISTER_LIST = "SGDT SIDT SLDT SMSW PUSHF POPF".split()
PROTECTION_LIST = [*"LAR LSL VERR VERW POP PUSH CALL JMP RET STR MOV".split(), "INT n"]
COUNT = """\
Robin and Irvine name them in two lists: six that touch sensitive registers (SGDT SIDT SLDT SMSW PUSHF POPF) and twelve
that refer to the protection system (LAR LSL VERR VERW POP PUSH CALL JMP INT n RET STR MOV).  They speak of seventeen
instructions; counted as mnemonics the two lists have eighteen.  Nothing here is bent to reach either number: the mark
[RI] stands where a row of ours is one of theirs, one instruction of theirs being several rows (MOV to and from a segment
register, POP of five of them, CALL direct and indirect).  Of CALL, JMP and RET only the far forms are sensitive; of PUSH
only CS and SS, which show the privilege level; of INT n the gate it goes through."""


def reason(row: Row) -> str:
    """Why a row is sensitive, in words."""
    c = classify(row)
    parts = []
    if c.control_sensitive:
        parts.append("changes " + ", ".join(CONFIGURATION[name] for name in c.control_sensitive))
    if c.behaviour_sensitive:
        parts.append("depends on " + ", ".join(CONFIGURATION[name] for name in c.behaviour_sensitive))
    return "; ".join(parts)


def report(*, umip: bool = False) -> str:
    """The unprivileged sensitive forms, with why: the text of `vmdbg isa --sensitive`."""
    rows = sensitive_unprivileged(umip=umip)
    lines = [f"Sensitive but not privileged: {len(rows)} forms of {len(dict.fromkeys(r.mnemonic for r in rows))} mnemonics"]
    lines += [f"(user mode, IOPL 0, CR4.TSD and CR4.PCE clear, CR4.UMIP {'set' if umip else 'clear'}; [RI]: Robin and Irvine, 2000)", ""]
    for row in rows:
        mark = "[RI]" if robin_irvine(row) else "    "
        lines.append(f"{mark} {row.opcode:<14} {row.text:<24} {reason(row)}")
    named = list(dict.fromkeys(name for row in rows if (name := robin_irvine(row))))
    later = list(dict.fromkeys(row.mnemonic for row in rows if not robin_irvine(row)))
    lines += ["", f"Of their list, {len(named)} mnemonics: {' '.join(named)}", COUNT, ""]
    lines.append(f"Also by the same facts, and not in their list: {' '.join(later)}")
    if not umip:
        trapped = [row.mnemonic for row in rows if row.priv == UMIP]
        lines.append(f"With CR4.UMIP set these trap and leave the list: {' '.join(dict.fromkeys(trapped))}")
    timed = [row.mnemonic for row in ROWS if cpuid.offered(row.feature) and timekeeping(row) and classify(row).sensitive]
    lines.append(f"Left out, for they only tell the time: {' '.join(dict.fromkeys(timed))}")
    return "\n".join(lines)
