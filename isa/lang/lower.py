"""numba, taught the words, structs and places of this language.  Imported only to build.

Every operation becomes one or two LLVM instructions: no boxing, no reference counts, no bounds checks, no
promotion to int64 or float64.  Mixing widths is a typing error, as it is in plain Python.
"""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_constant
from numba.core.typeconv import Conversion
from numba.core.types.functions import BaseFunction
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import (
    lower_builtin,
    lower_cast,
    lower_getattr_generic,
    lower_setattr_generic,
    models,
    register_model,
)

from isa.lang import struct, word
from isa.lang.struct import PLACES, Array, Place, Struct
from isa.lang.word import WORDS

BYTE_PTR, I1, I32, I64 = ir.IntType(8).as_pointer(), ir.IntType(1), ir.IntType(32), ir.IntType(64)


# ---- types


class WordType(types.Type):
    def __init__(self, of):
        self.word = of
        super().__init__(f"U{of.bits}")

    def can_convert_from(self, context, other):
        return Conversion.safe if isinstance(other, (types.Integer, types.Boolean)) else None


class PointerType(types.Type):
    """A Struct."""

    def __init__(self, of):
        self.of = of
        super().__init__(of.__name__)


class ArrayType(types.Type):
    def __init__(self, of):
        self.word = of
        super().__init__(f"Array{of.bits}")


class PlaceType(types.Type):
    def __init__(self, of):
        self.word = of
        super().__init__(f"Place{of.bits}")


WORD = {w: WordType(w) for w in WORDS.values()}
ARRAY = {w: ArrayType(w) for w in WORDS.values()}
PLACE = {bits: PlaceType(w) for bits, w in WORDS.items()}
STRUCT: dict = {}
U64T = WORD[word.U64]


def _model(kind, shape):
    def init(self, dmm, t):
        models.PrimitiveModel.__init__(self, dmm, t, shape(t))

    register_model(kind)(type("Model", (models.PrimitiveModel,), dict(__init__=init)))


_model(WordType, lambda t: ir.IntType(t.word.bits))
_model(PointerType, lambda t: BYTE_PTR)
_model(ArrayType, lambda t: BYTE_PTR)


@register_model(PlaceType)
class _PlaceModel(models.StructModel):
    def __init__(self, dmm, t):
        models.StructModel.__init__(self, dmm, t, [("host", types.voidptr), ("extends", types.boolean)])


def resize(b, value, bits, extend="zext"):
    have = value.type.width
    return value if have == bits else (b.trunc if have > bits else getattr(b, extend))(value, ir.IntType(bits))


@lower_cast(types.Integer, WordType)
@lower_cast(types.IntegerLiteral, WordType)
def _(context, b, have, want, value):
    return resize(b, value, want.word.bits, "sext" if have.signed else "zext")


@lower_cast(types.Boolean, WordType)
@lower_cast(WordType, WordType)  # reached only by U8(x) .. and by storing to a place
def _(context, b, have, want, value):
    return resize(b, value, want.word.bits)


@lower_constant(WordType)
def _(context, b, t, value):
    return ir.Constant(ir.IntType(t.word.bits), int(value))


# ---- functions: `rule` maps argument types to (result, *arguments) or None, `emit` writes the instructions


def primitive(function, rule, emit, *classes, typed=False):
    class Template(AbstractTemplate):
        key = function
        of_words = True

        def generic(self, args, kws):
            found = rule(*args) if len(args) == len(classes) else None
            return signature(*found) if found else None

    infer_global(function)(Template)
    lower_builtin(function, *classes)(
        (lambda context, b, sig, args: emit(b, sig, *args)) if typed else (lambda context, b, sig, args: emit(b, *args))
    )


def same(*args):
    """The word type that all arguments have, literals aside."""
    found = {a for a in args if not isinstance(a, types.Integer)}
    return found.pop() if len(found) == 1 and all(isinstance(a, WordType) for a in found) else None


def to_word(*args):
    return (w,) + (w,) * len(args) if (w := same(*args)) else None


def to_bool(*args):
    return (types.boolean,) + (w,) * len(args) if (w := same(*args)) else None


def to(result):
    return lambda *args: (result,) + (w,) * len(args) if (w := same(*args)) else None


def shift(a, n):
    return (a, a, n if isinstance(n, WordType) else a) if isinstance(a, WordType) else None


def count(b, n, a):
    return resize(b, n, a.type.width)


