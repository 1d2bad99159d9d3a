"""What rows of exclusions.toml and known_errors.toml may ask under `when`: (instance, states) -> in which states it holds."""

import numpy as np

from . import native
from .aim import BIT_STRINGS, effective, peek, stack_address
from .encode import COMPARED, REPEATED, Instance
from .layout import RAX, RBP, RCX, RDX, RSP
from .states import segment_base


def _count(instance: Instance, states: np.ndarray) -> tuple[np.ndarray, int]:
    size = instance.form.operands[0].bits
    if instance.immediate is not None:
        raw = np.full(len(states), instance.immediate)
    elif any(o.kind == "one" for o in instance.form.operands):
        raw = np.ones(len(states), np.int64)
    else:
        raw = (states["gpr"][:, RCX] & 0xFF).astype(np.int64)
    return raw & (63 if size == 64 else 31), size


def _count_not_one(instance, states):
    count, _ = _count(instance, states)
    return count > 1


def _count_beyond_size(instance, states):
    count, size = _count(instance, states)
    return count > size if instance.form.row.sem in ("shld", "shrd") else count >= size


def _source_zero(instance, states):
    size = instance.form.operands[1].bits
    if not instance.form.memory:
        return states["gpr"][:, instance.rm_register] & np.uint64((1 << size) - 1) == 0
    zero = np.zeros(len(states), bool)
    if instance.places:
        rows, data = peek(states, effective(instance.places[0], states, instance.bits), size // 8)
        zero[rows] = ~data.any(axis=1)
    else:
        zero[:] = True  # an absolute operand: not worth computing
    return zero


def _unaligned(instance, states):
    if not instance.places:
        return np.full(len(states), bool(instance.form.memory))
    return effective(instance.places[0], states, instance.bits) & np.uint64(15) != 0


def _unmasked(instance, states):
    return states["fx"]["fcw"] & 0x3F != 0x3F


def _signed(values, size):
    """The low `size` bits of each value, sign-extended."""
    shift = 64 - size
    return (values << np.uint64(shift)).view(np.int64) >> shift


def _canonical_edge(instance, states):
    """A far pointer begins below the end of the canonical addresses and ends behind it, or the other way round."""
    if not instance.places:
        return np.zeros(len(states), bool)
    below = effective(instance.places[0], states, instance.bits) + np.uint64((1 << 47) + 10)
    return below % np.uint64(1 << 48) < 10 if instance.bits == 64 else np.zeros(len(states), bool)


def _offset_not_canonical(instance, states):
    """With FS or GS: the offset alone is not canonical (the sum with the base may be)."""
    out = np.zeros(len(states), bool)
    for place in instance.places:
        if place.segment in ("fs", "gs") and place.size == 64:
            offset = effective(place, states, 64) - states[f"{place.segment}_base"]
            if instance.form.row.sem in BIT_STRINGS:
                bit = states["gpr"][:, instance.register]
                offset = offset + (_signed(bit, instance.form.osize) >> 3).view(np.uint64)
            out |= (offset + np.uint64(1 << 47)) >> np.uint64(48) != 0
    return out


def _at_4g(instance, states):
    """An operand, or the stack, reaches across offset FFFFFFFF."""

    def near(offset, below, above):
        return (offset + np.uint64(below)) & np.uint64(0xFFFFFFFF) < below + above

    out = near(states["gpr"][:, RSP], 64, 64) | near(states["gpr"][:, RBP], 64, 256)  # ENTER reads below EBP
    repeated = instance.form.row.sem in REPEATED | COMPARED and bool({0xF2, 0xF3} & set(instance.code[:-1]))
    for place in instance.places:
        base = segment_base(states, place, instance.bits)
        offset = effective(place, states, instance.bits) - (0 if base is None else base)
        width = max(place.width, 16)
        out |= near(offset, 0x4000, 0x4000) if repeated else near(offset, width, 0)
    return out | (instance.form.memory is True and not instance.places)


def _other_components(instance, states):
    """EDX:EAX asks for more than x87 and SSE."""
    return (states["gpr"][:, RDX] & np.uint64(0xFFFFFFFF) | states["gpr"][:, RAX] & np.uint64(0xFFFFFFFC)) != 0


def _register_of_host(instance, states):
    """XGETBV of a register that there is."""
    return states["gpr"][:, RCX] & np.uint64(0xFFFFFFFE) == 0


def _unaligned_16(instance, states):
    """A 16-byte operand that is not aligned, in the stack segment."""
    place = instance.places[0] if instance.places else None
    if place is None or place.width != 16:
        return np.full(len(states), instance.form.memory is True and not instance.places)
    in_stack = place.segment == "ss" or place.segment is None and place.base in (RSP, RBP)
    return (effective(place, states, instance.bits) & np.uint64(15) != 0) & in_stack


def _stack_wraps(instance, states):
    """Pushing on a 32-bit stack goes below offset 0."""
    return states["gpr"][:, RSP] & np.uint64(0xFFFFFFFF) < 16


def _massive_scale(instance, states):
    """FSCALE by so much that a result with an adjusted exponent is out of range too."""
    raw = np.ascontiguousarray(states["fx"]["st"][:, 1])
    exponent = raw.view("<u2")[:, 4] & 0x7FFF
    return (exponent >= 0x400D) & (exponent < 0x7FFF) & (states["fx"]["fcw"] & 0x18 != 0x18)


def _outer_return(instance, states):
    """The frame of RETF or IRET is not wholly there, or the RPL of its CS is not CPL 3."""
    size = instance.form.osize // 8
    out = np.ones(len(states), bool)
    words = 5 if instance.form.row.sem == "iret" else 2
    rows, data = peek(states, stack_address(states, instance.bits), words * size)
    out[rows] = data[:, size] & 3 != 3
    return out


def _constant(test):
    return lambda instance, states: np.full(len(states), test(instance))


CONDITIONS = {
    "count_not_one": _count_not_one,
    "count_beyond_size": _count_beyond_size,
    "source_zero": _source_zero,
    "offset_not_canonical": _offset_not_canonical,
    "at_4g": _at_4g,
    "unaligned": _unaligned,
    "x87_unmasked": _unmasked,
    "other_components": _other_components,
    "register_of_host": _register_of_host,
    "prefetch_opcode": _constant(lambda i: "0F 0D" in i.form.row.opcode),
    "canonical_edge": _canonical_edge,
    "unaligned_16": _unaligned_16,
    "massive_scale": _massive_scale,
    "stack_wraps": _stack_wraps,
    "outer_return": _outer_return,
    "emulated": _constant(lambda i: native.emulates_umip()),
    "emulated_32": _constant(lambda i: native.emulates_umip() and i.form.osize == 32 and not i.form.memory),
    "count_64": _constant(lambda i: i.immediate == 64),
    "rex_r": _constant(lambda i: (i.register or 0) >= 8),
    "size_not_64": _constant(lambda i: i.form.osize != 64),
    "size_64": _constant(lambda i: i.form.osize == 64),
    "size_32": _constant(lambda i: i.form.osize == 32),
    "size_16": _constant(lambda i: i.form.osize == 16),
    "gate_of_host": _constant(lambda i: i.immediate == 0x80),
    "address_prefix_64": _constant(lambda i: i.bits == 64 and b"\x67" in i.code[:5]),
    "operand_prefix_64": _constant(lambda i: i.bits == 64 and b"\x66" in i.code[:3]),
}
