"""Single steps: over calls, and one after another at the speed of a loop in Python."""

from vmdbg.debugger.listing import call_like
from vmdbg.debugger.stop import Stop
from vmdbg.machine.machine import SPENT
from vmdbg.machine.state import RSP

NOTHING: frozenset[int] = frozenset()


def step_plainly(session) -> Stop | None:
    """One more step after one that met nothing, while nothing is to stop it and nothing comes from outside; None: not so."""
    s, history = session, session.history
    outside = s.feed is not None or s.more is not None or s.ends_after is not None or s.interrupted
    if outside or s.breakpoints.table or s.also or not (history is None or history.live):
        return None
    found = s.machine.run(1)
    stop = None if found is SPENT else s.classify(found, NOTHING, NOTHING)
    if stop is not None:
        return s.stopped(stop)
    position = s.machine.position
    if history is not None:
        history.line.end = position
    s.stop = s.stepped = Stop.stepped(position)
    return s.stop


def step_over(session) -> Stop:
    """One step, but a call, a software interrupt or a repeated string instruction as a whole."""
    found = session.listing.decode(session.rip)
    if found is None or not call_like(found):
        return session.step()
    after, stack = session.rip + found.length, int(session.cpu.gpr[RSP])
    while True:
        stop = session.run(until={after})
        arrived = stop.has("step") and session.rip == after
        if not arrived or int(session.cpu.gpr[RSP]) >= stack or stop.has("break"):
            return stop
