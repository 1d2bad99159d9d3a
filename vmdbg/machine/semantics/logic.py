"""Logic, single bits and conditions (SDM vol. 2).

BT and its kin change CF alone.  BSF and BSR of 0 set ZF and keep everything else, the destination included; otherwise the
flags besides ZF, which are undefined, are those of the result.
"""

from isa.lang.word import U8, U64, leading_zeros, like, sx, trailing_zeros
from vmdbg.machine.flags import carry, condition, flags_logic, set_carry, set_zero
from vmdbg.machine.memory import READ, WRITE, access, access_rw
from vmdbg.machine.state import FAULT, NEXT, RAX
from vmdbg.machine.widths import bit_base, read_memory, set_register, truncate, write_memory


def and_(cpu, u, dst, src):
    r = dst.value & src.value
    flags_logic(cpu, r)
    dst.value = r
    return NEXT


def or_(cpu, u, dst, src):
    r = dst.value | src.value
    flags_logic(cpu, r)
    dst.value = r
    return NEXT


def xor(cpu, u, dst, src):
    r = dst.value ^ src.value
    flags_logic(cpu, r)
    dst.value = r
    return NEXT


def test(cpu, u, left, right):
    flags_logic(cpu, left.value & right.value)
    return NEXT


def not_(cpu, u, dst):
    dst.value = ~dst.value
    return NEXT


# ---- bits of an operand: the offset counts modulo its width


def bit_number(a, src):
    return U64(src.value) & U64(a.bits - 1)


def take_bit(cpu, a, n):
    """CF := bit n of a; returns the word with only that bit."""
    set_carry(cpu, ((a >> n) & 1) != 0)
    return like(a, True) << n


def bt(cpu, u, dst, src):
    a = dst.value
    take_bit(cpu, a, bit_number(a, src))
    return NEXT


def bts(cpu, u, dst, src):
    a = dst.value
    dst.value = a | take_bit(cpu, a, bit_number(a, src))
    return NEXT


def btr(cpu, u, dst, src):
    a = dst.value
    dst.value = a & ~take_bit(cpu, a, bit_number(a, src))
    return NEXT


def btc(cpu, u, dst, src):
    a = dst.value
    dst.value = a ^ take_bit(cpu, a, bit_number(a, src))
    return NEXT


# ---- bits of a string of bits in memory: a register holds the signed offset


def string_host(cpu, u, ea, src, write):
    """(host address, or 0, of the word that holds the bit; number of the bit in it)."""
    offset = src.value
    bytes_on, n = bit_base(sx(offset), offset.bits)
    at = truncate(ea.value + bytes_on, u.asize)
    size = U64(offset.bits >> 3)
    if write:
        return access_rw(cpu, u.seg, at, size), n
    return access(cpu, u.seg, at, size, READ), n


def bt_memory(cpu, u, ea, src):
    host, n = string_host(cpu, u, ea, src, READ)
    if host == 0:
        return FAULT
    take_bit(cpu, read_memory(host, src.value.bits), n)
    return NEXT


def bts_memory(cpu, u, ea, src):
    host, n = string_host(cpu, u, ea, src, WRITE)
    if host == 0:
        return FAULT
    a = read_memory(host, src.value.bits)
    write_memory(host, src.value.bits, a | take_bit(cpu, a, n))
    return NEXT


def btr_memory(cpu, u, ea, src):
    host, n = string_host(cpu, u, ea, src, WRITE)
    if host == 0:
        return FAULT
    a = read_memory(host, src.value.bits)
    write_memory(host, src.value.bits, a & ~take_bit(cpu, a, n))
    return NEXT


def btc_memory(cpu, u, ea, src):
    host, n = string_host(cpu, u, ea, src, WRITE)
    if host == 0:
        return FAULT
    a = read_memory(host, src.value.bits)
    write_memory(host, src.value.bits, a ^ take_bit(cpu, a, n))
    return NEXT


def bsf(cpu, u, dst, src):
    a = src.value
    if a == 0:
        set_zero(cpu, True)
    else:
        r = trailing_zeros(a)
        flags_logic(cpu, r)
        set_zero(cpu, False)
        dst.value = r
    return NEXT


def bsr(cpu, u, dst, src):
    a = src.value
    if a == 0:
        set_zero(cpu, True)
    else:
        r = leading_zeros(a) ^ (a.bits - 1)
        flags_logic(cpu, r)
        set_zero(cpu, False)
        dst.value = r
    return NEXT


# ---- conditions


def setcc(cpu, u, dst, cc):
    dst.value = U8(condition(cpu, cc))
    return NEXT


def salc(cpu, u):
    """Undocumented: AL := FFH if CF, else 0."""
    set_register(cpu, RAX, U8(0) - U8(carry(cpu)))
    return NEXT
