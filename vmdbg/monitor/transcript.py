"""What a guest has said on its console: kept for the views, told to the host once, however often that moment is lived through."""

from collections.abc import Callable

KEPT = 1 << 20  # bytes, at least


class Transcript:
    """`said` counts the bytes of this moment, `heard` those that were told to `tell(byte)`; the last KEPT of these are `kept`.

    The count is the state; going back and forth moves it.  `forget_future` is for a history that takes another turn.
    """

    def __init__(self, tell: Callable[[int], object] | None = None):
        self.tell = tell
        self.said = self.heard = 0
        self.kept = bytearray()

    def say(self, byte: int) -> None:
        self.said += 1
        if self.said <= self.heard:
            return
        self.heard = self.said
        if len(self.kept) >= 2 * KEPT:
            del self.kept[:KEPT]
        self.kept.append(byte)
        if self.tell is not None:
            self.tell(byte)

    def tail(self, count: int) -> bytes:
        """The last bytes said at this moment, at most `count` and as far as they are kept."""
        end = max(len(self.kept) - (self.heard - self.said), 0)
        return bytes(self.kept[max(end - count, 0) : end])

    def forget_future(self) -> None:
        del self.kept[max(len(self.kept) - (self.heard - self.said), 0) :]
        self.heard = self.said

    def future(self) -> tuple[int, bytes]:
        """All that was heard, for take_future."""
        return self.heard, bytes(self.kept)

    def take_future(self, future: tuple[int, bytes]) -> None:
        """Another line of history: what was heard in it."""
        self.heard, self.kept[:] = future

    def save(self) -> int:
        return self.said

    def restore(self, said: int) -> None:
        self.said = said
