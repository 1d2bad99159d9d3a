"""The state of devices, saved and restored exactly, without a line in any device.

DeviceState(board=pc, ports=machine.ports ...) walks what hangs on its roots and gives each object a name by the way it was
found: board.pic, ports.ranges[3][2].  An object's state is its attributes, whatever they are made of:

    numbers, text, bytes, None            by value
    arrays                                by content, put back in place: others may hold views of them
    list dict set deque bytearray tuple   by what they contain, put back in place
    objects, functions, bound methods     by name; what came after the walk, by class and attributes
    variables that a closure holds        as attributes of the function

So a device written tomorrow is covered.  What the walk cannot hold (open files, generators ...) is refused with StateError when a
board is built: its class then says itself what its state is, by `save() -> value` and `restore(value)`.  A class with a great
deal of memory is a PageStore: what it holds is saved page by page, and only the pages that changed.

The saved form is bytes: checkpoints, traces and digests are made of them (encode, decode).
"""

import importlib
import struct
from collections import deque
from functools import lru_cache, partial
from types import BuiltinFunctionType, BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Protocol, runtime_checkable

import numpy as np

from isa.lang.struct import Array, Struct
from isa.lang.word import Word

OURS = "vmdbg.machine"  # modules whose objects have state
UNCHANGED = object()
PLAIN = (int, float, str, bytes, type(None), np.generic)
CONTAINERS = (list, tuple, dict, set, frozenset, deque)
FIXED = (type, ModuleType, BuiltinFunctionType, BuiltinMethodType, Struct, Array, Word)


class StateError(TypeError):
    """An object has an attribute that cannot be saved; the text says which."""


@runtime_checkable
class PageStore(Protocol):
    """Memory in pages of 4096 bytes, numbered from 0; what it held at the start is its origin."""

    page_count: int

    def begin_interval(self) -> None:
        """`changed_pages` counts from here on."""

    def changed_pages(self) -> np.ndarray:
        """Numbers of the pages that may have been written since."""

    def get_pages(self, pages: np.ndarray) -> np.ndarray:
        """A copy of what they hold: a row of 4096 bytes each."""

    def origin_pages(self, pages: np.ndarray) -> np.ndarray:
        """What they held at the start."""

    def put_pages(self, pages: np.ndarray, contents: np.ndarray) -> None: ...


def is_ours(value) -> bool:
    return type(value).__module__.startswith(OURS)


def attributes(obj) -> dict[str, object]:
    """What an object, or a function by its closure, refers to by name."""
    if isinstance(obj, FunctionType):
        cells = zip(obj.__code__.co_freevars, obj.__closure__ or ())
        return {name: cell.cell_contents for name, cell in cells if not is_empty(cell)}
    found = dict(getattr(obj, "__dict__", {}))
    for kind in type(obj).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(obj, name):
                found[name] = getattr(obj, name)
    return found


def is_empty(cell) -> bool:
    try:
        cell.cell_contents
    except ValueError:
        return True
    return False


def owns_state(obj) -> bool:
    """Whether its class says itself what its state is."""
    return hasattr(obj, "save") and hasattr(obj, "restore")


