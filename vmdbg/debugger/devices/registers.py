"""A register as a value and its bits, and the notation in which the bits of a register are written down.

"DR:0 OE:1 parity:5:3{none odd none even} mode:3:1"   name, highest bit, lowest bit, words for the values from 0 on
"""

import functools
import re
from dataclasses import dataclass

NOTATION = re.compile(r"(?P<name>[^\s:{]+):(?P<high>\d+)(?::(?P<low>\d+))?(?:\{(?P<words>[^}]*)\})?")


@dataclass(frozen=True)
class Bits:
    """One field: a single bit that is set or not, or a number that may have a word."""

    name: str
    value: int
    width: int
    word: str = ""

    @property
    def text(self) -> str:
        """'OE', 'mode=3', 'parity=even'."""
        if self.width == 1 and not self.word:
            return self.name
        return f"{self.name}={self.word or (f'{self.value:02x}' if self.width >= 8 else self.value)}"


@dataclass(frozen=True)
class Register:
    """`note` says what the value means as a whole."""

    name: str
    value: int
    digits: int
    fields: tuple[Bits, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Device:
    """`place`: where the guest finds it."""

    name: str
    place: str
    registers: tuple[Register, ...]


@functools.cache
def parsed(notation: str) -> tuple[tuple[str, int, int, tuple[str, ...]], ...]:
    """(name, highest bit, lowest bit, words) of each field."""
    found = []
    for m in NOTATION.finditer(notation):
        high = int(m["high"])
        found.append((m["name"], high, int(m["low"]) if m["low"] is not None else high, tuple((m["words"] or "").split())))
    return tuple(found)


def register(name: str, value, width: int, notation: str = "", note: str = "") -> Register:
    """A register of `width` bytes."""
    value = int(value)
    fields = []
    for field, high, low, words in parsed(notation):
        part = value >> low & (1 << high - low + 1) - 1
        fields.append(Bits(field, part, high - low + 1, words[part] if part < len(words) else ""))
    return Register(name, value, 2 * width, tuple(fields), note)


def numbers(bits: int) -> str:
    """The numbers of the bits that are set: '0, 4, 12'; 'none'."""
    return ", ".join(str(n) for n in range(bits.bit_length()) if bits >> n & 1) or "none"


def vectors(bits: int) -> str:
    """The same in hexadecimal, as vectors are written."""
    return " ".join(f"{n:02x}" for n in range(bits.bit_length()) if bits >> n & 1) or "none"
