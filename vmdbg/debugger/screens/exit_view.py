"""What left compiled code, by reason and by place: the bare monitor's exits as a frozen value.

Counted from the opening on, whenever it happens: what is lived again after going back counts again, and so does what a search of the
past runs through.  HLT and interrupts are no such exits, and a polled port that does not change may be answered without one.
"""

from collections import Counter
from dataclasses import dataclass

from vmdbg.machine import state

REASONS = {
    "X_IN": "port in",
    "X_OUT": "port out",
    "X_MMIO_READ": "MMIO read",
    "X_MMIO_WRITE": "MMIO write",
    "X_RDMSR": "RDMSR",
    "X_WRMSR": "WRMSR",
    "X_HLT": "HLT",
    "X_SHUTDOWN": "shutdown",
    "X_FERR": "x87 error",
}
NAMES = {int(getattr(state, name)): text for name, text in REASONS.items() if hasattr(state, name)}
PORTS, MSRS, PAGES = ("port in", "port out"), ("RDMSR", "WRMSR"), ("MMIO read", "MMIO write")


@dataclass(frozen=True)
class ExitRow:
    reason: str
    place: str  # port 3f8, msr 1b, page fee00000; '' where there is none
    device: str  # what answers there
    count: int
    point: int  # of the place


@dataclass(frozen=True)
class ExitView:
    """The most frequent first; `reasons` are sums; `since` the position from which on is counted."""

    reasons: tuple[tuple[str, int], ...]
    rows: tuple[ExitRow, ...]
    total: int
    instructions: int


def exit_view(session, argument: str, running: bool) -> ExitView:
    """`argument`: a reason whose places alone are wanted; '': all."""
    counts = dict(session.machine.exits or {})
    sums: Counter[str] = Counter()
    rows = []
    for (reason, point), count in counts.items():
        name = NAMES.get(int(reason), f"reason {int(reason)}")
        sums[name] += count
        if argument in ("", name):
            rows.append(row(session.machine, name, int(point), count))
    rows.sort(key=lambda r: (-r.count, r.reason, r.place))
    return ExitView(tuple(sums.most_common()), tuple(rows), sum(sums.values()), session.instructions)


def row(machine, reason: str, point: int, count: int) -> ExitRow:
    if reason in MSRS:
        return ExitRow(reason, f"msr {point:x}", "", count, point)
    where = machine.ports if reason in PORTS else machine.device_memory if reason in PAGES else None
    if where is None:
        return ExitRow(reason, "", "", count, point)
    found = where.find(point)
    device = type(found[0]).__module__.rpartition(".")[2] if found is not None else "nobody"
    return ExitRow(reason, f"{'port' if reason in PORTS else 'page'} {point:x}", device, count, point)
