"""The registry of commands: one entry serves the command line, the palette, help, scripts and headless use."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


class CommandError(Exception):
    """Unknown or malformed: the message says what was expected, and nothing has changed."""


class Lines(list[str]):
    """A command's answer: lines of text, and in `value` what they say as data (plain.py makes JSON of it); None: there is no more to it."""

    def __init__(self, lines: Iterable[str] = (), value: object = None):
        super().__init__(lines)
        self.value = value


@dataclass(frozen=True)
class Command:
    """`run(interpreter, rest of the line) -> lines of output`, which are Lines where they say something that has a value.

    `complete(interpreter, text)` -> words that could stand there.
    """

    name: str
    aliases: tuple[str, ...]
    usage: str
    help: str
    run: Callable
    complete: Callable
    repeats: bool  # an empty line runs it again
    anytime: bool = False  # it may be given while the machine runs: between two slices

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


COMMANDS: dict[str, Command] = {}  # by name, in the order of `help`
BY_WORD: dict[str, Command] = {}  # by name or alias


def nothing(interpreter, text: str) -> list[str]:
    return []


def command(words: str, usage: str, help: str, *, complete: Callable = nothing, repeats: bool = False, anytime: bool = False):
    """Register the handler that follows; `words` are the name and its aliases."""
    name, *aliases = words.split(",")

    def register(run):
        entry = Command(name, tuple(aliases), usage, help, run, complete, repeats, anytime)
        COMMANDS[name] = entry
        for word in entry.words:
            assert word not in BY_WORD, word
            BY_WORD[word] = entry
        return run

    return register


def count_of(text: str, what: str) -> int:
    """A decimal or 0x count from 1 up; 1 for nothing."""
    text = text.strip()
    if not text:
        return 1
    try:
        value = int(text, 0)
    except ValueError:
        value = 0
    if value < 1:
        raise CommandError(f"expected {what} from 1 up, not '{text}'")
    return value
