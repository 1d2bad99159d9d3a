"""Where a machine stops for the debugger, and what it says then.

Nothing here is part of the guest's state: breakpoints and watches cost it no step and no clock.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from isa.lang.word import U64
from vmdbg.machine import kinds
from vmdbg.machine.events import SOFTWARE
from vmdbg.machine.physical import ABSENT, PAGE_WATCHED, backing
from vmdbg.machine.state import NMI, Cpu, Watch
from vmdbg.machine.watch import MEMORY, MODES, WATCH_PHYSICAL, WATCH_WRITE, mode_word

NOWHERE = (1 << 64) - 1  # for a linear address: none


class Access(NamedTuple):
    """What touched a watch: its number in Machine.watch's list, where and how, and the offset of the instruction in CS.

    linear is None for a page walk and for a device; rip is None for what no instruction did.
    """

    watch: int
    linear: int | None
    physical: int
    size: int
    write: bool
    rip: int | None


class Stop(NamedTuple):
    """Why a run ended.

    reason      budget, break (an address or an armed form), trap (a vector about to be delivered), watch (memory was touched),
                mode (ring or mode has changed), halt (for ever: interrupts are off), idle (halted with interrupts on, nothing
                due), shutdown (triple fault), exit (the guest asked for it), error, wait (halted, and Machine.waits: nothing
                happens before the clock is `due`; Machine.skip_to brings it there)
    origin      of a trap: software, interrupt (external), nmi, exception
    access      of a watch
    before, after   mode words (watch.py) of a mode
    """

    reason: str
    cpu: int = 0
    vector: int | None = None
    error_code: int | None = None
    address: int | None = None
    exit_code: int | None = None
    text: str = ""
    origin: str = ""
    access: Access | None = None
    before: int = 0
    after: int = 0
    due: int | None = None


def origin_of(cpu: Cpu) -> str:
    """What a trap that is about to be delivered comes from."""
    if int(cpu.vector) & SOFTWARE:
        return "software"
    if int(cpu.inject):
        return "interrupt"
    return "nmi" if int(cpu.vector) == NMI and int(cpu.nmi) else "exception"


class Stopping:
    """The part of Machine that arms and disarms; `cpus`, their `cells`, `shared`, `page_flags` and dropping code are the machine's."""

    def stop_nowhere(self) -> None:
        """No breakpoint, no watch, as at the start."""
        self.breakpoints: set[int] = set()
        self._breakpoint_array = self._physical_array = np.zeros(0, np.uint64)
        self._watches: list[tuple[int, int, int]] = []

    def set_breakpoints(self, addresses: Iterable[int]) -> None:
        """Stop before executing any of these linear addresses, instead of those given before."""
        self.breakpoints = {a & (1 << 64) - 1 for a in addresses}
        self._breakpoint_array = np.array(sorted(self.breakpoints), np.uint64)
        self.shared.breakpoints = self._breakpoint_array.ctypes.data
        self.shared.breakpoint_count = len(self.breakpoints)
        self.drop_code()

    def intercept(self, vectors: Iterable[int]) -> None:
        """Stop before an exception with any of these vectors is delivered, instead of those given before."""
        words = [0, 0, 0, 0]
        for v in vectors:
            words[v >> 6] |= 1 << (v & 63)
        for cpu in self.cpus:
            for i, w in enumerate(words):
                cpu.intercept[i] = w

    def break_physical(self, addresses: Iterable[int]) -> None:
        """Stop before executing an instruction at any of these physical addresses, instead of those given before."""
        offsets = {int(backing(self.cpus[0], U64(a))) for a in addresses}
        self._physical_array = np.array(sorted(offsets), np.uint64)
        self.shared.physical_breakpoints = self._physical_array.ctypes.data
        self.shared.physical_breakpoint_count = len(offsets)
        self.drop_code()

    def arm(self, forms: Iterable[int]) -> None:
        """Stop before executing an instruction of any of these forms (numbers in isa.forms.FORMS), instead of those given before."""
        wanted = np.fromiter(forms, np.int64)
        self._armed = np.zeros(len(kinds.tables().kinds), np.uint8)
        self._armed[wanted] = 1
        self.shared.armed = self._armed.ctypes.data if len(wanted) else 0
        self.drop_code()

    def watch(self, ranges: Iterable[tuple[int, int, int]]) -> None:
        """Stop after an access to any of these bytes, instead of those given before: (first, last, WATCH_* bits of watch.py).

        Addresses are linear, or physical if the bits say so.
        """
        self._watches = list(ranges)
        table = self._watch_table = np.zeros(max(1, len(self._watches)) * Watch.size, np.uint8)
        for n, (first, last, kind) in enumerate(self._watches):
            w = Watch(table.ctypes.data + n * Watch.size)
            move = int(backing(self.cpus[0], U64(first))) - first if kind & WATCH_PHYSICAL else 0
            if move + first == ABSENT:
                raise ValueError(f"{first:#x} is neither RAM nor ROM: only those can be watched")
            w.first, w.last, w.kind = first + move, last + move, kind
        self.shared.watches, self.shared.watch_count = table.ctypes.data, len(self._watches)
        for cpu in self.cpus:
            cpu.watching = int(cpu.watching) & ~MEMORY | (MEMORY if self._watches else 0)
            cpu.watch_hit = 0
        self.page_flags.array &= 0xFF ^ PAGE_WATCHED
        self.pages_changed()

    def watch_modes(self, on: bool) -> None:
        """Stop after a change of ring or mode."""
        for cpu in self.cpus:
            cpu.watching = int(cpu.watching) & ~MODES | (MODES if on else 0)
            cpu.mode_seen = mode_word(cpu)

    def watched(self, n: int) -> Stop:
        """What touched a watch on vCPU n."""
        c = self.cells[n]
        linear = c.watch_linear.value
        by_cpu = linear != NOWHERE
        access = Access(
            c.watch_hit.value - 1,
            linear if by_cpu else None,
            c.watch_physical.value,
            c.watch_size.value,
            bool(c.watch_write.value),
            c.watch_rip.value if by_cpu else None,
        )
        c.watch_hit.value = 0
        return Stop("watch", n, access=access)

    def note_write(self, address: int, size: int) -> None:
        """A device writes `size` bytes of RAM: the vCPU whose turn it is will report it if they are watched."""
        for n, (first, last, kind) in enumerate(self._watches):
            if kind & WATCH_PHYSICAL and kind & WATCH_WRITE and address <= last and first < address + size:
                cpu = self.cpus[0] if len(self.cpus) == 1 else next(c for c in self.cpus if int(c.turn))
                if not int(cpu.watch_hit):
                    cpu.watch_hit, cpu.watch_linear, cpu.watch_physical = n + 1, NOWHERE, address
                    cpu.watch_size, cpu.watch_write = size, 1
