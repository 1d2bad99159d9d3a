"""Back to what entered the function in which execution stands: the call, the interrupt or the trap.

That is the last step before here that left the stack deeper than it was, for good: everything since stood below it.  Steps are
looked at one by one, in windows that grow; a function that switched stacks is left to where its stack came from.
"""

from vmdbg.debugger.listing import call_like
from vmdbg.debugger.past.backwards import BEGINNING, Cancelled, check, history_of
from vmdbg.debugger.past.history import History
from vmdbg.debugger.past.register_questions import LOOK, windows
from vmdbg.debugger.registers import linear_rip
from vmdbg.debugger.stop import Reason, Stop
from vmdbg.debugger.triggers import Wants
from vmdbg.machine.state import RSP


def reverse_finish(session) -> Stop:
    """Before the step that entered this function, on this vCPU; if there is none, at the beginning of what is recorded."""
    history, here, n = history_of(session), session.position, session.cpu_index
    session.begin_journey()
    history.leave_end()
    session.armed.arm(Wants())
    highest = int(session.cpu.gpr[RSP])
    try:
        for first, last in windows(history.first, here):
            if session.progress is not None:
                session.progress(1 - last / max(here, 1))
            steps = deeper(session, history, first, last, n)
            for position, stack, delivered in reversed(steps):
                if stack > highest and (delivered or is_call(session, history, position, n)):
                    history.be_at(position)
                    session.cpu_index = n
                    return session.arrived(Stop(position, (Reason("step", "what entered this function"),)))
                highest = max(highest, stack)
        history.go(history.first)
        return session.arrived(Stop(history.first, (Reason("beginning", BEGINNING),)))
    except Cancelled:
        history.go(here)
        return session.arrived(Stop(here, (Reason("pause", "cancelled"),)))


def deeper(session, history: History, first: int, last: int, n: int) -> list[tuple[int, int, bool]]:
    """(position, stack pointer before it, whether it is the delivery of an event) of each step of a vCPU from first to last."""
    history.be_at(first)
    cpu, found = session.machine.cpus[n], []
    stack, made, events = int(cpu.gpr[RSP]), int(cpu.instructions) + int(cpu.events), int(cpu.events)
    while session.position < last:
        position, clock = session.position, session.machine.clock
        if position % LOOK == 0:
            check(session)
        history.run(1, True)
        if (position, clock) == (session.position, session.machine.clock):
            break  # the machine ends here
        now = int(cpu.instructions) + int(cpu.events)
        if now != made:
            found.append((position, stack, int(cpu.events) != events))
            stack, made, events = int(cpu.gpr[RSP]), now, int(cpu.events)
    return found


def is_call(session, history: History, position: int, n: int) -> bool:
    """Whether the step at a position is one that enters a function."""
    history.be_at(position)
    session.cpu_index = n
    decoded = session.listing.decode(linear_rip(session.machine.cpus[n]))
    return decoded is not None and call_like(decoded) and not decoded.rep
