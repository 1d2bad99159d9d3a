"""Random machine states that find bugs: edge values, page ends, special floating-point values; the same seed, the same states."""

from dataclasses import dataclass

import numpy as np

from .layout import (
    ARITHMETIC,
    CF,
    CODE_START,
    DF,
    FX,
    PAGE,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    READ_ONLY,
    RSI,
    RSP,
    STATE,
    WINDOW,
    WINDOW_SIZE,
    empty,
)

_M64 = (1 << 64) - 1


def _edges64() -> np.ndarray:
    values = {0, 1, 2, 3, 7, 8, 9, 0xF, 0x10, 0x1F, 0x20, 0x3F, 0x40, 0x55, 0x99, 0x9A, 0xAA}
    for bits in (7, 8, 15, 16, 31, 32, 47, 48, 63):
        values |= {(1 << bits) + d for d in (-2, -1, 0, 1)}
    values |= {0x5555555555555555, 0xAAAAAAAAAAAAAAAA, 0x0123456789ABCDEF, 0x8000000080000000, 0x7FFFFFFF7FFFFFFF, 0x00FF00FF00FF00FF}
    return np.array(sorted(values | {-v & _M64 for v in values}), np.uint64)


EDGES = _edges64()
FLOAT32 = np.array(
    [0, 1, 2, 0x7FFFFF, 0x800000, 0x800001, 0x3F000000, 0x3EFFFFFF, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3FC00000, 0x40000000]
    + [0x40200000, 0x42FF0000, 0x43000000, 0x46FFFE00, 0x47000000, 0x4B000001, 0x4EFFFFFF, 0x4F000000, 0x4F800000, 0x5EFFFFFF]
    + [0x5F000000, 0x7F000000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FA00000, 0x7FBFFFFF, 0x7FC00000, 0x7FC00001, 0x7FFFFFFF],
    np.uint32,
)
FLOAT64 = np.array(
    [0, 1, 2, 0xFFFFFFFFFFFFF, 0x10000000000000, 0x10000000000001, 0x3FE0000000000000, 0x3FDFFFFFFFFFFFFF, 0x3FEFFFFFFFFFFFFF]
    + [0x3FF0000000000000, 0x3FF0000000000001, 0x3FF8000000000000, 0x4000000000000000, 0x4004000000000000, 0x36A0000000000000]
    + [0x3800000000000000, 0x380FFFFFFFFFFFFF, 0x3690000000000000, 0x41DFFFFFFFC00000, 0x41E0000000000000, 0x43DFFFFFFFFFFFFF]
    + [0x43E0000000000000, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000, 0x47F0000000000000, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000]
    + [0x7FF0000000000001, 0x7FF4000000000000, 0x7FF7FFFFFFFFFFFF, 0x7FF8000000000000, 0x7FF8000000000001, 0x7FFFFFFFFFFFFFFF],
    np.uint64,
)
# Exponent and significand of 80-bit values: zero, denormals and pseudo-denormals, one and its neighbours, powers around the integer
# and narrower formats' limits, unnormals, pseudo-infinity, infinity, signalling and quiet NaNs, pseudo-NaN, the constants' values.
FLOAT80 = [(0, 0), (0, 1), (0, 0x7FFFFFFFFFFFFFFF), (0, 1 << 63), (0, _M64), (1, 1 << 63), (1, (1 << 63) + 1), (0x3FFE, 1 << 63)]
FLOAT80 += [(0x3FFE, _M64), (0x3FFF, 1 << 63), (0x3FFF, (1 << 63) + 1), (0x3FFF, 3 << 62), (0x4000, 1 << 63), (0x4000, 0xA << 60)]
FLOAT80 += [(0x4000, 0xC90FDAA22168C235), (0x4000, 0xD49A784BCD1B8AFE), (0x3FFE, 0xB17217F7D1CF79AC), (0x3FFF, 0xB504F333F9DE6484)]
FLOAT80 += [(0x400D, 0xFFFF << 48), (0x400E, 1 << 63), (0x401D, 0xFFFFFFFE << 32), (0x401E, 1 << 63), (0x403D, _M64), (0x403E, 1 << 63)]
FLOAT80 += [(0x3F6A, 1 << 63), (0x3F81, 1 << 63), (0x3F80, _M64), (0x407E, 0xFFFFFF << 40), (0x407F, 1 << 63), (0x3BCD, 1 << 63)]
FLOAT80 += [(0x3C01, 1 << 63), (0x43FE, 0xFFFFFFFFFFFFF800), (0x43FF, 1 << 63), (0x403A, 0xDE0B6B3A76400000), (0x4038, 0xDE0B6B3A76400000)]
FLOAT80 += [(0x7FFE, _M64), (0x7FFE, 1 << 63), (0x7FFF, 1 << 63), (0x7FFF, (1 << 63) + 1), (0x7FFF, 0xBFFFFFFFFFFFFFFF), (0x7FFF, 3 << 62)]
FLOAT80 += [(0x7FFF, _M64), (0x7FFF, 0), (0x7FFF, 1), (0x3FFF, 1), (0x4010, 0x7FFFFFFFFFFFFFFF), (0x1234, 0)]


