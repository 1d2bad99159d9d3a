"""Breakpoints: where to stop, and on which conditions."""

from dataclasses import dataclass, field

from vmdbg.debugger.expressions import Expression
from vmdbg.debugger.traps import TRAPS
from vmdbg.debugger.traps import name as trap_name


@dataclass
class Breakpoint:
    """Stops before the instruction at `address` (linear), or before a vector of `vectors` is delivered.

    It counts a hit whenever its condition holds, and stops from hit number `count` on.
    """

    number: int
    address: int | None = None
    vectors: range | None = None
    condition: Expression | None = None
    once: bool = False
    count: int = 1
    hits: int = 0
    name: str = ""  # of the address, as the user wrote it

    def matches(self, address: int | None, vector: int | None) -> bool:
        if self.vectors is not None:
            return vector is not None and vector in self.vectors
        return vector is None and self.address == address

    def describe(self) -> str:
        """One line, as `info break` shows it: '2  trap 14 #PF  if cr2 < 0x1000  hit 3 times'."""
        parts = [f"{self.number:<3}", self.place()]
        if self.condition is not None:
            parts.append(f"if {self.condition.text}")
        if self.once:
            parts.append("once")
        if self.count > 1:
            parts.append(f"count {self.count}")
        if self.hits:
            parts.append(f"hit {self.hits} time{'s' if self.hits > 1 else ''}")
        return "  ".join(parts)

    def place(self) -> str:
        if self.vectors is None:
            return f"{self.address:#x} {self.name}".rstrip()
        first, last = self.vectors[0], self.vectors[-1]
        if first != last:
            return f"traps {first:#x}-{last:#x}"
        return f"trap {first} {trap_name(first)}" if first in TRAPS else f"trap {first:#x}"


@dataclass
class Breakpoints:
    """The table: numbers grow and are never used again."""

    table: dict[int, Breakpoint] = field(default_factory=dict)
    last: int = 0

    def add(self, **facts) -> Breakpoint:
        self.last += 1
        self.table[self.last] = Breakpoint(self.last, **facts)
        return self.table[self.last]

    def __iter__(self):
        return iter(tuple(self.table.values()))

    def __len__(self) -> int:
        return len(self.table)

    def delete(self, number: int) -> bool:
        return self.table.pop(number, None) is not None

    def at(self, address: int) -> list[Breakpoint]:
        return [b for b in self if b.address == address]

    def addresses(self) -> set[int]:
        return {b.address for b in self if b.address is not None}

    def vectors(self) -> set[int]:
        return {v for b in self if b.vectors is not None for v in b.vectors}
