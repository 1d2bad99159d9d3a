"""Values as JSON has them: frozen dataclasses become objects by their fields' names, bytes hexadecimal text, numbers stay numbers."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from vmdbg.debugger.breakpoints import Breakpoint
from vmdbg.debugger.expressions import Expression


def plain(value):
    """`value` out of dicts, lists, texts, numbers and None only."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, Breakpoint):  # a trigger by its kind, and as the user reads it
        return dict(kind=type(value.trigger).__name__, place=value.trigger.place(), **_fields(value, "trigger"))
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if hasattr(value, "_asdict"):  # a NamedTuple
        return plain(value._asdict())
    return [plain(part) for part in value]


def _fields(value, *but: str) -> dict:
    return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.name not in but}
