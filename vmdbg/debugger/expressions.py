"""Expressions over a stopped machine: registers, memory, symbols, the stop's own facts, numbers.

    rax + 4*rcx      [rsp+8]       u16(es:di)     zf == 0 && cr2 < 0x1000     vector == 14     start + 0x10

`[address]` is as wide as the code's words (8 bytes in long mode, 4, or 2); u8 u16 u32 u64 say it.  An address that names
a register goes through the segment that the CPU would take (SS for rsp and rbp, CS for rip, else DS), `fs:` says
another; one without any register is linear.  Comparisons give 1 or 0.  Values are unsigned 64-bit words.
At a stop before a page fault, `cr2` is what the delivery is about to put there.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from vmdbg.debugger.registers import REGISTERS, SEGMENTS, reader
from vmdbg.debugger.symbols import Symbols
from vmdbg.machine.state import Cpu

MASK = (1 << 64) - 1
GRAMMAR = r"""
?start: or
?or: and | and (("||" | "or") and)+ -> any
?and: inclusive | inclusive (("&&" | "and") inclusive)+ -> all
?inclusive: exclusive | exclusive ("|" exclusive)+ -> bit_or
?exclusive: joint | joint ("^" joint)+ -> bit_xor
?joint: equal | equal ("&" equal)+ -> bit_and
?equal: order | order (EQUALITY order)+ -> chain
?order: shift | shift (ORDER shift)+ -> chain
?shift: sum | sum (SHIFT sum)+ -> chain
?sum: product | product (SUM product)+ -> chain
?product: unary | unary (PRODUCT unary)+ -> chain
?unary: atom | "-" unary -> negative | "~" unary -> invert | ("!" | "not") unary -> negate
?atom: NUMBER -> number | "$"? NAME -> name | "(" or ")" | memory
?memory: "[" place "]" -> word | WIDTH "(" place ")" -> sized
?place: or | SEGMENT ":" or -> segmented
EQUALITY: "==" | "!="
ORDER: "<=" | ">=" | "<" | ">"
SHIFT.2: "<<" | ">>"
SUM: "+" | "-"
PRODUCT: "*" | "/" | "%"
WIDTH.2: /u(8|16|32|64)(?=\s*\()/
SEGMENT.2: /[c-gs]s(?=\s*:)/
NUMBER: /0[xX][0-9a-fA-F_]*[0-9a-fA-F]|0[bB][01_]*[01]|0[oO][0-7_]*[0-7]|[0-9][0-9_]*/
NAME: /[A-Za-z_.@?][A-Za-z0-9_.@?]*/
%ignore /\s+/
"""
OPERATORS = {
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << b if b < 64 else 0,
    ">>": lambda a, b: a >> b if b < 64 else 0,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
STACK = {"rsp", "esp", "sp", "rbp", "ebp", "bp"}
POINTERS = {"rip", "eip", "ip"}
PAGE_FAULT = 14
FACTS = {
    "vector": "of the trap",
    "error_code": "of the trap",
    "address": "that faulted, or was accessed",
    "position": "the count of steps",
    "cpu": "the number of the vCPU",
    "exit_reason": "of the instruction that is next, as a VM exit",
} | dict.fromkeys(("port", "width", "value", "msr", "cr", "size", "write"), "of the access")


class ExpressionError(Exception):
    """Malformed, or not to be evaluated now; the message says what was expected."""


class Context(NamedTuple):
    """Where an expression is evaluated: `read(linear, n)` gives n bytes or None."""

    cpu: Cpu
    read: Callable[[int, int], bytes | None]
    symbols: Symbols
    facts: Mapping[str, int | None] = MappingProxyType({})


Code = Callable[[Context], int]


@functools.cache
def _parser():
    import lark

    return lark.Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


@dataclass(frozen=True)
class Expression:
    """A parsed expression; `text` as it was written.  It is made into functions when it is first evaluated."""

    text: str
    tree: object

    @functools.cached_property
    def _value(self) -> Code:
        return _value(self.tree)

    @functools.cached_property
    def _address(self) -> Code:
        return _linear(self.tree)

    def value(self, context: Context) -> int:
        """Its value, an unsigned 64-bit word; ExpressionError if a name or memory is missing."""
        try:
            return self._value(context)
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None

    def shown(self, context: Context) -> str:
        """Its value, and in the place of comparisons what they compare: '0x3 == 0x0 && 0x1'."""
        return _shown(self.tree, context)

    def address(self, context: Context) -> int:
        """Its value as a linear address, through the segment that the CPU would take."""
        try:
            return self._address(context)
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Expression:
    """Parse one expression, which may be `segment:offset`; ExpressionError says what was expected and where."""
    import lark

    wrapped = text.strip()
    if not wrapped:
        raise ExpressionError("expected an expression: registers, numbers, symbols, [memory], + - * / % << >> & | ^ == < && ||")
    try:
        prefix, colon, rest = wrapped.partition(":")
        if colon and prefix.strip().lower() in SEGMENTS[:6]:
            inner = _parser().parse(rest)
            return Expression(text, lark.Tree("segmented", [lark.Token("SEGMENT", prefix.strip().lower()), inner]))
        return Expression(text, _parser().parse(wrapped))
    except lark.exceptions.UnexpectedEOF:
        raise ExpressionError(f"'{text}' stops too early: expected a register, a number, a symbol or [memory]") from None
    except lark.exceptions.UnexpectedInput as e:
        at = getattr(e, "pos_in_stream", None)
        early = at is None or str(getattr(e, "token", "")) == "" and getattr(e, "char", None) is None
        what = "stops too early" if early else f"at '{wrapped[at:][:12]}'"
        raise ExpressionError(f"'{text}' {what}: expected a register, a number, a symbol, [memory] or an operator") from None
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply") from None


def _shown(tree, context: Context) -> str:
    if tree.data in ("any", "all"):
        return (" || " if tree.data == "any" else " && ").join(_shown(part, context) for part in tree.children)
    if tree.data == "chain" and str(tree.children[1]) in COMPARISONS:
        words = [str(part) if n % 2 else f"{_value(part)(context):#x}" for n, part in enumerate(tree.children)]
        return " ".join(words)
    return f"{_value(tree)(context):#x}"


# ---- A tree as functions of the context


def _value(tree) -> Code:
    kind, parts = tree.data, tree.children
    if kind == "number":
        digits = parts[0].replace("_", "")
        number = int(digits, 10 if digits.isdigit() else 0) & MASK
        return lambda c: number
    if kind == "name":
        return _name(str(parts[0]))
    if kind == "segmented":
        return _linear(tree)
    if kind == "word":
        return _word(_linear(parts[0]))
    if kind == "sized":
        return _load(_linear(parts[1]), int(parts[0][1:]) // 8)
    if kind == "chain":
        return _chain(parts)
    codes = [_value(p) for p in parts]
    first = codes[0]
    if kind == "negative":
        return lambda c: -first(c) & MASK
    if kind == "invert":
        return lambda c: ~first(c) & MASK
    if kind == "negate":
        return lambda c: int(not first(c))
    return functools.reduce(JOINS[kind], codes)


JOINS: dict[str, Callable[[Code, Code], Code]] = {
    "any": lambda a, b: lambda c: int(bool(a(c) or b(c))),
    "all": lambda a, b: lambda c: int(bool(a(c) and b(c))),
    "bit_or": lambda a, b: lambda c: a(c) | b(c),
    "bit_xor": lambda a, b: lambda c: a(c) ^ b(c),
    "bit_and": lambda a, b: lambda c: a(c) & b(c),
}


def _chain(parts) -> Code:
    """`a + b - c`, from the left."""
    code = _value(parts[0])
    for operator, part in zip(parts[1::2], parts[2::2]):
        code = _applied(str(operator), code, _value(part))
    return code


def _applied(operator: str, a: Code, b: Code) -> Code:
    do = OPERATORS[operator]
    if operator not in "/%":
        return lambda c: do(a(c), b(c)) & MASK

    def divided(c: Context) -> int:
        left, right = a(c), b(c)
        if right == 0:
            raise ExpressionError("division by zero")
        return do(left, right) & MASK

    return divided


def _name(name: str) -> Code:
    register = REGISTERS.get(name.lower())
    if register is None:
        return functools.partial(_fact, name)
    read = register.read
    if name.lower() == "cr2":
        return lambda c: _coming_cr2(c) if c.facts.get("vector") == PAGE_FAULT else read(c.cpu)
    return lambda c: read(c.cpu)


def _coming_cr2(c: Context) -> int:
    """Before a #PF is delivered: what its delivery puts there."""
    address = c.facts.get("address")
    return REGISTERS["cr2"].read(c.cpu) if address is None else address


def _fact(name: str, c: Context) -> int:
    """A fact of the stop, or a symbol."""
    if name in c.facts:
        fact = c.facts[name]
        if fact is None:
            raise ExpressionError(f"'{name}' has no value at this stop")
        return fact
    value = c.symbols.address(name)
    if value is None and name in FACTS:
        raise ExpressionError(f"'{name}' has no value at this stop")
    if value is None:
        raise ExpressionError(f"'{name}' is no register, no symbol and no fact of this stop ({', '.join(FACTS)})")
    return value


def _loaded(address: int, size: int, c: Context) -> int:
    data = c.read(address, size)
    if data is None:
        raise ExpressionError(f"no memory at {address:#x}")
    return int.from_bytes(data, "little")


def _load(address: Code, size: int) -> Code:
    return lambda c: _loaded(address(c), size, c)


def _word(address: Code) -> Code:
    """As wide as the code's words."""
    return lambda c: _loaded(address(c), int(c.cpu.bits) // 8, c)


def _linear(tree) -> Code:
    if tree.data == "segmented":
        segment, offset = str(tree.children[0]).lower(), _value(tree.children[1])
    else:
        offset = _value(tree)
        names = {str(t.children[0]).lower() for t in tree.iter_subtrees() if t.data == "name"} & REGISTERS.keys()
        if not names:
            return offset
        segment = "ss" if names & STACK else "cs" if names & POINTERS else "ds"
    bits, base = reader("bits"), reader("seg_base", SEGMENTS.index(segment))
    if segment in ("fs", "gs"):
        return lambda c: base(c.cpu) + offset(c) & (MASK if bits(c.cpu) == 64 else 0xFFFFFFFF)
    return lambda c: offset(c) if bits(c.cpu) == 64 else base(c.cpu) + offset(c) & 0xFFFFFFFF
