"""What waits for memory: accesses to some bytes, and instructions that begin in them."""

from dataclasses import dataclass

from vmdbg.debugger.triggers import Event, Wants
from vmdbg.machine.watch import WATCH_PHYSICAL, WATCH_READ, WATCH_WRITE

KINDS = {"r": WATCH_READ, "w": WATCH_WRITE, "rw": WATCH_READ | WATCH_WRITE}


@dataclass(frozen=True)
class Memory:
    """After an access to bytes first .. last; `access` is a key of KINDS."""

    first: int
    last: int
    access: str
    physical: bool = False

    def want(self, wants: Wants) -> None:
        wants.watches.append((self.first, self.last, KINDS[self.access] | (WATCH_PHYSICAL if self.physical else 0)))

    def match(self, event: Event) -> bool:
        if event.kind != "watch":
            return False
        a = event.found.access
        at = a.physical if self.physical else a.linear
        return at is not None and ("w" if a.write else "r") in self.access and at <= self.last and at + a.size > self.first

    def words(self, event: Event) -> str:
        a = event.found.access
        at = a.physical if self.physical else a.linear
        size = f"{a.size} byte{'' if a.size == 1 else 's'}"
        by = "by a page walk or a device" if a.rip is None else f"by the instruction at {a.rip:#x}"
        return f"{'write' if a.write else 'read'} of {size} at {'physical ' if self.physical else ''}{at:#x} {by}"

    def place(self) -> str:
        kind = {"r": "read", "w": "write", "rw": "access"}[self.access]
        return f"{kind} of {'physical ' if self.physical else ''}{span(self.first, self.last)}"


@dataclass(frozen=True)
class Execute:
    """Before any instruction that begins in bytes first .. last."""

    first: int
    last: int
    physical: bool = False

    def want(self, wants: Wants) -> None:
        (wants.physical if self.physical else wants.addresses).update(range(self.first, self.last + 1))

    def match(self, event: Event) -> bool:
        at = None if event.kind != "break" else event.physical if self.physical else event.rip
        return at is not None and self.first <= at <= self.last

    def words(self, event: Event) -> str:
        return f"execution of {'physical ' if self.physical else ''}{event.physical if self.physical else event.rip:#x}"

    def place(self) -> str:
        return f"execute of {'physical ' if self.physical else ''}{span(self.first, self.last)}"


def span(first: int, last: int) -> str:
    return f"{first:#x}" if first == last else f"{first:#x}-{last:#x}"
