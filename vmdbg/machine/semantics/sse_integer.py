"""Packed integers: MMX and SSE to SSE4.1 (SDM vol. 1, chapters 9 to 12; vol. 2).

Operands are 64 bits (MMX) or 128 bits wide; a source may be narrower where only its low part is used.  The last
parameter `bits`, where there is one, is the lane width and the constant of the row (`cc`).
"""

from isa.lang.word import U64, like
from vmdbg.machine.flags import set_status
from vmdbg.machine.semantics.lanes import (
    at_lane,
    clamp_signed,
    high,
    lane,
    lane_add,
    lane_add_signed_saturating,
    lane_add_unsigned_saturating,
    lane_average,
    lane_below,
    lane_equal,
    lane_interleave,
    lane_less,
    lane_multiply_add,
    lane_multiply_add_bytes,
    lane_multiply_even,
    lane_multiply_even_signed,
    lane_multiply_high,
    lane_multiply_high_rounded,
    lane_multiply_high_unsigned,
    lane_multiply_low,
    lane_negate_where,
    lane_pack,
    lane_pack_unsigned,
    lane_shift_left,
    lane_shift_right,
    lane_shift_right_signed,
    lane_signed,
    lane_sub,
    lane_sub_signed_saturating,
    lane_sub_unsigned_saturating,
    select,
    shift_word_left,
    shift_word_right,
    shuffle_bytes,
    spread,
    sum_absolute_differences,
    top_bits,
    with_lane,
)
from vmdbg.machine.state import NEXT

# ---- lane by lane


def packed_add(cpu, u, dst, src, bits):
    dst.value = lane_add(dst.value, src.value, bits)
    return NEXT


def packed_sub(cpu, u, dst, src, bits):
    dst.value = lane_sub(dst.value, src.value, bits)
    return NEXT


def packed_add_signed(cpu, u, dst, src, bits):
    dst.value = lane_add_signed_saturating(dst.value, src.value, bits)
    return NEXT


def packed_add_unsigned(cpu, u, dst, src, bits):
    dst.value = lane_add_unsigned_saturating(dst.value, src.value, bits)
    return NEXT


def packed_sub_signed(cpu, u, dst, src, bits):
    dst.value = lane_sub_signed_saturating(dst.value, src.value, bits)
    return NEXT


def packed_sub_unsigned(cpu, u, dst, src, bits):
    dst.value = lane_sub_unsigned_saturating(dst.value, src.value, bits)
    return NEXT


def packed_average(cpu, u, dst, src, bits):
    dst.value = lane_average(dst.value, src.value, bits)
    return NEXT


def packed_equal(cpu, u, dst, src, bits):
    dst.value = lane_equal(dst.value, src.value, bits)
    return NEXT


def packed_greater(cpu, u, dst, src, bits):
    """PCMPGT: signed."""
    dst.value = lane_less(src.value, dst.value, bits)
    return NEXT


def packed_min(cpu, u, dst, src, bits):
    a, b = dst.value, src.value
    dst.value = select(lane_less(a, b, bits), a, b)
    return NEXT


def packed_max(cpu, u, dst, src, bits):
    a, b = dst.value, src.value
    dst.value = select(lane_less(a, b, bits), b, a)
    return NEXT


def packed_min_unsigned(cpu, u, dst, src, bits):
    a, b = dst.value, src.value
    dst.value = select(lane_below(a, b, bits), a, b)
    return NEXT


def packed_max_unsigned(cpu, u, dst, src, bits):
    a, b = dst.value, src.value
    dst.value = select(lane_below(a, b, bits), b, a)
    return NEXT


def packed_abs(cpu, u, dst, src, bits):
    a = src.value
    dst.value = lane_negate_where(a, spread(a & high(a, bits), bits), bits)
    return NEXT


def packed_sign(cpu, u, dst, src, bits):
    """PSIGN: each lane negated, kept or cleared by the sign of the source's lane."""
    b = src.value
    negated = lane_negate_where(dst.value, spread(b & high(b, bits), bits), bits)
    dst.value = negated & ~lane_equal(b, b ^ b, bits)
    return NEXT


# ---- logic on the whole operand: PAND, ANDPS, ANDPD and kin


def pand(cpu, u, dst, src):
    dst.value = dst.value & src.value
    return NEXT


def pandn(cpu, u, dst, src):
    dst.value = ~dst.value & src.value
    return NEXT


def por(cpu, u, dst, src):
    dst.value = dst.value | src.value
    return NEXT


def pxor(cpu, u, dst, src):
    dst.value = dst.value ^ src.value
    return NEXT


def ptest(cpu, u, left, right):
    """ZF: no bit in common; CF: no bit of the right operand outside the left one."""
    a, b = left.value, right.value
    flags = U64(0x40) if (a & b) == 0 else U64(0)
    set_status(cpu, flags | U64((~a & b) == 0))
    return NEXT