def intrinsic(name, *flags):
    def emit(b, x):
        f = b.module.declare_intrinsic(f"llvm.{name}", [x.type], ir.FunctionType(x.type, [x.type] + [I1] * len(flags)))
        return b.call(f, [x] + [I1(v) for v in flags])

    return emit


W, P, A, L, N = WordType, PointerType, ArrayType, PlaceType, types.Integer
for _name in "add sub mul and_ or_ xor".split():
    for _classes in ((W, W), (W, N), (N, W)):
        primitive(getattr(operator, _name), to_word, lambda b, x, y, f=getattr(ir.IRBuilder, _name): f(b, x, y), *_classes)
for _name, _f in dict(floordiv=ir.IRBuilder.udiv, mod=ir.IRBuilder.urem).items():
    for _classes in ((W, W), (W, N)):
        primitive(getattr(operator, _name), to_word, lambda b, x, y, f=_f: f(b, x, y), *_classes)
for _name, _sign in dict(eq="==", ne="!=", lt="<", le="<=", gt=">", ge=">=").items():
    for _classes in ((W, W), (W, N), (N, W)):
        primitive(getattr(operator, _name), to_bool, lambda b, x, y, s=_sign: b.icmp_unsigned(s, x, y), *_classes)
for _classes in ((W, W), (W, N)):
    primitive(operator.lshift, shift, lambda b, x, n: b.shl(x, count(b, n, x)), *_classes)
    primitive(operator.rshift, shift, lambda b, x, n: b.lshr(x, count(b, n, x)), *_classes)
    primitive(word.sar, shift, lambda b, x, n: b.ashr(x, count(b, n, x)), *_classes)
    primitive(word.slt, to_bool, lambda b, x, y: b.icmp_signed("<", x, y), *_classes)
    primitive(word.mul_overflows, to_bool, lambda b, x, y: b.extract_value(b.smul_with_overflow(x, y), 1), *_classes)
primitive(operator.invert, to_word, lambda b, x: b.not_(x), W)
primitive(operator.neg, to_word, lambda b, x: b.neg(x), W)
primitive(word.negative, to_bool, lambda b, x: b.icmp_signed("<", x, x.type(0)), W)
primitive(word.sx, to(U64T), lambda b, x: resize(b, x, 64, "sext"), W)
primitive(word.sx128, to(WORD[word.U128]), lambda b, x: resize(b, x, 128, "sext"), W)
primitive(word.popcount, to_word, intrinsic("ctpop"), W)
primitive(word.leading_zeros, to_word, intrinsic("ctlz", 0), W)
primitive(word.trailing_zeros, to_word, intrinsic("cttz", 0), W)
primitive(word.bswap, to_word, intrinsic("bswap"), W)
for _word, _type in WORD.items():
    for _class in (W, N, types.Boolean):

        def _rule(x, t=_type):
            return (t, x) if isinstance(x, (WordType, types.Boolean)) else (t, t)

        primitive(_word, _rule, lambda b, sig, x: resize(b, x, sig.return_type.word.bits), _class, typed=True)


def _like(model, x):
    return (model, model, x) if isinstance(model, WordType) and isinstance(x, (WordType, types.Boolean)) else None


for _class in (W, types.Boolean):
    primitive(word.like, _like, lambda b, m, x: resize(b, x, m.type.width), W, _class)


# ---- memory


def at(b, pointer, offset, bits):
    offset = offset if isinstance(offset, ir.Value) else I64(offset)
    return b.bitcast(b.gep(pointer, [offset], inbounds=True), ir.IntType(bits).as_pointer())


def load(b, pointer, offset, bits, align=1):
    return b.load(at(b, pointer, offset, bits), align=align)


def store(b, pointer, offset, value, align=1):
    b.store(value, at(b, pointer, offset, value.type.width), align=align)


def element(b, sig, i):
    step = sig.args[0].word.bits // 8
    i = resize(b, i, 64, "sext" if isinstance(sig.args[1], types.Integer) and sig.args[1].signed else "zext")
    return b.mul(i, I64(step))


def _index(i):
    return i if isinstance(i, WordType) else types.int64


def _stores(a, i, v):
    return isinstance(a, ArrayType) and isinstance(i, (WordType, types.Integer)) and (v == WORD[a.word] or isinstance(v, types.Integer))


