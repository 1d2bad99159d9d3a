"""AES-NI, PCLMULQDQ, SHA extensions and CRC32 (SDM vol. 2; FIPS 197, FIPS 180-4).

AES works on all 16 bytes at once, without tables: byte i of the word is row i mod 4, column i div 4 of the state.
"""

from isa.lang.word import U32, U64, U128, like, outlined
from vmdbg.machine.semantics.lanes import at_lane, duplicate, lane
from vmdbg.machine.state import NEXT

# ---- AES


def double(a):
    """Every byte times x in GF(2**8), modulo x**8 + x**4 + x**3 + x + 1."""
    top = (a >> 7) & duplicate(a, U64(1), 8)
    return ((a & duplicate(a, U64(0x7F), 8)) << 1) ^ (top * 0x1B)


@outlined
def multiply(a, b):
    """Bytewise product in GF(2**8)."""
    r, i = a ^ a, U64(0)
    while i < 8:
        r = r ^ ((((b >> i) & duplicate(a, U64(1), 8)) * 0xFF) & a)
        a = double(a)
        i = i + 1
    return r


@outlined
def invert(a):
    """Bytewise inverse in GF(2**8), 0 for 0: a ** 254."""
    a2 = multiply(a, a)
    a3 = multiply(a2, a)
    a6 = multiply(a3, a3)
    a12 = multiply(a6, a6)
    a15 = multiply(a12, a3)
    a30 = multiply(a15, a15)
    a60 = multiply(a30, a30)
    a120 = multiply(a60, a60)
    a126 = multiply(a120, a6)
    a127 = multiply(a126, a)
    return multiply(a127, a127)


def rotate_bytes(a, n):
    """Every byte rotated left by n, 1 <= n <= 7."""
    below = duplicate(a, (U64(1) << n) - 1, 8)
    return ((a << n) & ~below) | ((a >> (8 - n)) & below)


@outlined
def sub_bytes(a):
    """FIPS 197, 5.1.1: the inverse, then the affine map."""
    b = invert(a)
    return b ^ rotate_bytes(b, 1) ^ rotate_bytes(b, 2) ^ rotate_bytes(b, 3) ^ rotate_bytes(b, 4) ^ duplicate(a, U64(0x63), 8)


@outlined
def inverse_sub_bytes(a):
    """FIPS 197, 5.3.2."""
    return invert(rotate_bytes(a, 1) ^ rotate_bytes(a, 3) ^ rotate_bytes(a, 6) ^ duplicate(a, U64(0x05), 8))


def shift_rows(a, step):
    """Row r moves r columns left for step 1, right for step 3."""
    r, i = a ^ a, U64(0)
    while i < 16:
        r = r | at_lane(a, i, 8, lane(a, (i + ((i & 3) << 2) * step) & 15, 8))
        i = i + 1
    return r


def rotate_columns(a, n):
    """Byte i of every 32-bit column becomes byte i - n."""
    below = duplicate(a, ~U64(0) >> (32 + n), 32)
    return ((a >> n) & below) | ((a << (32 - n)) & ~below)


def mix_columns(a):
    """FIPS 197, 5.1.3."""
    next_row = rotate_columns(a, 8)
    return double(a ^ next_row) ^ next_row ^ rotate_columns(a, 16) ^ rotate_columns(a, 24)


def inverse_mix_columns(a):
    """FIPS 197, 5.3.3, as mix_columns after a step that makes up the difference."""
    four = double(double(a ^ rotate_columns(a, 16)))
    return mix_columns(a ^ four)


def aesenc(cpu, u, dst, key):
    dst.value = mix_columns(sub_bytes(shift_rows(dst.value, U64(1)))) ^ key.value
    return NEXT


def aesenclast(cpu, u, dst, key):
    dst.value = sub_bytes(shift_rows(dst.value, U64(1))) ^ key.value
    return NEXT


def aesdec(cpu, u, dst, key):
    dst.value = inverse_mix_columns(inverse_sub_bytes(shift_rows(dst.value, U64(3)))) ^ key.value
    return NEXT


def aesdeclast(cpu, u, dst, key):
    dst.value = inverse_sub_bytes(shift_rows(dst.value, U64(3))) ^ key.value
    return NEXT


def aesimc(cpu, u, dst, src):
    dst.value = inverse_mix_columns(src.value)
    return NEXT


def aeskeygenassist(cpu, u, dst, src, constant):
    """SubWord of lanes 1 and 3, each also rotated and with the round constant."""
    a = src.value
    s, rcon = sub_bytes(a), U64(constant.value)
    one, three = lane(s, U64(1), 32), lane(s, U64(3), 32)
    r = at_lane(a, U64(0), 32, one) | at_lane(a, U64(1), 32, ((one >> 8) | (one << 24)) ^ rcon)
    dst.value = r | at_lane(a, U64(2), 32, three) | at_lane(a, U64(3), 32, ((three >> 8) | (three << 24)) ^ rcon)
    return NEXT


# ---- carry-less multiplication