class DeviceState:
    """`roots`: objects by name; whatever can be reached from them is saved, except a machine and what is not of vmdbg.machine.

    `stores` are the page stores that were found, in order.
    """

    def __init__(self, **roots):
        self.objects: dict[str, object] = {}
        self.names: dict[int, str] = {}
        self.stores: list[PageStore] = []
        self._stateful: list[tuple[str, object]] = []
        self._unwalked: deque[tuple[str, object]] = deque()
        for name, root in roots.items():
            self._find(root, name)
        while self._unwalked:
            name, obj = self._unwalked.popleft()
            for attribute, value in attributes(obj).items():
                self._find(value, f"{name}.{attribute}")
        self._references = {key: sized(b"o", name.encode()) for key, name in self.names.items()}

    # ---- the walk

    def _find(self, value, name: str) -> None:
        if isinstance(value, (*PLAIN, bytearray)) or id(value) in self.names:
            return
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                raise StateError(f"{name}: an array of objects has no state that can be saved")
            return
        if isinstance(value, dict):
            for key, each in value.items():
                self._find(key, f"{name}[{key!r}]")
                self._find(each, f"{name}[{key!r}]")
        elif isinstance(value, CONTAINERS):
            for n, each in enumerate(value):
                self._find(each, f"{name}[{n}]")
        elif isinstance(value, MethodType):
            self._find(value.__self__, f"{name}.self")
        else:
            self._name(value, name)

    def _name(self, value, name: str) -> None:
        self.objects[name], self.names[id(value)] = value, name
        if isinstance(value, partial):
            self._find((value.func, value.args, value.keywords), name)
        elif isinstance(value, FunctionType) and value.__module__.startswith(OURS):
            self._walk(value, name)
        elif isinstance(value, FIXED) or isinstance(value, FunctionType) or is_machine(value):
            pass
        elif isinstance(value, PageStore):
            self.stores.append(value)
        elif owns_state(value):
            self._stateful.append((name, value))
        elif is_ours(value):
            self._walk(value, name)
        elif type(value).__module__.split(".")[0] not in ("vmdbg", "tests"):
            raise StateError(
                f"{name}: what a {type(value).__module__}.{type(value).__qualname__} holds is not known: "
                "give the class that owns it save() and restore()"
            )

    def _walk(self, obj, name: str) -> None:
        self._stateful.append((name, obj))
        self._unwalked.append((name, obj))
        if isinstance(obj, FunctionType):
            self._find(obj.__defaults__, f"{name}.defaults")

    # ---- saving and restoring

    def save(self) -> bytes:
        """Everything but page stores."""
        return bytes(self._encoded()[0].bytes)

    def _encoded(self) -> "tuple[Encoder, list[int]]":
        """What `save` returns, and where in it each object's state begins and the last one's ends."""
        out, places = Encoder(self._references), [0]
        for _name, obj in self._stateful:
            if owns_state(obj):
                out.value(obj.save())
            else:
                saved = {k: v for k, v in attributes(obj).items() if not isinstance(v, np.void)}  # those are views of an array
                out.value(saved)
            places.append(len(out.bytes))
        return out, places

    def restore(self, data: bytes) -> None:
        """Put everything back as `save` found it; StateError if that was another board, and nothing has changed then."""
        now, places = self._encoded()
        source, values = Decoder(data, self.objects), []
        for n in range(len(self._stateful)):
            size = places[n + 1] - places[n]
            if not now.new and data[source.at : source.at + size] == now.bytes[places[n] : places[n + 1]]:
                source.at += size  # most objects are as they were
                values.append(UNCHANGED)
            else:
                values.append(source.whole())
        source.end()
        for (_name, obj), value in zip(self._stateful, values):
            if value is UNCHANGED:
                continue
            if owns_state(obj):
                obj.restore(value)
            elif isinstance(obj, FunctionType):
                for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or ()):
                    if name in value and not put_in_place(cell.cell_contents, value[name]):
                        cell.cell_contents = value[name]
            else:
                put_attributes(obj, value)


def is_machine(value) -> bool:
    from vmdbg.machine.machine import Machine

    return isinstance(value, Machine)


def put_attributes(obj, values: dict) -> None:
    old = attributes(obj)
    for name, value in values.items():
        if name not in old or not put_in_place(old[name], value):
            object.__setattr__(obj, name, value)
    for name in old.keys() - values.keys():
        if not isinstance(old[name], np.void):
            object.__delattr__(obj, name)


