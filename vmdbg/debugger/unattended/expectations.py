"""What a guest is expected to do: files for graders and CI, one statement a line, blank lines and those that begin with # apart.

In the order in which they stand; a run goes on from one to the next:

    stop WHERE [within N]              it stops there, after at most N instructions; WHERE: what stands after `b` or `bp`
    wait "TEXT" [within N]             the console says this, after what was last waited for; it stops with the last byte
    type "TEXT"                        the guest reads this from its serial port
    expect EXPRESSION                  it is not 0 here: registers, memory, symbols, the stop's vector, error_code, address ...
    expect console|screen CLAIM        what has been said, or is shown, until here

Of the whole run, which goes on to its end for them, wherever they stand:

    console|screen CLAIM               contains "TEXT" | lacks "TEXT" | matches /REGULAR EXPRESSION/, at the end
    end exit|idle|halt|limit|triple fault   exit: it wrote to the exit port, or switched itself off
    status N                           the exit status that `vmdbg run` would have
    never WHERE
    count WHERE ==|!=|<|<=|>|>= N      how often it came there
    limit N                            instructions, after which it ends; LIMIT where there is none

A TEXT is written as in JSON: \\n, \\", \\u00e9.  Each class below is a kind of statement; `judge(run)` is None if it holds, else what
was found instead.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.commands.stops import expression, parsed
from vmdbg.debugger.expressions import COMPARISONS, OPERATORS, Expression, ExpressionError
from vmdbg.debugger.unattended.expected_run import Run, Where

LIMIT = 1_000_000_000  # instructions of a run whose file names none
ENDS = {"exit": "exit", "idle": "idle", "halt": "halt", "limit": "limit", "triple fault": "shutdown"}  # Reason.kind
VERBS = ("contains", "lacks", "matches")


class ExpectationError(Exception):
    """A malformed statement: 'FILE:LINE: what was expected'."""


@dataclass(frozen=True)
class Stop:
    where: Where
    within: int | None

    def judge(self, run: Run) -> str | None:
        return run.stop_at(self.where, self.within)


@dataclass(frozen=True)
class Wait:
    text: str
    within: int | None

    def judge(self, run: Run) -> str | None:
        return run.wait_for(self.text, self.within)


@dataclass(frozen=True)
class Type:
    text: str

    def judge(self, run: Run) -> str | None:
        run.dialogue.type(self.text)
        return None


@dataclass(frozen=True)
class Expect:
    expression: Expression

    def judge(self, run: Run) -> str | None:
        context = run.session.context()
        try:
            holds = self.expression.value(context)
            return None if holds else f"found {self.expression.shown(context)} at {run.here}"
        except ExpressionError as e:
            return f"{e}, at {run.here}"


@dataclass(frozen=True)
class Claim:
    """About what a guest has said or shows."""

    subject: str  # console, screen
    verb: str
    text: str

    def judge(self, run: Run) -> str | None:
        text = (run.session.console if self.subject == "console" else run.session.screen).replace("\r\n", "\n")
        there = self.text in text if self.verb != "matches" else re.search(self.text, text, re.M) is not None
        if there != (self.verb == "lacks"):
            return None
        if self.verb == "lacks":
            line = next(line for line in text[text.index(self.text) :].splitlines())
            return f"found {json.dumps(line, ensure_ascii=False)}"
        lines = [line for line in text.splitlines() if line.strip()]
        return f"found {len(lines)} lines, the last of them {json.dumps(lines[-1], ensure_ascii=False)}" if lines else "it says nothing"


@dataclass(frozen=True)
class End:
    kind: str

    def judge(self, run: Run) -> str | None:
        return None if run.session.stop.has(self.kind) else f"found {run.state}"


@dataclass(frozen=True)
class Status:
    number: int

    def judge(self, run: Run) -> str | None:
        return None if run.status == self.number else f"found {run.status}: {run.state}"


@dataclass(frozen=True)
class Never:
    where: Where

    def prepare(self, run: Run) -> None:
        run.forbid(self.where)

    def judge(self, run: Run) -> str | None:
        return run.broken.get(self.where)


@dataclass(frozen=True)
class Count:
    where: Where
    comparison: str
    number: int

    def prepare(self, run: Run) -> None:
        run.count(self.where)

    def judge(self, run: Run) -> str | None:
        hits = run.counted[self.where].hits
        return None if OPERATORS[self.comparison](hits, self.number) else f"found {hits:,}"


@dataclass(frozen=True)
class Limit:
    number: int

    def judge(self, run: Run) -> str | None:
        return None


IN_ORDER = (Stop, Wait, Type, Expect)
Kind = Stop | Wait | Type | Expect | Claim | End | Status | Never | Count | Limit


@dataclass(frozen=True)
class Statement:
    line: int
    text: str
    kind: Kind
    in_order: bool = field(default=False)


# ---- The file


def parse_expectations(session, file: str, text: str) -> list[Statement]:
    """The statements of a file; ExpectationError names the first that is malformed.  Names of places are those of this session."""
    statements = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        try:
            if word not in PARSERS:
                raise CommandError(f"expected one of {', '.join(PARSERS)}, not '{word}'")
            kind = PARSERS[word](session, rest.strip())
        except CommandError as e:
            raise ExpectationError(f"{file}:{number}: {e}") from None
        in_order = isinstance(kind, IN_ORDER) or word == "expect"
        statements.append(Statement(number, line, kind, in_order))
    if not any(not isinstance(s.kind, (Limit, Type)) for s in statements):
        raise ExpectationError(f"{file}: it expects nothing")
    return statements


def where(session, text: str) -> Where:
    if not text:
        raise CommandError("expected a place, as after `b` or `bp`: start_a, trap PF if cr2 < 0x1000, io 0x3f8 w")
    trigger, facts = parsed(session.interpreter, text)
    if facts.get("trace"):
        raise CommandError("'trace' stops nowhere: expected a place to stop at")
    return Where(trigger, facts)


def within(text: str) -> tuple[str, int | None]:
    """'... within N' as what stands before it, and N."""
    found = re.fullmatch(r"(.*?)\s+within\s+(\S+)", text)
    return (found[1], count(found[2])) if found else (text, None)


def count(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise CommandError(f"expected a number from 0 up, not '{text}'")
    return value


def quoted(text: str) -> str:
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        value = None
    if not isinstance(value, str) or not value:
        raise CommandError(f'expected a text in double quotes, "...", not {text or "nothing"}')
    return value


def stop(session, text: str) -> Stop:
    place, limit = within(text)
    return Stop(where(session, place), limit)


def wait(session, text: str) -> Wait:
    words, limit = within(text)
    return Wait(quoted(words), limit)


def expect(session, text: str) -> Expect | Claim:
    subject, _, rest = text.partition(" ")
    if subject in ("console", "screen"):
        return claim(subject, rest.strip())
    return Expect(expression(text))


def claim(subject: str, text: str) -> Claim:
    verb, _, rest = text.partition(" ")
    rest = rest.strip()
    if verb not in VERBS:
        raise CommandError(f"expected '{subject} {' | '.join(VERBS)} ...', not '{subject} {verb}'")
    if verb != "matches":
        return Claim(subject, verb, quoted(rest))
    if len(rest) < 3 or rest[0] != "/" or rest[-1] != "/":
        raise CommandError(f"expected a regular expression between slashes, /.../, not {rest or 'nothing'}")
    try:
        re.compile(rest[1:-1])
    except re.error as e:
        raise CommandError(f"{rest} is no regular expression: {e}") from None
    return Claim(subject, verb, rest[1:-1])


def end(session, text: str) -> End:
    if text not in ENDS:
        raise CommandError(f"expected one of {', '.join(ENDS)}, not '{text}'")
    return End(ENDS[text])


def counted(session, text: str) -> Count:
    found = re.fullmatch(rf"(.*?)\s*({'|'.join(COMPARISONS)})\s*(\w+)", text)
    if not found or not found[1] or re.search(r"(^|\s)if\s+\S*$", found[1]):
        raise CommandError("expected a place, a comparison and a number: count trap PF >= 1")
    return Count(where(session, found[1]), found[2], count(found[3]))


PARSERS: dict[str, Callable[[object, str], Kind]] = {
    "stop": stop,
    "wait": wait,
    "type": lambda session, text: Type(quoted(text)),
    "expect": expect,
    "console": lambda session, text: claim("console", text),
    "screen": lambda session, text: claim("screen", text),
    "end": end,
    "status": lambda session, text: Status(count(text)),
    "never": lambda session, text: Never(where(session, text)),
    "count": counted,
    "limit": lambda session, text: Limit(count(text)),
}
