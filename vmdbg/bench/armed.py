"""What breakpoints cost that do not stop a recorded run, and how fast it is searched backwards.

All of it is a stretch of the recording, run again; CPU time of this thread.  What is armed has been met once before it is measured.
"""

import time
from collections import Counter
from collections.abc import Callable

from vmdbg.debugger.expressions import parse
from vmdbg.debugger.memory_triggers import Memory
from vmdbg.debugger.session import Session
from vmdbg.debugger.stop import Stop
from vmdbg.machine.machine import PAGE
from vmdbg.machine.state import RSP

STRETCH, SHORT = 100_000_000, 2_000_000  # steps: with what is never met; with what is met again and again
SEARCHED = 300_000_000  # steps of a search
ADDRESSES, VECTOR = 20, 0x1F  # breakpoints; a vector that the manual keeps back
REPEATS, LOOKED_AT = 3, 2_000  # the best counts; steps in which the busiest instruction is looked for
NEVER = 1 << 62  # hits


def costs(session: Session) -> dict:
    """never: percent by which twenty addresses and a trap slow the run; false: microseconds for each hit of a false condition;
    stack: how many times as long it takes with a watchpoint on the stack's page."""
    history = session.history
    assert history is not None
    begin = history.first + (history.line.end - history.first) // 2
    length = min(STRETCH, history.line.end - begin)
    plain = stretch(session, begin, length)
    places = sampled(session, begin, length)
    for place in places:
        session.break_at(place)
    session.break_trap(range(VECTOR, VECTOR + 1))
    with_them = stretch(session, begin, length)
    disarm(session)
    short = min(SHORT, length)
    bare, place = stretch(session, begin, short), busiest(session, begin)
    b = session.break_at(place, count=NEVER)
    stretch(session, begin, short, 1)
    hits = b.hits
    disarm(session)
    session.break_at(place, condition=parse("rax == 0x123456789abcdef"))
    conditional = stretch(session, begin, short)
    disarm(session)
    session.goto(begin)
    page = int(session.cpu.gpr[RSP]) & ~(PAGE - 1)
    session.break_on(Memory(page, page + 7, "w"), count=NEVER)
    watching = stretch(session, begin, length)
    disarm(session)
    return dict(
        never=round(100 * (with_them / plain - 1), 1),
        hits=hits,
        false=round(1e6 * max(conditional - bare, 0) / max(hits, 1), 1),
        stack=round(watching / plain, 2),
    )


def stretch(session: Session, begin: int, length: int, repeats: int = REPEATS) -> float:
    """Seconds to run it with what is armed."""
    best = float("inf")
    for n in range(repeats + 1):
        session.goto(begin)
        began = time.thread_time()
        while session.position < begin + length and not session.step(begin + length - session.position).ended:
            pass
        if n or repeats == 1:  # the first one translates
            best = min(best, time.thread_time() - began)
    return max(best, 1e-6)


def sampled(session: Session, begin: int, length: int) -> list[int]:
    """Addresses on pages that are run, within instructions: they are never executed."""
    found = []
    for n in range(ADDRESSES):
        session.goto(begin + length * n // ADDRESSES)
        found.append(session.rip + 1)
    return found


def busiest(session: Session, begin: int) -> int:
    """The address that is executed most often after a position."""
    session.goto(begin)
    seen: Counter[int] = Counter()
    for _ in range(LOOKED_AT):
        seen[session.rip] += 1
        if session.step().ended:
            break
    return seen.most_common(1)[0][0]


def disarm(session: Session) -> None:
    for b in session.breakpoints:
        session.breakpoints.delete(b.number)


def search(session: Session) -> dict:
    """Backwards from the end for an address that is never executed: steps a second of CPU time, cancelled once SEARCHED of them
    are done; and forwards over the same, with the same armed."""
    history = session.history
    assert history is not None
    end = history.line.end
    session.goto(end)
    session.break_at(1)
    begun: list[int] = []  # positions where the intervals begin, the latest first

    def progress(done: float) -> None:
        begun.append(round((1 - done) * end))
        if len(begun) > 1 and begun[-2] <= end - SEARCHED:
            session.interrupt()

    backwards, cancelled = timed(session.reverse_run, session, progress)
    first = begun[-2] if cancelled else history.first  # the last interval was given up
    session.goto(first)
    forwards, _ = timed(lambda: session.step(end - first), session, None)
    disarm(session)
    rates = dict(backwards=round((end - first) / backwards), forwards=round((end - first) / forwards))
    return dict(steps=end - first, cancelled=cancelled, **rates, ratio=round(forwards / backwards, 2))


def timed(run: Callable[[], Stop], session: Session, progress: Callable[[float], None] | None) -> tuple[float, bool]:
    """Seconds, and whether it was cancelled."""
    before, session.progress = session.progress, progress
    began = time.thread_time()
    try:
        stop = run()
    finally:
        session.progress = before
    return max(time.thread_time() - began, 1e-6), stop.has("pause")
