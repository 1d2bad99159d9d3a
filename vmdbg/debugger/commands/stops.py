"""Commands that say where to stop."""

import re

from vmdbg.debugger.breakpoints import Breakpoint
from vmdbg.debugger.commands.places import places
from vmdbg.debugger.commands.registry import CommandError, Lines, command
from vmdbg.debugger.commands.stop_kinds import KINDS, SUMMARY, kind_words, memory
from vmdbg.debugger.expressions import ExpressionError, parse
from vmdbg.debugger.scope import Scope
from vmdbg.debugger.source import place_of
from vmdbg.debugger.triggers import Address, Places, Trigger

END = r"(?!(?:once|trace|count|in|on|if)\b)"  # no word that goes on with something else
OPTION = rf"once|trace|count\s+\S+|in\s+ring\s+\S+|in\s+cr3(?:\s+{END}\S+)+|on\s+cpu\s+\S+"
TAIL = re.compile(rf"^(?P<place>.*?)(?P<options>(?:\s+(?:{OPTION}))*)(?:\s+if\s+(?P<condition>.+?))?(?P<late>(?:\s+(?:{OPTION}))*)$")
WHERE = "[in ring N] [in cr3 EXPRESSION] [on cpu N]"
HOW = f"{WHERE} [once] [trace] [count N] [if EXPRESSION]"


def symbols(interpreter, text):
    return interpreter.session.symbols.starting(text)


def split(interpreter, text: str) -> tuple[str, dict]:
    """A place, and what can follow it (HOW), as the place and the breakpoint's facts."""
    found = TAIL.match(" " + text.strip())
    assert found is not None  # it matches anything
    facts: dict = {}
    where: dict = {}
    for option in re.findall(OPTION, found["options"] + " " + found["late"]):
        word, *rest = option.split()
        if word in ("once", "trace"):
            facts[word] = True
        elif word == "count":
            if not rest[0].isdecimal() or int(rest[0]) < 1:
                raise CommandError(f"expected a number from 1 up after 'count', not '{rest[0]}'")
            facts["count"] = int(rest[0])
        else:
            where[rest[0]] = limit(interpreter, rest[0], " ".join(rest[1:]))
    place = found["place"].strip()
    if wrong := re.search(r"(?:^|\s)((?:in|on)\s+\S.*)", place):
        raise CommandError(f"expected 'in ring N', 'in cr3 EXPRESSION' or 'on cpu N', not '{wrong[1]}'")
    if where:
        facts["scope"] = Scope(**where)
    if found["condition"] is not None:
        facts["condition"] = expression(found["condition"])
    elif re.search(r"(^|\s)if$", place):
        raise CommandError("expected an expression after 'if': registers, symbols, [memory], vector, error_code, address")
    return place, facts


def limit(interpreter, what: str, text: str) -> int:
    """The ring, the CR3 or the vCPU that a breakpoint is limited to."""
    if what == "cr3":
        return interpreter.value(text)
    most = 3 if what == "ring" else len(interpreter.session.machine.cpus) - 1
    if not text.isdecimal() or int(text) > most:
        raise CommandError(f"expected a {what} from 0 to {most}, not '{text}'")
    return int(text)


def expression(text: str):
    try:
        return parse(text)
    except ExpressionError as e:
        raise CommandError(str(e)) from None


def told(*breakpoints: Breakpoint) -> Lines:
    """Breakpoints that were made or changed; the value of one is that one."""
    return Lines([f"breakpoint {b.describe()}" for b in breakpoints], breakpoints[0] if len(breakpoints) == 1 else breakpoints)


def parsed(interpreter, text: str) -> tuple[Trigger, dict]:
    """What stands after `b` or `bp` as a trigger and the breakpoint's facts: a first word that is one of KINDS makes it the latter."""
    place, facts = split(interpreter, text)
    kind, _, rest = place.partition(" ")
    return KINDS[kind].parse(interpreter, rest.strip()) if kind in KINDS else at(interpreter, place), facts


