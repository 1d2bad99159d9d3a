"""The table of breakpoints as a frozen value."""

from dataclasses import dataclass

from vmdbg.debugger.breakpoints import Breakpoint
from vmdbg.debugger.memory_triggers import Execute, Memory
from vmdbg.debugger.triggers import Address, PhysicalAddress, Places

KINDS = {
    "Address": "address",
    "PhysicalAddress": "physical",
    "Instructions": "insn",
    "ControlRegister": "cr",
    "Port": "io",
    "Exits": "exit",
    "Places": "address",
}


@dataclass(frozen=True)
class BreakpointRow:
    number: int
    kind: str  # address, trap, memory ...
    place: str  # as `info break` shows it
    condition: str
    options: str  # once, trace, count N
    hits: int
    enabled: bool
    address: int | None  # linear, that the disassembly can show
    stopped: bool  # it is among the reasons of this stop


def breakpoint_view(session, argument: str, running: bool) -> tuple[BreakpointRow, ...]:
    reasons = {r.breakpoint for r in session.stop.reasons}
    return tuple(row(b, not running and b.number in reasons) for b in session.breakpoints)


def row(b: Breakpoint, stopped: bool) -> BreakpointRow:
    trigger = b.trigger
    name = type(trigger).__name__
    options = [word for word, on in (("once", b.once), ("trace", b.trace), (f"count {b.count}", b.count > 1)) if on]
    kind = "watch" if isinstance(trigger, Memory) else KINDS.get(name, name.lower())
    place = trigger.place()
    if not isinstance(trigger, (Address, PhysicalAddress, Places, Memory, Execute)):
        place = place.removeprefix(f"{kind} ")
    options = ([b.scope.words()] if b.scope is not None else []) + options
    condition = b.condition.text if b.condition is not None else ""
    return BreakpointRow(b.number, kind, place, condition, " ".join(options), b.hits, b.enabled, b.address, stopped)
