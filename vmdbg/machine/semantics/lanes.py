"""Lanes: equal parts of a 64- or 128-bit word, worked on together (MMX and SSE integer; SDM vol. 1, chapters 9 to 12).

`bits` is the width of a lane: an int, 8, 16, 32 or 64.  Lane 0 is the lowest.  A word argument and the result have the
same type; masks have all bits of a lane set or none.  Most operations work on the whole word at once: `high` marks
the top bit of each lane, and sums of what lies below it cannot reach the next lane.
"""

from isa.lang.word import U64, like, sar, slt


def ones(a, bits):
    """A word of a's type with 1 in every lane."""
    if bits == 8:
        k = U64(0x0101010101010101)
    elif bits == 16:
        k = U64(0x0001000100010001)
    elif bits == 32:
        k = U64(0x0000000100000001)
    else:
        k = U64(1)
    w = like(a, k)
    return w | (w << (a.bits - 64))


def high(a, bits):
    """A word of a's type with the top bit of every lane set."""
    return ones(a, bits) << (bits - 1)


def spread(h, bits):
    """The mask of the lanes whose top bit is set in h; h has no other bits."""
    return (h << 1) - (h >> (bits - 1))


def select(mask, a, b):
    """a where the mask is set, b elsewhere."""
    return (a & mask) | (b & ~mask)


def lane(a, i, bits):
    """Lane i (a word) of a, zero-extended to 64 bits."""
    return U64(a >> (U64(i) * bits)) & (~U64(0) >> (64 - bits))


def lane_signed(a, i, bits):
    """Lane i (a word) of a, sign-extended to 64 bits."""
    return sar(U64(a >> (U64(i) * bits)) << (64 - bits), 64 - bits)


def at_lane(model, i, bits, v):
    """The low bits of the 64-bit v in lane i, all else 0, in model's type."""
    return like(model, v & (~U64(0) >> (64 - bits))) << (U64(i) * bits)


def with_lane(a, i, bits, v):
    """a with lane i replaced by the low bits of the 64-bit v."""
    return (a & ~at_lane(a, i, bits, ~U64(0))) | at_lane(a, i, bits, v)


def duplicate(model, v, bits):
    """The low bits of the 64-bit v in every lane, in model's type."""
    return ones(model, bits) * like(model, v & (~U64(0) >> (64 - bits)))


# ---- add, subtract, compare


def lane_add(a, b, bits):
    h = high(a, bits)
    return ((a & ~h) + (b & ~h)) ^ ((a ^ b) & h)


def lane_sub(a, b, bits):
    h = high(a, bits)
    return ((a | h) - (b & ~h)) ^ ((a ^ ~b) & h)


def lane_add_unsigned_saturating(a, b, bits):
    r = lane_add(a, b, bits)
    return r | spread(((a & b) | ((a | b) & ~r)) & high(a, bits), bits)


def lane_sub_unsigned_saturating(a, b, bits):
    r = lane_sub(a, b, bits)
    return r & ~spread(((~a & b) | (~(a ^ b) & r)) & high(a, bits), bits)


def saturated(a, r, overflow, bits):
    """r, but the largest or smallest signed value (by the sign of a) in lanes whose top bit is set in `overflow`."""
    h = high(a, bits)
    return select(spread(overflow & h, bits), spread(a & h, bits) ^ ~h, r)


def lane_add_signed_saturating(a, b, bits):
    r = lane_add(a, b, bits)
    return saturated(a, r, (a ^ r) & (b ^ r), bits)


def lane_sub_signed_saturating(a, b, bits):
    r = lane_sub(a, b, bits)
    return saturated(a, r, (a ^ b) & (a ^ r), bits)


def lane_equal(a, b, bits):
    """The mask of the lanes in which a == b."""
    h, x = high(a, bits), a ^ b
    return spread(~(((x & ~h) + ~h) | x) & h, bits)


def lane_below(a, b, bits):
    """The mask of the lanes in which a < b, unsigned."""
    r = lane_sub(a, b, bits)
    return spread(((~a & b) | (~(a ^ b) & r)) & high(a, bits), bits)


def lane_less(a, b, bits):
    """The mask of the lanes in which a < b, signed."""
    h = high(a, bits)
    return lane_below(a ^ h, b ^ h, bits)


def lane_average(a, b, bits):
    """(a + b + 1) >> 1, unsigned, without loss of the carry."""
    return (a | b) - (((a ^ b) & ~ones(a, bits)) >> 1)


def lane_negate_where(a, mask, bits):
    """-a in the lanes of the mask, a elsewhere."""
    return lane_sub(a ^ mask, mask, bits)


# ---- shifts of every lane by one count, 0 <= n < bits


def lane_shift_left(a, n, bits):
    k = ones(a, bits)
    return (a << n) & ~((k << n) - k)


def lane_shift_right(a, n, bits):
    k = ones(a, bits)
    return (a & ~((k << n) - k)) >> n


def lane_shift_right_signed(a, n, bits):
    k = ones(a, bits)
    below = (k << n) - k
    return ((a & ~below) >> n) | (spread(a & high(a, bits), bits) & ~(~below >> n))


# ---- multiply


def lane_multiply_low(a, b, bits):
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // bits):
        r = r | at_lane(a, i, bits, lane(a, i, bits) * lane(b, i, bits))
        i = i + 1
    return r


