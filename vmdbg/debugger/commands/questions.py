"""Commands that ask about the past; the machine stays where it is."""

from vmdbg.debugger.commands.registry import CommandError, Lines, command
from vmdbg.debugger.commands.source import list_source
from vmdbg.debugger.commands.stop_kinds import length_at_end
from vmdbg.debugger.commands.stops import expression
from vmdbg.debugger.expressions import ExpressionError
from vmdbg.debugger.past import questions, register_questions
from vmdbg.debugger.past.backwards import Cancelled
from vmdbg.debugger.past.history import HistoryError
from vmdbg.debugger.registers import REGISTERS
from vmdbg.debugger.traps import describe
from vmdbg.debugger.triggers import MODES, PORT_READS, PORT_WRITES, Event, Wants, forms_of, port_access

MOST = 10_000  # lines of a list
LONGEST = 1 << 20  # bytes that `who` asks about


def answered(interpreter, ask, *arguments) -> Lines:
    try:
        answer = ask(interpreter.session, *arguments)
    except (HistoryError, ExpressionError) as e:
        raise CommandError(str(e)) from None
    except Cancelled:
        return Lines(["cancelled"])
    if answer is None:
        return Lines(["not in what is recorded before here"])
    cpu = f" on CPU {answer.cpu}" if len(interpreter.session.machine.cpus) > 1 else ""
    return Lines([f"{answer.position:,}: {answer.text}{cpu}  (seek {answer.position})"], answer)


@command(
    "who",
    "who REGISTER|ADDRESS [LENGTH] [physical]|pte ADDRESS",
    "what last wrote a register, memory (8 bytes unless LENGTH says) or the page-table entry of an address, and where",
)
def who(interpreter, text):
    words = text.split()
    if not words:
        raise CommandError("expected what was written: who rax, who 0x1000 4, who rsp+8, who pte 0x400000")
    if len(words) == 1 and words[0].lstrip("$").lower() in {*REGISTERS, *register_questions.RARE}:
        return answered(interpreter, register_questions.last_register_write, words[0].lstrip("$").lower())
    try:
        pieces = entry_of(interpreter, " ".join(words[1:])) if words[0] == "pte" else pieces_of(interpreter, words)
    except HistoryError as e:
        raise CommandError(str(e)) from None
    return answered(interpreter, questions.last_write, pieces)


def pieces_of(interpreter, words: list[str]) -> list[tuple[int, int]]:
    """Physical (first, last) of 'ADDRESS [LENGTH] [physical]'."""
    physical = words[-1] == "physical"
    words = words[:-1] if physical else words
    given = length_at_end(words)
    length = 8 if given is None else given
    if not 1 <= length <= LONGEST:
        raise CommandError(f"expected a length from 1 to {LONGEST:,} bytes, not {length:,}")
    if physical:
        first = interpreter.value(" ".join(words))
        return [(first, first + length - 1)]
    return questions.physical_pieces(interpreter.session, interpreter.address(" ".join(words)), length)


def entry_of(interpreter, text: str) -> list[tuple[int, int]]:
    """The last entry that a page walk of an address reads."""
    session, address = interpreter.session, interpreter.address(text)
    _, levels = session.machine.walk(session.cpu_index, address)
    if not levels:
        raise CommandError("paging is off: there is no page-table entry")
    size = 8 if int(session.cpu.cr4) & 0x20 else 4
    return [(levels[-1][1], levels[-1][1] + size - 1)]


@command("when", "when EXPRESSION", "the last step after which an expression became true: when u32(counter) > 7, when rax == 0")
def when(interpreter, text):
    return answered(interpreter, register_questions.became_true, expression(text))


@command("last", "last ADDRESS", "the last time before here that the instruction at an address was executed")
def last(interpreter, text):
    if not text.strip():
        raise CommandError("expected an address: last start_a, last rip")
    return answered(interpreter, questions.last_execution, interpreter.address(text))


# ---- lists


def traps(session):
    def words(found) -> str | None:
        return describe(found.vector, found.error_code, found.address) if found.reason == "trap" else None

    return Wants(vectors=set(range(256))), words, questions.nothing_delivered(range(256))


def ports(session):
    def words(found) -> str | None:
        event = Event(session, found)
        facts = port_access(event.instruction, event.cpu) if found.reason == "break" and event.instruction else None
        if facts is None:
            return None
        value = f" of {facts['value']:#x}" if "value" in facts else ""
        return f"{'output' if facts['write'] else 'input'}{value}, port {facts['port']:#x}, {8 * facts['width']} bits, at {event.rip:#x}"

    return Wants(forms=set(forms_of(PORT_READS + PORT_WRITES))), words, None


def modes(session):
    def words(found) -> str | None:
        if found.reason != "mode":
            return None
        before, after = found.before & 3, found.after & 3
        changed = [f"ring {before}->{after}"] if before != after else []
        for name, holds in MODES.items():
            if holds(found.before) != holds(found.after):
                changed.append(name if holds(found.after) else f"{name} off")
        return ", ".join(changed) or None

    return Wants(modes=True), words, None


LISTS = {"traps": traps, "io": ports, "modes": modes}


def list_words(interpreter, text: str) -> list[str]:
    return [name for name in LISTS if name.startswith(text)]


@command(
    "list,l",
    "list [PLACE] | list traps|io|modes [FROM TO]",
    "lines of source; or all traps, port accesses, changes of mode with their positions, from the beginning to here or FROM TO",
    complete=list_words,
)
def list_(interpreter, text):
    session, words = interpreter.session, text.split()
    if not words or words[0] not in LISTS and len(words) == 1:
        return list_source(interpreter, text)
    if words[0] not in LISTS or len(words) not in (1, 3):
        raise CommandError(f"expected one of {', '.join(LISTS)}, perhaps two positions: list traps, list io 1000 2000")
    if session.history is None:
        raise CommandError("this session is not recorded")
    first, end = [interpreter.value(w) for w in words[1:]] or [session.history.first, session.position]
    wants, say, skip = LISTS[words[0]](session)
    try:
        found, whole = questions.happenings(session, wants, say, first, end, MOST, skip)
    except HistoryError as e:
        raise CommandError(str(e)) from None
    except Cancelled:
        return ["cancelled"]
    lines = [f"{position:,}: {what}" for position, what in found]
    if not whole:
        lines.append(f"... and more after position {found[-1][0]:,}: list {words[0]} {found[-1][0] + 1} {end}")
    return Lines(lines or [f"no {words[0]} from position {first:,} to {end:,}"], [dict(position=at, what=what) for at, what in found])
