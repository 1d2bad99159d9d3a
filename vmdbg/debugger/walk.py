"""A page walk, level by level (SDM vol. 3, 4.3 to 4.5)."""

from dataclasses import dataclass

from vmdbg.debugger import registers


@dataclass(frozen=True)
class Level:
    name: str  # PML4E, PDPTE, PDE, PTE
    index: int  # of the entry in its table
    at: int  # physical address of the entry
    entry: int

    @property
    def present(self) -> bool:
        return bool(self.entry & 1)


@dataclass(frozen=True)
class Walk:
    """The way of `linear` to memory; `physical` is None where it ends before."""

    linear: int
    root: int | None  # CR3; None: paging is off
    levels: tuple[Level, ...]
    physical: int | None


def walk(session, linear: int) -> Walk:
    """Read the tables without touching them."""
    cpu = session.cpu
    if not registers.paging(cpu):
        return Walk(linear, None, (), linear)
    physical, levels = session.machine.walk(session.cpu_index, linear)
    size = 8 if int(cpu.cr4) & 0x20 else 4  # PAE and 4-level entries have 8 bytes
    return Walk(
        linear, int(cpu.cr3), tuple(Level(name, (int(at) & 0xFFF) // size, int(at), int(entry)) for name, at, entry in levels), physical
    )


def bits(entry: int) -> str:
    """The bits of a paging-structure entry (SDM vol. 3, 4.5) in words."""
    if not entry & 1:
        return "not present"
    names = ["writable" if entry & 2 else "read-only", "user" if entry & 4 else "supervisor"]
    names += [name for bit, name in ((0x20, "accessed"), (0x40, "dirty"), (1 << 63, "no-execute")) if entry & bit]
    return " ".join(names)
