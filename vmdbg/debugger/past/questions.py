"""Questions about the past, answered by running it again: who wrote this, when was it executed last, what happened from here to there.

    asked(session) -> intervals between checkpoints, the latest first -> stops of the machine in each -> the answer

The machine is where it was afterwards, and in the state it was in; an interrupt of the session ends a question with Cancelled.
Breakpoints of the user have no part in it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from vmdbg.debugger.armed import BEFORE
from vmdbg.debugger.past.backwards import FAULTS_OF_DELIVERY, STRETCH, check, history_of
from vmdbg.debugger.past.history import History, HistoryError
from vmdbg.debugger.past.timeline import Saved
from vmdbg.debugger.triggers import Wants
from vmdbg.machine.machine import PAGE
from vmdbg.machine.state import CS
from vmdbg.machine.watch import WATCH_PHYSICAL, WATCH_WRITE

BLOCK = 256  # steps that a block has at most
USER = "the user"


@dataclass(frozen=True)
class Answer:
    """`position`: going there stands before the step that is meant; `text` says what it does there."""

    position: int
    text: str
    cpu: int = 0


@contextmanager
def asked(session) -> Iterator[History]:
    """Around a question: the machine may be taken anywhere in it.  HistoryError, Cancelled."""
    history = history_of(session)
    session.begin_journey()
    here, index = session.position, session.cpu_index
    history.leave_end()
    mark = history.take(temporary=True) if history.keep.possible() else None
    history.look = lambda now: check(session)
    try:
        yield history
    finally:
        history.look = None
        session.armed.arm(Wants())
        back(history, mark, here)
        session.cpu_index = index


def back(history: History, mark: Saved | None, here: int) -> None:
    if mark is not None and mark in history.line.saved:
        history.restore(mark)
    else:
        history.be_at(here)


def intervals_back(history: History, here: int) -> Iterator[tuple[Saved, Saved | None, int]]:
    """(checkpoint, the one that follows it, where its interval ends), the latest first; None: the interval is cut off at `here`."""
    saved = history.line.saved
    last = here
    for n in reversed(range(len(saved))):
        if saved[n].position >= here:
            continue
        following = saved[n + 1] if n + 1 < len(saved) and saved[n + 1].position <= here else None
        yield saved[n], following, last
        last = saved[n].position


def stops(session, history: History, last: int) -> Iterator:
    """Run to position `last` through all stops of the machine: each as it is found."""
    resume = False
    while session.position < last:
        check(session)
        before = session.position, session.machine.clock
        found = history.run(min(last - session.position, STRETCH), resume)
        resume = found.reason in BEFORE
        if found.reason == "budget":
            continue
        if found.reason not in ("break", "trap", "watch", "mode"):
            if before == (session.position, session.machine.clock):
                raise HistoryError(f"position {last:,} is not reached: the machine ends at {session.position:,}")
            continue
        session.cpu_index = found.cpu
        yield found


def tell(session, done: float) -> None:
    if session.progress is not None:
        session.progress(min(max(done, 0.0), 1.0))


def search_back(session, wants: Wants, seen: Callable[[object], Answer | None], skip=None) -> Answer | None:
    """The last answer before here that `seen(stop of the machine)` gives; `skip(checkpoint, following)`: nothing is in between."""
    here = session.position
    with asked(session) as history:
        for first, following, last in list(intervals_back(history, here)):
            tell(session, 1 - first.position / max(here, 1))
            if skip is not None and following is not None and skip(first, following):
                continue
            history.restore(first)
            session.armed.arm(wants)
            answer, late = None, False
            for found in stops(session, history, last):
                now = seen(found)
                answer, late = (now, by_itself(found)) if now is not None else (answer, late)
            if answer is not None:
                return replace(answer, position=exactly(session, history, answer.position)) if late else answer
    return None


def by_itself(found) -> bool:
    """Whether a stop is after a write that no instruction meant."""
    return found.access is not None and found.access.rip is None


def exactly(session, history: History, position: int) -> int:
    """The step of the last watched access before `position` + 1: within a block a page walk's write is reported at the end of it."""
    history.be_at(max(position - BLOCK, history.first))
    session.armed.arm(session.armed.wants)
    found = position
    while session.position <= position:
        before = session.position, session.machine.clock
        if history.run(1, True).reason == "watch":
            found = session.position - 1
        if before == (session.position, session.machine.clock):
            break
    return found


# ---- who last wrote this memory


