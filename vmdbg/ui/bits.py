"""A register by its bits, as rows that fit a width."""

from vmdbg.debugger.devices.registers import Register
from vmdbg.ui.pane import Part, Row


def bit_rows(r: Register, width: int, head: list[Part] | None = None, indent: int = 2) -> list[Row]:
    """Its name, value and bits; clear ones have a minus and are dim; the note has a line of its own where there is no room."""
    row: list[Part] = head if head is not None else [(f"{r.name} ", "strong"), (f"{r.value:0{r.digits}x} ", "")]
    used = sum(len(text) for text, _ in row)
    parts: list[Part] = [(f"{'' if f.value or f.width > 1 or f.word else '-'}{f.text} ", "name" if f.value else "quiet") for f in r.fields]
    if r.note:
        parts.append((r.note, "warning" if r.note.startswith("✗") else "quiet"))
    rows: list[Row] = []
    for text, kind in parts:
        if used + len(text.rstrip()) > width and used > indent:
            rows.append(row)
            row, used = [(" " * indent, "")], indent
        row = [*row, (text, kind)]
        used += len(text)
    return [*rows, row]


def wrapped(text: str, kind: str, width: int, first: list[Part], indent: int) -> list[Row]:
    """Words after `first`, going on under `indent`."""
    rows: list[Row] = []
    row, used = list(first), sum(len(t) for t, _ in first)
    for word in text.split():
        if used + len(word) > width and used > indent:
            rows.append(row)
            row, used = [(" " * indent, "")], indent
        row.append((f"{word} ", kind))
        used += len(word) + 1
    return [*rows, row]
