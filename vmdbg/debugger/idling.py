"""Idle time (contract.md section 5): while all vCPUs wait for a deadline, virtual time passes as fast as time does here."""

import threading
import time

LOOK = 0.04  # seconds of a wait after which somebody may want to see that it waits


class WallClock:
    """What `Session.idle` calls; `wake` ends a wait, from any thread."""

    def __init__(self, session):
        self.session = session
        self._woken = threading.Event()
        self.waiting = False

    def wake(self) -> None:
        """Something came for the guest, or the user wants the run to stop."""
        self._woken.set()

    def pass_until(self, due: int) -> None:
        """Wait until the clock is `due` or somebody wakes us; the guest's clock has then gone on by as much."""
        session = self.session
        clock, began = session.machine.clock, time.perf_counter()
        left = (due - clock) / 1e9
        self.waiting = True
        if left > LOOK and not self._woken.wait(LOOK):
            if session.between is not None:
                session.between()
            left = (due - clock) / 1e9 - (time.perf_counter() - began)
        if left > 0:
            self._woken.wait(left)
        self.waiting = False
        self._woken.clear()
        passed = int((time.perf_counter() - began) * 1e9)
        session.give("clock", min(due, clock + passed))
