"""What the user types for the guest: bytes for its serial port, keys for its keyboard.  They wait here until it takes them."""

import threading
from collections import deque

KEPT = 4096  # bytes, and key strokes, that wait at most; what comes after them is lost, as on the real thing


class ConsoleInput:
    """`type` and `press` may be called from any thread, `pump` by the session's own, between two slices."""

    def __init__(self, session):
        self.session = session
        self._bytes = bytearray()
        self._keys: deque[tuple[str, bool]] = deque()
        self._lock = threading.Lock()

    def type(self, data: bytes) -> None:
        """Bytes for COM1."""
        with self._lock:
            self._bytes += data[: max(0, KEPT - len(self._bytes))]

    def press(self, keys: tuple[str, ...]) -> None:
        """Keys of board/scan_codes.py that go down together, and up again."""
        with self._lock:
            if len(self._keys) + 2 * len(keys) <= KEPT:
                self._keys += [(k, True) for k in keys] + [(k, False) for k in reversed(keys)]

    @property
    def waiting(self) -> bool:
        """Whether something has not been taken yet."""
        return bool(self._bytes or self._keys)

    def pump(self) -> bool:
        """Give the guest what it takes now; whether that was anything."""
        if not self.waiting:
            return False
        board, given = self.session.monitor.board, False
        with self._lock:
            n = min(board.console.wants(), len(self._bytes))
            if n:
                self.session.give("serial", bytes(self._bytes[:n]))
                del self._bytes[:n]
                given = True
            while self._keys and board.keyboard.accepts(*self._keys[0]):
                self.session.give("key", self._keys.popleft())
                given = True
        return given