for _class in (W, N):
    primitive(
        operator.getitem,
        lambda a, i: (WORD[a.word], a, _index(i)) if isinstance(a, ArrayType) and isinstance(i, (WordType, types.Integer)) else None,
        lambda b, sig, p, i: load(b, p, element(b, sig, i), sig.args[0].word.bits),
        A,
        _class,
        typed=True,
    )
    for _value in (W, N):
        primitive(
            operator.setitem,
            lambda a, i, v: (types.none, a, _index(i), WORD[a.word]) if _stores(a, i, v) else None,
            lambda b, sig, p, i, v: store(b, p, element(b, sig, i), v),
            A,
            _class,
            _value,
            typed=True,
        )
for _make, _of in struct.ARRAYS.items():
    primitive(_make, lambda x, t=_of: (ARRAY[t], U64T) if x == U64T else None, lambda b, x: b.inttoptr(x, BYTE_PTR), W)


def _place(b, host, extends=None):
    pair = ir.Constant(ir.LiteralStructType([BYTE_PTR, I1]), ir.Undefined)
    pair = b.insert_value(pair, b.inttoptr(host, BYTE_PTR), 0)
    return b.insert_value(pair, I1(0) if extends is None else extends, 1)


for _bits, _place_class in PLACES.items():
    primitive(_place_class, lambda x, t=PLACE[_bits]: (t, U64T) if x == U64T else None, lambda b, x: _place(b, x), W)


def attribute_type(t, name):
    if isinstance(t, WordType):
        return types.int64 if name == "bits" else None
    if isinstance(t, PlaceType):
        return dict(value=WORD[t.word], address=U64T, extends=types.boolean).get(name)
    if name == "address":
        return U64T
    if isinstance(t, PointerType) and name in t.of.fields:
        _, w, n = t.of.fields[name]
        return WORD[w] if n is None else ARRAY[w]
    return None


for _kind in (WordType, PointerType, PlaceType, ArrayType):
    infer_getattr(type("Attributes", (AttributeTemplate,), dict(key=_kind, generic_resolve=lambda self, t, name: attribute_type(t, name))))


@lower_getattr_generic(WordType)
def _(context, b, t, value, name):
    return I64(t.word.bits)


@lower_getattr_generic(ArrayType)
def _(context, b, t, value, name):
    return b.ptrtoint(value, I64)


@lower_getattr_generic(PointerType)
def _(context, b, t, p, name):
    if name == "address":
        return b.ptrtoint(p, I64)
    offset, w, n = t.of.fields[name]
    return load(b, p, offset, w.bits, w.bits // 8) if n is None else b.gep(p, [I64(offset)], inbounds=True)


@lower_setattr_generic(PointerType)
def _(context, b, sig, args, name):
    p, value = args
    offset, w, _n = sig.args[0].of.fields[name]
    store(b, p, offset, value, w.bits // 8)


@lower_getattr_generic(PlaceType)
def _(context, b, t, value, name):
    host = b.extract_value(value, 0)
    if name == "value":
        return load(b, host, 0, t.word.bits)
    return b.ptrtoint(host, I64) if name == "address" else b.extract_value(value, 1)


@lower_setattr_generic(PlaceType)
def _(context, b, sig, args, name):
    place, value = args
    host = b.extract_value(place, 0)
    if sig.args[0].word is not word.U32:
        store(b, host, 0, value)
        return
    with b.if_else(cgutils.as_bool_bit(b, b.extract_value(place, 1))) as (wide, narrow):
        with wide:
            store(b, host, 0, resize(b, value, 64))
        with narrow:
            store(b, host, 0, value)


_everyone = BaseFunction.get_call_type


def _of_words_first(self, context, args, kws):
    """numba asks every template of an operator in turn; where a word takes part only those of this module can answer."""
    if not kws and any(isinstance(a, (WordType, PlaceType, ArrayType)) for a in args):
        plain = tuple(types.unliteral(a) for a in args)
        for template in self.templates:
            if getattr(template, "of_words", False):
                asked = template(context)
                found = asked.apply(plain, {})
                if found is not None:
                    self._impl_keys[found.args] = asked.get_impl_key(found)
                    return found
    return _everyone(self, context, args, kws)


BaseFunction.get_call_type = _of_words_first


def declare(*structs: type[Struct]) -> None:
    """Teach numba these structs; safe to repeat."""
    for s in structs:
        if s not in STRUCT:
            STRUCT[s] = PointerType(s)
            primitive(s, lambda x, t=STRUCT[s]: (t, U64T) if x == U64T else None, lambda b, x: b.inttoptr(x, BYTE_PTR), W)


__all__ = ["PLACE", "STRUCT", "WORD", "Array", "Place", "declare", "primitive"]