def pclmulqdq(cpu, u, dst, src, which):
    """Bit 0 of `which` selects the half of the destination, bit 4 that of the source."""
    c = U64(which.value)
    a, b = U128(lane(dst.value, c & 1, 64)), lane(src.value, (c >> 4) & 1, 64)
    r, i = a ^ a, U64(0)
    while i < 64:
        r = r ^ ((a << i) * U128((b >> i) & 1))
        i = i + 1
    dst.value = r
    return NEXT


# ---- SHA


def rotate_left(x, n):
    """A 32-bit word rotated by 1 <= n <= 31."""
    return (x << n) | (x >> (32 - n))


def rotate_right(x, n):
    return (x >> n) | (x << (32 - n))


def part(a, i):
    """32-bit lane i, an int."""
    return U32(a >> (32 * i))


def joined(a3, a2, a1, a0):
    """Four 32-bit words, a3 the highest."""
    return U128(a0) | (U128(a1) << 32) | (U128(a2) << 64) | (U128(a3) << 96)


def sha1msg1(cpu, u, dst, src):
    a = dst.value
    dst.value = a ^ ((a << 64) | (src.value >> 64))
    return NEXT


def sha1msg2(cpu, u, dst, src):
    a, b = dst.value, src.value
    w16 = rotate_left(part(a, 3) ^ part(b, 2), 1)
    w17 = rotate_left(part(a, 2) ^ part(b, 1), 1)
    w18 = rotate_left(part(a, 1) ^ part(b, 0), 1)
    w19 = rotate_left(part(a, 0) ^ w16, 1)
    dst.value = joined(w16, w17, w18, w19)
    return NEXT


def sha1nexte(cpu, u, dst, src):
    dst.value = src.value + (U128(rotate_left(part(dst.value, 3), 30)) << 96)
    return NEXT


def sha1rnds4(cpu, u, dst, src, function):
    """Four rounds; the message's first word has E added already."""
    which = U64(function.value) & 3
    s, w = dst.value, src.value
    a, b, c, d, e = part(s, 3), part(s, 2), part(s, 1), part(s, 0), U32(0)
    i = U64(0)
    while i < 4:
        if which == 0:
            f, k = (b & c) ^ (~b & d), U32(0x5A827999)
        elif which == 1:
            f, k = b ^ c ^ d, U32(0x6ED9EBA1)
        elif which == 2:
            f, k = (b & c) ^ (b & d) ^ (c & d), U32(0x8F1BBCDC)
        else:
            f, k = b ^ c ^ d, U32(0xCA62C1D6)
        t = f + rotate_left(a, 5) + U32(lane(w, 3 - i, 32)) + e + k
        a, b, c, d, e = t, a, rotate_left(b, 30), c, d
        i = i + 1
    dst.value = joined(a, b, c, d)
    return NEXT


def sha256rnds2(cpu, u, dst, src, message):
    """Two rounds: A B E F in the source, C D G H in the destination, W + K in the low half of the third operand."""
    s, t, wk = src.value, dst.value, U64(message.value)
    a, b, e, f = part(s, 3), part(s, 2), part(s, 1), part(s, 0)
    c, d, g, h = part(t, 3), part(t, 2), part(t, 1), part(t, 0)
    i = U64(0)
    while i < 2:
        upper = ((e & f) ^ (~e & g)) + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) + U32(wk >> (i << 5)) + h
        lower = ((a & b) ^ (a & c) ^ (b & c)) + (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22))
        a, b, c, d, e, f, g, h = upper + lower, a, b, c, upper + d, e, f, g
        i = i + 1
    dst.value = joined(a, b, e, f)
    return NEXT


def small_sigma0(x):
    return rotate_right(x, 7) ^ rotate_right(x, 18) ^ (x >> 3)


def small_sigma1(x):
    return rotate_right(x, 17) ^ rotate_right(x, 19) ^ (x >> 10)


def sha256msg1(cpu, u, dst, src):
    a, w4 = dst.value, part(src.value, 0)
    w0, w1, w2, w3 = part(a, 0), part(a, 1), part(a, 2), part(a, 3)
    dst.value = joined(w3 + small_sigma0(w4), w2 + small_sigma0(w3), w1 + small_sigma0(w2), w0 + small_sigma0(w1))
    return NEXT


def sha256msg2(cpu, u, dst, src):
    a, b = dst.value, src.value
    w16 = part(a, 0) + small_sigma1(part(b, 2))
    w17 = part(a, 1) + small_sigma1(part(b, 3))
    w18 = part(a, 2) + small_sigma1(w16)
    w19 = part(a, 3) + small_sigma1(w17)
    dst.value = joined(w19, w18, w17, w16)
    return NEXT


# ---- CRC32


def crc32(cpu, u, dst, src):
    """CRC-32C (polynomial 11EDC6F41h, bits reflected) of the source's bytes, continued from the low 32 bits."""
    a = src.value
    crc, i = U64(U32(dst.value)) ^ (U64(a) & 0xFFFFFFFF), U64(0)
    high_part = U64(a) >> 32
    while i < U64(a.bits):
        if i == 32:
            crc = crc ^ high_part
        crc = (crc >> 1) ^ ((crc & 1) * 0x82F63B78)
        i = i + 1
    dst.value = like(dst.value, crc)
    return NEXT
