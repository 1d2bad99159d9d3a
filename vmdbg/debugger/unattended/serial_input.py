"""What the host types into the guest's serial port: a file, standard input, or a terminal in raw mode.

Bytes wait here until the guest listens (Uart.wants), so nothing is lost to a driver that is not there yet.  In a terminal
every key goes to the guest, control-C too; LEAVE ends the run.
"""

import os
import select
import sys
import time
from pathlib import Path

LEAVE = 0x1D  # control-]
CHUNK = 4096
PACE, NEVER = 10_000, 1 << 62  # steps
LONGEST_WAIT = 0.25  # seconds that a pause takes at most before the session looks up


class SerialInput:
    """A source of bytes for COM1 of `session`'s monitor; a context manager, because a terminal must be left as it was.

    They come from a file, or from standard input if `typed`.
    """

    def __init__(self, session, file: Path | None = None, typed: bool = True):
        self.session, self.uart = session, session.monitor.board.console
        self.waiting = bytearray()
        self.descriptor: int | None = None
        self._next = 0  # the position at which it feeds again
        self.slept = 0.0  # seconds that went by for what the guest skipped
        self._terminal: list | None = None
        if file is not None:
            self.waiting += file.read_bytes()
        if file is not None or not typed:
            return
        try:
            self.descriptor = sys.stdin.fileno()
        except (OSError, ValueError, AttributeError):  # no standard input
            self.descriptor = None

    def __enter__(self) -> "SerialInput":
        if self.descriptor is not None and os.isatty(self.descriptor):
            import termios
            import tty

            self._terminal = termios.tcgetattr(self.descriptor)
            tty.setraw(self.descriptor)
            print("vmdbg: every key goes to the guest; control-] leaves\r", file=sys.stderr, flush=True)
        return self

    def __exit__(self, *_) -> None:
        if self._terminal is not None and self.descriptor is not None:
            import termios

            termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._terminal)
            self._terminal = None

    def pump(self, seconds: float = 0.0) -> None:
        """Take what has been typed, waiting up to `seconds` for it, and give the guest what it takes."""
        self._read(seconds)
        self._feed()
        if not self.waiting and self.uart.wants() and self.descriptor is not None:
            self._keep_pace()

    def feed(self) -> int:
        """Session.feed: what waits comes at positions that do not depend on how fast the machine runs."""
        now = self.session.position
        if not self.waiting or not self._live:
            return NEVER
        if now >= self._next:
            self._feed()
            self._next = now + PACE
        return self._next - now

    def more(self) -> bool:
        """Session.more: something for an idle guest, if there is anything yet to come."""
        return self._live and self.wait()

    @property
    def _live(self) -> bool:
        """Whether the guest can be given something: what it read in the past comes again by itself."""
        return self.session.history is None or self.session.history.live

    def wait(self) -> bool:
        """The guest is idle: wait until there is something for it; False if there never will be."""
        while self.uart.wants():
            if self.waiting:
                self._feed()
                return True
            if self.descriptor is None or self.session.interrupted:
                return False
            self._read(LONGEST_WAIT)
        return False

    def _read(self, seconds: float) -> None:
        if self.descriptor is None:
            return
        ready, _, _ = select.select([self.descriptor], [], [], seconds)
        if not ready:
            return
        try:
            data = os.read(self.descriptor, CHUNK)
        except OSError:
            data = b""
        if not data:
            self.descriptor = None
        elif self._terminal is not None and LEAVE in data:
            self.session.interrupt()
            data = data[: data.index(LEAVE)]
        self.waiting += data

    def _feed(self) -> None:
        n = min(self.uart.wants(), len(self.waiting))
        if n:
            self.session.give("serial", bytes(self.waiting[:n]))
            del self.waiting[:n]

    def _keep_pace(self) -> None:
        """While the guest waits for somebody to type, the time it skips goes by here too."""
        machine = self.session.machine
        skipped = (machine.clock - machine.position) / 1e9
        ahead, self.slept = skipped - self.slept, skipped
        end = time.monotonic() + ahead
        while (left := end - time.monotonic()) > 0 and not self.waiting and self.descriptor is not None and not self.session.interrupted:
            self._read(min(left, LONGEST_WAIT))
        self._feed()