def physical_pieces(session, address: int, length: int) -> list[tuple[int, int]]:
    """(first, last) physical bytes behind linear ones, page by page; HistoryError if one is not mapped now."""
    found, done = [], 0
    while done < length:
        at = address + done & (1 << 64) - 1
        count = min(length - done, PAGE - at % PAGE)
        physical, _ = session.machine.walk(session.cpu_index, at)
        if physical is None:
            raise HistoryError(f"no page is mapped at {at:#x}")
        found.append((physical, physical + count - 1))
        done += count
    return found


def last_write(session, pieces: list[tuple[int, int]]) -> Answer | None:
    """Who last wrote any of these physical bytes: an instruction, a page walk, a device or the user."""
    if any(session.machine.read_physical(first, last - first + 1) is None for first, last in pieces):
        raise HistoryError(f"there is neither RAM nor ROM at physical {pieces[0][0]:#x}")
    pages = np.array(sorted({page for first, last in pieces for page in range(first // PAGE, last // PAGE + 1)}), np.uint32)

    def untouched(first: Saved, following: Saved) -> bool:
        return not np.isin(pages, following.pages).any()

    def seen(found) -> Answer | None:
        a = found.access
        if found.reason != "watch":
            return None
        what = f"write of {a.size} byte{'' if a.size == 1 else 's'} at physical {a.physical:#x}"
        if a.rip is None:
            return Answer(session.position - 1, f"{what} by a page walk or a device", found.cpu)
        return Answer(session.position - 1, f"{what} by the instruction at {place(session, found.cpu, a.rip)}", found.cpu)

    wants = Wants(watches=[(first, last, WATCH_WRITE | WATCH_PHYSICAL) for first, last in pieces])
    here = session.position
    inputs = [i for i in session.history.line.inputs if i.what == "memory" and i.position <= here] if session.history else []
    answer = search_back(session, wants, seen, untouched)
    for given in reversed(inputs):
        if answer is not None and answer.position >= given.position:
            break
        if _touches(session, given.value, pieces):
            return Answer(given.position, f"written by {USER}")
    return answer


def _touches(session, value, pieces) -> bool:
    """Whether what the user wrote is in the pieces; linear addresses are taken as they are mapped now."""
    n, address, data, space = value
    for k in range(len(data)):
        at = address + k if space == "physical" else session.machine.walk(n, address + k)[0]
        if at is not None and any(first <= at <= last for first, last in pieces):
            return True
    return False


def place(session, n: int, rip: int) -> str:
    """The instruction at an offset in CS as text: '0x1234 start+0x12: mov [rdi], eax'."""
    cpu = session.machine.cpus[n]
    linear = rip + (0 if int(cpu.bits) == 64 else int(cpu.seg_base[CS])) & (1 << 64) - 1
    return described(session, linear)


def described(session, linear: int) -> str:
    decoded, near = session.listing.decode(linear), session.symbols.near(linear)
    return f"{linear:#x}{f' {near}' if near else ''}{f': {decoded}' if decoded is not None else ''}"


# ---- when was this executed


def last_execution(session, address: int) -> Answer | None:
    """The last time before here at which the instruction at a linear address was about to be executed."""

    def seen(found) -> Answer | None:
        return Answer(session.position, described(session, address), found.cpu) if found.reason == "break" else None

    return search_back(session, Wants(addresses={address}), seen)


# ---- lists


def happenings(session, wants: Wants, words: Callable[[object], str | None], first: int, last: int, most: int, skip=None):
    """(position, words) of each stop from position `first` to `last` that has any, at most `most`; and whether that is all."""
    found: list[tuple[int, str]] = []
    with asked(session) as history:
        saved = history.line.saved
        first, end = max(first, history.first), min(last, history.line.end)
        n = max(history.line.before(first), 0)
        at = first
        while at < end:
            following = saved[n + 1] if n + 1 < len(saved) else None
            upto = min(end, following.position) if following is not None else end
            tell(session, (at - first) / max(end - first, 1))
            if upto > at and not (skip is not None and following is not None and skip(saved[n], following)):
                if session.position != at:
                    session.armed.arm(Wants())
                    history.restore(saved[n])
                    history.forward(at)
                session.armed.arm(wants)
                for stop in stops(session, history, upto):
                    text = words(stop)
                    if text is not None:
                        found.append((session.position - (stop.reason not in BEFORE), text))
                    if len(found) > most:
                        return found[:most], False
            at, n = max(at, upto), n + 1
    return found, True


def nothing_delivered(vectors) -> Callable[[Saved, Saved], bool]:
    """Whether none of these was even begun to be delivered between two checkpoints."""
    asked_for = np.array(sorted({*vectors, *FAULTS_OF_DELIVERY}))
    return lambda first, following: bool((first.delivered[asked_for] == following.delivered[asked_for]).all())
