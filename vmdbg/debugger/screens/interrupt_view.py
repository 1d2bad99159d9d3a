"""What the interrupts pane shows: the gates with how often each was gone through, and what waits at the controllers."""

import ctypes
from dataclasses import dataclass

from vmdbg.debugger import vectors
from vmdbg.debugger.devices.interrupts import pending, sources
from vmdbg.debugger.traps import TRAPS
from vmdbg.debugger.traps import name as trap_name
from vmdbg.machine.state import Cpu

Counts = tuple[int, ...]  # by vector


@dataclass(frozen=True)
class Vector:
    """One row of the interrupt vector, or several that are alike."""

    span: str  # 0e, 20-2f
    name: str  # #PF, IRQ0, timer
    gate: str  # int dpl 0 (the type without the word gate); '' in real mode
    place: str  # 0008:00100c3e
    symbol: str
    waiting: bool  # its trap is what the machine stands before
    count: int  # how often its handler was entered, on all CPUs
    changed: bool  # ... since the last stop


@dataclass(frozen=True)
class InterruptView:
    """`vectors` in their order; `lines`: a controller's requests, and whether any is pending."""

    vectors: tuple[Vector, ...] = ()
    lines: tuple[tuple[str, bool], ...] = ()


def counts(machine) -> Counts:
    """Deliveries of each vector, on all CPUs."""
    at = Cpu.fields["deliveries"][0]
    arrays = [(ctypes.c_uint64 * vectors.VECTORS).from_address(int(cpu.address) + at) for cpu in machine.cpus]
    return tuple(arrays[0]) if len(arrays) == 1 else tuple(map(sum, zip(*arrays)))


class InterruptViews:
    """Makes views: anew only where the table, the counts or the controllers have changed."""

    def __init__(self, session):
        self.session = session
        self._key: tuple | None = None
        self._vectors: tuple[Vector, ...] = ()

    def take(self, now: Counts, before: Counts, waiting: int | None) -> InterruptView:
        """`before`: the counts at the stop before this one."""
        board = self.session.monitor.board
        raised = sources(board)
        key = (vectors.memory(self.session), vectors.shape(self.session.cpu), now, before, waiting, tuple(raised.items()))
        if key != self._key:
            self._key, self._vectors = key, tuple(self._rows(now, before, waiting, raised))
        return InterruptView(self._vectors, pending(board))

    def _rows(self, now: Counts, before: Counts, waiting: int | None, raised: dict[int, str]):
        busy = {v for v, n in enumerate(now) if n} | {v for v in (waiting,) if v is not None} | set(raised)
        for g in vectors.table(self.session, busy):
            alone = g.first == g.last
            known = trap_name(g.first) if g.first in TRAPS and g.kind else ""
            yield Vector(
                f"{g.first:02x}" if alone else f"{g.first:02x}-{g.last:02x}",
                (raised.get(g.first) or known) if alone else "",
                describe(g) if g.kind else "",
                g.place,
                self.session.symbols.near(g.offset) or "" if g.kind else "",
                waiting is not None and g.first <= waiting <= g.last,
                now[g.first] if alone else 0,
                alone and now[g.first] != before[g.first],
            )


def describe(g: vectors.Gate) -> str:
    """'int dpl 0 ist 1'."""
    return f"{g.kind.removesuffix(' gate')} dpl {g.dpl}{f' ist {g.ist}' if g.ist else ''}{'' if g.present else ' absent'}"
