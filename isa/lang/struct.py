"""Structs: fixed layouts of memory, seen from Python as objects and from compiled code as typed pointers.

`cpu.rip` is one load at a constant offset in every engine: here through ctypes, in lower.py as a
getelementptr and a load.  Nothing is copied, so all engines and the views work on the same bytes.
"""

import ctypes

from isa.lang.word import U8, U16, U32, U64, U128, WORDS, Word

C_TYPE = {U8: ctypes.c_uint8, U16: ctypes.c_uint16, U32: ctypes.c_uint32, U64: ctypes.c_uint64}


def peek(word: type[Word], address: int) -> Word:
    """Read one word at a host address."""
    if word is U128:
        return U128(int.from_bytes(ctypes.string_at(int(address), 16), "little"))
    return int.__new__(word, C_TYPE[word].from_address(int(address)).value)


def poke(word: type[Word], address: int, value: int) -> None:
    """Write one word at a host address."""
    if word is U128:
        ctypes.memmove(int(address), int(U128(value)).to_bytes(16, "little"), 16)
    else:
        C_TYPE[word].from_address(int(address)).value = int(value) & word.mask


class Array:
    """A pointer to words in a row: a[i] reads, a[i] = v writes; i is any word or literal and is not checked.

    Python may iterate over those of a struct, which have a length.
    """

    __slots__ = ("word", "address", "step", "count")

    def __init__(self, word, address, count=None):
        self.word, self.address, self.step, self.count = word, U64(address), word.bits // 8, count

    def __len__(self):
        if self.count is None:
            raise TypeError("an array at a bare address has no length")
        return self.count

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i):
        return peek(self.word, int(self.address) + int(i) * self.step)

    def __setitem__(self, i, v):
        poke(self.word, int(self.address) + int(i) * self.step, v)


def words8(address):
    """The bytes at a host address, as an Array."""
    return Array(U8, address)


def words16(address):
    """The 16-bit words at a host address, as an Array."""
    return Array(U16, address)


def words32(address):
    """The 32-bit words at a host address, as an Array."""
    return Array(U32, address)


def words64(address):
    """The 64-bit words at a host address, as an Array."""
    return Array(U64, address)


ARRAYS = {words8: U8, words16: U16, words32: U32, words64: U64}


class Struct:
    """A pointer to fields at fixed offsets, declared as `name: word` or `name: (word, count)`.

    Fields lie in the order of declaration, each aligned to its own size; `fields[name]` is
    (offset in bytes, word, count or None) and `size` the whole size, a multiple of 8 bytes.
    """

    fields: dict
    size: int

    def __init_subclass__(cls):
        cls.fields, at = {}, 0
        for name, spec in cls.__annotations__.items():
            word, count = spec if isinstance(spec, tuple) else (spec, None)
            step = word.bits // 8
            at = (at + step - 1) // step * step
            cls.fields[name] = at, word, count
            at += step * (count or 1)
            setattr(cls, name, _field(cls.fields[name]))
        cls.size = (at + 7) // 8 * 8

    def __init__(self, address):
        self.address = U64(address)


def _field(spec):
    offset, word, count = spec
    if count is not None:
        return property(lambda self: Array(word, self.address + offset, count))

    cell = C_TYPE[word]

    def read(self):
        return int.__new__(word, cell.from_address(int(self.address) + offset).value)

    def write(self, value):
        poke(word, int(self.address) + offset, value)

    return property(read, write)


class Place:
    """An operand: something of a fixed width with a value.

    A place is a host address and one bit, `extends`: a 32-bit register, whose writes clear the upper
    half of the 64-bit register (Intel SDM vol. 1, 3.4.1.1).  Everything else is stored as it is.
    """

    word: type[Word] = U64
    __slots__ = ("address", "extends")

    def __init__(self, address, extends=False):
        self.address, self.extends = U64(address), extends

    @property
    def value(self):
        return peek(self.word, self.address)

    @value.setter
    def value(self, v):
        if self.extends:
            poke(U64, self.address, U32(v))
        else:
            poke(self.word, self.address, self.word(v))


PLACES = {bits: type(f"Place{bits}", (Place,), dict(word=word, __slots__=())) for bits, word in WORDS.items()}
Place8, Place16, Place32, Place64, Place128 = (PLACES[bits] for bits in (8, 16, 32, 64, 128))
