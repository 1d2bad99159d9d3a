"""What can stand after `bp`: each kind of trigger, and how it is written."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Never

from vmdbg.debugger import triggers
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.expressions import ExpressionError, parse
from vmdbg.debugger.memory_triggers import Execute, Memory
from vmdbg.debugger.traps import BY_NAME
from vmdbg.debugger.vm_exits import Exits, names, reason_named
from vmdbg.machine.machine import PAGE

LENGTH = re.compile(r"\d+|0[xX][0-9a-fA-F]+")
OPERATORS = "+-*/%&|^<>=(!~:"
MOST = 16 * PAGE  # bytes that one watch may cover


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


def trap(interpreter, text: str) -> triggers.Trap:
    words = text.split()
    origin = words.pop() if words and words[-1] in triggers.ORIGINS else ""
    return triggers.Trap(vectors(" ".join(words)), origin)


def ring(interpreter, text: str) -> triggers.Ring:
    before, arrow, after = (part.strip() for part in text.partition("->"))
    if text.strip() and not arrow or any(part not in ("", "0", "1", "2", "3") for part in (before, after)):
        raise CommandError(f"expected rings 0 to 3: bp ring 3->0, bp ring ->0, bp ring; not '{text}'")
    return triggers.Ring(int(before) if before else None, int(after) if after else None)


def mode(interpreter, text: str) -> triggers.Mode:
    name, _, off = text.strip().partition(" ")
    if name not in triggers.MODES or off.strip() not in ("", "off", "on"):
        raise CommandError(f"expected a mode ({' '.join(triggers.MODES)}), perhaps with 'off', not '{text}'")
    return triggers.Mode(name, off.strip() != "off")


def span(interpreter, text: str, most: int, what: str) -> range:
    """'0x3f8' or '0x3f8-0x3ff'."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    try:
        low = number(interpreter, first)
        high = number(interpreter, last) if dash else low
    except ExpressionError as e:
        raise CommandError(f"expected {what}: {e}") from None
    if not low <= high <= most:
        raise CommandError(f"expected {what} up to {most:#x}, not '{text}'")
    return range(low, high + 1)


def number(interpreter, text: str) -> int:
    return parse(text).value(interpreter.session.context())


def directed(text: str) -> tuple[str, str]:
    """The place and r, w or rw, which stands last."""
    words = text.split()
    access = words.pop() if words and words[-1] in triggers.ACCESS else "rw"
    return " ".join(words), access


def port(interpreter, text: str) -> triggers.Port:
    place, access = directed(text)
    return triggers.Port(span(interpreter, place, 0xFFFF, "a port or a range of ports"), access)


def msr(interpreter, text: str) -> triggers.Msr:
    place, access = directed(text)
    return triggers.Msr(span(interpreter, place, 0xFFFFFFFF, "an MSR or a range of MSRs"), access)


def control(interpreter, text: str) -> triggers.ControlRegister:
    place, access = directed(text)
    if place.removeprefix("cr") not in ("0", "2", "3", "4", "8"):
        raise CommandError(f"expected a control register (0 2 3 4 8), not '{place}'")
    return triggers.ControlRegister(int(place.removeprefix("cr")), access)


def instructions(interpreter, text: str) -> triggers.Instructions:
    name = text.strip()
    if not triggers.forms_named(name):
        raise CommandError(f"expected 'sensitive', 'privileged' or a mnemonic, not '{name}'")
    return triggers.Instructions(name)


def physical(interpreter, text: str) -> triggers.PhysicalAddress:
    try:
        return triggers.PhysicalAddress(number(interpreter, text))
    except ExpressionError as e:
        raise CommandError(str(e)) from None


def memory(interpreter, text: str, access: str) -> Memory:
    first, last, physical = area(interpreter, text, 1, int(interpreter.session.cpu.bits) // 8)
    return Memory(first, last, access, physical)


def execute(interpreter, text: str) -> Execute:
    return Execute(*area(interpreter, text, 1, 1))


def leaving(interpreter, text: str) -> Exits:
    if not text.strip():
        return Exits()
    reason = reason_named(text)
    if reason is None:
        raise CommandError(
            f"expected the number or the name of a VM exit that instructions cause ({', '.join(names())}), not '{text.strip()}'"
        )
    return Exits(reason)


def triple(interpreter, text: str) -> Never:
    raise CommandError("a triple fault stops always, before the reset: there is nothing to set")


def length_at_end(words: list[str]) -> int | None:
    """A number of bytes that stands last, after a whole expression; it is taken away."""
    if len(words) < 2 or not LENGTH.fullmatch(words[-1]) or words[-2][-1] in OPERATORS:
        return None
    word = words.pop()
    return int(word, 16 if word[:2].lower() == "0x" else 10)


def area(interpreter, text: str, by_physical_length: int, by_linear_length: int) -> tuple[int, int, bool]:
    """(first, last, whether physical) of 'ADDRESS [LENGTH] [physical]'."""
    words = text.split()
    if not words:
        raise CommandError("expected an address, perhaps a length in bytes, perhaps 'physical'")
    by_physical = words[-1] == "physical"
    if by_physical:
        words.pop()
    given = length_at_end(words)
    length = (by_physical_length if by_physical else by_linear_length) if given is None else given
    place = " ".join(words)
    try:
        first = number(interpreter, place) if by_physical else interpreter.address(place)
    except ExpressionError as e:
        raise CommandError(str(e)) from None
    if not 1 <= length <= MOST or first + length > 1 << 64:
        raise CommandError(f"expected a length from 1 to {MOST} bytes, not {length}")
    if by_physical and interpreter.session.machine.read_physical(first, length) is None:
        raise CommandError(f"there is neither RAM nor ROM at physical {first:#x}")
    return first, first + length - 1, by_physical


@dataclass(frozen=True)
class Kind:
    usage: str
    parse: Callable  # (interpreter, text) -> Trigger
    words: tuple[str, ...] = ()


KINDS = {
    "trap": Kind("VECTOR|NAME|FIRST-LAST [hardware|software|exception]", trap, tuple(sorted(BY_NAME))),
    "ring": Kind("[FROM]->[TO]", ring, ("3->0", "0->3")),
    "mode": Kind("MODE [off]", mode, tuple(triggers.MODES)),
    "io": Kind("PORT|FIRST-LAST [r|w]", port),
    "msr": Kind("MSR|FIRST-LAST [r|w]", msr),
    "cr": Kind("N [r|w]", control, ("0", "3", "4")),
    "insn": Kind("sensitive|privileged|MNEMONIC", instructions, ("sensitive", "privileged")),
    "hlt": Kind("", lambda interpreter, text: triggers.Instructions("HLT")),
    "physical": Kind("ADDRESS", physical),
    "read": Kind("ADDRESS [LENGTH] [physical]", lambda i, text: memory(i, text, "r")),
    "write": Kind("ADDRESS [LENGTH] [physical]", lambda i, text: memory(i, text, "w")),
    "access": Kind("ADDRESS [LENGTH] [physical]", lambda i, text: memory(i, text, "rw")),
    "execute": Kind("ADDRESS [LENGTH] [physical]", execute),
    "exit": Kind("[REASON]", leaving, tuple(names())),
    "triple": Kind("(always on)", triple),
}
SUMMARY = "; ".join(f"{name} {kind.usage}".strip() for name, kind in KINDS.items())


def kind_words(interpreter, text: str) -> list[str]:
    """Completions of what follows `bp`."""
    name, space, _ = text.partition(" ")
    words = [f"{name} {w}" for w in KINDS[name].words] if space and name in KINDS else list(KINDS)
    return [w for w in words if w.startswith(text)]
