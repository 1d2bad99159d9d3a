"""A session: one monitor under the debugger, run in bounded slices until something stops it."""

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

from vmdbg.debugger import stepping
from vmdbg.debugger.armed import BEFORE, Armed, stop_of
from vmdbg.debugger.breakpoints import Breakpoint, Breakpoints
from vmdbg.debugger.causes import Autopsy, autopsy
from vmdbg.debugger.delivery_steps import Delivery, waiting
from vmdbg.debugger.dialogue import Dialogue
from vmdbg.debugger.expressions import Context
from vmdbg.debugger.listing import Listing
from vmdbg.debugger.memory import Memory
from vmdbg.debugger.past import backwards
from vmdbg.debugger.past.history import BOUND, History, HistoryError
from vmdbg.debugger.past.mark import Mark
from vmdbg.debugger.picture import VgaPicture
from vmdbg.debugger.register_file import RegisterFile
from vmdbg.debugger.registers import linear_rip, reader
from vmdbg.debugger.screens.timeline_view import TimelineView, timeline_view
from vmdbg.debugger.slide import settled
from vmdbg.debugger.source import Sources
from vmdbg.debugger.stop import Reason, Stop
from vmdbg.debugger.symbols import Symbols
from vmdbg.debugger.triggers import Address, Event, Trap, Trigger, wants_of
from vmdbg.debugger.writing import WriteError, check_memory, check_register, put_memory, put_register
from vmdbg.machine.state import F_IF

if TYPE_CHECKING:
    from vmdbg.debugger.commands.interpreter import Interpreter
    from vmdbg.debugger.commands.registry import Lines

SLICE_SECONDS = 0.015  # how long the machine runs before the session looks up
FIRST_SLICE, LARGEST_SLICE = 10_000, 1 << 23  # instructions; after REP, which is a hundred times as fast, others are not to take a second
TURNS = 1_500  # of devices in a slice: a hundredth of a second
ALL_VECTORS = range(256)
NOTED = {"break", "trap", "watch", "mode", "halt", "shutdown", "exit", "error"}  # kinds of stops that the timeline shows
STOPS = 10_000  # of them, at most
_instructions = reader("instructions")
NO_FACTS: dict[str, int | None] = dict(vector=None, error_code=None, address=None)
TRACED = 100_000  # lines of tracing breakpoints that are kept


class Closed:
    """What a session that was closed has instead of a machine."""

    def __getattr__(self, name: str):
        raise ValueError("the session is closed")


