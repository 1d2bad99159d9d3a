"""Division of 128 by 64 bits, in 64-bit steps: LLVM would call a library function for a wider one."""

from isa.lang.word import U64, leading_zeros, outlined

LOW32 = 0xFFFFFFFF


def quotient_digit(rest, digit, divisor):
    """(32-bit quotient digit, new rest) of rest * 2^32 + digit by a normalized divisor, rest < divisor.

    Knuth, The Art of Computer Programming vol. 2, 4.3.1, algorithm D, with digits of 32 bits.
    """
    high, low = divisor >> 32, divisor & LOW32
    q = rest // high
    r = rest - q * high
    while (r >> 32) == 0 and ((q >> 32) != 0 or q * low > ((r << 32) | digit)):
        q = q - 1
        r = r + high
    return q, ((rest << 32) | digit) - q * divisor


@outlined
def divide_wide(high, low, divisor):
    """(quotient, remainder) of high * 2^64 + low by divisor; high < divisor."""
    shift = leading_zeros(divisor)
    d = divisor << shift
    rest = (high << shift) | ((low >> 1) >> (U64(63) - shift))
    low = low << shift
    q1, rest = quotient_digit(rest, low >> 32, d)
    q0, rest = quotient_digit(rest, low & LOW32, d)
    return (q1 << 32) | q0, rest >> shift


def divide(high, low, divisor):
    """(quotient, remainder) of high * 2^64 + low by divisor, unsigned; high < divisor."""
    if high == 0:
        return low // divisor, low % divisor
    return divide_wide(high, low, divisor)
