"""Why the machine stands still: a value with one or several reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# What `Reason.kind` can be
KINDS = {
    "start": "nothing has run yet",
    "step": "the steps asked for are done",
    "break": "before an instruction with a breakpoint",
    "trap": "before a trap is delivered",
    "goto": "a position of the past that was asked for",
    "beginning": "nothing before it is recorded",
    "watch": "after an access to watched memory",
    "mode": "after a change of ring or mode",
    "written": "a register or memory was written by the user",
    "said": "the guest said what was waited for",
    "pause": "the user said so",
    "limit": "the instruction limit is reached",
    "idle": "halted, nothing due that could wake it",
    "halt": "halted for ever: interrupts are off",
    "shutdown": "triple fault",
    "exit": "the guest wrote to the exit port",
    "error": "the machine cannot go on",
}
ENDS = {"halt", "shutdown", "exit", "error"}  # nothing can run after these


@dataclass(frozen=True)
class Reason:
    kind: str  # a key of KINDS
    text: str
    breakpoint: int | None = None  # its number


@dataclass(frozen=True)
class Stop:
    """Where (position: the count of steps) and why; the facts are those of the trap or the end that stopped it."""

    position: int
    reasons: tuple[Reason, ...]
    vector: int | None = None
    error_code: int | None = None
    address: int | None = None  # linear, of a page fault
    exit_code: int | None = None
    facts: Mapping[str, int] = field(default_factory=dict, compare=False)  # port, width, value, msr, cr, size, write: where they apply

    def has(self, kind: str) -> bool:
        return any(r.kind == kind for r in self.reasons)

    @property
    def ended(self) -> bool:
        return any(r.kind in ENDS for r in self.reasons)

    @classmethod
    def stepped(cls, position: int) -> "Stop":
        """After one step; made quickly, for loops of single steps."""
        stop = object.__new__(cls)
        stop.__dict__.update(_STEPPED, position=position)
        return stop

    @property
    def text(self) -> str:
        return "; ".join(r.text for r in self.reasons)


_STEPPED = dict(Stop(0, (Reason("step", "step"),)).__dict__)
