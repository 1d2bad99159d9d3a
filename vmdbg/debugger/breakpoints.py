"""Breakpoints: where to stop, and on which conditions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vmdbg.debugger.expressions import Expression
from vmdbg.debugger.scope import Scope
from vmdbg.debugger.triggers import Address, Places, Trap, Trigger, Wants, wants_of


@dataclass
class Breakpoint:
    """Stops where its trigger says and its condition holds.

    It counts a hit whenever the condition holds, and stops from hit number `count` on; with `trace` it never stops,
    but is written down.  One that is not enabled does neither.
    """

    number: int
    trigger: Trigger
    condition: Expression | None = None
    once: bool = False
    count: int = 1
    hits: int = 0
    trace: bool = False
    enabled: bool = True
    scope: Scope | None = None

    @property
    def address(self) -> int | None:
        """The linear address it stands at, or the first of them; None if it waits for something else."""
        return self.addresses[0] if self.addresses else None

    @property
    def addresses(self) -> tuple[int, ...]:
        """The linear addresses it stands at."""
        t = self.trigger
        return (t.address,) if isinstance(t, Address) else t.addresses if isinstance(t, Places) else ()

    @property
    def always(self) -> bool:
        """Whether wherever its trigger matches it stops."""
        return self.condition is None and self.scope is None and not self.trace

    def describe(self) -> str:
        """One line, as `info break` shows it: '2  trap 14 #PF  if cr2 < 0x1000  hit 3 times'."""
        parts = [f"{self.number:<3}", self.trigger.place()]
        if self.scope is not None:
            parts.append(self.scope.words())
        if self.condition is not None:
            parts.append(f"if {self.condition.text}")
        if self.once:
            parts.append("once")
        if self.trace:
            parts.append("trace")
        if self.count > 1:
            parts.append(f"count {self.count}")
        if not self.enabled:
            parts.append("off")
        if self.hits:
            parts.append(f"hit {self.hits} time{'s' if self.hits > 1 else ''}")
        return "  ".join(parts)


@dataclass
class Breakpoints:
    """The table: numbers grow and are never used again."""

    words: Callable[[str], tuple[Trigger, dict]] | None = None  # what a user's words for a breakpoint mean
    table: dict[int, Breakpoint] = field(default_factory=dict)
    last: int = 0
    _wants: Wants | None = None

    def add(self, trigger: Trigger | str, **facts) -> Breakpoint:
        """A trigger (triggers.py), or what stands after `b` or `bp`: 'start_a', 'trap PF if cr2 < 0x1000', 'io 0x3f8 w once'.

        CommandError if words say nothing that can be stopped at; further facts are Breakpoint's own (once, count, trace ...).
        """
        if isinstance(trigger, str):
            assert self.words is not None
            trigger, said = self.words(trigger)
            facts = said | facts
        self.last += 1
        self.table[self.last] = Breakpoint(self.last, trigger, **facts)
        self._wants = None
        return self.table[self.last]

    def __iter__(self) -> Iterator[Breakpoint]:
        return iter(tuple(self.table.values()))

    def __len__(self) -> int:
        return len(self.table)

    def delete(self, number: int) -> bool:
        self._wants = None
        return self.table.pop(number, None) is not None

    def enable(self, number: int, on: bool) -> None:
        self._wants = None
        self.table[number].enabled = on

    def at(self, address: int) -> list[Breakpoint]:
        return [b for b in self if address in b.addresses]

    def addresses(self) -> set[int]:
        """Linear ones that are enabled."""
        return {address for b in self if b.enabled for address in b.addresses}

    def vectors(self) -> set[int]:
        return {v for b in self if isinstance(b.trigger, Trap) and b.enabled for v in b.trigger.vectors}

    def wants(self) -> Wants:
        """What the machine is to be armed with; the same one until a breakpoint comes, goes or is switched."""
        if self._wants is None:
            self._wants = wants_of(b.trigger for b in self if b.enabled)
        return self._wants
