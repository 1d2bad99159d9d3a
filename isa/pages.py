"""Reference pages, made from the rows: what `vmdbg isa ADD` and `vmdbg isa --cpuid` print."""

from isa import cpuid
from isa.forms import FORMS, ROWS
from isa.operations import operation
from isa.row import Row
from isa.sensitivity import classify, reason, robin_irvine

FLAG_NAMES = dict(zip("oszapcditn", "OF SF ZF AF PF CF DF IF TF NT".split()))
FLAG_KINDS = {"w": "by result", "r": "read", "0": "cleared", "1": "set", "u": "undefined"}
MODES = {"i64": "not in 64-bit mode", "o64": "64-bit mode only"}


def flags(row: Row) -> str:
    """The flag table of a row in one line."""
    parts = []
    for kind, what in FLAG_KINDS.items():
        letters = row.flag_set(kind)
        if letters:
            parts.append(f"{' '.join(FLAG_NAMES[c] for c in letters)} {what}")
    return "; ".join(parts) or "none"


def encodings(rows: list[Row]) -> list[str]:
    """One line for each row: opcode, text, the sizes of its forms, limits of mode, feature."""
    lines = []
    for row in rows:
        sizes = sorted({form.osize for form in FORMS if form.row is row and form.osize} or {0})
        facts = ["/".join(map(str, sizes)) + " bits"] if sizes != [0] else []
        facts += [MODES[token] for token in row.opcode.split() if token in MODES]
        if row.lock:
            facts.append("LOCK")
        if row.feature:
            facts.append(row.feature + ("" if cpuid.offered(row.feature) else " (not offered: #UD)"))
        if row.note:
            facts.append(row.note)
        lines.append(f"  {row.opcode:<22} {row.text:<28} {', '.join(facts)}".rstrip())
    return lines


def _section(title, values):
    """`title  value` for one value, one line each for several; nothing for none."""
    values = [v for v in dict.fromkeys(values) if v]
    return [f"{title:<12} {v}" if n == 0 else f"{'':<12} {v}" for n, v in enumerate(values)]


def page(mnemonic: str) -> str | None:
    """The page of a mnemonic in any case, or None if there is no such instruction."""
    wanted = mnemonic.upper()
    rows = [row for row in ROWS if wanted in (name.upper() for name in row.mnemonics)]
    if not rows:
        return None
    lines = [wanted, "", "Encoding", *encodings(rows), ""]
    lines += _section("Operation", [operation(row) for row in rows])
    lines += _section("Flags", [flags(row) for row in rows])
    lines += _section("Reads", [row.reads for row in rows])
    lines += _section("Writes", [row.writes for row in rows])
    lines += _section("Privilege", [row.priv or "none" for row in rows])
    lines += _section("Faults", [", ".join(f"#{name}" for name in row.faults.split()) for row in rows])
    lines += _section("VM exit", [str(row.exit) if row.exit else "" for row in rows])
    kinds = []
    for row in rows:
        c = classify(row)
        what = [name for name, has in (("control-sensitive", c.control_sensitive), ("behaviour-sensitive", c.behaviour_sensitive)) if has]
        if what:
            listed = f" (Robin and Irvine: {robin_irvine(row)})" if robin_irvine(row) else ""
            kinds.append(f"{' and '.join(what)}, {'privileged' if c.privileged else 'not privileged'}{listed}: {reason(row)}")
        else:
            kinds.append("privileged" if c.privileged else "innocuous")
    lines += _section("Class", kinds)
    return "\n".join(lines)


def cpuid_page() -> str:
    """The CPU model: its leaves, and the features it offers and those it knows and does not offer."""
    lines = [f"{cpuid.VENDOR.decode()}, family 6: the model of this machine", "", "leaf     sub  eax      ebx      ecx      edx"]
    leaves = [(n, s) for n in range(cpuid.MAX_BASIC + 1) for s in ((0, 1, 2, 3) if n in (4, 0xB) else (0, 1) if n in (7, 0xD) else (0,))]
    leaves += [(n, 0) for n in range(0x80000000, cpuid.MAX_EXTENDED + 1)]
    for leaf, subleaf in leaves:
        registers = cpuid.cpuid(leaf, subleaf)
        if any(registers):
            lines.append(f"{leaf:08x} {subleaf:>3}  " + " ".join(f"{value:08x}" for value in registers))
    for title, has in (("Offered", True), ("Known, not offered (#UD)", False)):
        lines += ["", title]
        names = [f"{f.name} ({f.what or f'{f.leaf:x}.{f.subleaf:x}:{f.register}[{f.bit}]'})" for f in cpuid.FEATURES if f.offered == has]
        lines += ["  " + "  ".join(names[n : n + 4]) for n in range(0, len(names), 4)]
    return "\n".join(lines)
