"""The command that writes."""

import re

from vmdbg.debugger.commands.examine import words
from vmdbg.debugger.commands.registry import CommandError, command
from vmdbg.debugger.expressions import ExpressionError, parse
from vmdbg.debugger.registers import REGISTERS
from vmdbg.debugger.writing import WriteError

ASSIGNMENT = re.compile(r"(?:var\s+)?(?P<target>.+?)\s*(?<![=!<>])=(?!=)\s*(?P<value>.+)$", re.S)
PLACE = re.compile(r"(?:u(?P<bits>8|16|32|64)\s*\((?P<sized>.+)\)|\[(?P<word>.+)\])$", re.S)
USAGE = "set REGISTER|[ADDRESS]|u8 u16 u32 u64(ADDRESS) = EXPRESSION"


@command(
    "set",
    USAGE,
    "write a register or memory (set eax = 5, set zf = 1, set u32(counter) = 0); in the past another line of history begins",
    complete=words,
)
def set_(interpreter, text):
    found = ASSIGNMENT.match(text.strip())
    if found is None:
        raise CommandError(f"expected {USAGE}, not 'set {text.strip()}'".replace("set '", "set'"))
    target, value = found["target"].strip(), interpreter.value(found["value"])
    name, session = target.lstrip("$").lower(), interpreter.session
    try:
        if name in REGISTERS:
            bits = REGISTERS[name].bits
            session.write_register(name, value - (1 << 64) if value >> 63 and bits < 64 else value)
            return [f"{name} = {REGISTERS[name].read(session.cpu):#x}"]
        address, size = memory_place(session, target)
        if value >> 8 * size and (value | (1 << 8 * size - 1) - 1) != (1 << 64) - 1:
            raise CommandError(f"{value:#x} does not fit into {size} byte{'' if size == 1 else 's'}")
        data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        session.write_memory(address, data)
    except (WriteError, ExpressionError) as e:
        raise CommandError(str(e)) from None
    return [f"u{8 * size}({address:#x}) = {int.from_bytes(data, 'little'):#x}"]


def memory_place(session, text: str) -> tuple[int, int]:
    """Linear address and size of '[...]' (a word of the code's size) or 'u32(...)'."""
    found = PLACE.match(text)
    if found is None:
        raise CommandError(f"'{text}' is no register and no memory: expected {USAGE}")
    size = int(found["bits"]) // 8 if found["bits"] else int(session.cpu.bits) // 8
    return parse(found["sized"] or found["word"]).address(session.context()), size
