"""What the next step does: the trap that waits, the gate of an INT, whether a branch is taken, what an operand is now."""

from isa.text import address_parts
from vmdbg.debugger import registers, vectors
from vmdbg.debugger.traps import TRAPS, page_fault, selector_error

SOFTWARE = {"INT": None, "INT3": 3, "INTO": 4, "INT1": 1}  # mnemonic -> vector; None: it says it itself


def outlook(session) -> str:
    """A remark for the line that is next, '' if there is nothing to say."""
    stop, cpu = session.stop, session.cpu
    found = session.listing.decode(session.rip)
    if stop.has("trap") and stop.position == session.position:
        return waiting(session, found)
    if found is None:
        return ""
    if found.mnemonic in SOFTWARE and (found.mnemonic != "INTO" or registers.read(cpu, "of")):
        vector = SOFTWARE[found.mnemonic]
        return software(session, found.imm & 0xFF if vector is None else vector)
    if found.row.sem == "jcc":
        return "taken" if condition(cpu, condition_code(found)) else "not taken"
    return operand(session, found)


def leads(session, found) -> str:
    """'→ ring 0' for an instruction that enters another ring by itself, wherever it stands; '' for all others."""
    cpl = int(session.cpu.cpl)
    if found is None:
        return ""
    if found.mnemonic in ("SYSCALL", "SYSENTER"):
        return "→ ring 0" if cpl else ""
    if found.mnemonic not in ("INT", "INT3"):
        return ""
    gate = vectors.gate(session, found.imm & 0xFF if found.mnemonic == "INT" else 3)
    if gate is None or not gate.kind or not gate.present or gate.dpl < cpl:
        return ""
    ring = vectors.ring(session, gate)
    return f"→ ring {ring}" if ring != cpl else ""


def waiting(session, found) -> str:
    """The trap that the machine stands before."""
    stop = session.stop
    vector = stop.vector
    if found is not None and found.mnemonic in SOFTWARE and not stop.error_code and vector not in (8, 10, 11, 12, 13, 14):
        return software(session, vector)
    name = f"#{TRAPS[vector].name}" if vector in TRAPS else f"{vector:#04x}"
    why = ""
    if vector == 14:
        why = page_fault(stop.error_code or 0).replace(" in ring 3", "").replace(" by the supervisor", "")
    elif vector in (10, 11, 12, 13) and stop.error_code:
        why = selector_error(stop.error_code)
    return f"{name} {why}".strip()


def software(session, vector: int) -> str:
    """Where INT n leads: 'to ring 0, trap_80'."""
    gate = vectors.gate(session, vector)
    if gate is None:
        return "no gate: #GP"
    if not gate.kind:
        return f"to {gate.place}"
    if gate.dpl < int(session.cpu.cpl):
        return f"gate {vector:02x} has dpl {gate.dpl}: #GP"
    if not gate.present:
        return f"gate {vector:02x}: #NP"
    name = session.symbols.near(gate.offset)
    return f"to ring {vectors.ring(session, gate)}" + (f", {name}" if name else "")


def condition_code(found) -> int:
    """The low four bits of a Jcc's opcode (SDM vol. 2, B.1.4.7)."""
    return int(found.row.opcode.split()[0 if not found.row.opcode.startswith("0F") else 1][:2], 16) & 15


def condition(cpu, code: int) -> bool:
    of, cf, zf, sf, pf = (registers.read(cpu, name) for name in "of cf zf sf pf".split())
    tests = (of, cf, zf, cf | zf, sf, pf, sf ^ of, zf | (sf ^ of))
    return bool(tests[code >> 1]) != bool(code & 1)


def operand(session, found) -> str:
    """'[0804fff0] = 00000202' for an instruction with one operand in memory."""
    place = in_memory(found)
    if place is None:
        return ""
    linear = address_of(session, found, place)
    text = f"[{linear:0{16 if int(session.cpu.bits) == 64 else 8}x}]"
    size = 0 if place.kind == "ea" else (place.bits or found.osize) // 8
    data = session.read(linear, min(size, 16)) if size else b""
    if data is None:
        return f"{text} is not mapped"
    return f"{text} = {int.from_bytes(data, 'little'):0{2 * len(data)}x}" if data else text


def in_memory(found):
    """The one operand in memory that an instruction names, or None."""
    places = [o for o in found.form.operands if o.kind in ("mem", "moffs", "ea") and not o.vsib]
    return places[0] if len(places) == 1 else None


def memory_operand(session) -> int | None:
    """The linear address of the next instruction's operand in memory, if it has one."""
    found = session.listing.decode(session.rip)
    place = in_memory(found) if found is not None else None
    return address_of(session, found, place) if place is not None and place.kind != "ea" else None


def address_of(session, found, place) -> int:
    """The linear address of an operand in memory (SDM vol. 1, 3.7.5)."""
    cpu = session.cpu
    base, index, scale, displacement = address_parts(found, place)
    if place.kind == "moffs":
        base, index, displacement = "", "", found.disp
    if base in ("rip", "eip"):
        offset = found.ip + found.length + displacement
    else:
        offset = displacement + sum(registers.read(cpu, name) * by for name, by in ((base, 1), (index, scale)) if name)
    offset &= (1 << found.asize) - 1
    segment = int(cpu.seg_base[found.seg]) if int(cpu.bits) != 64 or found.seg > 3 else 0
    return segment + offset & (0xFFFFFFFFFFFFFFFF if int(cpu.bits) == 64 else 0xFFFFFFFF)
