"""A run that is judged: it goes from one expected place to the next, and remembers what never should have happened."""

import re
from dataclasses import replace

from vmdbg.debugger.breakpoints import Breakpoint
from vmdbg.debugger.headless import status
from vmdbg.debugger.serial_input import SerialInput
from vmdbg.debugger.session import Session
from vmdbg.debugger.stop import Stop
from vmdbg.debugger.triggers import Trigger

STRETCH = 50_000  # instructions, after which it is seen whether something was said


class Run:
    """`limit`: instructions after which it ends; what the guest reads is in `source`."""

    def __init__(self, session: Session, source: SerialInput, limit: int):
        self.session, self.source = session, source
        session.ends_after, session.feed, session.more = limit, source.feed, source.more
        self.broken: dict[int, str] = {}  # what happened that never should have, by the id of who said so
        self._forbidden: dict[int, int] = {}  # id of who said so, by number of breakpoint
        self._counted: dict[int, Breakpoint] = {}  # breakpoints by the id of who counts
        self._heard = 0  # bytes that were waited for

    def forbid(self, who: object, trigger: Trigger, facts: dict) -> None:
        self._forbidden[self.session.breakpoints.add(trigger, **facts).number] = id(who)

    def count(self, who: object, trigger: Trigger, facts: dict) -> None:
        self._counted[id(who)] = self.session.breakpoints.add(trigger, **facts | {"trace": True})

    def hits(self, who: object) -> int:
        return self._counted[id(who)].hits

    # ---- Where it stands

    @property
    def over(self) -> bool:
        """Whether it cannot go on."""
        s = self.session
        return s.stop.ended or s.stop.has("idle") or s.ends_after is not None and s.instructions >= s.ends_after

    @property
    def status(self) -> int:
        return status(self.session.stop)

    @property
    def here(self) -> str:
        return f"{self.session.place()}, position {self.session.position:,}"

    @property
    def state(self) -> str:
        """Why it stands still, in words."""
        stop = self.session.stop
        return stop.text + ("" if stop.ended or stop.has("idle") else f" at {self.here}")

    # ---- Going on

    def go(self, within: int | None = None, to: int | None = None) -> Stop:
        """Run on until something but a forbidden place stops it, or for so many instructions, or to a position."""
        session = self.session
        last = None if within is None else session.instructions + within
        while not session.interrupted and not session.stop.ended:
            if to is not None:
                stop = session.step(to - session.position)
            else:
                stop = session.run(None if last is None else max(last - session.instructions, 0))
            for r in stop.reasons:
                if r.breakpoint in self._forbidden:
                    self.broken[self._forbidden.pop(r.breakpoint)] = f"found {r.text}, position {stop.position:,}"
                    session.breakpoints.delete(r.breakpoint)
                    stop = replace(stop, reasons=tuple(other for other in stop.reasons if other is not r))
            if stop.reasons:
                return stop
        return session.stop

    def stop_at(self, trigger: Trigger, facts: dict, within: int | None) -> str | None:
        """None if it stops there, else what happens instead."""
        b = self.session.breakpoints.add(trigger, **facts)
        stop = self.go(within)
        self.session.breakpoints.delete(b.number)
        return None if any(r.breakpoint == b.number for r in stop.reasons) else self.instead(within)

    def wait_for(self, text: str, within: int | None) -> str | None:
        """None if the console says this, after what was last waited for: the step that says the end of it is done then.

        Else what happens instead.
        """
        session, transcript = self.session, self.session.monitor.transcript
        wanted = re.compile(re.escape(text.encode()).replace(b"\\\n", b"\r?\n"))
        first, before = session.instructions, None
        while True:
            found = wanted.search(transcript.tail(transcript.said - self._heard))
            if found is not None:
                self._heard = transcript.said - len(found.string) + found.end()
                if before is not None:
                    self._back_to(*before)
                return None
            left = STRETCH if within is None else min(within - (session.instructions - first), STRETCH)
            if left <= 0 or self.over or session.interrupted:
                return self.instead(within)
            before = session.stop, {b.number: b.hits for b in session.breakpoints}
            self.go(left)

    def _back_to(self, start: Stop, hits: dict[int, int]) -> None:
        """Be just after what was heard; it was said since the stop `start`, when breakpoints had been hit so often."""
        session, transcript = self.session, self.session.monitor.transcript
        first, last = start.position, session.position
        while last - first > 1:
            middle = (first + last) // 2
            session.goto(middle)
            first, last = (first, middle) if transcript.said >= self._heard else (middle, last)
        session.goto(start.position)
        session.stop = start  # what it stood before is not come to once more
        for b in session.breakpoints:
            b.hits = hits[b.number]
        if last > start.position:
            self.go(to=last)

    def instead(self, within: int | None) -> str:
        if not self.over and within is not None:
            return f"not within {within:,} instructions: found {self.here}"
        return f"found {self.state}"

    def to_the_end(self) -> None:
        while not self.over and not self.session.interrupted:
            self.go()
