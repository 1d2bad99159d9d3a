"""A run that is judged: it goes from one expected place to the next, and remembers what never should have happened."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from vmdbg.debugger.armed import hits
from vmdbg.debugger.breakpoints import Breakpoint
from vmdbg.debugger.dialogue import Dialogue
from vmdbg.debugger.session import Session
from vmdbg.debugger.stop import Stop
from vmdbg.debugger.triggers import Event, Trigger
from vmdbg.debugger.unattended.headless import status


@dataclass(frozen=True, eq=False)
class Where:
    """A breakpoint that is still to be made."""

    trigger: Trigger
    facts: dict


class Run:
    """`limit`: instructions after which it ends."""

    def __init__(self, session: Session, limit: int):
        self.session, self.dialogue = session, Dialogue(session, self)
        session.ends_after = limit
        self.broken: dict[Where, str] = {}  # what happened that never should have
        self.counted: dict[Where, Breakpoint] = {}
        self._begun = False
        self._forbidden: dict[int, Where] = {}  # by number of breakpoint

    def forbid(self, where: Where) -> None:
        self._forbidden[self.session.breakpoints.add(where.trigger, **where.facts).number] = where

    def count(self, where: Where) -> None:
        self.counted[where] = self.session.breakpoints.add(where.trigger, **where.facts | {"trace": True})

    # ---- Where it stands

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

    def run(self, limit: int | None = None) -> Stop:
        """Run on until something but a forbidden place stops it, or for so many instructions."""
        session = self.session
        last = None if limit is None else session.instructions + limit
        return self._go(lambda: self._first() or session.run(None if last is None else max(last - session.instructions, 0)))

    def _first(self) -> Stop | None:
        """Before the first instruction of all, the stop of the breakpoints at it: a run would go on from them."""
        session, begun = self.session, self._begun
        self._begun = True
        reasons = () if begun else hits(session, Event(session, None, "break"))
        return session.arrived(Stop(session.position, reasons)) if reasons else None

    def step(self, count: int) -> Stop:
        """The same for so many steps."""
        session = self.session
        last = session.position + count
        return self._go(lambda: session.step(last - session.position))

    def _go(self, go: Callable[[], Stop]) -> Stop:
        session = self.session
        while not session.interrupted and not session.stop.ended:
            stop = go()
            for r in stop.reasons:
                if r.breakpoint in self._forbidden:
                    self.broken[self._forbidden.pop(r.breakpoint)] = f"found {r.text}, position {stop.position:,}"
                    session.breakpoints.delete(r.breakpoint)
                    stop = replace(stop, reasons=tuple(other for other in stop.reasons if other is not r))
            if stop.reasons:
                return stop
        return session.stop

    def stop_at(self, where: Where, within: int | None) -> str | None:
        """None if it stops there, else what happens instead."""
        b = self.session.breakpoints.add(where.trigger, **where.facts)
        stop = self.run(within)
        self.session.breakpoints.delete(b.number)
        return None if any(r.breakpoint == b.number for r in stop.reasons) else self.instead(within)

    def wait_for(self, text: str, within: int | None) -> str | None:
        """None if the console says this, after what was last waited for; else what happens instead."""
        return None if self.dialogue.wait_for(text, within).has("said") else self.instead(within)

    def instead(self, within: int | None) -> str:
        stop = self.session.stop
        if within is not None and stop.has("limit") and not self.session.over:
            return f"not within {within:,} instructions: found {self.here}"
        return f"found {self.state}"

    def to_the_end(self) -> None:
        """What was typed may wake one that is idle."""
        self.run()
