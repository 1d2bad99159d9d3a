"""Tables of the machine as text: registers, descriptor tables, the interrupt vector, a page walk."""

from dataclasses import dataclass

from vmdbg.debugger import registers, vectors, walk
from vmdbg.debugger.commands.registry import CommandError, Lines
from vmdbg.debugger.listing import Line
from vmdbg.debugger.traps import TRAPS
from vmdbg.debugger.traps import name as trap_name
from vmdbg.machine.flags import get_rflags

SYSTEM = {
    1: "TSS16",
    2: "LDT",
    3: "TSS16 busy",
    4: "call gate16",
    5: "task gate",
    9: "TSS",
    11: "TSS busy",
    12: "call gate",
    14: "int gate",
    15: "trap gate",
}
LARGEST_TABLE = 256  # rows of one answer


def named(session, address: int) -> str:
    """An address at the width of the mode, and the symbol near it."""
    near = session.symbols.near(address)
    return f"{address:0{16 if int(session.cpu.bits) == 64 else 8}x}" + (f" <{near}>" if near else "")


def instruction(line: Line, rip: int) -> str:
    """A line of a listing as text; '=>' marks the place of execution."""
    note = f"   ; {line.note}" if line.note else ""
    label = f"<{line.label}> " if line.label else ""
    return f"{'=>' if line.address == rip else '  '} {line.place}  {line.code.hex():<22} {label}{line.text}{note}"


def show_registers(interpreter, text: str) -> Lines:
    cpu = interpreter.session.cpu
    if text:
        wanted = text.replace(",", " ").split()
        unknown = [w for w in wanted if w.lower() not in registers.REGISTERS]
        if unknown:
            raise CommandError(f"'{unknown[0]}' is no register: expected names like rax, eip, cs, cr3, idtr_base, zf")
        values = {w.lower(): registers.read(cpu, w.lower()) for w in wanted}
        return Lines([f"{name:<10} {value:#x}" for name, value in values.items()], values)
    wide = int(cpu.bits) == 64
    lines, names = [], registers.GENERAL if wide else [f"e{n[1:]}" for n in registers.GENERAL[:8]]
    digits = 16 if wide else 8
    for i in range(0, len(names), 4):
        lines.append("  ".join(f"{n:<3} {registers.read(cpu, n):0{digits}x}" for n in names[i : i + 4]))
    rflags = int(get_rflags(cpu))
    lines.append(f"{'rip' if wide else 'eip'} {registers.read(cpu, 'rip'):0{digits}x}  flags {rflags:08x}  {registers.flag_names(rflags)}")
    for n, name in enumerate(registers.SEGMENTS):
        base, limit, attributes = int(cpu.seg_base[n]), int(cpu.seg_limit[n]), int(cpu.seg_attr[n])
        lines.append(f"{name:<4} {int(cpu.seg_selector[n]):04x}  base {base:0{digits}x}  limit {limit:08x}  {segment_type(attributes)}")
    lines.append(
        f"gdtr base {int(cpu.gdtr_base):x} limit {int(cpu.gdtr_limit):x}   idtr base {int(cpu.idtr_base):x} limit {int(cpu.idtr_limit):x}"
    )
    lines.append("  ".join(f"{n} {registers.read(cpu, n):x}" for n in ("cr0", "cr2", "cr3", "cr4", "cr8", "efer")))
    lines.append(
        f"{registers.mode(cpu)} mode, {int(cpu.bits)}-bit code, CPL {int(cpu.cpl)}, paging {'on' if registers.paging(cpu) else 'off'}"
    )
    return Lines(lines, {name: registers.read(cpu, name) for name in registers.WHOLE})


def segment_type(attributes: int) -> str:
    """Access rights (SDM vol. 3, 3.4.5) in words."""
    if attributes & 0x10000:
        return "unusable"
    kind, dpl = attributes & 15, attributes >> 5 & 3
    if not attributes & 0x10:
        text = SYSTEM.get(kind, f"type {kind}")
    elif kind & 8:
        text = f"code{' readable' if kind & 2 else ''}{' conforming' if kind & 4 else ''}"
    else:
        text = f"data{' writable' if kind & 2 else ''}{' expand-down' if kind & 4 else ''}"
    size = " 64-bit" if attributes & 0x2000 else " 32-bit" if attributes & 0x4000 and attributes & 0x10 else ""
    return f"{text}{size} dpl {dpl}{'' if attributes & 0x80 else ' not present'}"


def show_breakpoints(interpreter, text: str) -> Lines:
    table = list(interpreter.session.breakpoints)
    return Lines([b.describe() for b in table] or ["no breakpoints"], table)


