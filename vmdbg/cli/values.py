"""What options are made of: sizes, numbers, addresses; and how a command says that it cannot do what was asked."""

import re
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

SIZE = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)\s*([kKmMgG]?)(?:i?[bB])?$")
UNITS = {"": 0, "k": 10, "m": 20, "g": 30}
USAGE_ERROR, USER_BREAK, CANNOT_GO_ON = 2, 76, 78  # exit status; those of a guest's end are in debugger/headless.py


class UsageError(Exception):
    """A sentence for the user; exit status 2."""


class CannotGoOn(Exception):
    """A sentence for the user; exit status 78."""


def size(type_, tokens) -> int:
    """'64M', '0x1000', '512k' in bytes."""
    text = tokens[0].value
    found = SIZE.match(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is no size: expected bytes, or a number with K, M or G")
    return int(found[1], 0 if found[1][:2].lower() == "0x" else 10) << UNITS[found[2].lower()]


def number(type_, tokens) -> int:
    """'0x7c00', '1000', '1_000_000'."""
    text = tokens[0].value
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"'{text}' is no number: expected decimal, or hexadecimal with 0x") from None


Size = Annotated[int, Parameter(converter=size)]
Number = Annotated[int | None, Parameter(converter=number)]
Bits = Literal[16, 32, 64]


def output_file(option: str, name: str) -> Path:
    """A file that can be written; it is empty then."""
    try:
        Path(name).write_bytes(b"")
    except (OSError, ValueError) as e:
        raise UsageError(f"{option} {name[:80]!r}: {getattr(e, 'strerror', None) or e}") from None
    return Path(name)


def check_address(option: str, value: int | None, end: int) -> None:
    if value is not None and not 0 <= value < end:
        raise UsageError(f"{option} {value:#x}: expected an address from 0 to {end - 1:#x}")
