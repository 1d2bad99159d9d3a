"""Commands about source and the stack of calls."""

from vmdbg.debugger import finish as returning
from vmdbg.debugger import source, views
from vmdbg.debugger.commands.motion import may_run
from vmdbg.debugger.commands.places import lines_addresses, places
from vmdbg.debugger.commands.registry import CommandError, Lines, command, count_of
from vmdbg.debugger.dwarf.debug import Place
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
    found = [facts_of(session, frame) for frame in frames(session, most)]
    lines = [frame_line(n, facts, 16 if int(session.cpu.bits) == 64 else 8) for n, facts in enumerate(found)]
    return Lines(lines if len(lines) < most else [*lines, f"(at most {most} frames)"], found)


def facts_of(session, frame: Frame) -> dict:
    """What there is to say about a frame; `offset` from the beginning of its function."""
    start, _, offset = (session.symbols.near(frame.at) or "").partition("+")
    place = source.place_of(session, frame.at)
    return dict(
        address=frame.address,
        function=start or None,
        offset=int(offset or "0", 16) + frame.address - frame.at if start else None,
        path=place.path if place is not None else None,
        line=place.line if place is not None else None,
        stack=frame.stack,
        how=frame.how,
    )


def frame_line(n: int, facts: dict, digits: int) -> str:
    name = (facts["function"] or "?") + (f"+{facts['offset']:#x}" if facts["offset"] else "")
    place = f"  {Place(facts['path'], facts['line']).words}" if facts["path"] is not None else ""
    how = f"  ({facts['how']})" if facts["how"].startswith(("interrupt", "search")) else ""
    return f"#{n:<2} {facts['address']:0{digits}x} {name}{place}{how}"


@command("finish,fin,pt,gu", "finish", "run until the current function returns, or its interrupt or trap", repeats=True)
def finish(interpreter, text):
    if text.strip():
        raise CommandError(f"'finish' takes nothing, not '{text.strip()}'")
    may_run(interpreter.session)
    return interpreter.moved(returning.finish(interpreter.session))
