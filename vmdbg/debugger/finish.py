"""Run until the function in which execution stands returns, or the handler ends: the opposite of reverse_finish.

That is the first return, in this ring and on this vCPU, that pops the function's return address or what is above it.  Where that
lies is found as for the stack of calls; if it is not, from where the stack stands now, and not back into the same function: what is
called stands below, and what interrupts runs in another ring or below as well.
"""

from dataclasses import dataclass

from vmdbg.debugger.registers import reader
from vmdbg.debugger.stop import Reason, Stop
from vmdbg.debugger.triggers import Event, Wants, forms_of, number_of
from vmdbg.debugger.unwinding import frames
from vmdbg.machine.state import RSP

RETURNS = ("RET", "RETF", "IRET", "IRETD", "IRETQ", "SYSRET", "SYSEXIT")
STACKS_ARE_LESS = 1 << 20  # bytes: what is further up is another stack
FUNCTION = 1 << 20  # bytes of one, at most
_rsp, _cpl, _events = reader("gpr", RSP), reader("cpl"), reader("events")


@dataclass(frozen=True)
class Return:
    """Before a return that pops from `stack` or above."""

    stack: int
    ring: int
    cpu: int

    def want(self, wants: Wants) -> None:
        wants.forms |= forms_of(RETURNS)

    def match(self, event: Event) -> bool:
        cpu = event.cpu
        if (
            event.kind != "break"
            or event.cpu_index != self.cpu
            or _cpl(cpu) != self.ring
            or not 0 <= _rsp(cpu) - self.stack < STACKS_ARE_LESS
        ):
            return False
        return event.instruction is not None and number_of(event.instruction.form) in forms_of(RETURNS)

    def words(self, event: Event) -> str:
        return f"{event.instruction} at {event.rip:#x}"

    def place(self) -> str:
        return "return"


def finish(session) -> Stop:
    """After the return; fewer steps if something else stops it first."""
    here = next(frames(session, 1))
    back = Return(_rsp(session.cpu) if here.slot is None else here.slot, _cpl(session.cpu), session.cpu_index)
    start = session.symbols.before(session.rip, FUNCTION)
    while True:
        if not back.match(Event(session, None, "break")):
            with session.stopping_at(back):
                stop = session.run()
            if stop.ended or any(r.breakpoint is not None for r in stop.reasons) or not back.match(Event(session, None, "break")):
                return stop
        events = _events(session.cpu)
        stop = session.step()
        if not stop.has("step"):
            return stop
        if _events(session.cpu) != events:
            continue  # an interrupt came first
        if here.slot is not None or start is None or session.symbols.before(session.rip, FUNCTION) != start:
            return session.arrived(Stop(stop.position, (Reason("step", f"returned to {session.place()}"),)))
        # it came back into the function: what had been pushed when it began was gone by then
