"""Commands about source and the stack of calls."""

from vmdbg.debugger import finish as returning
from vmdbg.debugger import source, views
from vmdbg.debugger.commands.motion import may_run
from vmdbg.debugger.commands.places import lines_addresses, places
from vmdbg.debugger.commands.registry import CommandError, Lines, command, count_of
from vmdbg.debugger.dwarf import Place
from vmdbg.debugger.unwinding import MOST, Frame, frames

SHOWN, BEFORE = 11, 5  # lines of one answer; those before the place


def list_source(interpreter, text: str) -> list[str]:
    """gdb's `list`: lines around a place, or those after the last that were shown."""
    session = interpreter.session
    first = None
    if not text.strip() and interpreter.listed is not None and interpreter.listed[0] == session.position:
        place, first = interpreter.listed[1], interpreter.listed[1].line
    else:
        place = line_of(interpreter, text)
    found = session.sources.text(place.path)
    if found.problem:
        return [f"{place.words} (line {place.line}): {found.problem}"]
    start = first or max(1, place.line - BEFORE)
    if start > len(found.lines):
        raise CommandError(f"{place.path} has {len(found.lines)} lines")
    here = source.place_of(session, session.rip)
    end = min(len(found.lines), start + SHOWN - 1)
    interpreter.listed = (session.position, Place(place.path, end + 1))
    return [
        place.path,
        *(f"{'=>' if here == (place.path, n) else '  '} {n:>5}  {found.lines[n - 1]}".rstrip() for n in range(start, end + 1)),
    ]


def line_of(interpreter, text: str) -> Place:
    """The line that a text means; the place of execution for nothing."""
    session = interpreter.session
    name, colon, number = text.strip().rpartition(":")
    at = places(interpreter, text)[0] if text.strip() else session.rip
    place = source.place_of(session, at)
    if place is None:
        if session.symbols.debug is None or not session.symbols.debug.has_lines:
            raise CommandError("the guest has no debugging information: its file (or --symbols FILE) has no DWARF")
        raise CommandError(f"nothing is known of the source at {at:#x} {session.symbols.near(at) or ''}".rstrip())
    return Place(place.path, int(number)) if colon and number.isdecimal() and place.path.endswith(name) else place


def show_line(interpreter, text: str) -> list[str]:
    """`info line PLACE`: line and addresses."""
    session = interpreter.session
    place = line_of(interpreter, text)
    addresses = lines_addresses(session, place.path, place.line)
    lines = [f"{place.path}:{place.line} is at {', '.join(views.named(session, a) for a in addresses)}"]
    return Lines(lines, dict(path=place.path, line=place.line, addresses=list(addresses)))


def show_source(interpreter, text: str) -> list[str]:
    """`info source`: the file at the place of execution, and where it was looked for."""
    place = line_of(interpreter, "")
    sources = interpreter.session.sources
    found = sources.text(place.path)
    looked = [f"  {path}{'' if path.is_file() else '  (no file)'}" for path in sources.candidates(place.path)]
    return [f"{place.path}:{place.line}", *([found.problem] if found.problem else [f"{len(found.lines)} lines"]), *looked]


@command(
    "backtrace,bt,where,k,kb",
    "bt [COUNT]",
    "who called: by the call frame information of the guest's file, else by frame pointers, else by a search of the stack",
)
def backtrace(interpreter, text):
    session = interpreter.session
    most = min(count_of(text, "a count of frames"), MOST) if text.strip() else MOST
    found = list(frames(session, most))
    lines = [frame_line(session, n, frame) for n, frame in enumerate(found)]
    return Lines(lines if len(lines) < most else [*lines, f"(at most {most} frames)"], found)


def frame_line(session, n: int, frame: Frame) -> str:
    at = frame.at
    start, _, offset = (session.symbols.near(at) or "?").partition("+")
    offset = int(offset or "0", 16) + frame.address - at
    name = f"{start}+{offset:#x}" if offset and start != "?" else start
    place = source.place_of(session, at)
    how = f"  ({frame.how})" if frame.how.startswith(("interrupt", "search")) else ""
    width = 16 if int(session.cpu.bits) == 64 else 8
    return f"#{n:<2} {frame.address:0{width}x} {name}{f'  {place.words}' if place is not None else ''}{how}"


@command("finish,fin,pt,gu", "finish", "run until the current function returns, or its interrupt or trap", repeats=True)
def finish(interpreter, text):
    if text.strip():
        raise CommandError(f"'finish' takes nothing, not '{text.strip()}'")
    may_run(interpreter.session)
    return interpreter.moved(returning.finish(interpreter.session))
