"""Commands that look at the machine and change nothing."""

import re

from vmdbg.debugger import views
from vmdbg.debugger.commands.registry import CommandError, Lines, command, count_of
from vmdbg.debugger.commands.stops import expression, symbols
from vmdbg.debugger.commands.tables import SUBJECTS
from vmdbg.debugger.expressions import ExpressionError
from vmdbg.debugger.registers import REGISTERS

UNITS = dict(b=1, h=2, w=4, g=8)
FORMATS = dict(x="hexadecimal", d="signed", u="unsigned", t="binary", c="characters", s="string", i="instructions", a="addresses")
LARGEST = 4096  # units of one `x`


def number(value: int, letter: str, size: int) -> str:
    """One value of `size` bytes in the format of a letter."""
    if letter == "d":
        return str(value - (value >> 8 * size - 1 << 8 * size))
    if letter == "u":
        return str(value)
    if letter == "t":
        return f"{value:0{8 * size}b}"
    if letter == "c":
        return repr(chr(value)) if 32 <= value < 127 else f"{value:#04x}"
    return f"0x{value:0{2 * size}x}"


def words(interpreter, text):
    return [n for n in REGISTERS if n.startswith(text)] + symbols(interpreter, text)


@command("print,p", "p[/FORMAT] EXPRESSION", "the value of an expression", complete=words)
def print_(interpreter, text):
    letter, rest = _format(text, "p/x EXPRESSION", "xdutca")[:2]
    value = interpreter.value(rest)
    if letter:
        return Lines([number(value, letter, 8 if letter in "dutx" else 1) if letter != "x" else f"{value:#x}"], value)
    near = interpreter.session.symbols.near(value, 0x1000) if value else None
    return Lines([f"{value:#x}  {value}" + (f"  {value - (1 << 64)}" if value >> 63 else "") + (f"  <{near}>" if near else "")], value)


def _format(text: str, usage: str, letters: str = "xdutcsia") -> tuple[str, str, int, int]:
    """'/16xg rest' as (format letter or '', rest, count, unit size or 0)."""
    if not text.startswith("/"):
        return "", text.strip(), 1, 0
    found = re.match(r"/(\d*)([a-z]*)(?:\s+(.*))?$", text.strip(), re.S)
    letter, unit = "", 0
    for c in found[2] if found else "?":
        if c in letters:
            letter = c
        elif c in UNITS:
            unit = UNITS[c]
        else:
            raise CommandError(f"expected {usage}: count, one of {' '.join(letters)} and one of b h w g, not '{text.split()[0]}'")
    assert found is not None
    count = int(found[1] or 1)
    if not 1 <= count <= LARGEST:
        raise CommandError(f"expected a count from 1 to {LARGEST}, not {found[1]}")
    return letter, (found[3] or "").strip(), count, unit


@command(
    "x",
    "x[/COUNT FORMAT UNIT] ADDRESS",
    "memory: x/16xg rsp, x/8i rip, x/s 0xb8000; an address in a register goes through its segment",
    complete=words,
    repeats=True,
)
def examine(interpreter, text):
    letter, rest, count, unit = _format(text, "x/16xg ADDRESS")
    session = interpreter.session
    if not rest and interpreter.next_address is None:
        raise CommandError("expected an address: x/16xg rsp, x/8i rip, x/s 0xb8000")
    at = interpreter.address(rest) if rest else interpreter.next_address
    letter = letter or "x"
    if letter == "i":
        lines = session.listing.from_address(at, count)
        if not lines:
            raise CommandError(f"no memory at {at:#x}")
        interpreter.next_address = lines[-1].address + len(lines[-1].code)
        return listed(session, lines)
    if letter == "s":
        return _strings(interpreter, at, count)
    size = unit or (1 if letter == "c" else int(session.cpu.bits) // 8 if letter == "a" else 4)
    lines, all_values, step = [], [], max(1, 16 // size)
    for first in range(0, count, step):
        row = at + first * size
        values = []
        for n in range(min(step, count - first)):
            data = session.read(row + n * size, size)
            if data is None:
                break
            values.append(int.from_bytes(data, "little"))
        all_values += values
        if values:
            lines.append(f"{views.named(session, row)}: {'  '.join(number(v, letter, size) for v in values)}")
        if len(values) < min(step, count - first):
            lines.append(f"no memory at {row + len(values) * size:#x}")
            break
    interpreter.next_address = at + count * size
    return Lines(lines, dict(address=at, size=size, values=all_values))


def listed(session, lines) -> Lines:
    """Instructions as `x/i` shows them."""
    return Lines([views.instruction(line, session.rip) for line in lines], lines)


def _strings(interpreter, at: int, count: int) -> Lines:
    lines, values = [], []
    for _ in range(count):
        found = bytearray()
        while len(found) < 200:
            byte = interpreter.session.read(at + len(found), 1)
            if byte is None or byte == b"\0":
                break
            found += byte
        values.append(found.decode("latin-1"))
        lines.append(f'{views.named(interpreter.session, at)}: "{values[-1].encode("unicode_escape").decode()}"')
        at += len(found) + 1
    interpreter.next_address = at
    return Lines(lines, values)


@command(
    "disassemble,disas,dis", "disassemble [ADDRESS] [COUNT]", "instructions from an address on (here, if none is given)", complete=words
)
def disassemble(interpreter, text):
    place, _, count = text.strip().rpartition(" ") if re.search(r"\s\d+$", text.strip()) else (text.strip(), "", "16")
    session = interpreter.session
    at = interpreter.address(place) if place else session.rip
    lines = session.listing.from_address(at, min(count_of(count, "a count of instructions"), LARGEST))
    if not lines:
        raise CommandError(f"no memory at {at:#x}")
    return listed(session, lines)


@command("goto,g", "goto [ADDRESS]", "show another place in the disassembly; without an address, the place of execution", complete=words)
def goto(interpreter, text):
    interpreter.session.listing.focus = interpreter.address(text) if text.strip() else None
    return []


def subjects(interpreter, text):
    return [s for s in SUBJECTS if s.startswith(text)]


@command("info,i", "info " + "|".join(f"{s} ADDRESS" if s == "page" else s for s in SUBJECTS), "tables of the machine", complete=subjects)
def info(interpreter, text):
    subject, _, rest = text.strip().partition(" ")
    found = [s for s in SUBJECTS if s.startswith(subject)] if subject else []
    if subject not in SUBJECTS and len(found) != 1:
        raise CommandError(f"expected one of {', '.join(SUBJECTS)}, not '{subject}'")
    try:
        return SUBJECTS[subject if subject in SUBJECTS else found[0]](interpreter, rest.strip())
    except ExpressionError as e:
        raise CommandError(str(e)) from None


@command("display", "display [EXPRESSION]", "show an expression after every stop; without one, show all now", complete=words)
def display(interpreter, text):
    if text.strip():
        interpreter.last_display += 1
        interpreter.displays[interpreter.last_display] = expression(text.strip())
    return interpreter.displayed()


@command("undisplay", "undisplay [NUMBER]", "stop showing one expression, or all")
def undisplay(interpreter, text):
    if not text.strip():
        interpreter.displays.clear()
        return []
    if not text.strip().isdecimal() or int(text) not in interpreter.displays:
        raise CommandError(f"there is no display '{text.strip()}': {' '.join(map(str, interpreter.displays)) or 'there are none'}")
    del interpreter.displays[int(text)]
    return []
