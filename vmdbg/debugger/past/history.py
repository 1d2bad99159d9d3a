"""The recording of a session: checkpoints and inputs, and going to any position that was recorded.

While the machine is at the end of its line (`live`) checkpoints are taken every SPACING seconds of running; when they take more
room than they may, those that tell least apart are merged with their followers, the older the sooner.  In the past the
machine runs as it ran: inputs come again where they came.  What is given to it there begins a new line.
"""

from collections.abc import Callable
from time import thread_time

import numpy as np
import zstandard

from vmdbg.debugger.past.page_versions import ORIGIN, PageVersions
from vmdbg.debugger.past.timeline import Input, Line, Saved, delivered
from vmdbg.machine.checkpoint import Checkpoint, Checkpoints
from vmdbg.monitor.transcript import Transcript

SPACING = 0.05  # seconds of the processor, in which the machine runs from one checkpoint to the next
LARGEST_SPACING = 0.2
SHARE = 0.06  # of that time, at most, for taking them
BOUND = 512 << 20  # bytes
NEARER, NEAREST = 16, 1_000  # on the way to a position checkpoints stay, each so much nearer to it, down to so many steps: for what is
TEMPORARIES = 32  # asked next is mostly a little before
LARGEST = 20_000_000  # steps at once


class HistoryError(Exception):
    """A position that cannot be gone to; the message is one sentence."""