def lane_multiply_high(a, b, bits):
    """The upper half of the signed products; lanes of up to 32 bits."""
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // bits):
        r = r | at_lane(a, i, bits, (lane_signed(a, i, bits) * lane_signed(b, i, bits)) >> bits)
        i = i + 1
    return r


def lane_multiply_high_unsigned(a, b, bits):
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // bits):
        r = r | at_lane(a, i, bits, (lane(a, i, bits) * lane(b, i, bits)) >> bits)
        i = i + 1
    return r


def lane_multiply_high_rounded(a, b):
    """PMULHRSW: ((a * b >> 14) + 1) >> 1 in 16-bit lanes."""
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // 16):
        r = r | at_lane(a, i, 16, (((lane_signed(a, i, 16) * lane_signed(b, i, 16)) >> 14) + 1) >> 1)
        i = i + 1
    return r


def lane_multiply_even(a, b):
    """Unsigned products of the even 32-bit lanes, 64 bits each."""
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // 64):
        r = r | at_lane(a, i, 64, lane(a, i + i, 32) * lane(b, i + i, 32))
        i = i + 1
    return r


def lane_multiply_even_signed(a, b):
    """Signed products of the even 32-bit lanes, 64 bits each."""
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // 64):
        r = r | at_lane(a, i, 64, lane_signed(a, i + i, 32) * lane_signed(b, i + i, 32))
        i = i + 1
    return r


def lane_multiply_add(a, b):
    """PMADDWD: sums of neighbouring signed 16-bit products, wrapping at 32 bits."""
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // 32):
        low = lane_signed(a, i + i, 16) * lane_signed(b, i + i, 16)
        r = r | at_lane(a, i, 32, low + lane_signed(a, i + i + 1, 16) * lane_signed(b, i + i + 1, 16))
        i = i + 1
    return r


def lane_multiply_add_bytes(a, b):
    """PMADDUBSW: sums of neighbouring products, unsigned bytes of a by signed bytes of b, saturated to signed 16 bits."""
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // 16):
        low = lane(a, i + i, 8) * lane_signed(b, i + i, 8)
        r = r | at_lane(a, i, 16, clamp_signed(low + lane(a, i + i + 1, 8) * lane_signed(b, i + i + 1, 8), 16))
        i = i + 1
    return r


# ---- saturation and packing


def clamp_signed(v, bits):
    """The signed 64-bit v, limited to what `bits` bits hold."""
    top = (U64(1) << (bits - 1)) - 1
    low = top if slt(top, v) else v
    return ~top if slt(low, ~top) else low


def clamp_unsigned(v, bits):
    """The signed 64-bit v, limited to 0 .. 2**bits - 1."""
    top = (U64(1) << bits) - 1
    low = top if slt(top, v) else v
    return U64(0) if slt(low, U64(0)) else low


def lane_pack(a, b, bits):
    """Signed lanes of `bits` bits, saturated to signed ones of half the width: those of a below those of b."""
    r, i, half, n = a ^ a, U64(0), bits // 2, U64(a.bits // bits)
    while i < n:
        r = r | at_lane(a, i, half, clamp_signed(lane_signed(a, i, bits), half))
        r = r | at_lane(a, i + n, half, clamp_signed(lane_signed(b, i, bits), half))
        i = i + 1
    return r


def lane_pack_unsigned(a, b, bits):
    """Signed lanes of `bits` bits, saturated to unsigned ones of half the width: those of a below those of b."""
    r, i, half, n = a ^ a, U64(0), bits // 2, U64(a.bits // bits)
    while i < n:
        r = r | at_lane(a, i, half, clamp_unsigned(lane_signed(a, i, bits), half))
        r = r | at_lane(a, i + n, half, clamp_unsigned(lane_signed(b, i, bits), half))
        i = i + 1
    return r


def lane_interleave(a, b, bits, first):
    """Lanes a, b, a, b ..: from lane `first` (a word) of each on."""
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // bits // 2):
        r = r | at_lane(a, i + i, bits, lane(a, i + first, bits)) | at_lane(a, i + i + 1, bits, lane(b, i + first, bits))
        i = i + 1
    return r


# ---- whole words


def shift_word_left(a, n):
    """a << n for any 64-bit n: 0 from a's width on."""
    if n < U64(a.bits):
        return a << n
    return a ^ a


def shift_word_right(a, n):
    """a >> n for any 64-bit n: 0 from a's width on."""
    if n < U64(a.bits):
        return a >> n
    return a ^ a


def shuffle_bytes(a, order):
    """PSHUFB: byte i is byte order[i] of a, or 0 if order[i] has bit 7 set."""
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // 8):
        k = lane(order, i, 8)
        if k < 0x80:
            r = r | at_lane(a, i, 8, lane(a, k & U64(a.bits // 8 - 1), 8))
        i = i + 1
    return r


def sum_absolute_differences(a, b):
    """PSADBW: |a - b| of unsigned bytes, summed over each 64 bits."""
    d = lane_sub_unsigned_saturating(a, b, 8) | lane_sub_unsigned_saturating(b, a, 8)
    r, i = a ^ a, U64(0)
    while i < U64(a.bits // 8):
        r = r + (like(a, lane(d, i, 8)) << ((i >> 3) << 6))
        i = i + 1
    return r


def top_bits(a, bits):
    """The top bit of each lane, as the low bits of a 64-bit word (PMOVMSKB, MOVMSKPS)."""
    r, i = U64(0), U64(0)
    while i < U64(a.bits // bits):
        r = r | ((lane(a, i, bits) >> (bits - 1)) << i)
        i = i + 1
    return r
