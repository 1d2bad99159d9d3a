"""What a machine is armed with, and which breakpoints a stop of it belongs to."""

from collections.abc import Iterable

from vmdbg.debugger.expressions import ExpressionError
from vmdbg.debugger.stop import Reason, Stop
from vmdbg.debugger.triggers import Event, Wants, number_of, trap_words

BEFORE = ("break", "trap")  # stops before the instruction or the delivery: the next run goes through it
STEPPED = ("watch", "mode")  # stops after the instruction: the next one may be one to stop at as well


class Armed:
    """Tells the machine what it does not know yet: new breakpoints cost it its translated code."""

    def __init__(self, machine):
        self.machine = machine
        self.wants = Wants()

    def arm(self, wants: Wants) -> None:
        machine, old = self.machine, self.wants
        if wants is old and not wants.watches and not wants.modes:
            return
        if wants.addresses != old.addresses:
            machine.set_breakpoints(wants.addresses)
        if wants.physical != old.physical:
            machine.break_physical(wants.physical)
        if wants.vectors != old.vectors:
            machine.intercept(wants.vectors)
        if wants.forms != old.forms:
            machine.arm(wants.forms)
        if wants.watches or old.watches:  # always: what we wrote ourselves since is no hit
            machine.watch(wants.watches)
        if wants.modes or old.modes:
            machine.watch_modes(wants.modes)
        self.wants = wants

    @property
    def somewhere(self) -> bool:
        """Whether the run would stop before any instruction at all."""
        w = self.wants
        return bool(w.addresses or w.physical or w.forms)

    def before(self, event: Event) -> bool:
        """Whether the run would stop before the next instruction, and stands on it already."""
        w = self.wants
        if event.rip in w.addresses:
            return True
        if w.physical and event.physical in w.physical:
            return True
        return bool(w.forms) and event.instruction is not None and number_of(event.instruction.form) in w.forms


def hits(session, event: Event) -> tuple[Reason, ...]:
    """The breakpoints whose trigger matches and whose condition holds; one whose condition cannot be evaluated stops, and says so."""
    reasons, context = [], None
    for b in session.breakpoints:
        if not b.enabled or b.scope is not None and not b.scope.holds(session) or not b.trigger.match(event):
            continue
        problem = ""
        if b.condition is not None:
            if context is None:
                context = session.context(event.facts)
            try:
                if not b.condition.value(context):
                    continue
            except ExpressionError as e:
                problem = f", whose condition fails: {e}"
        b.hits += 1
        text = b.trigger.words(event) + problem
        if b.trace and not problem:
            session.traced.append((session.position, b.number, text))
        elif b.hits >= b.count:
            reasons.append(Reason(event.kind, f"breakpoint {b.number} {text}", b.number))
    for trigger in session.also:
        if trigger.match(event):
            reasons.append(Reason(event.kind, trigger.words(event)))
    return tuple(reasons)


def stop_of(session, found, until: Iterable[int], traps: Iterable[int]) -> Stop | None:
    """The session's stop for a stop of the machine that a breakpoint may be behind; None to go on."""
    event = Event(session, found)
    if event.kind == "trap":
        reasons = hits(session, event)
        if not reasons and found.vector in traps:
            reasons = (Reason("trap", trap_words(found)),)
        return Stop(session.position, reasons, found.vector, found.error_code, found.address) if reasons else None
    reasons = hits(session, event)
    if event.kind == "break" and event.rip in until:
        near = session.symbols.near(event.rip)
        reasons = (Reason("step", f"at {event.rip:#x}" + (f" {near}" if near else "")), *reasons)
    if reasons and event.kind in STEPPED:
        following = Event(session, found, "break")
        if session.armed.before(following):
            reasons += hits(session, following)
    return Stop(session.position, reasons, address=event.facts.get("address"), facts=event.facts) if reasons else None