def integers(rng: np.random.Generator, count: int) -> np.ndarray:
    """64-bit integers: edges, small, uniform, narrow values under random upper halves."""
    kind = rng.random(count)
    uniform = rng.integers(0, 1 << 64, count, np.uint64)
    edge = EDGES[rng.integers(0, len(EDGES), count)]
    value = np.where(kind < 0.45, edge, uniform)
    value = np.where((kind >= 0.45) & (kind < 0.55), uniform >> 56, value)
    mixed = edge & np.uint64(0xFFFFFFFF) | uniform & np.uint64(0xFFFFFFFF00000000)
    return np.where((kind >= 0.55) & (kind < 0.7), mixed, value)


def float80(rng: np.random.Generator, count: int) -> np.ndarray:
    """An array (count, 16) of 80-bit floating-point values, six bytes of zero above each."""
    table = np.array(FLOAT80, dtype=object)
    pick = rng.integers(0, len(table), count)
    exponent = table[pick, 0].astype(np.uint64)
    significand = table[pick, 1].astype(np.uint64)
    uniform = rng.random(count)
    random = rng.integers(0, 1 << 64, count, np.uint64)
    near = uniform < 0.55
    exponent = np.where(near, rng.integers(0x3FFF - 70, 0x3FFF + 70, count).astype(np.uint64), exponent)
    significand = np.where(near, random | np.uint64(1 << 63), significand)
    short = near & (uniform < 0.25)  # few significant bits: exact results, ties
    significand = np.where(short, significand & np.uint64(0xFFF0000000000000), significand)
    mmx = uniform > 0.93
    exponent = np.where(mmx, np.uint64(0x7FFF), exponent)
    significand = np.where(mmx, random, significand)
    out = np.zeros((count, 2), np.uint64)
    out[:, 0] = significand
    out[:, 1] = exponent | np.where(rng.random(count) < 0.4, np.uint64(0x8000), np.uint64(0))
    return out.view(np.uint8).reshape(count, 16)


def vectors(rng: np.random.Generator, count: int) -> np.ndarray:
    """An array (count, 16) of bytes: each value all of one kind (floats of either width, integers, bytes, packed decimals)."""
    out = rng.integers(0, 256, (count, 16), np.uint8)
    kind = rng.integers(0, 8, count)
    n32 = rng.integers(0, len(FLOAT32), (count, 4))
    f32 = FLOAT32[n32] | rng.integers(0, 2, (count, 4), np.uint32) << 31
    ordinary = rng.normal(0, 1e3, (count, 4)).astype(np.float32).view(np.uint32)
    f32 = np.where(rng.random((count, 4)) < 0.4, ordinary, f32).view(np.uint8)
    f64 = FLOAT64[rng.integers(0, len(FLOAT64), (count, 2))] | rng.integers(0, 2, (count, 2), np.uint64) << np.uint64(63)
    ordinary = rng.normal(0, 1e6, (count, 2)).view(np.uint64)
    f64 = np.where(rng.random((count, 2)) < 0.4, ordinary, f64).view(np.uint8)
    edge = EDGES[rng.integers(0, len(EDGES), (count, 2))].view(np.uint8)
    bytes_ = np.array([0, 1, 2, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF], np.uint8)[rng.integers(0, 9, (count, 16))]
    decimal = rng.integers(0, 10, (count, 16), np.uint8) | rng.integers(0, 10, (count, 16), np.uint8) << 4
    decimal[:, 9] = rng.choice([0, 0x80], count)
    for n, values in ((0, f32), (1, f32), (2, f64), (3, f64), (4, edge), (5, bytes_)):
        out[kind == n] = values[kind == n]
    out[kind == 6] = float80(rng, int((kind == 6).sum()))
    few = (kind == 7) & (rng.random(count) < 0.4)
    out[few] = decimal[few]
    return out


