"""The bus between local APICs and I/O APICs: who takes a message (SDM vol. 3, 11.6.2; messages in memory: 11.11)."""

from dataclasses import dataclass
from typing import Protocol

FIXED, LOWEST, SMI, NMI, INIT, START_UP, EXTINT = 0, 1, 2, 4, 5, 6, 7
BROADCAST = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Message:
    """One interrupt message; `destination` has 8 bits or, between x2APICs, 32; all ones (of 32) is everybody."""

    destination: int
    logical: bool
    mode: int
    vector: int
    level: bool = False  # trigger mode


class Target(Protocol):
    """A local APIC, seen from the bus."""

    def matches(self, destination: int, logical: bool) -> bool: ...

    def priority(self) -> int: ...

    def accept(self, message: Message) -> None: ...


class Source(Protocol):
    """An I/O APIC, seen from the bus."""

    def end_of_interrupt(self, vector: int) -> None: ...


class ApicBus:
    def __init__(self):
        self.targets: list[Target] = []
        self.sources: list[Source] = []

    def send(self, message: Message, without: Target | None = None) -> bool:
        """Deliver to all that match, or in lowest-priority mode to the one that does the least important work."""
        found = [t for t in self.targets if t is not without and t.matches(message.destination, message.logical)]
        if message.mode == LOWEST and found:
            found = [min(found, key=lambda t: t.priority())]
        for target in found:
            target.accept(message)
        return bool(found)

    def end_of_interrupt(self, vector: int) -> None:
        """A level-triggered interrupt has been handled."""
        for source in self.sources:
            source.end_of_interrupt(vector)

    def message_in_memory(self, address: int, data: int) -> bool:
        """A device's write to FEExxxxx (MSI)."""
        destination = address >> 12 & 0xFF
        return self.send(
            Message(BROADCAST if destination == 0xFF else destination, bool(address & 4), data >> 8 & 7, data & 0xFF, bool(data & 0x8000))
        )