class Session:
    """The debugger's hold on a machine, and the Python API: `with Session.open("kernel.elf") as session: session.run()`.

    run, step, step_over, next_trap              forward; each returns a Stop (stop.py), which is also `stop` until the next one
    reverse_run, reverse_step, goto, mark        through what is recorded; give it something in the past, and another line begins
    breakpoints, registers, memory, symbols      the table, and the machine: assigning to its registers and memory writes them
    console, dialogue, screen, position          what the guest has said, talking with it, what it shows, how far it has come
    evaluate, execute                            an expression; a line of the debugger's commands

    Errors are exceptions whose text is one sentence: GuestError (it cannot be loaded), CommandError and ExpressionError (malformed),
    HistoryError (not recorded), ReadError and WriteError (memory or a register that is not there, or refuses).

    One thread owns a session; only `interrupt` may be called from another.  Breakpoints belong to the session, never to the
    machine's state.
    """

    def __init__(self, monitor, symbols: Symbols | None = None):
        self.monitor = monitor
        self.machine = monitor.machine
        self.symbols = symbols or Symbols()
        self.sources = Sources()
        self.breakpoints = Breakpoints(self._words)
        self.cpu_index = 0
        self.stop = Stop(self.position, (Reason("start", "not started"),))
        self.listing = Listing(self)
        self.between: Callable[[], None] | None = None  # called between slices while the machine runs
        self.idle: Callable[[int], None] | None = None  # lets time pass, at most to this clock, while all vCPUs wait; None: it is skipped
        self.warp = False  # it is skipped all the same
        self.feed: Callable[[], int] | None = None  # gives the guest what waits for it; asked again after at most so many steps
        self.more: Callable[[], bool] | None = None  # gives an idle guest something to do; False: there is nothing
        self.ends_after: int | None = None  # no run goes on after so many instructions since the start
        self.history: History | None = None
        self.autopsy: Autopsy | None = None  # of the last triple fault
        self.marks: dict[str, Mark] = {}  # by name
        self.delivered: Delivery | None = None  # of the last trap that a run was stopped before, and went on into
        self.also: tuple[Trigger, ...] = ()  # what a run is to stop at beside the breakpoints
        self.progress: Callable[[float], None] | None = None  # hears how much of a search backwards is done, 0 to 1
        self._interrupted = threading.Event()
        self._slice = FIRST_SLICE
        self.stepped: Stop | None = None  # the last stop, if it came after a step that met nothing
        self.armed = Armed(self.machine)
        self.stopped_at: deque[int] = deque(maxlen=STOPS)  # positions at which something asked for stopped it
        self.traced: deque[tuple[int, int, str]] = deque(maxlen=TRACED)  # (position, breakpoint, words) of those that only trace

    @classmethod
    def open(cls, guest: str | PathLike | None = None, **machine) -> "Session":
        """A session over a PC with a guest loaded: a file, or a shipped guest by its name; nothing has run yet.

        `machine`: the options of `vmdbg run --help` by their names, with underscores: memory and history in bytes, cpus, append,
        initrd, module, disk, cdrom, virtio_disk, write_disk, console, com2, bios, format, load_address, entry, bits, symbols, slide,
        source; and engine, "threaded" or "plain" (slow, in Python).  What may be given several times takes one file or a list of them.
        `history` bounds the recording (512 MiB); 0 records nothing, and then there is no way back.

        GuestError: the guest cannot be loaded.  TypeError: an option that there is not.  The first session builds the core, once.
        """
        from vmdbg.debugger.opening import open_session

        return open_session(guest, **machine)

    def close(self) -> None:
        """Let go of the machine and of what is recorded; nothing can be asked of the session any more."""
        self.monitor = self.machine = self.armed.machine = Closed()
        self.history = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def cpu(self):
        return self.machine.cpus[self.cpu_index]

    @property
    def position(self) -> int:
        """The count of steps since the start: instructions and delivered events."""
        return int(self.machine.position)

    @property
    def instructions(self) -> int:
        """Completed instructions of all vCPUs."""
        return sum(map(_instructions, self.machine.cpus))

    @property
    def interrupted(self) -> bool:
        """Whether somebody wants the run to stop."""
        return self._interrupted.is_set()

    @property
    def rip(self) -> int:
        """The linear address of the next instruction."""
        return linear_rip(self.cpu)

    def read(self, linear: int, size: int) -> bytes | None:
        """Guest memory as the current CPU sees it; None where any of it is not mapped."""
        return self.machine.read_linear(self.cpu_index, linear, size)

    @property
    def registers(self) -> RegisterFile:
        """The current vCPU's: `session.registers.rax`, `session.registers["if"]`; assigning writes them."""
        return RegisterFile(self)

    @property
    def memory(self) -> Memory:
        """`session.memory[0x1000:0x1010]`, `session.memory.u32[0x1000]`, `session.memory.physical`; assigning writes it."""
        return Memory(self)

    @property
    def console(self) -> str:
        """What the guest has said on its serial console until now; of more than 2 MiB, the last of it."""
        return self.monitor.log.decode(errors="replace")

    @property
    def screen(self) -> str:
        """The text on the guest's VGA screen: its lines, without the blanks at their ends."""
        return VgaPicture().take(self.monitor.vga, self.machine.ram).text

    @functools.cached_property
    def interpreter(self) -> "Interpreter":
        """The commands over this session."""
        from vmdbg.debugger.commands.interpreter import Interpreter

        return Interpreter(self)

    @functools.cached_property
    def dialogue(self) -> Dialogue:
        """The guest's serial console: `session.dialogue.type("ls\\n")`, `session.dialogue.wait_for("$ ")`."""
        return Dialogue(self)

    @property
    def over(self) -> bool:
        """Whether no run goes on any more: the guest is at its end, or so many instructions are done."""
        return self.stop.ended or self.ends_after is not None and self.instructions >= self.ends_after

    def execute(self, line: str) -> "Lines":
        """A line of the debugger's commands (`help` lists them): its lines of text, and as their `value` what they say as data.

        CommandError says what was expected; then nothing has changed.
        """
        return self.interpreter.execute(line)

    def evaluate(self, expression: str) -> int:
        """The value of an expression, as conditions have them: 'rax + 1', 'u32(counter)', 'start_a'.  CommandError if it has none."""
        return self.interpreter.value(expression)

    def _words(self, text: str) -> tuple[Trigger, dict]:
        from vmdbg.debugger.commands.stops import parsed

        return parsed(self.interpreter, text)

    def context(self, facts: Mapping[str, int | None] | None = None) -> Context:
        """Where expressions are evaluated: this machine, now, with these facts or those of the stop it is at."""
        if facts is None:
            s = self.stop
            facts = dict(s.facts, vector=s.vector, error_code=s.error_code, address=s.address)
        return Context(self.cpu, self.read, self.symbols, {**NO_FACTS, **facts, "position": self.position, "cpu": self.cpu_index})

    def interrupt(self) -> None:
        """Make a running `run` or `step` stop soon.  From any thread."""
        self._interrupted.set()

    def give(self, what: str, value) -> None:
        """Something enters the machine from outside, now.  From the session's own thread, between two slices.

        what: "serial" (bytes for COM1 or a virtio console), "key" (a key's name and whether it goes down), "clock" (the clock that idle
        time has come to), "register" (vCPU, name, value), "memory" (vCPU, address, bytes, "linear" or "physical").  Nothing else
        enters, so these with position and clock are all that a repetition needs: while all vCPUs wait, the clock moves and the
        position does not.
        """
        if self.history is not None:
            self.history.give(what, value)
        else:
            self._apply(what, value)

    def write_register(self, name: str, value: int, cpu: int | None = None) -> None:
        """Write a register (registers.REGISTERS) of the current vCPU or of another; in the past another line of history begins.

        WriteError if there is none, it cannot be written, or the CPU would refuse the value: nothing has changed then.
        """
        n = self.cpu_index if cpu is None else cpu
        self._between_instructions()
        self.give("register", (n, name, check_register(self.machine, n, name, value)))
        self._written(name)

    def write_memory(self, address: int, data: bytes, space: str = "linear") -> None:
        """Write RAM, at a linear address as the current vCPU sees it or at a physical one; in the past another line of history begins.

        WriteError if any of it is not RAM: nothing has changed then.
        """
        self._between_instructions()
        check_memory(self.machine, self.cpu_index, address, data, space)
        self.give("memory", (self.cpu_index, address, bytes(data), space))
        self._written(f"memory at {address:#x}")

    def _written(self, what: str) -> None:
        if not self.stop.ended:  # an end stays one
            self.stop = Stop(self.position, (Reason("written", f"{what} was written"),))

    def _between_instructions(self) -> None:
        if any(int(cpu.slow) for cpu in self.machine.cpus):
            raise WriteError("an instruction is in the middle of an access to a device: step first")

    def _apply(self, what: str, value) -> None:
        if what == "serial":
            self.monitor.board.console.receive(value)
        elif what == "key":
            self.monitor.board.keyboard.key(*value)
        elif what == "register":
            put_register(self.machine, *value)
        elif what == "memory":
            put_memory(self.machine, *value)
        else:
            self.machine.skip_to(value)

    # ---- Running ------------------------------------------------------------------------------------------------

    def run(self, limit: int | None = None, until: Iterable[int] = (), traps: Iterable[int] = ()) -> Stop:
        """Run until a breakpoint, a trap of `traps`, an address of `until`, `limit` further instructions, or the machine's end."""
        lasts = [self.ends_after] if self.ends_after is not None else []
        last = min([*lasts, self.instructions + limit] if limit is not None else lasts, default=None)
        left = None if last is None else lambda: last - self.instructions
        return self._go(left, Reason("limit", "instruction limit reached"), frozenset(until), frozenset(traps))

    def step(self, count: int = 1) -> Stop:
        """`count` steps; fewer if a breakpoint, a trap that is waited for, or the end comes first."""
        fed = self.feed is None or self.feed() > LARGEST_SLICE  # nothing waits for the guest
        if count == 1 and fed and self.stop is self.stepped and (stop := stepping.step_plainly(self)) is not None:
            return stop
        last = self.position + count
        done = Reason("step", f"{count:,} steps" if count > 1 else "step")
        stop = self._go(lambda: last - self.position, done, frozenset(), frozenset())
        self.stepped = stop if stop.has("step") and not self.breakpoints.table else None
        return stop

    def _go(self, left: Callable[[], int] | None, done: Reason, until: frozenset[int], traps: frozenset[int]) -> Stop:
        """Run slice by slice until something stops it, or nothing is left to do: then `done` is why."""
        history, interrupted = self.history, self._interrupted
        if interrupted.is_set():
            interrupted.clear()
        self.delivered = waiting(self) or self.delivered
        self.arm(until, traps)
        resume = self._resumes()
        remaining = None if left is None else left()
        looked = time.perf_counter()
        spent: float | None = None  # of the processor; None: it was not worth while to ask
        while True:
            budget = self._slice if remaining is None else min(self._slice, remaining)
            if budget <= 0:
                return self.stopped(Stop(self.position, (done,)))
            if history is not None:
                budget = history.stretch(budget)
            if self.feed is not None:  # after the inputs that come again
                budget = min(budget, self.feed())
            began, position = time.perf_counter(), self.position
            self.machine.waits = left is None and self.idle is not None and not self.warp and (history is None or history.live)
            found = self.machine.run(budget, resume=resume, turns=TURNS)
            if history is not None:
                now, before = time.perf_counter(), spent
                spent = time.thread_time() if now - began > SLICE_SECONDS / 10 else None  # that takes longer than a step does
                history.ran(now - began if before is None or spent is None else spent - before)
            stop = self.classify(found, until, traps)
            if stop is not None:
                if stop.has("idle") and not interrupted.is_set() and self.more is not None and self.more():
                    resume, remaining = False, None if left is None else left()
                    continue
                return self.stopped(stop)
            if found.reason == "wait":
                resume = resume and self.position == position
                if self.idle is not None and not interrupted.is_set():
                    self.idle(found.due)
            else:
                resume = found.reason in BEFORE
                if found.reason == "budget" and budget == self._slice and self.position - position == budget:
                    self._adapt(time.perf_counter() - began)
            if left is not None:
                remaining = left()
                if remaining <= 0:
                    continue
            if self.between is not None and (not resume or time.perf_counter() - looked > SLICE_SECONDS):
                self.between()
                looked = time.perf_counter()
            if interrupted.is_set():
                return self.stopped(Stop(self.position, (Reason("pause", "paused"),)))

    def step_over(self) -> Stop:
        """One step, but a call, a software interrupt or a repeated string instruction as a whole."""
        return stepping.step_over(self)

    def next_trap(self) -> Stop:
        """Run to the next trap of any kind: before it is delivered."""
        return self.run(traps=ALL_VECTORS)

    @contextmanager
    def stopping_at(self, *triggers: Trigger) -> Iterator[None]:
        """Runs within it, forwards and backwards, stop at these as well: at addresses and instructions."""
        self.also = triggers
        try:
            yield
        finally:
            self.also = ()

    # ---- The past (history.py, backwards.py) ----------------------------------------------------------------------

    def record(self, bound: int = BOUND) -> History:
        """From here on what happens is recorded, in at most `bound` bytes, and can be gone back to."""
        self.history = History(self.monitor, self._apply, bound)
        return self.history

    def mark(self) -> Mark:
        """This place of history, for `goto`."""
        return Mark(0 if self.history is None else self.history.number, self.position)

    def goto(self, place: int | Mark) -> Stop:
        """Be at a recorded position of this line of history, or at a mark of any; HistoryError if it is not recorded."""
        if not isinstance(place, Mark):
            return backwards.travel(self, place, f"at position {place:,}")
        if place.line != self.mark().line:
            self.take_line(place.line)
        return self.goto(place.position)

    def reverse_step(self, count: int = 1) -> Stop:
        """`count` steps back, or to the beginning of what is recorded."""
        return backwards.reverse_step(self, count)

    def reverse_run(self, traps: Iterable[int] = ()) -> Stop:
        """Back to the last breakpoint, watchpoint or trap of `traps`, or to the beginning."""
        return backwards.reverse_run(self, traps=traps)

    def reverse_over(self) -> Stop:
        """One step back; a call that is over is gone back through as a whole."""
        return backwards.reverse_over(self)

    def previous_trap(self) -> Stop:
        return backwards.previous_trap(self)

    def take_line(self, number: int) -> Stop:
        """Be at the end of another line of history; HistoryError if there is none of this number."""
        if self.history is not None and not 0 <= number < len(self.history.lines):
            raise HistoryError(f"there is no line {number} of history: expected 0 to {len(self.history.lines) - 1}")
        return backwards.take_line(self, number)

    def begin_journey(self, until: frozenset[int] = frozenset(), traps: frozenset[int] = frozenset()) -> None:
        """Before the machine is taken to another position: what is to stop it is armed."""
        self._interrupted.clear()
        self.arm(until, traps)

    def arrived(self, stop: Stop) -> Stop:
        """After a journey, or a run."""
        self.stop = stop
        if any(r.kind in NOTED for r in stop.reasons) and (not self.stopped_at or self.stopped_at[-1] != stop.position):
            self.stopped_at.append(stop.position)
        return stop

    # ---- What a stop of the machine means -------------------------------------------------------------------------

    def arm(self, until: frozenset[int], traps: frozenset[int]) -> None:
        """Tell the machine what is to stop it: the breakpoints, and these addresses and vectors."""
        wants = self.breakpoints.wants()
        if until or traps or self.also:
            more = wants_of(self.also)
            wants = replace(
                wants, addresses=wants.addresses | until | more.addresses, vectors=wants.vectors | traps, forms=wants.forms | more.forms
            )
        self.armed.arm(wants)

    def _resumes(self) -> bool:
        """Whether the next step is off a breakpoint that we stand on, or into a trap that was reported."""
        if self.stop.has("trap") and self.stop.position == self.position:
            return True
        return self.armed.somewhere and self.armed.before(Event(self, None, "break"))

    def _adapt(self, seconds: float) -> None:
        """Bring the slice nearer to SLICE_SECONDS, after one that was run to its end."""
        factor = 2.0 if seconds < SLICE_SECONDS / 2 else SLICE_SECONDS / seconds
        self._slice = max(64, min(LARGEST_SLICE, int(self._slice * min(factor, 2.0))))

    def timeline(self, columns: int) -> TimelineView | None:
        """What is recorded as a strip of so many columns; None if nothing is.  From the session's own thread."""
        return None if self.history is None else timeline_view(self.history, self.stopped_at, columns)

    def stopped(self, stop: Stop) -> Stop:
        self.arrived(stop)
        for number in {r.breakpoint for r in stop.reasons if r.breakpoint is not None}:
            b = self.breakpoints.table.get(number)
            if b is not None and b.once:
                self.breakpoints.delete(number)
        return stop

    def classify(self, found, until: frozenset[int], traps: frozenset[int]) -> Stop | None:
        """The machine's stop as ours; None to go on."""
        kind = found.reason
        if kind in ("budget", "wait"):
            return None
        self.cpu_index = found.cpu
        if kind in ("break", "trap", "watch", "mode"):
            return stop_of(self, found, until, traps)
        if kind in ("halt", "idle"):  # what could still wake it decides
            kind = "idle" if any(int(cpu.eflags) & F_IF for cpu in self.machine.cpus) else "halt"
        if kind != "idle":  # the names of an end are those of now
            self.symbols = settled(self)
        if kind == "shutdown":
            self.autopsy = autopsy(self)
        place = self.place()
        text = {
            "halt": f"halted for ever at {place}: interrupts are off",
            "idle": f"idle at {place}: halted, and nothing is due",
            "shutdown": f"triple fault at {place}",
            "exit": f"the guest left with status {found.exit_code}",
        }.get(kind, f"the machine cannot go on at {place}: {found.text}")
        return Stop(self.position, (Reason(kind, text),), address=found.address, exit_code=found.exit_code)

    def place(self) -> str:
        """Where the current CPU is: '0xffffffff81000123 start_kernel+0x23'."""
        return f"{self.rip:#x} {self.symbols.near(self.rip) or ''}".strip()

    # ---- Breakpoints ------------------------------------------------------------------------------------------------

    def break_on(self, trigger: Trigger, **facts) -> Breakpoint:
        """A breakpoint of any kind (triggers.py)."""
        return self.breakpoints.add(trigger, **facts)

    def break_at(self, address: int, name: str = "", **facts) -> Breakpoint:
        return self.break_on(Address(address, name), **facts)

    def break_trap(self, vectors: range, **facts) -> Breakpoint:
        return self.break_on(Trap(vectors), **facts)

    def toggle(self, address: int) -> Breakpoint | None:
        """Delete the breakpoints at an address, or set one if there is none; the new one."""
        there = self.breakpoints.at(address)
        for b in there:
            self.breakpoints.delete(b.number)
        return None if there else self.break_at(address, name=self.symbols.near(address) or "")