def addresses(rng: np.random.Generator, count: int, width: int = 16, bits: int = 64) -> np.ndarray:
    """Addresses for an access of `width` bytes: mostly inside the window and aligned, some across page ends, into the hole, into the
    read-only page, and a few that are not canonical (64-bit only)."""
    width = max(width, 1)
    kind = rng.random(count)
    inside = rng.integers(0, (WINDOW_SIZE - 2 * width) // 16, count) * 16
    value = WINDOW + inside
    value = np.where(kind > 0.6, WINDOW + rng.integers(0, WINDOW_SIZE - width, count), value)
    short = rng.integers(0, max(width, 2), count)
    value = np.where(kind > 0.80, WINDOW + PAGE - short, value)
    value = np.where(kind > 0.88, WINDOW + WINDOW_SIZE - width, value)
    value = np.where(kind > 0.91, WINDOW + WINDOW_SIZE - short, value)
    value = np.where(kind > 0.935, READ_ONLY + rng.integers(0, PAGE - width, count), value)
    value = np.where(
        kind > 0.965, rng.choice([WINDOW - width, WINDOW - 1, WINDOW + WINDOW_SIZE, READ_ONLY - 1, READ_ONLY + PAGE - 1], count), value
    )
    value = value.astype(np.uint64)
    if bits == 64:
        odd = np.array([1 << 47, (1 << 47) - 1, (1 << 63) - 1, 1 << 63, -(1 << 47) - 1 & _M64, -(1 << 47) & _M64, _M64, 0], np.uint64)
        value = np.where(kind > 0.98, rng.choice(odd, count), value)
    return value


@dataclass(frozen=True)
class Place:
    """A memory operand of an encoded instruction: base + (index << scale) + displacement, `size` address bits, `width` bytes."""

    base: int | None
    index: int | None
    scale: int
    displacement: int
    size: int
    width: int
    segment: str | None = None  # the override, or the only one possible (es of the string instructions); None: the usual one


def segment_base(states: np.ndarray, place: Place, bits: int) -> np.ndarray | None:
    """The base that is added to a memory operand's address in each state, or None for 0."""
    name = place.segment or ("ss" if place.base in (RSP, RBP) else "ds")
    if name in ("fs", "gs"):
        return states[f"{name}_base"]
    if bits == 64 or "segment" not in states.dtype.names:
        return None
    return states["segment"]["base"][:, ("es", "cs", "ss", "ds").index(name)]


def aim(rng: np.random.Generator, states: np.ndarray, place: Place, bits: int = 64, share: float = 0.95) -> None:
    """Set the base (or index) register of `share` of the states so that the operand lies at one of `addresses`."""
    register = place.base if place.base is not None else place.index
    if register is None:
        return
    gpr = states["gpr"]
    count = len(states)
    target = addresses(rng, count, place.width, bits)
    mask = np.uint64((1 << place.size) - 1)
    base = segment_base(states, place, bits)
    if base is not None:
        target = target - base
    target = target - np.uint64(place.displacement & _M64)
    chosen = rng.random(count) < share
    if place.base is None or place.base == place.index:
        # Only one register: scaled by 1 << scale, plus itself when it is the base as well.
        factor = (1 << place.scale) + (place.base == place.index)
        value = (target & mask) // np.uint64(factor)
        gpr[chosen, register] = value[chosen]
        return
    if place.index is not None:
        small = rng.random(count) < 0.5
        gpr[small & chosen, place.index] = rng.integers(0, 64, count).astype(np.uint64)[small & chosen]
        target = target - (gpr[:, place.index] << np.uint64(place.scale))
    value = target & mask
    if place.size < 64 and bits == 64:
        value |= gpr[:, register] & ~mask
    gpr[chosen, register] = value[chosen]


def _fpu(rng: np.random.Generator, count: int, fx: np.ndarray, pool: np.ndarray) -> None:
    kind = rng.random(count)
    control = (rng.integers(0, 1 << 16, count) & 0x0F00) | 0x7F
    fcw = np.where(kind < 0.5, 0x37F, control)
    fcw = np.where(kind > 0.85, (rng.integers(0, 1 << 16, count) & 0x0F3F) | 0x40, fcw)
    # Exception flags are sticky; ES and B follow from flags and masks (SDM volume 1, 8.1.3).
    flags = np.where(rng.random(count) < 0.3, rng.integers(0, 128, count), 0)
    flags &= np.where(rng.random(count) < 0.7, fcw | 0x40, 0x7F)
    summary = (flags & ~fcw & 0x3F) != 0
    fsw = flags | (rng.integers(0, 1 << 16, count) & 0x7F00) | np.where(summary, 0x8080, 0)
    fx["fcw"], fx["fsw"] = fcw, fsw
    fx["ftw"] = np.where(rng.random(count) < 0.7, 0xFF, rng.integers(0, 256, count))
    numbers = float80(rng, 1024)
    fx["st"] = numbers[rng.integers(0, 1024, (count, 8))]
    kind = rng.random(count)
    mxcsr = 0x1F80 | np.where(kind < 0.5, 0, rng.integers(0, 1 << 16, count) & 0xE07F)
    mxcsr = np.where(kind > 0.85, mxcsr & ~(rng.integers(0, 64, count) << 7), mxcsr)
    fx["mxcsr"] = mxcsr
    xmm = pool[rng.integers(0, len(pool), (count, 16))]
    same = rng.random((count, 16)) < 0.05
    xmm[same] = np.broadcast_to(xmm[:, :1], xmm.shape)[same]
    fx["xmm"] = xmm


def generate(count: int, seed: int | list[int], bits: int = 64) -> np.ndarray:
    """`count` states at CODE_START. RSP, RBP, RSI, RDI and RBX point into the window more often than not, RCX is often small."""
    rng = np.random.default_rng(seed)
    states = empty(count)
    pool = vectors(rng, 2048)
    gpr = states["gpr"]
    gpr[:] = integers(rng, 16 * count).reshape(count, 16)
    for register, share in ((RSP, 0.95), (RBP, 0.6), (RSI, 0.7), (RDI, 0.7), (RBX, 0.4)):
        chosen = rng.random(count) < share
        gpr[chosen, register] = addresses(rng, count, 8, bits)[chosen]
    chosen = rng.random(count) < 0.4
    gpr[chosen, RCX] = rng.integers(0, 40, count).astype(np.uint64)[chosen]
    chosen = rng.random(count) < 0.2  # RDX:RAX a sign-extended value, so that wide divisions do not always overflow
    gpr[chosen, RDX] = rng.integers(0, 3, count).astype(np.uint64)[chosen]
    chosen = rng.random(count) < 0.15
    gpr[chosen, RDX] = np.uint64(0) - (gpr[chosen, RAX] >> np.uint64(63))
    if bits == 32:
        gpr &= 0xFFFF_FFFF
    states["rip"] = CODE_START
    states["rflags"] = 0x202 | (rng.integers(0, 1 << 12, count) & ARITHMETIC) | np.where(rng.random(count) < 0.2, DF, 0)
    for name in ("fs_base", "gs_base"):
        bases = rng.choice([0, 0, WINDOW, WINDOW + PAGE - 3, WINDOW - 0x100] + ([] if bits == 32 else [(1 << 47) - 1, _M64 - 0xFFF]), count)
        states[name] = bases.astype(np.uint64)
    fx = np.zeros(count, FX)
    _fpu(rng, count, fx, pool)
    states["fx"] = fx
    states["window"] = pool[rng.integers(0, len(pool), (count, WINDOW_SIZE // 16))].reshape(count, WINDOW_SIZE)
    return states


assert CF == 1 and STATE.fields["window"][0].shape == (WINDOW_SIZE,)
