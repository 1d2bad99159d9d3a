"""The thread that owns the session: takes lines of commands, posts snapshots that coalesce."""

import queue
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

from vmdbg.debugger.commands.dialects import DIALECTS
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.console_input import ConsoleInput
from vmdbg.debugger.idling import WallClock
from vmdbg.debugger.screens.snapshot import Snapshot, Taker
from vmdbg.debugger.session import Session
from vmdbg.debugger.unattended.script import ScriptError, ScriptLine, perform
from vmdbg.monitor.guest import GuestError
from vmdbg.ui.protocol import Answered, Going, Refused, Taken

PERIOD = 1 / 30  # seconds between snapshots while the machine runs
IDLE_PERIOD = 1 / 4  # the same while it mostly waits and the guest shows nothing new
IDLE = 1_000_000  # steps in a PERIOD of a machine that mostly waits
TYPED, LOOK, GO = object(), object(), object()  # among the lines: something was typed; a snapshot is wanted; a position is


class SessionThread(threading.Thread):
    """`post(message)` is called from this thread; `submit` and `pause` from any."""

    def __init__(self, opening: Callable[[], Session], post: Callable, keymap: str = "", script: Sequence[ScriptLine] = ()):
        super().__init__(name="session", daemon=True)
        self.opening, self.post, self.script = opening, post, script
        self.dialect = DIALECTS.get(keymap, {})
        self.interpreter: Interpreter | None = None
        self.console: ConsoleInput | None = None
        self.clock: WallClock | None = None
        self.wants_devices = self.wants_source = False
        self.columns = 0  # of the timeline that is shown
        self.wanted: tuple[str, str] | None = None
        self.busy = False  # a command is running
        self.travelling = False  # and it is one on its way through history
        self._wanted: int | None = None  # the position to go to next
        self._told = 0.0
        self._lines: queue.SimpleQueue[str | object | None] = queue.SimpleQueue()
        self._between: queue.SimpleQueue[str] = queue.SimpleQueue()  # for between two slices
        self._unseen = threading.Event()  # a snapshot was posted that the app has not taken
        self._latest: Snapshot | None = None
        self._taken = self._due = 0.0  # when the last snapshot was taken, and when the next one is due

    # ---- From the app's thread --------------------------------------------------------------------------------------

    def submit(self, line: str) -> bool:
        """Do this next; False: the machine is running, and this command is not one for that."""
        if not self.busy:
            self._lines.put(line)
            return True
        if self.interpreter is None or self.clock is None or not self.interpreter.anytime(line):
            return False
        self._between.put(line)
        self.clock.wake()
        return True

    def pause(self) -> None:
        if self.interpreter is not None and self.clock is not None:
            self.interpreter.session.interrupt()
            self.clock.wake()

    def give(self, data: bytes = b"", keys: tuple[str, ...] = ()) -> None:
        """What the user types for the guest; an idle one goes on with it."""
        if self.console is None or self.clock is None:
            return
        self.console.type(data)
        self.console.press(keys)
        self.clock.wake()
        if not self.busy:
            self._lines.put(TYPED)

    def end(self) -> None:
        """Stop the machine and the thread."""
        self._lines.put(None)
        self.pause()

    def look_at_devices(self, wanted: bool) -> None:
        """Whether snapshots carry the devices from now on."""
        self.wants_devices = wanted
        if wanted and not self.busy:
            self._lines.put(LOOK)

    def look_at_source(self, wanted: bool) -> None:
        """Whether snapshots carry the source from now on."""
        self.wants_source = wanted
        if wanted and not self.busy:
            self._lines.put(LOOK)

    def look_at_timeline(self, columns: int) -> None:
        """Snapshots carry a timeline of so many columns from now on."""
        self.columns = columns
        if not self.busy:
            self._lines.put(LOOK)

    def go(self, position: int) -> bool:
        """Be at a recorded position; on the way to another one, after that.  False: the machine is running."""
        if self.busy and not self.travelling:
            return False
        self._wanted = position
        self._lines.put(GO)
        return True

    @property
    def on_its_way(self) -> bool:
        """Whether it goes to a position, or is to go."""
        return self.travelling or self._wanted is not None

    def cancel(self) -> bool:
        """Go nowhere any more; False: it was on its way to nowhere."""
        self._wanted = None
        if self.travelling:
            self.pause()
        return self.travelling

    def look(self, wanted: tuple[str, str] | None) -> None:
        """What snapshots carry for a screen from now on: a name in looks.MAKERS, and an argument."""
        self.wanted = wanted
        if wanted and not self.busy:
            self._lines.put(LOOK)

    def seen(self) -> Snapshot:
        """The latest snapshot; another may be posted from now on."""
        self._unseen.clear()
        assert self._latest is not None
        return self._latest

    def complete(self, line: str) -> list[str]:
        return self.interpreter.complete(line) if self.interpreter is not None else []

    # ---- In this thread -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            session = self.opening()
            taker = Taker(session)
            self.console, self.clock = ConsoleInput(session), WallClock(session)
            taker.terminal.answer = self.console.type
            session.between = lambda: self._watch(taker)
            session.idle = self.clock.pass_until
            session.progress = self._progress
            session.machine.exits = Counter()
            self.interpreter = session.interpreter
            self._show(self._take(taker))
            self._perform(session, taker)
            self.interpreter.words = self.dialect  # of the user, not of scripts
            while (item := self._lines.get()) is not None:
                if item is LOOK:
                    self._show(self._take(taker))
                    continue
                line = item if isinstance(item, str) else "continue"
                if item is TYPED and not (self.console.waiting and session.stop.has("idle")):
                    continue
                if item is GO:
                    if (wanted := self._next()) is None:
                        continue
                    line = f"seek {wanted}"
                self.travelling = item is GO
                self.busy = True
                self.console.pump()
                answer = self._answer(line)
                self.busy = self.travelling = False
                self._show(self._take(taker))
                self.post(answer if item is not GO or answer.failed else Answered("", []))
        except GuestError as e:
            self.post(Refused(str(e), 2))
        except Exception:
            self.post(Refused(traceback.format_exc(), 70))

    def _perform(self, session: Session, taker: Taker) -> None:
        """What the command line said is to be done first, up to a line that cannot be, or a pause."""
        for line in self.script:
            self.busy = True
            try:
                answer = Answered(line.name, perform(session, line), scripted=True)
            except ScriptError as e:
                answer = Answered(line.name, [str(e)], failed=True, scripted=True)
            except SystemExit:
                break
            finally:
                self.busy = False
            self._show(self._take(taker))
            self.post(answer)
            if answer.failed or session.stop.has("pause"):
                break

    def _next(self) -> int | None:
        wanted, self._wanted = self._wanted, None
        return wanted

    def _progress(self, done: float) -> None:
        """A journey through history, or a search of it, has come so far."""
        self.travelling = True
        now = time.perf_counter()
        if now - self._told >= PERIOD:
            self._told = now
            self.post(Going(done))

    def _take(self, taker: Taker, running: bool = False) -> Snapshot:
        taker.wants_devices, taker.columns = self.wants_devices, self.columns
        taker.wanted, taker.wants_source = self.wanted, self.wants_source
        return taker.take(running)

    def _answer(self, line: str) -> Answered:
        assert self.interpreter is not None
        try:
            return Answered(line, self.interpreter.execute(line))
        except CommandError as e:
            return Answered(line, [str(e)], failed=True)

    def _watch(self, taker: Taker) -> None:
        """Between two slices: a snapshot, if one is due and the app has taken the one before."""
        assert self.console is not None
        self.console.pump()
        while not self._between.empty():
            self.post(self._answer(self._between.get()))
        now = time.perf_counter()
        if now >= self._due and not self._unseen.is_set() and (now - self._taken >= IDLE_PERIOD or taker.news(IDLE)):
            self._taken, self._due = now, max(self._due + PERIOD, now + PERIOD / 2)  # slices are long: one that was late is made up for
            self._show(self._take(taker, running=True))

    def _show(self, snapshot: Snapshot) -> None:
        self._latest = snapshot
        if not self._unseen.is_set():
            self._unseen.set()
            self.post(Taken(snapshot))
