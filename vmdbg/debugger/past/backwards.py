"""Going back: every way of it is to restore a checkpoint and to run forward.

reverse_run looks for the last stop before a position: interval by interval from the latest one, each run again with the
breakpoints armed; a checkpoint is left at stops that were found, so that the last of them is come to quickly.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

import numpy as np

from isa.instruction import Instruction
from vmdbg.debugger.armed import BEFORE
from vmdbg.debugger.past.history import History, HistoryError
from vmdbg.debugger.stop import Reason, Stop
from vmdbg.debugger.triggers import Trap
from vmdbg.machine.state import RSP

STRETCH = 2_000_000  # steps of a search before it is asked whether it goes on
PARTS = 8  # in which a search for a trap divides its way
FEW, SHORT = 32, 5_000  # deliveries, steps that are looked at one by one
DEAR = 300_000  # steps that take as long as a checkpoint does
MANY = 100  # stops in an interval, after which the last one is looked for from its end
APART = 0.01  # seconds of a search between two checkpoints at stops
AFTERWARDS = ("watch", "mode")  # stops of the machine that come after the step they are about
ALL_VECTORS = range(256)
CALL_LENGTHS = range(1, 16)
FAULTS_OF_DELIVERY = (8, 10, 11, 12, 13, 14)  # vectors that may be delivered in the place of another one
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
    session.begin_journey(frozenset(until), frozenset(traps))
    until, traps = frozenset(until), frozenset(traps)
    passed: Counter[int | None] = Counter()
    with every_hit(session) as needed:
        try:
            stop = find_last(session, history, here, until, traps, wanted)
            while stop is not None:
                passed.update({r.breakpoint for r in stop.reasons if r.breakpoint is not None})
                reasons = tuple(r for r in stop.reasons if passed[r.breakpoint] >= needed.get(r.breakpoint, 0))
                if reasons:
                    stop = replace(stop, reasons=reasons)
                    break
                stop = find_last(session, history, stop.position, until, traps, wanted)
            else:
                history.go(history.first)
                stop = Stop(history.first, (Reason("beginning", BEGINNING),))
        except Cancelled:
            history.go(here)
            stop = Stop(here, (Reason("pause", "cancelled"),))
    return session.arrived(stop)


@contextmanager
def every_hit(session) -> Iterator[dict[int | None, int]]:
    """Every hit stops, and none is counted; how often each breakpoint that counts must be passed before it stops, by number."""
    before = [(b, b.hits, b.count) for b in session.breakpoints]
    try:
        for b, _hits, _count in before:
            b.count = 1
        yield {b.number: max(count - hits, 1) for b, hits, count in before if count > 1}
    finally:
        for b, hits, count in before:
            b.hits, b.count = hits, count


def find_last(session, history: History, here: int, until, traps, wanted) -> Stop | None:
    """Be at the last stop before `here`; None: there is none, and the machine is anywhere."""
    vectors = delivered_vectors(session, until, traps)
    counts, last = None if vectors is None else history.delivered()[vectors], here
    history.leave_end()
    intervals = [s for s in history.line.saved if s.position < here]
    for n in reversed(range(len(intervals))):
        first = intervals[n]
        counts_after, counts = counts, None if vectors is None else first.delivered[vectors]
        if counts_after is not None and (counts == counts_after).all():
            last = first.position  # nothing was delivered in between
            continue
        if session.progress is not None:
            session.progress(1 - first.position / max(here, 1))
        history.restore(first)
        if vectors is not None and plain(session):
            hit = last_delivery(session, history, last, vectors, until, traps)
        else:
            hit = walk(session, history, last, last < here, until, traps, wanted)
        if hit is not None:
            if hit.position != first.position or not n or not watching(session):
                return hit
            history.restore(intervals[n - 1])  # the step before may have its part in this stop
            whole = walk(session, history, first.position, True, until, traps, wanted)
            if whole is not None and whole.position == hit.position:
                return whole
            history.restore(first)
            return walk(session, history, last, last < here, until, traps, wanted)
        last = first.position
    return None


def delivered_vectors(session, until, traps) -> np.ndarray | None:
    """If only traps are looked for: the vectors of which one is delivered wherever there is such a stop."""
    if until or session.also or not all(isinstance(b.trigger, Trap) for b in session.breakpoints if b.enabled):
        return None
    return np.array(sorted({*traps, *session.breakpoints.vectors(), *FAULTS_OF_DELIVERY}))


def plain(session) -> bool:
    """Whether every trap that is looked for stops."""
    return all(b.always and not b.trigger.origin for b in session.breakpoints if b.enabled)


def last_delivery(session, history: History, last: int, vectors: np.ndarray, until, traps) -> Stop | None:
    """Be at the last of some traps before `last`, from the checkpoint at which the machine is.

    The way there is run once without a stop, counting at a few places; then only what lies between two of them is looked at.
    """
    first = history._base
    while True:
        upto = narrow(session, history, last, vectors)
        if upto is None:
            return None
        begun = session.position
        hit = walk(session, history, upto, False, until, traps, None)
        if hit is not None or begun == first.position:
            return hit
        last = begun
        history.be_at(first.position)


def narrow(session, history: History, last: int, vectors: np.ndarray) -> int | None:
    """Be a little before the last delivery of one of these before `last`; where to look up to; None: there is none."""
    while last - session.position > SHORT:
        start, counts = session.position, history.delivered()[vectors]
        near, found = history._base, None
        session.machine.intercept(())
        try:
            for part in range(1, PARTS + 1):
                check(session)
                before = session.position
                history.forward(start + (last - start) * part // PARTS)
                now = history.delivered()[vectors]
                if (now != counts).any():
                    found = near, before, session.position, int((now - counts).sum())
                counts = now
                if part < PARTS and session.position - before > DEAR and history.keep.possible():
                    near = history.take(temporary=True)
            if found is None:
                return None
            history.restore(found[0])
            history.forward(found[1])
        finally:
            session.machine.intercept(session.armed.wants.vectors)
        if found[3] <= FEW or found[2] - session.position >= last - start:
            return found[2]
        last = found[2]
    return last


def walk(session, history: History, last: int, closed: bool, until, traps, wanted) -> Stop | None:
    """Run to `last` through all stops before it, and be at the last one of these again.

    closed: what the step that leads to `last` did counts too (a watchpoint stops after it); no other interval sees it.
    """
    start = near = history._base
    hit, resume, looked, hits = None, False, perf_counter(), 0
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
        hit, hits = stop, hits + 1
        if hits >= MANY and last - session.position > SHORT and history.keep.possible() and not watching(session):
            return last_of_many(session, history, last, closed, until, traps, wanted)
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


def last_of_many(session, history: History, last: int, closed: bool, until, traps, wanted) -> Stop | None:
    """Be at the last stop from the one here, before its step, to `last`: among those of the last part that has any."""
    begin, start, parts = session.position, history.take(temporary=True), []
    for part in range(1, PARTS + 1):
        upto = begin + (last - begin) * part // PARTS
        parts.append((start, upto, count_stops(session, history, upto)))
        if part < PARTS and history.keep.possible():
            start = history.take(temporary=True)
    for start, upto, count in reversed(parts):
        if count:
            history.restore(start)
            hit = walk(session, history, upto, closed or upto < last, until, traps, wanted)
            if hit is not None:
                return hit
    return None


def count_stops(session, history: History, last: int) -> int:
    """Run to `last`; how often the machine stopped on the way, whatever for."""
    count, resume = 0, False
    while session.position < last:
        check(session)
        resume = history.run(min(last - session.position, STRETCH), resume).reason in BEFORE
        count += resume
    return count


def watching(session) -> bool:
    """Whether stops come after the step they are about."""
    return any(int(cpu.watching) for cpu in session.machine.cpus)


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