def at(interpreter, place: str) -> Address | Places:
    """A place in code as a trigger; here, if there is none."""
    session = interpreter.session
    addresses = places(interpreter, place) if place else (session.rip,)
    if any(not 0 <= address < 1 << 64 for address in addresses):
        raise CommandError(f"{addresses[0]:#x} is no address")
    literal = place in session.symbols.table or place.rpartition(":")[2].isdecimal() and place_of(session, addresses[0]) is not None
    name = place if literal else session.symbols.near(addresses[0]) or ""
    return Address(addresses[0], name) if len(addresses) == 1 else Places(addresses, name)


def _address(interpreter, text: str, **more) -> Lines:
    place, facts = split(interpreter, text)
    return told(interpreter.session.break_on(at(interpreter, place), **facts | more))


@command(
    "break,b",
    f"b [ADDRESS|FILE:LINE|SEGMENT:OFFSET] {HOW}",
    "stop before the instruction at an address (here, if none is given), perhaps only in one ring, address space or vCPU",
    complete=symbols,
)
def break_(interpreter, text):
    return _address(interpreter, text)


@command("tbreak,tb", "tb [ADDRESS] [if EXPRESSION]", "the same, once", complete=symbols)
def tbreak(interpreter, text):
    return _address(interpreter, text, once=True)


@command("toggle", "toggle [ADDRESS]", "delete the breakpoints at an address, or set one", complete=symbols)
def toggle(interpreter, text):
    address = interpreter.address(text) if text.strip() else interpreter.session.rip
    new = interpreter.session.toggle(address)
    return told(new) if new else [f"no breakpoint at {address:#x} any more"]


@command("bp", f"bp KIND ... {HOW}", "stop at what is no address: " + SUMMARY, complete=kind_words)
def bp(interpreter, text):
    kind, _, rest = text.strip().partition(" ")
    if kind not in KINDS:
        raise CommandError(f"expected 'bp {' | '.join(KINDS)}', not 'bp {text.strip()}'".rstrip("' ") + "'; for an address: b ADDRESS")
    place, facts = split(interpreter, rest)
    return told(interpreter.session.break_on(KINDS[kind].parse(interpreter, place), **facts))


def _watch(interpreter, text: str, access: str) -> Lines:
    place, facts = split(interpreter, text)
    return told(interpreter.session.break_on(memory(interpreter, place, access), **facts))


@command("watch,w", "watch ADDRESS [LENGTH] [physical] [if EXPRESSION]", "stop after a write to memory", complete=symbols)
def watch(interpreter, text):
    return _watch(interpreter, text, "w")


@command("rwatch", "rwatch ADDRESS [LENGTH] [physical] [if EXPRESSION]", "stop after a read of memory", complete=symbols)
def rwatch(interpreter, text):
    return _watch(interpreter, text, "r")


@command("awatch", "awatch ADDRESS [LENGTH] [physical] [if EXPRESSION]", "stop after a read or a write of memory", complete=symbols)
def awatch(interpreter, text):
    return _watch(interpreter, text, "rw")


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


def named(interpreter, text: str) -> list:
    """The breakpoints of these numbers, or all; CommandError names one that is not there."""
    table = interpreter.session.breakpoints.table
    wanted = text.split() or [str(n) for n in table]
    for word in wanted:
        if not word.isdecimal() or int(word) not in table:
            there = f": {' '.join(map(str, table))}" if table else ": there are none"
            raise CommandError(f"there is no breakpoint '{word}'{there}")
    return [table[int(word)] for word in wanted]


@command("enable", "enable [NUMBER ...]", "let breakpoints stop again, by number, or all", complete=numbers)
def enable(interpreter, text):
    found = named(interpreter, text)
    for b in found:
        interpreter.session.breakpoints.enable(b.number, True)
    return told(*found)


@command("disable", "disable [NUMBER ...]", "keep breakpoints, but do not stop at them", complete=numbers)
def disable(interpreter, text):
    found = named(interpreter, text)
    for b in found:
        interpreter.session.breakpoints.enable(b.number, False)
    return told(*found)


@command("condition", "condition NUMBER [EXPRESSION]", "stop at a breakpoint only if this holds; without one, always", complete=numbers)
def condition(interpreter, text):
    number, _, rest = text.strip().partition(" ")
    if not number:
        raise CommandError("expected the number of a breakpoint, and an expression: condition 1 eax == 3")
    b = named(interpreter, number)[0]
    b.condition = expression(rest) if rest.strip() else None
    return told(b)
