"""Figures of a run, for `vmdbg run --stats FILE.json`.

format          of the guest: Linux, ELF64 ...
status stop     exit status, and why it stopped
steps           instructions and delivered events (the position)
instructions    completed, of all vCPUs; instructions_by_cpu: of each
events          delivered: exceptions, interrupts, INT n; events_by_vector: "14 #PF": count
exits           what compiled code left to Python, by reason; ports, msrs, device_pages: by reason and where
clock           guest seconds that went by, idle time included; idle: those that were skipped
seconds         by the host's clock while the guest ran; user_cpu, system_cpu: of the process then
instructions_per_second
translation     blocks and instructions in the cache at the end; drops: how often code was dropped because its bytes changed, or for room
"""

import resource
import time
from collections import Counter

from vmdbg.debugger.session import Session
from vmdbg.debugger.traps import TRAPS
from vmdbg.machine import state

EXITS = {getattr(state, f"X_{name.upper()}"): name for name in "in out mmio_read mmio_write rdmsr wrmsr shutdown ferr".split()}
PORTS, MSRS, PAGES = ("in", "out"), ("rdmsr", "wrmsr"), ("mmio_read", "mmio_write")


class Statistics:
    """Counts from its making on; `start` and `end` are around every stretch in which the guest runs."""

    def __init__(self, session: Session):
        self.session = session
        self.exits: Counter[tuple[int, int]] = Counter()
        session.machine.exits = self.exits
        self.seconds = self.user = self.system = 0.0
        self._skipped = session.machine.clock - session.machine.position  # before: what firmware took, and idle time

    def __enter__(self) -> "Statistics":
        self._began = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        return self

    def __exit__(self, *_) -> None:
        clock, usage = self._began
        now = resource.getrusage(resource.RUSAGE_SELF)
        self.seconds += time.perf_counter() - clock
        self.user += now.ru_utime - usage.ru_utime
        self.system += now.ru_stime - usage.ru_stime

    def figures(self, status: int) -> dict:
        """What is listed above."""
        s, machine = self.session, self.session.machine
        shared = machine.shared
        return dict(
            format=s.monitor.guest.format,
            status=status,
            stop=s.stop.text,
            steps=s.position,
            instructions=s.instructions,
            instructions_by_cpu=[int(cpu.instructions) for cpu in machine.cpus],
            events=sum(int(cpu.events) for cpu in machine.cpus),
            events_by_vector=vectors(machine),
            exits=self.by_reason(),
            ports=self.by_place(PORTS),
            msrs=self.by_place(MSRS),
            device_pages=self.by_place(PAGES),
            clock=machine.clock / 1e9,
            idle=(machine.clock - machine.position - self._skipped) / 1e9,
            seconds=round(self.seconds, 6),
            user_cpu=round(self.user, 6),
            system_cpu=round(self.system, 6),
            instructions_per_second=round(s.instructions / max(self.seconds, 1e-6)),
            translation=dict(blocks=int(shared.block_count) - 1, instructions=int(shared.uop_count), drops=int(shared.invalidations)),
        )

    def by_reason(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for (reason, _), count in self.exits.items():
            found[EXITS.get(reason, f"reason {reason}")] += count
        return dict(found.most_common())

    def by_place(self, reasons: tuple[str, ...]) -> dict[str, dict[str, int]]:
        """Where -> {reason: count}, the most frequent place first."""
        found: dict[int, dict[str, int]] = {}
        for (reason, place), count in self.exits.items():
            if EXITS.get(reason) in reasons:
                found.setdefault(place, {})[EXITS[reason]] = count
        return {f"{place:#x}": found[place] for place in sorted(found, key=lambda p: -sum(found[p].values()))}


def vectors(machine) -> dict[str, int]:
    """'14 #PF': how often it was delivered."""
    counts = [sum(int(cpu.deliveries[v]) for cpu in machine.cpus) for v in range(256)]
    return {f"{v} #{TRAPS[v].name}" if v in TRAPS else str(v): count for v, count in enumerate(counts) if count}