# ---- shifts: the count is the low 64 bits of the source, or an immediate byte


def packed_shift_left(cpu, u, dst, count, bits):
    n, a = U64(count.value), dst.value
    dst.value = lane_shift_left(a, n, bits) if n < U64(bits) else a ^ a
    return NEXT


def packed_shift_right(cpu, u, dst, count, bits):
    n, a = U64(count.value), dst.value
    dst.value = lane_shift_right(a, n, bits) if n < U64(bits) else a ^ a
    return NEXT


def packed_shift_right_signed(cpu, u, dst, count, bits):
    n, top = U64(count.value), U64(bits) - 1
    dst.value = lane_shift_right_signed(dst.value, n if n < top else top, bits)
    return NEXT


def pslldq(cpu, u, dst, count):
    dst.value = shift_word_left(dst.value, U64(count.value) << 3)
    return NEXT


def psrldq(cpu, u, dst, count):
    dst.value = shift_word_right(dst.value, U64(count.value) << 3)
    return NEXT


def palignr(cpu, u, dst, src, count):
    a, n = dst.value, U64(count.value) << 3
    width = U64(a.bits)
    low = shift_word_right(src.value, n)
    dst.value = low | (shift_word_left(a, width - n) if n < width else shift_word_right(a, n - width))
    return NEXT


# ---- multiply


def packed_multiply_low(cpu, u, dst, src, bits):
    dst.value = lane_multiply_low(dst.value, src.value, bits)
    return NEXT


def pmulhw(cpu, u, dst, src):
    dst.value = lane_multiply_high(dst.value, src.value, 16)
    return NEXT


def pmulhuw(cpu, u, dst, src):
    dst.value = lane_multiply_high_unsigned(dst.value, src.value, 16)
    return NEXT


def pmulhrsw(cpu, u, dst, src):
    dst.value = lane_multiply_high_rounded(dst.value, src.value)
    return NEXT


def pmuludq(cpu, u, dst, src):
    dst.value = lane_multiply_even(dst.value, src.value)
    return NEXT


def pmuldq(cpu, u, dst, src):
    dst.value = lane_multiply_even_signed(dst.value, src.value)
    return NEXT


def pmaddwd(cpu, u, dst, src):
    dst.value = lane_multiply_add(dst.value, src.value)
    return NEXT


def pmaddubsw(cpu, u, dst, src):
    dst.value = lane_multiply_add_bytes(dst.value, src.value)
    return NEXT


# ---- neighbours