def put_in_place(old, new) -> bool:
    """Give a mutable value its old content; False: it must be replaced."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, np.ndarray):
        if old.dtype.itemsize != new.dtype.itemsize or old.shape != new.shape:
            return False
        if old.dtype != new.dtype:
            new = new.view(old.dtype)  # a record's fields, written another way
        old[...] = new
        return True
    if isinstance(old, (list, bytearray)):
        old[:] = new
    elif isinstance(old, (dict, set)):
        old.clear()
        old.update(new)
    elif isinstance(old, deque):
        old.clear()
        old.extend(new)
    else:
        return False
    return True


# ---- values as bytes: a letter, then what it says; numbers little-endian, lengths 32 bits


def sized(letter: bytes, data: bytes) -> bytes:
    return letter + struct.pack("<I", len(data)) + data


@lru_cache(4096)
def text(v: str) -> bytes:
    return sized(b"s", v.encode())


@lru_cache(4096)
def number(v: int) -> bytes:
    return sized(b"i", v.to_bytes(v.bit_length() // 8 + 1, "little", signed=True))


@lru_cache(4096)
def number_of(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


@lru_cache(1024)
def shape_of(dtype: np.dtype, shape: tuple) -> bytes:
    """What stands before the content of an array."""
    return encode(dtype.descr if dtype.fields else dtype.str) + encode(shape)


class Encoder:
    """`references`: what stands for the objects that have names, by id."""

    def __init__(self, references: dict[int, bytes]):
        self.references, self.bytes = references, bytearray()
        self.new: dict[int, int] = {}  # objects that came after the walk
        self.kept: list = []

    def value(self, v) -> None:
        reference = self.references.get(id(v))
        if reference is not None:
            self.bytes += reference
            return
        write = WRITERS.get(type(v))
        if write is not None:
            write(self, v)
        elif isinstance(v, np.generic):
            self.bytes += b"g"
            self.array(np.asarray(v))
        elif isinstance(v, int):
            self.bytes += number(int(v))
        else:
            self.object(v)

    def array(self, v: np.ndarray) -> None:
        self.bytes += shape_of(v.dtype, v.shape)
        self.bytes += sized(b"b", v.tobytes())

    def record(self, v: np.ndarray) -> None:
        self.bytes += b"a"
        self.array(v)

    def pairs(self, v: dict) -> None:
        self.bytes += b"d" + struct.pack("<I", len(v))
        for key, each in v.items():
            self.value(key)
            self.value(each)

    def members(self, v) -> None:
        letter = {list: b"l", tuple: b"t", set: b"S", frozenset: b"Z", deque: b"q"}[type(v)]
        items = list(v)
        if letter in b"SZ":  # in an order that does not depend on hashes
            items.sort(key=lambda item: encode(item, self.references))
        self.bytes += letter + struct.pack("<I", len(items))
        for each in items:
            self.value(each)

    def method(self, v: MethodType) -> None:
        self.bytes += b"m"
        self.value(v.__self__)
        self.value(v.__func__.__name__)

    def object(self, v) -> None:
        if id(v) in self.new:
            self.bytes += b"x" + struct.pack("<I", self.new[id(v)])
        elif is_ours(v):
            self.new[id(v)] = len(self.new)
            self.kept.append(v)
            self.bytes += b"n"
            self.value(f"{type(v).__module__}:{type(v).__qualname__}")
            self.value(attributes(v))
        else:
            raise StateError(f"a {type(v).__module__}.{type(v).__qualname__} came to the board, and what it holds is not known")

    def plain(self, data: bytes) -> None:
        self.bytes += data


WRITERS = {
    type(None): lambda e, v: e.plain(b"N"),
    bool: lambda e, v: e.plain(b"T" if v else b"F"),
    int: lambda e, v: e.plain(number(v)),
    float: lambda e, v: e.plain(b"f" + struct.pack("<d", v)),
    str: lambda e, v: e.plain(text(v)),
    bytes: lambda e, v: e.plain(sized(b"b", v)),
    bytearray: lambda e, v: e.plain(sized(b"B", bytes(v))),
    np.ndarray: Encoder.record,
    dict: Encoder.pairs,
    MethodType: Encoder.method,
    **dict.fromkeys(CONTAINERS[:2] + CONTAINERS[3:], Encoder.members),
}


def encode(v, references: dict[int, bytes] | None = None) -> bytes:
    """A value as bytes."""
    out = Encoder(references or {})
    out.value(v)
    return bytes(out.bytes)


def decode(data: bytes):
    """The value that bytes stand for; StateError if they are damaged."""
    source = Decoder(data, {})
    found = source.whole()
    source.end()
    return found


class Decoder:
    """Reads values one by one; objects: what references name."""

    def __init__(self, data: bytes, objects: dict[str, object]):
        self.data, self.objects, self.at = data, objects, 0
        self.new: list = []

    def whole(self):
        """The next value; StateError if it is damaged."""
        try:
            return self.value()
        except (ValueError, IndexError, AttributeError, RecursionError, MemoryError):
            raise StateError("the state of devices is damaged") from None
        except TypeError as e:  # of what cannot be in a set, or is no class
            raise e if isinstance(e, StateError) else StateError("the state of devices is damaged") from None

    def end(self) -> None:
        """StateError if anything follows."""
        if self.at != len(self.data):
            raise StateError("the state of devices is damaged: something follows it")

    def take(self, n: int) -> bytes:
        at = self.at
        self.at = end = at + n
        if end > len(self.data):
            raise StateError("the state of devices is cut off")
        return self.data[at:end]

    def count(self) -> int:
        at = self.at
        self.at = at + 4
        n = int.from_bytes(self.data[at : at + 4], "little")
        if n > len(self.data) or at + 4 > len(self.data):
            raise StateError("the state of devices is damaged")
        return n

    def value(self):
        at = self.at
        self.at = at + 1
        read = READERS.get(self.data[at : at + 1])
        if read is None:
            raise StateError("the state of devices is damaged")
        return read(self)

    def sized(self) -> bytes:
        return self.take(self.count())

    def named(self):
        name = self.sized().decode()
        if name not in self.objects:
            raise StateError(f"this board has no {name}")
        return self.objects[name]

    def items(self) -> list:
        value = self.value
        return [value() for _ in range(self.count())]

    def pairs(self) -> dict:
        value = self.value
        return {value(): value() for _ in range(self.count())}

    def method(self):
        owner, name = self.value(), self.value()
        if not isinstance(name, str) or not callable(getattr(type(owner), name, None)):
            raise StateError("the state of devices is damaged")
        return getattr(owner, name)

    def array(self) -> np.ndarray:
        text, shape, data = self.value(), self.value(), self.value()
        try:
            return np.frombuffer(data, np.dtype(text)).reshape(shape).copy()
        except (TypeError, ValueError):
            raise StateError("the state of devices is damaged") from None

    def object(self):
        place = len(self.new)
        self.new.append(None)
        module, _, name = self.value().partition(":")
        if not module.startswith(OURS + ".board."):
            raise StateError(f"an object of {module} is no part of a board")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise StateError(f"there is no {module}.{name}") from None
        self.new[place] = made = object.__new__(kind)
        for attribute, value in self.value().items():
            object.__setattr__(made, attribute, value)
        return made


READERS = {
    b"N": lambda d: None,
    b"T": lambda d: True,
    b"F": lambda d: False,
    b"o": Decoder.named,
    b"g": lambda d: d.array()[()],
    b"i": lambda d: number_of(d.sized()),
    b"f": lambda d: struct.unpack("<d", d.take(8))[0],
    b"s": lambda d: d.sized().decode(),
    b"b": lambda d: d.sized(),
    b"B": lambda d: bytearray(d.sized()),
    b"a": Decoder.array,
    b"l": Decoder.items,
    b"t": lambda d: tuple(d.items()),
    b"S": lambda d: set(d.items()),
    b"Z": lambda d: frozenset(d.items()),
    b"q": lambda d: deque(d.items()),
    b"d": Decoder.pairs,
    b"m": Decoder.method,
    b"n": Decoder.object,
    b"x": lambda d: d.new[d.count()],
}
