"""Lines of history: checkpoints in order, the inputs between them, and where the line ends so far.

A line that took another turn shares its checkpoints up to there with the line that it left; each is complete by itself.
"""

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import zstandard

from vmdbg.machine.checkpoint import ARCHITECTURAL
from vmdbg.machine.device_state import decode
from vmdbg.machine.state import Cpu

VECTORS = 256
COUNTS = Cpu.fields["deliveries"][0]


@dataclass(frozen=True)
class Input:
    """What entered the machine from outside, as Session.give takes it.

    At `position`, when the clock was `clock`; `acknowledged`: an interrupt was already taken from its controller, but not delivered.
    """

    position: int
    clock: int
    what: str
    value: object
    acknowledged: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Saved:
    """A checkpoint: `pages` may have changed since the one before it in its line and hold `versions` (PageVersions)."""

    position: int
    clock: int
    state: bytes  # compressed
    pages: np.ndarray
    versions: np.ndarray
    inputs: int  # of its line, that came before it
    events: int  # delivered so far
    seconds: float  # of running from the start to here
    temporary: bool = False

    @cached_property
    def delivered(self) -> np.ndarray:
        """How often each vector was delivered so far, by all vCPUs: 256 counts."""
        cpus = decode(zstandard.ZstdDecompressor().decompress(self.state))["cpus"]
        return delivered(np.frombuffer(cpus, np.uint8).reshape(-1, ARCHITECTURAL))

    @property
    def traps(self) -> int:
        return int(self.delivered.sum())

    @property
    def order(self) -> tuple[int, int]:
        return self.position, self.clock


def delivered(states: np.ndarray) -> np.ndarray:
    """Saved.delivered of the states of vCPUs, a row of bytes each."""
    return np.ascontiguousarray(states[:, COUNTS : COUNTS + 8 * VECTORS]).view("<u8").sum(axis=0, dtype=np.uint64).astype(np.uint32)


@dataclass
class Line:
    """`saved` is ordered by position and clock; `end` is the last position that was reached; `fork`: where it left another line."""

    saved: list[Saved] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    end: int = 0
    fork: int | None = None
    transcripts: list[tuple[int, bytes]] = field(default_factory=list)  # of a line that was left: Transcript.future

    def insert(self, saved: Saved) -> None:
        insort(self.saved, saved, key=lambda s: s.order)

    def before(self, position: int) -> int:
        """The number of the last checkpoint at or before a position; -1: there is none."""
        return bisect_right(self.saved, position, key=lambda s: s.position) - 1

    def table(self, at: Saved, page_count: int) -> np.ndarray:
        """The version of each page at one of its checkpoints."""
        table = np.zeros(page_count, np.int32)
        for s in self.saved:
            table[s.pages] = s.versions
            if s is at:
                break
        return table

    def without(self, n: int) -> tuple[Saved, np.ndarray]:
        """What takes the place of checkpoint n + 1 if number n is removed, and the versions that nobody needs then."""
        gone, after = self.saved[n], self.saved[n + 1]
        kept = ~np.isin(gone.pages, after.pages)
        pages = np.concatenate([gone.pages[kept], after.pages])
        versions = np.concatenate([gone.versions[kept], after.versions])
        merged = Saved(
            after.position, after.clock, after.state, pages, versions, after.inputs, after.events, after.seconds, after.temporary
        )
        return merged, gone.versions[~kept]
