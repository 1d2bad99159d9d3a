"""The timeline as a strip of columns: one frozen value, from the beginning to the end of all that is recorded."""

from dataclasses import dataclass

import numpy as np

from vmdbg.debugger.past.history import History


@dataclass(frozen=True)
class Branch:
    """A line of history: where it left another one (None: the first line, from the start), and where it ends; both are positions."""

    number: int
    fork: int | None
    end: int
    current: bool


@dataclass(frozen=True)
class TimelineView:
    """`columns` columns over positions `start` to `end`; `now` is a position.

    checkpoints, stops    the columns, ascending, in which there are any: checkpoints of this line, places where the session stopped
    density               for each column, the traps that were delivered in it on this line
    branches              all lines of history, by number; end is that of the longest
    live                  whether the machine is at the end of its line: nothing after `now` is recorded on it
    """

    columns: int
    start: int
    end: int
    now: int
    checkpoints: tuple[int, ...]
    stops: tuple[int, ...]
    density: tuple[int, ...]
    branches: tuple[Branch, ...]
    live: bool

    def column(self, position: int) -> int:
        """Where a position is drawn."""
        return _column(position, self.start, self.end, self.columns)

    def position(self, column: int) -> int:
        """The first position of a column: where a click on it goes; the last column's click goes to the end."""
        if column >= self.columns - 1:
            return self.end
        return self.start + -(-max(column, 0) * (self.end - self.start) // self.columns)


def _column(position: int, start: int, end: int, columns: int) -> int:
    if end <= start:
        return 0
    return min(max(position - start, 0) * columns // (end - start), columns - 1)


def timeline_view(history: History, stops, columns: int) -> TimelineView:
    """`stops` are positions; columns from 1 up."""
    line, now = history.line, history.position
    start, here = history.first, max(history.line.end, now if history.live else 0)
    branches = tuple(Branch(n, found.fork, here if found is line else found.end, found is line) for n, found in enumerate(history.lines))
    end = max(branch.end for branch in branches)

    def drawn(positions) -> tuple[int, ...]:
        return tuple(sorted({_column(p, start, end, columns) for p in positions if start <= p <= end}))

    return TimelineView(
        columns=columns,
        start=start,
        end=end,
        now=now,
        checkpoints=drawn(saved.position for saved in line.saved),
        stops=drawn(stops),
        density=density(history, start, end, columns),
        branches=branches,
        live=history.live,
    )


def density(history: History, start: int, end: int, columns: int) -> tuple[int, ...]:
    """Deliveries in each column; between two checkpoints they are spread evenly."""
    saved = history.line.saved
    positions, counts = [float(s.position) for s in saved], [float(s.traps) for s in saved]
    if history.live:
        positions.append(float(history.position))
        counts.append(float(history.traps()))
    edges = start + np.arange(columns + 1) * ((end - start) / columns)
    upto = np.rint(np.interp(edges, positions, counts)).astype(np.int64)
    return tuple(int(n) for n in np.diff(upto))
