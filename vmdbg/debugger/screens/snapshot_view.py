"""The recorded past as a tree: lines of history, the checkpoints that each has of its own, and the marks that the user set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """`kind`: line, checkpoint, mark, here; `depth` from 0; going there is `line` and then `position`."""

    kind: str
    depth: int
    line: int
    position: int
    text: str
    current: bool = False  # the line that the machine is on; the place where it is


@dataclass(frozen=True)
class SnapshotView:
    nodes: tuple[Node, ...]
    size: int  # bytes that the checkpoints take
    bound: int
    line: int  # number of the line that the machine is on


def snapshot_view(session, argument: str, running: bool) -> SnapshotView | None:
    """None while it runs; an empty tree if nothing is recorded."""
    if running:
        return None
    history = session.history
    if history is None:
        return SnapshotView((), 0, 0, 0)
    current = history.lines.index(history.line)
    nodes: list[Node] = []
    for n, line in enumerate(history.lines):
        here = n == current
        depth = depth_of(history.lines, n)
        origin = "from the start" if line.fork is None else f"took another turn at {line.fork:,}"
        end = max(line.end, session.position) if here and history.live else line.end
        nodes.append(Node("line", depth, n, end, f"line {n}: {origin}, to {end:,}", here))
        nodes += inside(session, history, n, depth + 1, here)
    return SnapshotView(tuple(nodes), int(history.versions.size), int(history.bound), current)


def depth_of(lines, n: int) -> int:
    """How many lines were left for this one, one after the other: a line leaves the latest one before it that has its fork."""
    depth, fork = 0, lines[n].fork
    while fork is not None and n:
        n = next((m for m in reversed(range(n)) if lines[m].fork is None or lines[m].fork <= fork), 0)
        fork, depth = lines[n].fork, depth + 1
    return depth


def inside(session, history, n: int, depth: int, here: bool) -> list[Node]:
    """What lies on a line behind its fork, by position."""
    line = history.lines[n]
    start = -1 if line.fork is None else line.fork
    nodes = [
        Node("checkpoint", depth, n, s.position, f"at {s.clock / 1e9:.6f} s, {len(s.pages):,} pages changed, {s.events:,} events so far")
        for s in line.saved
        if s.position > start and not s.temporary
    ]
    nodes += [Node("mark", depth, n, position, name) for name, (number, position) in session.marks.items() if number == n]
    if here:
        nodes.append(Node("here", depth, n, session.position, "the machine is here", True))
    return sorted(nodes, key=lambda node: (node.position, node.kind))
