"""Lines of commands over one session."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from vmdbg.debugger.causes import triple_fault
from vmdbg.debugger.commands import bochs, cause, examine, motion, past, questions, source, stops, writing
from vmdbg.debugger.commands.places import places
from vmdbg.debugger.commands.registry import BY_WORD, COMMANDS, Command, CommandError, Lines, command
from vmdbg.debugger.dwarf.debug import Place
from vmdbg.debugger.expressions import Expression, ExpressionError
from vmdbg.debugger.stop import Stop

MODULES = (motion, past, questions, cause, stops, source, examine, writing, bochs)  # importing them fills the registry


def in_order() -> list[Command]:
    """Every command, in the order of `help`."""
    places = {m.__name__: n for n, m in enumerate(MODULES)}
    return sorted(COMMANDS.values(), key=lambda c: places.get(c.run.__module__, len(places)))


class Interpreter:
    """`execute(line)` gives its answer; CommandError says what was expected, and then nothing has changed."""

    def __init__(self, session, words: Mapping[str, str] = MappingProxyType({})):
        self.session = session
        self.words = words  # that mean another line here (dialects.py)
        self.displays: dict[int, Expression] = {}
        self.last_display = 0
        self.next_address: int | None = None  # where `x` without an address goes on
        self.listed: tuple[int, Place] | None = None  # position, and the line of source at which `list` goes on
        self._again: Callable[[], Lines] | None = None

    def execute(self, line: str) -> Lines:
        """Run one line.  An empty one repeats the last command, if that is one to repeat."""
        line = line.strip()
        if not line:
            return self._again() if self._again is not None else Lines()
        self._again = None
        entry, rest = self.find(line)
        answer = self._run(entry, rest)
        if entry.repeats:
            again = rest.split()[0] if entry.name == "x" and rest.startswith("/") else "" if entry.name == "x" else rest
            self._again = lambda: self._run(entry, again)
        return answer

    def _run(self, entry: Command, rest: str) -> Lines:
        answer = entry.run(self, rest)
        return answer if isinstance(answer, Lines) else Lines(answer)

    def find(self, line: str) -> tuple[Command, str]:
        """The command of a line and the rest of it; 'x/8i rip' splits before the slash."""
        word, _, rest = line.partition(" ")
        if word in self.words:
            word, _, rest = f"{self.words[word]} {rest}".strip().partition(" ")
        if "/" in word:
            word, _, modifier = word.partition("/")
            rest = f"/{modifier} {rest}".rstrip()
        entry = BY_WORD.get(word)
        if entry is None:
            close = [w for w in BY_WORD if w.startswith(word)] if word else []
            names = sorted({BY_WORD[w].name for w in close})
            if len(names) == 1:
                return COMMANDS[names[0]], rest
            hint = f"one of {', '.join(names)}" if names else f"a command ({', '.join(COMMANDS)})"
            raise CommandError(f"'{word}' is no command: expected {hint}")
        return entry, rest

    def anytime(self, line: str) -> bool:
        """Whether a line may be executed while the machine runs: between two slices."""
        try:
            return bool(line.strip()) and self.find(line.strip())[0].anytime
        except CommandError:
            return False

    def complete(self, line: str) -> list[str]:
        """Whole lines that the given beginning could become."""
        word, space, rest = line.partition(" ")
        if not space:
            return sorted({w for w in BY_WORD if w.startswith(word)}, key=lambda w: (len(w), w))
        try:
            entry, _ = self.find(word)
        except CommandError:
            return []
        return [f"{word} {found}" for found in entry.complete(self, rest.lstrip())]

    # ---- What handlers use ----------------------------------------------------------------------------------------

    def value(self, text: str) -> int:
        try:
            return stops.expression(text).value(self.session.context())
        except ExpressionError as e:
            raise CommandError(str(e)) from None

    def address(self, text: str) -> int:
        """The linear address that an expression, a segment:offset or a file:line means."""
        return places(self, text)[0]

    def moved(self, stop: Stop) -> Lines:
        """What is said after the machine ran; the stop."""
        self.session.listing.focus = None
        why = triple_fault(self.session) if stop.has("shutdown") else []
        return Lines([f"{self.session.position:,}: {stop.text}", *why, *self.displayed()], stop)

    def displayed(self) -> list[str]:
        lines = []
        for n, expression in self.displays.items():
            try:
                value = expression.value(self.session.context())
                lines.append(f"{n}: {expression.text} = {value:#x}  {value}")
            except ExpressionError as e:
                lines.append(f"{n}: {expression.text}: {e}")
        return lines


def command_words(interpreter, text):
    return [n for n in COMMANDS if n.startswith(text)]


@command("help,h,?", "help [COMMAND]", "what there is, or how one command is used", complete=command_words)
def help_(interpreter, text):
    word = text.strip()
    if not word:
        width = max(len(c.usage) for c in COMMANDS.values() if len(c.usage) < 40)
        return [f"{c.usage:<{width}}  {c.help}" for c in in_order()]
    if word not in BY_WORD:
        raise CommandError(f"'{word}' is no command: expected one of {', '.join(COMMANDS)}")
    c = BY_WORD[word]
    return [c.usage, f"  {c.help}", *([f"  also: {', '.join(c.aliases)}"] if c.aliases else [])]
