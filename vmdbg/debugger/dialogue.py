"""Talking with a guest at its serial console: to type, and to run until it says something."""

import re

from vmdbg.debugger.stop import Reason, Stop
from vmdbg.debugger.unattended.serial_input import SerialInput

STRETCH = 50_000  # instructions, after which it is seen whether something was said


class Dialogue:
    """Over a session; `runner` runs and steps: the session, or what goes on where that stops.

    What is typed arrives while the guest runs, as it takes it, at positions that do not depend on how fast that is.
    """

    def __init__(self, session, runner=None):
        self.session, self.runner = session, runner or session
        self.source = SerialInput(session, typed=False)
        session.feed, session.more = self.source.feed, self.source.more
        self.heard = 0  # bytes of the console, up to the end of what was last waited for

    def type(self, text: str | bytes) -> None:
        """Text for the guest's serial console; it reads it when it runs on."""
        self.source.waiting += text.encode() if isinstance(text, str) else text

    def wait_for(self, text: str, within: int | None = None) -> Stop:
        """Run until the console has said this, after what was last waited for: the stop has the reason "said" then.

        A newline is one with or without a carriage return.  It stops with the step that says the last byte (without a recording,
        somewhat later); where the text is there already, at once.  Else the stop is what came before: a breakpoint, `within`
        instructions, the guest's end or idleness.
        """
        session, transcript = self.session, self.session.monitor.transcript
        wanted = re.compile(re.escape(text.encode()).replace(b"\\\n", b"\r?\n"))
        last = None if within is None else session.instructions + within
        stop, before, hits = session.stop, None, {}
        while True:
            found = wanted.search(transcript.tail(transcript.said - self.heard))
            if found is not None:
                self.heard = transcript.said - len(found.string) + found.end()
                if before is not None and session.history is not None:
                    self._back(before, hits)
                return session.arrived(Stop(session.position, (Reason("said", f"the guest said {text!r}"),)))
            left = STRETCH if last is None else min(last - session.instructions, STRETCH)
            if before is not None and (left <= 0 or session.over or not stop.has("limit")):
                return stop
            before, hits = session.stop, {b.number: b.hits for b in session.breakpoints}
            stop = self.runner.run(max(left, 0))

    def _back(self, start: Stop, hits: dict[int, int]) -> None:
        """Be just after what was heard; it was said since the stop `start`, when breakpoints had been hit so often."""
        session, transcript = self.session, self.session.monitor.transcript
        first, last = start.position, session.position
        while last - first > 1:
            middle = (first + last) // 2
            session.goto(middle)
            first, last = (first, middle) if transcript.said >= self.heard else (middle, last)
        session.goto(start.position)
        session.stop = start  # what it stood before is not come to once more
        for b in session.breakpoints:
            b.hits = hits.get(b.number, b.hits)
        if last > start.position:
            self.runner.step(last - start.position)
