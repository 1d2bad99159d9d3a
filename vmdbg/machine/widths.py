"""Registers and memory at a width that is data: `bits` is 8, 16, 32 or 64 (a word, or an int constant), values are U64.

Writing a general register follows SDM vol. 1, 3.4.1.1: 32 bits clear the upper half, 8 and 16 bits keep the rest.
"""

from isa.lang.struct import words8, words16, words32, words64
from isa.lang.word import U8, U16, U32, U64, sar, sx


def truncate(x, bits):
    """The low `bits` of x."""
    if bits == 64:
        return x
    if bits == 32:
        return x & 0xFFFFFFFF
    if bits == 16:
        return x & 0xFFFF
    return x & 0xFF


def sign_extend(x, bits):
    """The low `bits` of x, sign-extended to 64."""
    if bits == 64:
        return x
    if bits == 32:
        return sx(U32(x))
    if bits == 16:
        return sx(U16(x))
    return sx(U8(x))


def read_memory(host, bits):
    """The word at a host address, zero-extended."""
    if bits == 64:
        return words64(host)[0]
    if bits == 32:
        return U64(words32(host)[0])
    if bits == 16:
        return U64(words16(host)[0])
    return U64(words8(host)[0])


def write_memory(host, bits, value):
    if bits == 64:
        words64(host)[0] = value
    elif bits == 32:
        words32(host)[0] = U32(value)
    elif bits == 16:
        words16(host)[0] = U16(value)
    else:
        words8(host)[0] = U8(value)


def read_register(cpu, n, bits):
    """The low `bits` of general register n, zero-extended."""
    return truncate(cpu.gpr[n], bits)


def write_register(cpu, n, bits, value):
    if bits == 64:
        cpu.gpr[n] = value
    elif bits == 32:
        cpu.gpr[n] = value & 0xFFFFFFFF
    elif bits == 16:
        cpu.gpr[n] = (cpu.gpr[n] & ~U64(0xFFFF)) | (value & 0xFFFF)
    else:
        cpu.gpr[n] = (cpu.gpr[n] & ~U64(0xFF)) | (value & 0xFF)


def set_register(cpu, n, value):
    """Write a word of any width to general register n, as wide as the word is."""
    write_register(cpu, n, value.bits, U64(value))


def element_shift(bits):
    """log2 of the size in bytes, as a U64."""
    if bits == 64:
        return U64(3)
    if bits == 32:
        return U64(2)
    if bits == 16:
        return U64(1)
    return U64(0)


def bit_base(offset, bits):
    """(bytes to the operand that holds the bit, number of the bit in it) of a signed bit offset (SDM vol. 2, BT)."""
    shift = element_shift(bits) + 3
    return sar(offset, shift) << (shift - 3), offset & ((U64(1) << shift) - 1)
