"""What passes between the thread that owns the session and the app: lines of commands one way, these messages the other."""

from dataclasses import dataclass

from textual.message import Message

from vmdbg.debugger.screens.snapshot import Snapshot


@dataclass
class Taken(Message):
    """The latest snapshot; those that came before it are gone."""

    snapshot: Snapshot


@dataclass
class Answered(Message):
    """A command's answer; `failed`: it was malformed, and nothing changed; `scripted`: nobody typed it."""

    line: str
    answer: list[str]
    failed: bool = False
    scripted: bool = False


@dataclass
class Going(Message):
    """On the way through history: `done` of it, 0 to 1.  An answer follows."""

    done: float


@dataclass
class Refused(Message):
    """There is no session: the guest cannot be opened, or the program has an error (`status` 70)."""

    text: str
    status: int
