"""A place in history, as a value."""

from typing import NamedTuple


class Mark(NamedTuple):
    """Line of history and position (the count of steps): hashable, and in a total order, in which a line's positions are as time has them.

    Session.mark() makes one of here; Session.goto takes it back, to its line too.
    """

    line: int
    position: int