class History:
    """`apply(what, value)` gives an input to the machine; `look(position)` is called between stretches of a journey, and may raise.

    `monitor` says by state_roots() what its devices are; the machine is recorded from where it is.
    """

    def __init__(self, monitor, apply: Callable[[str, object], None], bound: int = BOUND):
        self.machine, self.apply, self.bound = monitor.machine, apply, bound
        roots = monitor.state_roots()
        self.transcripts = [root for root in roots.values() if isinstance(root, Transcript)]
        self.keep = Checkpoints(monitor.machine, **roots)
        self.versions = PageVersions()
        self.line = Line(end=self.position)
        self.lines = [self.line]
        self.live = True
        self.look: Callable[[int], None] | None = None
        self.taken: Callable[[Line, Saved], None] | None = None  # hears of checkpoints at the end of the line
        self.given: Callable[[Line, Input], None] | None = None  # ... and of inputs there
        self._temporaries: list[Saved] = []  # in the order in which they were taken
        self._next = 0  # the input of the line that comes next
        self._seconds = self._since = self._cost = 0.0
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._table = np.full(self.keep.page_count, ORIGIN, np.int32)
        self._base = self._save(self.keep.take(self.keep.first_pages(), self.versions.room))

    @property
    def position(self) -> int:
        return int(self.machine.position)

    @property
    def number(self) -> int:
        """Of the line."""
        return self.lines.index(self.line)

    @property
    def first(self) -> int:
        return self.line.saved[0].position

    @property
    def given_so_far(self) -> int:
        """How many inputs of the line have come."""
        return self._next

    # ---- Recording ------------------------------------------------------------------------------------------------

    def _save(self, taken: Checkpoint, temporary: bool = False) -> Saved:
        numbers = self.versions.add(taken.contents)
        self._table[taken.pages] = numbers
        events = sum(int(cpu.events) for cpu in self.machine.cpus)
        state = self._compressor.compress(taken.state)
        saved = Saved(taken.position, taken.clock, state, taken.pages, numbers, self._next, events, self._seconds, temporary)
        saved.__dict__["delivered"] = self.delivered()  # what it would be found to be
        self.line.insert(saved)
        self._base = saved
        return saved

    def delivered(self) -> np.ndarray:
        """Saved.delivered of now."""
        return delivered(self.machine.cpu_states)

    def traps(self) -> int:
        """Deliveries so far."""
        return int(self.delivered().sum())

    def take(self, temporary: bool = False) -> Saved:
        """A checkpoint of now; the one that is there if there is one."""
        if self._base.order == (self.position, self.machine.clock) and self._base.inputs == self._next:
            return self._base
        saved = self._save(self.keep.take(room=self.versions.room), temporary)
        if temporary:
            self._temporaries.append(saved)
            self._forget_temporaries()  # what an older one held may be merged into this one
            return self._base
        if self.live and self.taken is not None:
            self.taken(self.line, saved)
        return saved

    def ran(self, seconds: float) -> None:
        """The machine ran for so many seconds of this thread; call it after each slice."""
        if not self.live:
            return
        self.line.end = self.position
        self._seconds += seconds
        self._since += seconds
        if self._since >= min(max(SPACING, self._cost / SHARE), LARGEST_SPACING) and self.keep.possible():
            began = thread_time()
            self.take()
            self._since, self._cost = 0.0, thread_time() - began
            if self.versions.size > self.bound:
                self._thin()

    def give(self, what: str, value: object) -> None:
        """An input, now."""
        if not self.live and (self._next < len(self.line.inputs) or self.position < self.line.end):
            self.branch()
        self.live = True
        if what == "clock" and value == self.machine.next_deadline():
            self.apply(what, value)  # as it comes about by itself
            return
        self.machine.idle_until(self.machine.clock)
        acknowledged = any(int(cpu.inject) for cpu in self.machine.cpus)
        given = Input(self.position, self.machine.clock, what, value, acknowledged)
        self.line.inputs.append(given)
        self._next = len(self.line.inputs)
        if self.given is not None:
            self.given(self.line, given)
        self.apply(what, value)

    def branch(self) -> None:
        """From here on it is another line; the old one stays, with its end."""
        old = self.line
        fork = self.take()
        shared = old.saved[: old.saved.index(fork) + 1]
        self.line = Line(shared, old.inputs[: self._next], self.position, self.position)
        old.transcripts = [t.future() for t in self.transcripts]
        self.lines.append(self.line)
        self.live = True
        self._seconds = fork.seconds
        for transcript in self.transcripts:
            transcript.forget_future()

    def take_line(self, number: int) -> None:
        """Be at the end of line `number`; where this one ends is kept."""
        line = self.lines[number]
        if line is self.line:
            self.go(line.end)
            return
        self.leave_end()
        self.line.transcripts = [t.future() for t in self.transcripts]
        self.line = line
        for transcript, future in zip(self.transcripts, line.transcripts):
            transcript.take_future(future)
        self.restore(line.saved[-1])
        self.forward(line.end)

    def begin_again(self) -> None:
        """Forget what was recorded: checkpoints come from a trace, and none of what memory holds now is theirs."""
        self.line.saved.clear()
        self._table[:] = ORIGIN
        self.machine.page_dirty.array[self.keep.first_pages()] = 1
        self.live = False

    # ---- Living it again ------------------------------------------------------------------------------------------

    def stretch(self, budget: int) -> int:
        """How many of `budget` steps may be run at once from here; inputs that are due here have been given."""
        self._give_again()
        if self.live:
            return budget
        inputs = self.line.inputs
        ahead = inputs[self._next].position if self._next < len(inputs) else self.line.end
        if ahead <= self.position:
            self.live = True
            return budget
        return min(budget, ahead - self.position)

    def run(self, budget: int, resume: bool):
        """The machine's run for at most `budget` steps, with inputs where they came; its stop."""
        self.machine.waits = False
        return self.machine.run(self.stretch(budget), resume=resume)

    def meet(self, saved: Saved) -> None:
        """From the checkpoint before it, run to where a checkpoint of the line was taken."""
        self.forward(saved.position)
        self._give_again(saved.inputs)
        self.machine.idle_until(saved.clock)

    def met(self, saved: Saved) -> None:
        """The machine is as that checkpoint says."""
        self.keep.begin_interval()
        self._table, self._base = self.line.table(saved, self.keep.page_count), saved

    def _give_again(self, count: int | None = None) -> None:
        inputs = self.line.inputs
        last = len(inputs) if count is None else count
        while self._next < last and inputs[self._next].position <= self.position:
            due = inputs[self._next]
            self._next += 1
            self.machine.idle_until(due.clock)
            if due.acknowledged:
                self._acknowledge()
            self.apply(due.what, due.value)

    def _acknowledge(self) -> None:
        """Come to where an interrupt has been taken from its controller, by stopping before its delivery."""
        before = [[int(w) for w in cpu.intercept] for cpu in self.machine.cpus]
        self.machine.intercept(range(256))
        self.machine.run(1, resume=False)
        for cpu, words in zip(self.machine.cpus, before):
            for n, word in enumerate(words):
                cpu.intercept[n] = word

    def leave_end(self) -> None:
        """Before time goes back: what is at the end of the line can be come to again exactly."""
        if self.live:
            self.line.end = self.position
            if self.keep.possible():
                self.take()
        self.live = False

    def restore(self, saved: Saved) -> None:
        """Be at a checkpoint of the line, or where one was that has been merged with another since."""
        if saved not in self.line.saved:
            self.restore(self.line.saved[self.line.before(saved.position)])
            self.forward(saved.position)
            return
        self.leave_end()
        table = self.line.table(saved, self.keep.page_count)
        pages = np.union1d(np.flatnonzero(table != self._table), self.keep.changed_pages())
        versions = table[pages]
        origin = pages[versions == ORIGIN]
        pages, versions = pages[versions != ORIGIN], versions[versions != ORIGIN]
        self.keep.put_state(zstandard.ZstdDecompressor().decompress(saved.state))
        self.keep.put_pages(origin, self.keep.origin_pages(origin))
        for part, contents in self.versions.get(versions):
            self.keep.put_pages(pages[part], contents)
        self.keep.begin_interval()
        self._table, self._base, self._next = table, saved, saved.inputs

    def be_at(self, position: int) -> None:
        """Be at a recorded position, wherever the machine is now; what was given to it there has been given."""
        self.restore(self.line.saved[self.line.before(position)])
        self.forward(position)
        self._give_again()

    def go(self, position: int) -> None:
        """Be at a position between the first and the end, before the step that follows it; HistoryError if it is not recorded."""
        if not self.first <= position <= max(self.line.end, self.position if self.live else 0):
            raise HistoryError(f"position {position:,} is not recorded: from {self.first:,} to {self.line.end:,} is")
        here = self.position
        if position == here:
            return
        saved = self.line.saved[self.line.before(position)]
        if position < here or saved.position > here:
            self.restore(saved)
        self.approach(position)
        self._give_again()

    def approach(self, position: int) -> None:
        """Run to a position ahead; temporary checkpoints stay on the way."""
        ahead = (position - self.position) // NEARER
        while ahead >= NEAREST:
            self.forward(position - ahead)
            if self.keep.possible():
                self.take(temporary=True)
            ahead //= NEARER
        self.forward(position)

    def forward(self, position: int) -> None:
        """Run to a position ahead, whatever is armed."""
        while self.position < position:
            if self.look is not None:
                self.look(self.position)
            before = self.position, self.machine.clock
            found = self.run(min(LARGEST, position - self.position), resume=True)
            if found.reason in ("halt", "shutdown", "exit", "error", "idle") and before == (self.position, self.machine.clock):
                raise HistoryError(f"position {position:,} is not reached: the machine ends at {self.position:,}")

    # ---- Room -------------------------------------------------------------------------------------------------------

    def _forget_temporaries(self) -> None:
        """Those that were taken first go first."""
        while len(self._temporaries) > TEMPORARIES:
            oldest = self._temporaries.pop(0)
            if oldest is self._base:
                self._temporaries.append(oldest)
                oldest = self._temporaries.pop(0)
            if oldest in self.line.saved:
                self._remove(oldest)

    def _thin(self) -> None:
        """Merge checkpoints until there is room: those that leave the smallest gap for their age."""
        while self.versions.size > self.bound * 0.9:
            saved = self.line.saved
            now = saved[-1].seconds
            gaps = [
                ((saved[n + 1].seconds - saved[n - 1].seconds) / (now - saved[n].seconds + SPACING), n)
                for n in range(1, len(saved) - 8)
                if saved[n] is not self._base and self._alone(saved[n], saved[n + 1])
            ]
            if not gaps:
                return
            self._remove(saved[min(gaps)[1]])

    def _alone(self, saved: Saved, after: Saved) -> bool:
        """Whether no other line has these checkpoints."""
        return not any(saved in line.saved or after in line.saved for line in self.lines if line is not self.line)

    def _remove(self, saved: Saved) -> None:
        line = self.line
        n = line.saved.index(saved)
        if n + 1 == len(line.saved) or not self._alone(saved, line.saved[n + 1]):
            return
        merged, forgotten = line.without(n)
        if line.saved[n + 1] is self._base:
            self._base = merged
        self._temporaries = [merged if s is line.saved[n + 1] else s for s in self._temporaries]
        line.saved[n : n + 2] = [merged]
        self.versions.forget(forgotten)
