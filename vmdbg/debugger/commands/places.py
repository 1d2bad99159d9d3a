"""Places in code and memory as users write them: an expression, *address, file:line, segment:offset."""

import re

from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.expressions import ExpressionError, parse
from vmdbg.debugger.registers import SEGMENTS, mode
from vmdbg.debugger.source import linear_addresses

LINE = re.compile(r"(?P<file>[^\s:]*[^\s:\d][^\s:]*):(?P<line>\d{1,9})$")
SHOWN = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$")  # as real mode's addresses are shown: hexadecimal without a prefix
FAR = re.compile(r"(?P<segment>[^:\[\]()]+):(?P<offset>.+)$")


def places(interpreter, text: str) -> tuple[int, ...]:
    """The linear addresses that a text means: one, but for a line of source several; CommandError says what was expected."""
    text = text.strip().removeprefix("*").strip()
    session = interpreter.session
    line = LINE.match(text)
    if line is not None and is_file(session, line["file"]):
        return lines_addresses(session, line["file"], int(line["line"]))
    found = FAR.match(text)
    if found is not None and found["segment"].strip().lower() not in SEGMENTS[:6]:
        if SHOWN.match(text):
            return (far(session, int(text[:4], 16), int(text[5:], 16)),)
        return (far(session, value(session, found["segment"]), value(session, found["offset"])),)
    try:
        return (parse(text).address(session.context()),)
    except ExpressionError as e:
        raise CommandError(str(e)) from None


def value(session, text: str) -> int:
    try:
        return parse(text).value(session.context())
    except ExpressionError as e:
        raise CommandError(str(e)) from None


def is_file(session, name: str) -> bool:
    """Whether this is the name of a file of source: it looks like one, or is one."""
    debug = session.symbols.debug
    return "." in name or "/" in name or debug is not None and debug.knows(name)


def lines_addresses(session, name: str, line: int) -> tuple[int, ...]:
    debug = session.symbols.debug
    if debug is None or not debug.has_lines:
        raise CommandError("the guest has no debugging information: its file (or --symbols FILE) has no DWARF")
    found = linear_addresses(session, name, line)
    if not found:
        raise CommandError(
            f"no code at {name}:{line} or after it" if debug.knows(name) else f"no file '{name}' in the debugging information"
        )
    return found


def far(session, segment: int, offset: int) -> int:
    """segment:offset as the CPU would take it now: 16 times the segment in real mode, else through the descriptor of a selector."""
    cpu = session.cpu
    if mode(cpu) in ("real", "virtual-8086"):
        if segment > 0xFFFF or offset > 0xFFFF:
            raise CommandError(f"expected a segment and an offset of 16 bits, not {segment:#x}:{offset:#x}")
        return (segment << 4) + offset
    if int(cpu.bits) == 64:
        return offset
    for n in range(6):
        if int(cpu.seg_selector[n]) == segment:
            return int(cpu.seg_base[n]) + offset & 0xFFFFFFFF
    table, limit = int(cpu.gdtr_base), int(cpu.gdtr_limit)
    if segment & 4:
        n = SEGMENTS.index("ldtr")
        table, limit = int(cpu.seg_base[n]), int(cpu.seg_limit[n])
    entry = session.read(table + (segment & 0xFFF8), 8) if segment <= 0xFFFF and segment & 0xFFF8 and segment | 7 <= limit else None
    if entry is None or not entry[5] & 0x10:
        raise CommandError(f"{segment:#x} is no selector of a segment")
    return int.from_bytes(entry[2:5] + entry[7:8], "little") + offset & 0xFFFFFFFF