def show_idt(interpreter, text: str) -> Lines:
    """The interrupt vector: IVT in real mode, else the IDT."""
    session, cpu = interpreter.session, interpreter.session.cpu
    real, _, size = vectors.shape(cpu)
    count = min((int(cpu.idtr_limit) + 1) // size, LARGEST_TABLE)
    lines = [f"{'IVT' if real else 'IDT'} at {int(cpu.idtr_base):x}, {count} vectors"]
    if text:
        wanted = interpreter.value(text)
        found = vectors.gate(session, wanted)
        return Lines([*lines, gate(session, found) if found is not None else f"{wanted:02x} not in memory or beyond the limit"], found)
    gates = vectors.table(session)
    return Lines([*lines, *([gate(session, g) for g in gates] or ["every gate is empty"])], gates)


def gate(session, g: vectors.Gate) -> str:
    """One gate of the IDT, or several that are alike, as a line."""
    name = trap_name(g.first) if g.first in TRAPS and g.first == g.last else ""
    span = f"{g.first:02x}" if g.first == g.last else f"{g.first:02x}-{g.last:02x}"
    if not g.kind:
        return f"{span} {name:<4} {g.place}"
    near = session.symbols.near(g.offset)
    return (
        f"{span} {name:<4} {g.kind:<11} dpl {g.dpl}{f' ist {g.ist}' if g.ist else ''}  "
        f"{g.place}{f' <{near}>' if near else ''}{'' if g.present else '  not present'}"
    )


@dataclass(frozen=True)
class Descriptor:
    """An entry of a descriptor table; limit in bytes."""

    selector: int
    base: int
    limit: int
    type: str


def show_gdt(interpreter, text: str) -> Lines:
    """The global descriptor table (SDM vol. 3, 3.4.5 and 3.5)."""
    session, cpu = interpreter.session, interpreter.session.cpu
    base, limit = int(cpu.gdtr_base), int(cpu.gdtr_limit)
    long = bool(int(cpu.efer) & 0x400)
    lines, found = [f"GDT at {base:x}, limit {limit:x}"], []
    at = 8
    while at + 7 <= limit and len(lines) < LARGEST_TABLE:
        entry = session.read(base + at, 8)
        if entry is None:
            lines.append(f"{at:04x} not in memory")
            break
        value = int.from_bytes(entry, "little")
        attributes = value >> 40 & 0xF0FF
        big = long and not attributes & 0x10 and value
        start = value >> 16 & 0xFFFFFF | value >> 56 << 24
        size = value & 0xFFFF | (value >> 48 & 0xF) << 16
        if attributes & 0x8000:
            size = size << 12 | 0xFFF
        if value:
            d = Descriptor(at, start, size, segment_type(attributes))
            found.append(d)
            lines.append(f"{d.selector:04x} base {d.base:08x}  limit {d.limit:08x}  {d.type}")
        at += 16 if big else 8
    return Lines(lines if len(lines) > 1 else [*lines, "every descriptor is empty"], found)


def show_page(interpreter, text: str) -> Lines:
    """The walk from a linear address to memory, level by level."""
    if not text:
        raise CommandError("expected a linear address: info page ADDRESS")
    way = walk.walk(interpreter.session, interpreter.address(text))
    if way.root is None:
        return Lines([f"paging is off: linear {way.linear:x} is physical {way.linear:x}"], way)
    lines = [f"cr3 {way.root:x}", *(f"{level.name:<5} at {level.at:x}: {level.entry:x}  {walk.bits(level.entry)}" for level in way.levels)]
    end = f"is physical {way.physical:x}" if way.physical is not None else ": page not present"
    return Lines([*lines, f"linear {way.linear:x} {end}".replace(" :", ":")], way)


def show_symbols(interpreter, text: str) -> Lines:
    table = interpreter.session.symbols.table
    names = sorted(interpreter.session.symbols.starting(text), key=lambda n: (table[n], n))[:LARGEST_TABLE]
    lines = [f"{table[n]:08x} {n}" for n in names]
    return Lines(lines or ["no symbols" if not table else f"no symbol starts with '{text}'"], {n: table[n] for n in names})


def show_traps(interpreter, text: str) -> Lines:
    known = list(TRAPS.values())
    return Lines([f"{t.vector:3} {t.vector:02x} #{t.name:<4} {t.kind:<9} {t.title}" for t in known], known)


SUBJECTS = {
    "registers": show_registers,
    "break": show_breakpoints,
    "idt": show_idt,
    "gdt": show_gdt,
    "page": show_page,
    "symbols": show_symbols,
    "traps": show_traps,
}
