"""Commands that go back in time."""

from vmdbg.debugger.commands.registry import CommandError, Lines, command, count_of
from vmdbg.debugger.past.history import HistoryError
from vmdbg.debugger.past.reverse_finish import reverse_finish
from vmdbg.debugger.vm_exits import Exits


def journey(interpreter, go, *arguments):
    """What is said after one; CommandError if there is no such past."""
    try:
        return interpreter.moved(go(*arguments))
    except HistoryError as e:
        raise CommandError(str(e)) from None


def alone(text: str, name: str) -> None:
    if text.strip():
        raise CommandError(f"'{name}' takes nothing, not '{text.strip()}'")


@command("reverse-stepi,rsi,rs,t-", "rsi [COUNT]", "one step back", repeats=True)
def reverse_stepi(interpreter, text):
    return journey(interpreter, interpreter.session.reverse_step, count_of(text, "a count of steps"))


@command("reverse-nexti,rni,rn,p-", "rn", "one step back, but through calls, int and repeated string instructions as a whole", repeats=True)
def reverse_nexti(interpreter, text):
    alone(text, "rn")
    return journey(interpreter, interpreter.session.reverse_over)


@command("reverse-continue,rc,g-", "rc", "back to the last breakpoint before here, or to the beginning", repeats=True)
def reverse_continue(interpreter, text):
    alone(text, "rc")
    return journey(interpreter, interpreter.session.reverse_run)


@command("reverse-trap,rt", "rt", "back to the last trap of any kind: before it was delivered", repeats=True)
def reverse_trap(interpreter, text):
    alone(text, "rt")
    return journey(interpreter, interpreter.session.previous_trap)


@command("reverse-exit,re", "re", "back to the last VM exit: before the instruction", repeats=True)
def reverse_exit(interpreter, text):
    alone(text, "re")
    with interpreter.session.stopping_at(Exits()):
        return journey(interpreter, interpreter.session.reverse_run)


@command("reverse-finish,rf", "rf", "back to the call, the interrupt or the trap that entered this function", repeats=True)
def reverse_finish_(interpreter, text):
    alone(text, "rf")
    return journey(interpreter, reverse_finish, interpreter.session)


@command("seek,!tt,tt", "seek POSITION|end|N%", "be at a recorded position: a count of steps, the end, or so much of the whole")
def seek(interpreter, text):
    session, word = interpreter.session, text.strip()
    history = session.history
    if history is None:
        raise CommandError("this session is not recorded")
    if word == "end":
        position = history.line.end
    elif word.endswith("%") and word[:-1].strip().replace(".", "", 1).isdecimal():
        position = history.first + int((history.line.end - history.first) * min(float(word[:-1]), 100) / 100)
    elif word:
        position = interpreter.value(word)
    else:
        raise CommandError("expected a position: seek 123456, seek end, seek 50%")
    return journey(interpreter, session.goto, position)


@command("mark", "mark [NAME]", "give this place of history a name; mark alone lists them")
def mark(interpreter, text):
    session, name = interpreter.session, text.strip()
    history = session.history
    if history is None:
        raise CommandError("this session is not recorded")
    if not name:
        lines = [f"{name}: {position:,} of line {line}" for name, (line, position) in session.marks.items()]
        return Lines(lines or ["no marks"], dict(session.marks))
    session.marks[name] = here = session.mark()
    return Lines([f"{name} is {here.position:,} of line {here.line}"], {name: here})


def marks(interpreter, text):
    return [name for name in interpreter.session.marks if name.startswith(text)]


@command("unmark", "unmark NAME", "forget a mark", complete=marks)
def unmark(interpreter, text):
    if interpreter.session.marks.pop(text.strip(), None) is None:
        raise CommandError(f"there is no mark '{text.strip()}'")
    return [f"{text.strip()} is forgotten"]


@command("history", "history", "what is recorded, and how much room it takes")
def history_(interpreter, text):
    alone(text, "history")
    session = interpreter.session
    history = session.history
    if history is None:
        raise CommandError("this session is not recorded")
    lines = [
        f"positions {history.first:,} to {history.line.end:,}, now {history.position:,}"
        f"{'' if history.live else ' (in the past)'}: {len(history.line.saved)} checkpoints, {len(history.line.inputs)} inputs, "
        f"{history.versions.size >> 20} of {history.bound >> 20} MiB"
    ]
    for n, line in enumerate(history.lines):
        if len(history.lines) > 1:
            origin = "from the start" if line.fork is None else f"from {line.fork:,}"
            lines.append(f"line {n}{' (this one)' if line is history.line else ''}: {origin} to {line.end:,}")
    return Lines(
        lines,
        dict(
            here=session.mark(),
            first=history.first,
            end=history.line.end,
            checkpoints=len(history.line.saved),
            inputs=len(history.line.inputs),
            bytes=history.versions.size,
            bound=history.bound,
            lines=[dict(fork=line.fork, end=line.end) for line in history.lines],
        ),
    )


@command("line", "line NUMBER", "be at the end of another line of history: one that was left by giving the guest something in its past")
def line(interpreter, text):
    history = interpreter.session.history
    if history is None:
        raise CommandError("this session is not recorded")
    number = count_of(text, "the number of a line") if text.strip() != "0" else 0
    if number >= len(history.lines):
        raise CommandError(f"there is no line {number}: lines go from 0 to {len(history.lines) - 1} (history lists them)")
    return journey(interpreter, interpreter.session.take_line, number)
