"""Expressions of call frame information: what compilers write there (DWARF 5, 2.5), a stack of numbers."""

from collections.abc import Callable, Mapping

LONGEST = 64  # operations


class Unknown(Exception):
    """An operation that is not one of these, or memory that is not there."""


def evaluate(block, values: Mapping[int, int], read: Callable[[int], int | None], width: int, first: int | None = None) -> int:
    """The value of a block of bytes: registers by DWARF's numbers, `read` a word of memory, `first` what is on the stack before."""
    mask = (1 << 8 * width) - 1
    code, at = bytes(block), 0
    stack = [first] if first is not None else []

    def signed(value: int) -> int:
        return value - (value >> 8 * width - 1 << 8 * width)

    for _ in range(LONGEST):
        if at >= len(code):
            if not stack:
                raise Unknown
            return stack[-1] & mask
        op, at = code[at], at + 1
        if 0x08 <= op <= 0x0F:  # const1u .. const8s
            size = 1 << (op - 8 >> 1)
            stack.append(int.from_bytes(code[at : at + size], "little", signed=bool(op & 1)) & mask)
            at += size
        elif op in (0x10, 0x11, 0x23):  # constu, consts, plus_uconst
            value, at = leb(code, at, op == 0x11)
            stack.append((pop(stack) + value if op == 0x23 else value) & mask)
        elif 0x30 <= op <= 0x4F:  # lit0 .. lit31
            stack.append(op - 0x30)
        elif 0x70 <= op <= 0x8F:  # breg0 .. breg31
            value, at = leb(code, at, True)
            stack.append(values[op - 0x70] + value & mask)
        elif op == 0x06:  # deref
            found = read(pop(stack))
            if found is None:
                raise Unknown
            stack.append(found)
        elif op == 0x12:  # dup
            stack += [pop(stack)] * 2
        elif op == 0x13:  # drop
            pop(stack)
        elif op == 0x96:  # nop
            pass
        elif op in OPERATIONS:
            b, a = pop(stack), pop(stack)
            stack.append(OPERATIONS[op](a, b) & mask if op not in COMPARISONS else int(COMPARISONS[op](signed(a), signed(b))))
        else:
            raise Unknown
    raise Unknown


def pop(stack: list[int]) -> int:
    if not stack:
        raise Unknown
    return stack.pop()


COMPARISONS = {
    0x29: lambda a, b: a == b,
    0x2A: lambda a, b: a >= b,
    0x2B: lambda a, b: a > b,
    0x2C: lambda a, b: a <= b,
    0x2D: lambda a, b: a < b,
    0x2E: lambda a, b: a != b,
}
OPERATIONS: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda a, b: a & b,
    0x1C: lambda a, b: a - b,
    0x1E: lambda a, b: a * b,
    0x21: lambda a, b: a | b,
    0x22: lambda a, b: a + b,
    0x24: lambda a, b: a << b if b < 64 else 0,
    0x25: lambda a, b: a >> b if b < 64 else 0,
    0x27: lambda a, b: a ^ b,
    **COMPARISONS,
}


def leb(code: bytes, at: int, signed: bool) -> tuple[int, int]:
    """A number of 7 bits a byte, and what follows it."""
    value = shift = 0
    while at < len(code) and shift < 70:
        byte, at = code[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value - (1 << shift) if signed and byte & 0x40 else value, at
    raise Unknown
