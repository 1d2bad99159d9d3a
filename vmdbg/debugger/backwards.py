"""Going back: every way of it is to restore a checkpoint and to run forward.

reverse_run looks for the last stop before a position: interval by interval from the latest one, each run again with the
breakpoints armed; a checkpoint is left at stops that were found, so that the last of them is come to quickly.
"""

from collections.abc import Iterable
from time import perf_counter

from isa.instruction import Instruction
from vmdbg.debugger.armed import BEFORE
from vmdbg.debugger.history import History, HistoryError
from vmdbg.debugger.stop import Reason, Stop
from vmdbg.machine.state import RSP

STRETCH = 2_000_000  # steps of a search before it is asked whether it goes on
APART = 0.01  # seconds of a search between two checkpoints at stops
AFTERWARDS = ("watch", "mode")  # stops of the machine that come after the step they are about
ALL_VECTORS = range(256)
CALL_LENGTHS = range(1, 16)
RETURNS = ("ret", "iret", "sysret", "sysexit", "leave")


class Cancelled(Exception):
    """The user wants the search to end."""


def history_of(session) -> History:
    """HistoryError if nothing is recorded."""
    if session.history is None:
        raise HistoryError("this session is not recorded")
    return session.history


def travel(session, position: int, text: str) -> Stop:
    """Be at a recorded position; if the user interrupts, where it was before."""
    history, here = history_of(session), session.position
    session.begin_journey()
    first: list[int] = []  # where it runs from

    def look(now: int) -> None:
        check(session)
        first.append(now) if not first else None
        if session.progress is not None and position > first[0]:
            session.progress((now - first[0]) / (position - first[0]))

    try:
        history.look = look
        history.go(position)
    except Cancelled:
        history.look = None
        history.go(here)
        return session.arrived(Stop(here, (Reason("pause", "cancelled"),)))
    finally:
        history.look = None
    return session.arrived(Stop(position, (Reason("goto", text),)))


def take_line(session, number: int) -> Stop:
    """Be at the end of another line of history."""
    history = history_of(session)
    session.begin_journey()
    history.take_line(number)
    return session.arrived(Stop(session.position, (Reason("goto", f"at the end of line {number}"),)))


def check(session) -> None:
    if session.interrupted:
        raise Cancelled


def reverse_step(session, count: int) -> Stop:
    """`count` steps back, or to the beginning."""
    history = history_of(session)
    target = max(session.position - count, history.first)
    if session.position == history.first:
        return session.arrived(Stop(target, (Reason("beginning", BEGINNING),)))
    return travel(session, target, f"{count:,} steps back" if count > 1 else "step back")


BEGINNING = "the beginning of what is recorded"


def reverse_run(session, until: Iterable[int] = (), traps: Iterable[int] = (), wanted=None) -> Stop:
    """To the last stop before this position: a breakpoint, a trap of `traps`, an address of `until` (where `wanted(session)` holds)."""
    history, here = history_of(session), session.position
    hits = [(b, b.hits) for b in session.breakpoints]
    session.begin_journey(frozenset(until), frozenset(traps))
    only_traps = not until and not list(session.breakpoints)
    try:
        stop = find_last(session, history, here, frozenset(until), frozenset(traps), only_traps, wanted)
        if stop is None:
            history.go(history.first)
            stop = Stop(history.first, (Reason("beginning", BEGINNING),))
    except Cancelled:
        history.go(here)
        stop = Stop(here, (Reason("pause", "cancelled"),))
    finally:
        for b, count in hits:
            b.hits = count
    return session.arrived(stop)


def find_last(session, history: History, here: int, until, traps, only_traps: bool, wanted) -> Stop | None:
    """Be at the last stop before `here`; None: there is none, and the machine is anywhere."""
    history.leave_end()
    intervals = [s for s in history.line.saved if s.position < here]
    events, last = None, here
    for n in reversed(range(len(intervals))):
        first = intervals[n]
        if only_traps and events is not None and first.events == events:
            last = first.position  # nothing was delivered in between
            continue
        events = first.events
        if session.progress is not None:
            session.progress(1 - first.position / max(here, 1))
        history.restore(first)
        hit = walk(session, history, last, last < here, until, traps, wanted)
        if hit is not None:
            if hit.position != first.position or not n or not any(int(cpu.watching) for cpu in session.machine.cpus):
                return hit
            history.restore(intervals[n - 1])  # the step before may have its part in this stop
            whole = walk(session, history, first.position, True, until, traps, wanted)
            if whole is not None and whole.position == hit.position:
                return whole
            history.restore(first)
            return walk(session, history, last, last < here, until, traps, wanted)
        last = first.position
    return None


def walk(session, history: History, last: int, closed: bool, until, traps, wanted) -> Stop | None:
    """Run to `last` through all stops before it, and be at the last one of these again.

    closed: what the step that leads to `last` did counts too (a watchpoint stops after it); no other interval sees it.
    """
    start = near = history._base
    hit, resume, looked = None, False, perf_counter()
    while session.position < last:
        check(session)
        found = history.run(min(last - session.position, STRETCH), resume)
        stop = session.classify(found, until, traps)
        resume = found.reason in BEFORE
        if stop is None:
            continue
        if stop.ended or stop.position > last or (stop.position == last and not (closed and found.reason in AFTERWARDS)):
            break
        if wanted is not None and stop.has("step") and not wanted(session):
            continue
        hit = stop
        if history.keep.possible() and (near is start or perf_counter() - looked > APART):
            near, looked = history.take(temporary=True), perf_counter()
    if hit is None:
        return None
    if near is not start and near.position <= hit.position:
        history.restore(near)
        if near.position == hit.position:
            return hit
    else:
        history.restore(start)
    resume = False
    if near is not start:
        resume = True  # off the stop that it was taken at
    while True:
        found = history.run(hit.position + 1 - session.position, resume)
        resume = found.reason in BEFORE
        if session.position == hit.position and found.reason != "budget":
            stop = session.classify(found, until, traps)
            if stop is not None and stop.reasons == hit.reasons:
                return stop
        if session.position > hit.position:
            raise HistoryError(f"the stop at position {hit.position:,} did not come again")


def reverse_over(session) -> Stop:
    """One step back; but if that is out of a call, a trap or an interrupt that was over, all of it."""
    history, rip, here = history_of(session), session.rip, session.position
    if here == history.first:
        return reverse_step(session, 1)
    stack, index = int(session.cpu.gpr[RSP]), session.cpu_index
    stop = reverse_step(session, 1)
    if stop.has("pause"):
        return stop
    decoded = session.listing.decode(session.rip)
    if decoded is None or not returns(decoded) or session.cpu_index != index:
        return stop
    places = {rip} | {rip - n for n in CALL_LENGTHS}
    return reverse_run(session, until=places, wanted=lambda s: int(s.cpu.gpr[RSP]) >= stack and s.cpu_index == index and leads(s, rip))


def returns(decoded: Instruction) -> bool:
    return decoded.mnemonic.lower().startswith(RETURNS[:-1])


def leads(session, rip: int) -> bool:
    """Whether execution stands before an instruction that goes on at rip: a call that returns there, or one that a trap interrupted."""
    decoded = session.listing.decode(session.rip)
    return session.rip == rip or (decoded is not None and session.rip + decoded.length == rip)


def previous_trap(session) -> Stop:
    """Back to the last trap of any kind: before it was delivered."""
    return reverse_run(session, traps=ALL_VECTORS)
