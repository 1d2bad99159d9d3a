"""Bit manipulation on general registers: POPCNT, LZCNT, TZCNT, MOVBE, BMI1, BMI2, ADX (SDM vol. 2).

Flags that the manual leaves undefined are cleared, which is what Intel's processors do; PF of ANDN, BLSI, BLSR,
BLSMSK, BZHI is that of the result.
"""

from isa.lang.word import U64, U128, bswap, leading_zeros, like, negative, popcount, sar, trailing_zeros
from vmdbg.machine.flags import carry, flags_logic, overflow, set_carry, set_flags, set_overflow, set_status
from vmdbg.machine.state import NEXT


def set_zero_and_carry(cpu, zf, cf):
    """ZF and CF as given, all other status flags clear."""
    flags = U64(0x40) if zf else U64(0)
    set_status(cpu, flags | U64(cf))


def popcnt(cpu, u, dst, src):
    a = src.value
    set_zero_and_carry(cpu, a == 0, False)
    dst.value = popcount(a)
    return NEXT


def lzcnt(cpu, u, dst, src):
    a = src.value
    r = leading_zeros(a)
    set_zero_and_carry(cpu, r == 0, a == 0)
    dst.value = r
    return NEXT


def tzcnt(cpu, u, dst, src):
    a = src.value
    r = trailing_zeros(a)
    set_zero_and_carry(cpu, r == 0, a == 0)
    dst.value = r
    return NEXT


def movbe(cpu, u, dst, src):
    dst.value = bswap(src.value)
    return NEXT


# ---- BMI1


def logic_with_carry(cpu, r, cf):
    """ZF and SF of r, CF as given, OF and AF clear."""
    set_flags(cpu, r, cf, negative(r), r ^ r)


def andn(cpu, u, dst, left, right):
    r = ~left.value & right.value
    flags_logic(cpu, r)
    dst.value = r
    return NEXT


def blsi(cpu, u, dst, src):
    a = src.value
    r = a & -a
    logic_with_carry(cpu, r, a != 0)
    dst.value = r
    return NEXT


def blsr(cpu, u, dst, src):
    a = src.value
    r = a & (a - 1)
    logic_with_carry(cpu, r, a == 0)
    dst.value = r
    return NEXT


def blsmsk(cpu, u, dst, src):
    """ZF is clear."""
    a = src.value
    r = a ^ (a - 1)
    logic_with_carry(cpu, r, a == 0)
    dst.value = r
    return NEXT


def low_bits(a, n):
    """The low n bits of a; all of it for n >= its width."""
    if n < U64(a.bits):
        return a & ((like(a, U64(1)) << n) - 1)
    return a


def bextr(cpu, u, dst, src, control):
    """control: first bit in bits 7:0, how many in bits 15:8."""
    a, c = src.value, U64(control.value)
    start = c & 0xFF
    r = low_bits(a >> start if start < U64(a.bits) else a ^ a, (c >> 8) & 0xFF)
    set_zero_and_carry(cpu, r == 0, False)
    dst.value = r
    return NEXT


# ---- BMI2


def bzhi(cpu, u, dst, src, index):
    """CF: the index is beyond the operand."""
    a, n = src.value, U64(index.value) & 0xFF
    r = low_bits(a, n)
    logic_with_carry(cpu, r, n > U64(a.bits - 1))
    dst.value = r
    return NEXT


def mulx(cpu, u, high, low, src):
    """EDX or RDX times the source; no flags.  The high half wins if both destinations are one register."""
    b = src.value
    product = U128(like(b, cpu.gpr[2])) * U128(b)
    low.value = like(b, product)
    high.value = like(b, product >> b.bits)
    return NEXT


def pdep(cpu, u, dst, src, mask):
    """Low bits of the source to the places where the mask has ones."""
    a, m = src.value, mask.value
    r, one = a ^ a, like(a, U64(1))
    while m != 0:
        bit = m & -m
        if (a & one) != 0:
            r = r | bit
        a = a >> 1
        m = m ^ bit
    dst.value = r
    return NEXT


def pext(cpu, u, dst, src, mask):
    """The bits of the source where the mask has ones, side by side."""
    a, m = src.value, mask.value
    r, to = a ^ a, like(a, U64(1))
    while m != 0:
        bit = m & -m
        if (a & bit) != 0:
            r = r | to
        to = to << 1
        m = m ^ bit
    dst.value = r
    return NEXT


def rorx(cpu, u, dst, src, count):
    """Rotate right; no flags."""
    a = src.value
    mask = U64(a.bits - 1)
    n = U64(count.value) & mask
    dst.value = (a >> n) | (a << ((U64(a.bits) - n) & mask))
    return NEXT


def sarx(cpu, u, dst, src, count):
    a = src.value
    dst.value = sar(a, U64(count.value) & U64(a.bits - 1))
    return NEXT


def shlx(cpu, u, dst, src, count):
    a = src.value
    dst.value = a << (U64(count.value) & U64(a.bits - 1))
    return NEXT


def shrx(cpu, u, dst, src, count):
    a = src.value
    dst.value = a >> (U64(count.value) & U64(a.bits - 1))
    return NEXT


# ---- ADX


def adcx(cpu, u, dst, src):
    """DEST := DEST + SRC + CF; only CF is written."""
    a, b, c = dst.value, src.value, carry(cpu)
    r = a + b + like(a, c)
    set_carry(cpu, (r < a) | (c & (r == a)))
    dst.value = r
    return NEXT


def adox(cpu, u, dst, src):
    """DEST := DEST + SRC + OF; only OF is written."""
    a, b, c = dst.value, src.value, overflow(cpu)
    r = a + b + like(a, c)
    set_overflow(cpu, (r < a) | (c & (r == a)))
    dst.value = r
    return NEXT