def horizontal(a, b, bits, op):
    """Neighbouring lanes of a, then of b, joined: op 0 add, 1 subtract, 2 and 3 the same with signed saturation."""
    r, i, n = a ^ a, U64(0), U64(a.bits // bits)
    while i < n:
        c, k = (a, i + i) if i + i < n else (b, i + i - n)
        left, right = lane_signed(c, k, bits), lane_signed(c, k + 1, bits)
        v = left - right if (op & 1) == 1 else left + right
        r = r | at_lane(a, i, bits, clamp_signed(v, bits) if op >= 2 else v)
        i = i + 1
    return r


def packed_horizontal_add(cpu, u, dst, src, bits):
    dst.value = horizontal(dst.value, src.value, bits, 0)
    return NEXT


def packed_horizontal_sub(cpu, u, dst, src, bits):
    dst.value = horizontal(dst.value, src.value, bits, 1)
    return NEXT


def phaddsw(cpu, u, dst, src):
    dst.value = horizontal(dst.value, src.value, 16, 2)
    return NEXT


def phsubsw(cpu, u, dst, src):
    dst.value = horizontal(dst.value, src.value, 16, 3)
    return NEXT


def psadbw(cpu, u, dst, src):
    dst.value = sum_absolute_differences(dst.value, src.value)
    return NEXT


def mpsadbw(cpu, u, dst, src, control):
    """Eight sums of four absolute differences: bytes i .. i+3 of the destination against one group of the source."""
    a, b, c = dst.value, src.value, U64(control.value)
    first, group = c & 4, (c & 3) << 2
    r, i = a ^ a, U64(0)
    while i < 8:
        total, k = U64(0), U64(0)
        while k < 4:
            x, y = lane(a, first + i + k, 8), lane(b, group + k, 8)
            total = total + (x - y if x > y else y - x)
            k = k + 1
        r = r | at_lane(a, i, 16, total)
        i = i + 1
    dst.value = r
    return NEXT


def phminposuw(cpu, u, dst, src):
    """The smallest unsigned 16-bit lane, and above it its lowest index."""
    a = src.value
    best, where, i = lane(a, U64(0), 16), U64(0), U64(1)
    while i < 8:
        v = lane(a, i, 16)
        if v < best:
            best, where = v, i
        i = i + 1
    dst.value = like(a, best | (where << 16))
    return NEXT


# ---- conversion between widths, shuffles


def packed_pack(cpu, u, dst, src, bits):
    dst.value = lane_pack(dst.value, src.value, bits)
    return NEXT


def packed_pack_unsigned(cpu, u, dst, src, bits):
    dst.value = lane_pack_unsigned(dst.value, src.value, bits)
    return NEXT


def packed_unpack_low(cpu, u, dst, src, bits):
    """PUNPCKL, UNPCKLPS, UNPCKLPD."""
    a = dst.value
    dst.value = lane_interleave(a, like(a, src.value), bits, U64(0))
    return NEXT


def packed_unpack_high(cpu, u, dst, src, bits):
    """PUNPCKH, UNPCKHPS, UNPCKHPD."""
    a = dst.value
    dst.value = lane_interleave(a, src.value, bits, U64(a.bits // bits // 2))
    return NEXT


def packed_extend(cpu, u, dst, src, shape):
    """PMOVZX: shape is 100 * lane width of the destination + lane width of the source."""
    a, b = dst.value, src.value
    r, i = a ^ a, U64(0)
    while i < U64(128 // (shape // 100)):
        r = r | at_lane(r, i, shape // 100, lane(b, i, shape % 100))
        i = i + 1
    dst.value = r
    return NEXT


def packed_extend_signed(cpu, u, dst, src, shape):
    """PMOVSX: shape is 100 * lane width of the destination + lane width of the source."""
    a, b = dst.value, src.value
    r, i = a ^ a, U64(0)
    while i < U64(128 // (shape // 100)):
        r = r | at_lane(r, i, shape // 100, lane_signed(b, i, shape % 100))
        i = i + 1
    dst.value = r
    return NEXT


def pshufb(cpu, u, dst, src):
    dst.value = shuffle_bytes(dst.value, src.value)
    return NEXT


def shuffle_four(a, order, first, bits):
    """Lanes first .. first+3 of a in the order of the four bit pairs, all other lanes as they are."""
    r, i = a, U64(0)
    while i < 4:
        r = with_lane(r, first + i, bits, lane(a, first + ((order >> (i + i)) & 3), bits))
        i = i + 1
    return r


def packed_shuffle(cpu, u, dst, src, order):
    """PSHUFD, and PSHUFW on 64 bits."""
    a = src.value
    dst.value = shuffle_four(a, U64(order.value), U64(0), a.bits // 4)
    return NEXT


def pshuflw(cpu, u, dst, src, order):
    dst.value = shuffle_four(src.value, U64(order.value), U64(0), 16)
    return NEXT


def pshufhw(cpu, u, dst, src, order):
    dst.value = shuffle_four(src.value, U64(order.value), U64(4), 16)
    return NEXT


def packed_blend(cpu, u, dst, src, control, bits):
    """PBLENDW, BLENDPS, BLENDPD: the source's lane where the control has a one."""
    a, b, c = dst.value, src.value, U64(control.value)
    r, i = a, U64(0)
    while i < U64(a.bits // bits):
        if ((c >> i) & 1) == 1:
            r = with_lane(r, i, bits, lane(b, i, bits))
        i = i + 1
    dst.value = r
    return NEXT


def packed_blend_variable(cpu, u, dst, src, mask, bits):
    """PBLENDVB, BLENDVPS, BLENDVPD: the source's lane where the mask's lane has its top bit set."""
    a = dst.value
    dst.value = select(spread(mask.value & high(a, bits), bits), src.value, a)
    return NEXT


def packed_insert(cpu, u, dst, src, index, bits):
    """PINSRB, PINSRW."""
    a = dst.value
    dst.value = with_lane(a, U64(index.value) & U64(a.bits // bits - 1), bits, U64(src.value))
    return NEXT


def pinsrd(cpu, u, dst, src, index):
    """PINSRD, PINSRQ: a lane is as wide as the source."""
    a, b = dst.value, src.value
    dst.value = with_lane(a, U64(index.value) & U64(a.bits // b.bits - 1), b.bits, U64(b))
    return NEXT


def packed_extract(cpu, u, dst, src, index, bits):
    """PEXTRB, PEXTRW, EXTRACTPS: zero-extended to the destination."""
    a = src.value
    dst.value = like(dst.value, lane(a, U64(index.value) & U64(a.bits // bits - 1), bits))
    return NEXT


def pextrd(cpu, u, dst, src, index):
    """PEXTRD, PEXTRQ: a lane is as wide as the destination."""
    a, d = src.value, dst.value
    dst.value = like(d, lane(a, U64(index.value) & U64(a.bits // d.bits - 1), d.bits))
    return NEXT


def packed_sign_mask(cpu, u, dst, src, bits):
    """PMOVMSKB, MOVMSKPS, MOVMSKPD."""
    dst.value = like(dst.value, top_bits(src.value, bits))
    return NEXT
