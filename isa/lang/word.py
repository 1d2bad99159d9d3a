"""Words: the only integers that compiled code computes with.

A word is unsigned: it wraps at its width, compares unsigned and shifts logically.  Words of different
width never meet: convert with U8 .. U128 (zero-extend or truncate), `sx` (sign-extend to 64 bits) or `like`.
An int literal takes the width of the word it meets.  A word is never a truth value: compare it.
"""

import operator


class Word(int):
    """An unsigned integer of `bits` bits."""

    bits = 64
    mask = (1 << 64) - 1

    def __init_subclass__(cls):
        cls.mask = (1 << cls.bits) - 1

    def __new__(cls, value=0):
        return int.__new__(cls, int(value) & cls.mask)

    def meet(self, other):
        """The other operand as an int, if it may meet this word; TypeError if it has another width."""
        if isinstance(other, Word) and other.bits != self.bits:
            raise TypeError(f"U{self.bits} meets U{other.bits}")
        return int(other) & self.mask

    def __lshift__(self, n):
        return type(self)(int(self) << in_range(n, self.bits))

    def __rshift__(self, n):
        return type(self)(int(self) >> in_range(n, self.bits))

    def __invert__(self):
        return type(self)(~int(self))

    def __neg__(self):
        return type(self)(-int(self))

    def __bool__(self):
        raise TypeError("a word is not a truth value: compare it")

    __hash__ = int.__hash__


def in_range(n, bits):
    """A shift count as an int; ValueError if it is not below `bits` (LLVM's shift would be poison)."""
    if not 0 <= int(n) < bits:
        raise ValueError(f"shift of a {bits}-bit word by {int(n)}")
    return int(n)


def _arithmetic(name, do):
    setattr(Word, f"__{name}__", lambda a, b: type(a)(do(int(a), a.meet(b))))
    setattr(Word, f"__r{name}__", lambda a, b: type(a)(do(a.meet(b), int(a))))


for _name, _do in dict(
    add=operator.add,
    sub=operator.sub,
    mul=operator.mul,
    floordiv=operator.floordiv,
    mod=operator.mod,
    xor=operator.xor,
).items():
    _arithmetic(_name, _do)
_arithmetic("and", operator.and_)
_arithmetic("or", operator.or_)
for _name in "eq ne lt le gt ge".split():
    setattr(Word, f"__{_name}__", lambda a, b, do=getattr(operator, _name): do(int(a), a.meet(b)))


class U8(Word):
    bits = 8


class U16(Word):
    bits = 16


class U32(Word):
    bits = 32


class U64(Word):
    bits = 64


class U128(Word):
    bits = 128


WORDS = {w.bits: w for w in (U8, U16, U32, U64, U128)}


def signed(x):
    """The two's-complement value of a word.  Python only: compiled code uses slt, sar and sx."""
    return int(x) - (int(x) >> (x.bits - 1) << x.bits)


def like(model, x):
    """x (a word or bool) zero-extended or truncated to the width of `model`."""
    return type(model)(x)


def sx(x):
    """x sign-extended to 64 bits."""
    return U64(signed(x))


def sx128(x):
    """x sign-extended to 128 bits."""
    return U128(signed(x))


def slt(a, b):
    """a < b, signed."""
    return signed(a) < signed(type(a)(b))


def sar(x, n):
    """x shifted right by n < bits, copies of the sign coming in."""
    return type(x)(signed(x) >> in_range(n, x.bits))


def negative(x):
    """The sign bit of x."""
    return signed(x) < 0


def mul_overflows(a, b):
    """Whether the signed product of a and b needs more bits than they have."""
    return not -1 << (a.bits - 1) <= signed(a) * signed(b) < 1 << (a.bits - 1)


def popcount(x):
    """The number of one bits, in x's width."""
    return type(x)(int(x).bit_count())


def leading_zeros(x):
    """Zero bits above the highest one; `bits` for 0."""
    return type(x)(x.bits - int(x).bit_length())


def trailing_zeros(x):
    """Zero bits below the lowest one; `bits` for 0."""
    return type(x)((int(x) & -int(x)).bit_length() - 1 if int(x) else x.bits)


def bswap(x):
    """x with its bytes in reverse order (16 bits and wider)."""
    return type(x)(int.from_bytes(int(x).to_bytes(x.bits // 8, "little"), "big"))


def outlined(f):
    """Compile f once and call it; functions without this mark are inlined wherever they are used."""
    f.outlined = True
    return f
