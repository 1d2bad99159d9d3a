"""Commands that say where to stop."""

import re

from vmdbg.debugger.commands.registry import CommandError, command
from vmdbg.debugger.expressions import ExpressionError, parse
from vmdbg.debugger.traps import BY_NAME

TAIL = re.compile(
    r"^(?P<place>.*?)(?P<options>(?:\s+(?:once|count\s+\S+))*)(?:\s+if\s+(?P<condition>.+?))?(?P<late>(?:\s+(?:once|count\s+\S+))*)$"
)


def symbols(interpreter, text):
    return interpreter.session.symbols.starting(text)


def trap_words(interpreter, text):
    words = ["trap"] if " " not in text else [f"trap {name}" for name in sorted(BY_NAME)]
    return [w for w in words if w.startswith(text)]


def split(text: str) -> tuple[str, dict]:
    """'PLACE [once] [count N] [if EXPRESSION]' as the place and the breakpoint's facts."""
    found = TAIL.match(" " + text.strip())
    assert found is not None  # it matches anything
    options = (found["options"] + " " + found["late"]).split()
    facts: dict = {}
    while options:
        word = options.pop(0)
        if word == "once":
            facts["once"] = True
        else:
            number = options.pop(0)
            if not number.isdigit() or int(number) < 1:
                raise CommandError(f"expected a number from 1 up after 'count', not '{number}'")
            facts["count"] = int(number)
    place = found["place"].strip()
    if found["condition"] is not None:
        facts["condition"] = expression(found["condition"])
    elif re.search(r"(^|\s)if$", place):
        raise CommandError("expected an expression after 'if': registers, symbols, [memory], vector, error_code, address")
    return place, facts


def expression(text: str):
    try:
        return parse(text)
    except ExpressionError as e:
        raise CommandError(str(e)) from None


def vector(word: str) -> int:
    """14, 0x80, PF, #PF as a vector."""
    name = word.lstrip("#").upper()
    if name in BY_NAME:
        return BY_NAME[name]
    try:
        value = int(word, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 255:
        raise CommandError(f"'{word}' is no vector: expected 0 to 255, 0x80, or a name ({' '.join(BY_NAME)})")
    return value


def vectors(text: str) -> range:
    """A vector or a range of them: 'PF', '0x20-0x2f'."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not first or dash and not last:
        raise CommandError("expected a vector, a name or a range: bp trap 14, bp trap PF, bp trap 0x20-0x2f")
    low = vector(first)
    high = vector(last) if dash else low
    if high < low:
        raise CommandError(f"an empty range of vectors: {text.strip()}")
    return range(low, high + 1)


def _address(interpreter, text: str, **more) -> list[str]:
    place, facts = split(text)
    address = interpreter.address(place) if place else interpreter.session.rip
    if not 0 <= address < 1 << 64:
        raise CommandError(f"{address:#x} is no address")
    name = place if place in interpreter.session.symbols.table else interpreter.session.symbols.near(address) or ""
    return [f"breakpoint {interpreter.session.break_at(address, name=name, **facts, **more).describe()}"]


@command(
    "break,b",
    "b [ADDRESS] [once] [count N] [if EXPRESSION]",
    "stop before the instruction at an address (here, if none is given)",
    complete=symbols,
)
def break_(interpreter, text):
    return _address(interpreter, text)


@command("tbreak,tb", "tb [ADDRESS] [if EXPRESSION]", "the same, once", complete=symbols)
def tbreak(interpreter, text):
    return _address(interpreter, re.sub(r"\s+once\b", "", text), once=True)


@command("toggle", "toggle [ADDRESS]", "delete the breakpoints at an address, or set one", complete=symbols)
def toggle(interpreter, text):
    address = interpreter.address(text) if text.strip() else interpreter.session.rip
    new = interpreter.session.toggle(address)
    return [f"breakpoint {new.describe()}" if new else f"no breakpoint at {address:#x} any more"]


@command(
    "bp",
    "bp trap VECTORS [once] [count N] [if EXPRESSION]",
    "stop before a trap is delivered: bp trap PF if address < 0x1000",
    complete=trap_words,
)
def bp(interpreter, text):
    kind, _, rest = text.strip().partition(" ")
    if kind != "trap":
        raise CommandError(f"expected 'bp trap VECTORS', not 'bp {text.strip()}'".rstrip("' ") + "'; for an address: b ADDRESS")
    place, facts = split(rest)
    return [f"breakpoint {interpreter.session.break_trap(vectors(place), **facts).describe()}"]


def numbers(interpreter, text):
    return [str(b.number) for b in interpreter.session.breakpoints if str(b.number).startswith(text)]


@command("delete,d,del", "delete [NUMBER ...]", "delete breakpoints by number, or all", complete=numbers)
def delete(interpreter, text):
    table = interpreter.session.breakpoints
    wanted = text.split() or [str(b.number) for b in table]
    there = {str(b.number) for b in table}
    for word in wanted:
        if word not in there:
            raise CommandError(
                f"there is no breakpoint '{word}'" + (f": {' '.join(sorted(there, key=int))}" if there else ": there are none")
            )
    for word in wanted:
        table.delete(int(word))
    return [f"deleted {len(wanted)} breakpoint{'' if len(wanted) == 1 else 's'}"]
