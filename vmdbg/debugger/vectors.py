"""The interrupt vector: the IVT of real mode, else the IDT (SDM vol. 3, 6.10 and 20.1.4)."""

from collections.abc import Container
from dataclasses import dataclass

from vmdbg.debugger import registers

GATES = {5: "task gate", 6: "int gate16", 7: "trap gate16", 14: "int gate", 15: "trap gate"}  # SDM vol. 3, table 3-2
VECTORS = 256


@dataclass(frozen=True)
class Gate:
    """Where a vector leads; `last` is more than `first` where several lead to one place."""

    first: int
    last: int
    kind: str  # of GATES; '' in real mode
    dpl: int
    selector: int
    offset: int
    present: bool = True
    ist: int = 0

    @property
    def place(self) -> str:
        return f"{self.selector:04x}:{self.offset:0{8 if self.kind else 4}x}"


def shape(cpu) -> tuple[bool, bool, int]:
    """(real mode, IA-32e mode, bytes of an entry)."""
    real, long = registers.mode(cpu) == "real", bool(int(cpu.efer) & 0x400)
    return real, long, 4 if real else 16 if long else 8


def gate(session, vector: int) -> Gate | None:
    """The entry of one vector; None if it is beyond the limit or not mapped."""
    cpu = session.cpu
    real, long, size = shape(cpu)
    if not 0 <= vector < VECTORS or vector * size + size - 1 > int(cpu.idtr_limit):
        return None
    entry = session.read(int(cpu.idtr_base) + vector * size, size)
    return None if entry is None else parsed(vector, int.from_bytes(entry, "little"), real, long)


def parsed(vector: int, value: int, real: bool, long: bool) -> Gate:
    if real:
        return Gate(vector, vector, "", 3, value >> 16, value & 0xFFFF)
    kind = value >> 40 & 31
    offset = value & 0xFFFF | value >> 32 & 0xFFFF0000 | ((value >> 64 & 0xFFFFFFFF) << 32 if long else 0)
    ist = value >> 32 & 7 if long else 0
    return Gate(vector, vector, GATES.get(kind, f"type {kind}"), value >> 45 & 3, value >> 16 & 0xFFFF, offset, bool(value >> 47 & 1), ist)


def memory(session) -> bytes:
    """The bytes of the whole table; b'' if it is not mapped."""
    cpu = session.cpu
    size = shape(cpu)[2]
    count = min((int(cpu.idtr_limit) + 1) // size, VECTORS)
    return (session.read(int(cpu.idtr_base), count * size) if count else None) or b""


def table(session, apart: Container[int] = ()) -> list[Gate]:
    """Every vector that leads somewhere, neighbours with one goal as one, but for those of `apart`; empty gates are left out."""
    real, long, size = shape(session.cpu)
    data = memory(session)
    found: list[Gate] = []
    before = None
    for v in range(len(data) // size):
        entry = data[v * size : (v + 1) * size]
        if v in apart:
            found.append(parsed(v, int.from_bytes(entry, "little"), real, long))
            before = None
            continue
        if any(entry):
            if entry == before and found and found[-1].last == v - 1:
                last = found[-1]
                found[-1] = Gate(last.first, v, last.kind, last.dpl, last.selector, last.offset, last.present, last.ist)
            else:
                found.append(parsed(v, int.from_bytes(entry, "little"), real, long))
        before = entry
    return found


def ring(session, g: Gate) -> int:
    """The ring in which a gate's handler runs: that of its code segment, or the current one if that conforms."""
    cpu = session.cpu
    data = session.read(int(cpu.gdtr_base) + (g.selector & 0xFFF8), 8) if not g.selector & 4 else None
    access = data[5] if data is not None else 0x9A
    return int(cpu.cpl) if access & 4 else access >> 5 & 3
