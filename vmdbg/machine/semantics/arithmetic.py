"""Binary and decimal arithmetic (SDM vol. 2).

What the manual leaves undefined is what Intel's processors do: MUL and IMUL set SF, ZF, PF by the low half of the product and
clear AF; DIV and IDIV keep all flags.
"""

from isa.lang.struct import words64
from isa.lang.word import U8, U16, U64, U128, like, mul_overflows, negative, sx, sx128
from vmdbg.machine.division import divide
from vmdbg.machine.faults import fault, fault_gp0
from vmdbg.machine.flags import carry, flags_add, flags_compare, flags_sub, set_flags, set_zero
from vmdbg.machine.memory import access_rw
from vmdbg.machine.state import DE, FAULT, FS, NEXT, RAX, RBX, RCX, RDX
from vmdbg.machine.widths import set_register, sign_extend, write_register

# ---- addition and subtraction


def add(cpu, u, dst, src):
    a, b = dst.value, src.value
    r = a + b
    flags_add(cpu, a, b, r, r < a)
    dst.value = r
    return NEXT


def adc(cpu, u, dst, src):
    a, b, c = dst.value, src.value, carry(cpu)
    r = a + b + like(a, c)
    flags_add(cpu, a, b, r, (r < a) | (c & (r == a)))
    dst.value = r
    return NEXT


def sub(cpu, u, dst, src):
    a, b = dst.value, src.value
    r = a - b
    flags_compare(cpu, a, b, r)
    dst.value = r
    return NEXT


def sbb(cpu, u, dst, src):
    a, b, c = dst.value, src.value, carry(cpu)
    r = a - b - like(a, c)
    flags_sub(cpu, a, b, r, (a < b) | (c & (a == b)))
    dst.value = r
    return NEXT


def cmp(cpu, u, left, right):
    a, b = left.value, right.value
    flags_compare(cpu, a, b, a - b)
    return NEXT


def inc(cpu, u, dst):
    """CF is kept."""
    a = dst.value
    r = a + 1
    flags_add(cpu, a, r - a, r, carry(cpu))
    dst.value = r
    return NEXT


def dec(cpu, u, dst):
    """CF is kept."""
    a = dst.value
    r = a - 1
    flags_sub(cpu, a, a - r, r, carry(cpu))
    dst.value = r
    return NEXT


def neg(cpu, u, dst):
    a = dst.value
    r = -a
    flags_compare(cpu, a ^ a, a, r)
    dst.value = r
    return NEXT


def xadd(cpu, u, dst, src):
    """The sum wins if both operands are one register."""
    a, b = dst.value, src.value
    r = a + b
    flags_add(cpu, a, b, r, r < a)
    src.value = a
    dst.value = r
    return NEXT


# ---- compare and exchange


def cmpxchg(cpu, u, dst, src):
    """Only what is exchanged is written: a 32-bit destination or EAX that is not keeps its upper half."""
    a, b = dst.value, src.value
    expected = like(a, cpu.gpr[RAX])
    flags_compare(cpu, expected, a, expected - a)
    if expected == a:
        dst.value = b
    else:
        set_register(cpu, RAX, a)
    return NEXT


def cmpxchg8b(cpu, u, ea):
    """Only ZF is written."""
    host = access_rw(cpu, u.seg, ea.value, U64(8))
    if host == 0:
        return FAULT
    memory = words64(host)
    a = memory[0]
    same = a == ((cpu.gpr[RDX] << 32) | (cpu.gpr[RAX] & 0xFFFFFFFF))
    if same:
        memory[0] = (cpu.gpr[RCX] << 32) | (cpu.gpr[RBX] & 0xFFFFFFFF)
    else:
        memory[0] = a
        cpu.gpr[RAX] = a & 0xFFFFFFFF
        cpu.gpr[RDX] = a >> 32
    set_zero(cpu, same)
    return NEXT


def cmpxchg16b(cpu, u, ea):
    """64-bit mode only.  #GP(0) if the operand is not aligned to 16 bytes; only ZF is written."""
    linear = ea.value
    if u.seg >= FS:
        linear = cpu.seg_base[u.seg] + linear
    if (linear & 15) != 0:
        return fault_gp0(cpu)
    host = access_rw(cpu, u.seg, ea.value, U64(16))
    if host == 0:
        return FAULT
    memory = words64(host)
    low, high = memory[0], memory[1]
    same = (low == cpu.gpr[RAX]) & (high == cpu.gpr[RDX])
    if same:
        memory[0], memory[1] = cpu.gpr[RBX], cpu.gpr[RCX]
    else:
        memory[0], memory[1] = low, high
        cpu.gpr[RAX] = low
        cpu.gpr[RDX] = high
    set_zero(cpu, same)
    return NEXT


# ---- multiplication


def flags_multiply(cpu, low, overflow):
    """CF and OF: the upper half holds more than the lower one's extension."""
    set_flags(cpu, low, overflow, negative(low) != overflow, low ^ low)


def mul(cpu, u, src):
    b = src.value
    a = like(b, cpu.gpr[RAX])
    if b.bits == 64:
        product = U128(a) * U128(b)
        low, high = like(b, product), like(b, product >> 64)
    else:
        narrow = U64(a) * U64(b)
        low, high = like(b, narrow), like(b, narrow >> (b.bits & 63))
    if b.bits == 8:
        set_register(cpu, RAX, (U16(high) << 8) | U16(low))
    else:
        set_register(cpu, RAX, low)
        set_register(cpu, RDX, high)
    flags_multiply(cpu, low, high != 0)
    return NEXT


def imul1(cpu, u, src):
    """IMUL with one operand: the whole product."""
    b = src.value
    a = like(b, cpu.gpr[RAX])
    if b.bits == 64:
        product = sx128(a) * sx128(b)
        low, high = like(b, product), like(b, product >> 64)
    else:
        narrow = sx(a) * sx(b)
        low, high = like(b, narrow), like(b, narrow >> (b.bits & 63))
    if b.bits == 8:
        set_register(cpu, RAX, (U16(high) << 8) | U16(low))
    else:
        set_register(cpu, RAX, low)
        set_register(cpu, RDX, high)
    flags_multiply(cpu, low, mul_overflows(a, b))
    return NEXT


def imul3(cpu, u, dst, left, right):
    """IMUL with three operands: the truncated product."""
    a, b = left.value, right.value
    r = a * b
    flags_multiply(cpu, r, mul_overflows(a, b))
    dst.value = r
    return NEXT


def imul2(cpu, u, dst, src):
    return imul3(cpu, u, dst, dst, src)


# ---- division


def divide_fault(cpu):
    return fault(cpu, DE, 0)


def div(cpu, u, src):
    """#DE: the divisor is 0 or the quotient does not fit."""
    b = src.value
    divisor = U64(b)
    if b.bits == 64:
        high, low = cpu.gpr[RDX], cpu.gpr[RAX]
        if high >= divisor:
            return divide_fault(cpu)
        q, r = divide(high, low, divisor)
        cpu.gpr[RAX] = q
        cpu.gpr[RDX] = r
        return NEXT
    if b == 0:
        return divide_fault(cpu)
    dividend = narrow_dividend(cpu, b)
    q, r = dividend // divisor, dividend % divisor
    if (q >> (b.bits & 63)) != 0:
        return divide_fault(cpu)
    set_quotient(cpu, like(b, q), like(b, r))
    return NEXT


def narrow_dividend(cpu, b):
    """AX, DX:AX or EDX:EAX, by the width of the divisor b."""
    if b.bits == 8:
        return cpu.gpr[RAX] & 0xFFFF
    low = U64(like(b, cpu.gpr[RAX]))
    return (U64(like(b, cpu.gpr[RDX])) << (b.bits & 63)) | low


def set_quotient(cpu, q, r):
    """Quotient and remainder to AL and AH, or to rAX and rDX."""
    if q.bits == 8:
        set_register(cpu, RAX, (U16(r) << 8) | U16(q))
    else:
        set_register(cpu, RAX, q)
        set_register(cpu, RDX, r)


def idiv(cpu, u, src):
    """#DE: the divisor is 0 or the quotient does not fit.  The remainder has the sign of the dividend."""
    b = src.value
    wide = sx(b)
    divisor = -wide if negative(wide) else wide
    if b == 0:
        return divide_fault(cpu)
    if b.bits == 64:
        high, low = cpu.gpr[RDX], cpu.gpr[RAX]
        minus = negative(high)
        if minus:
            low = -low
            high = ~high + U64(low == 0)
        if high >= divisor:
            return divide_fault(cpu)
        q, r = divide(high, low, divisor)
    else:
        dividend = narrow_dividend(cpu, b)
        if b.bits < 32:
            dividend = sign_extend(dividend, b.bits * 2)
        minus = negative(dividend)
        if minus:
            dividend = -dividend
        q, r = dividend // divisor, dividend % divisor
    opposite = minus != negative(wide)
    largest = U64(like(b, ~U64(0)) >> 1)
    if q > largest + U64(opposite):
        return divide_fault(cpu)
    if opposite:
        q = -q
    if minus:
        r = -r
    set_quotient(cpu, like(b, q), like(b, r))
    return NEXT


# ---- sign extension


def cbw(cpu, u):
    """CBW, CWDE, CDQE."""
    write_register(cpu, RAX, u.osize, sign_extend(cpu.gpr[RAX], u.osize >> 1))
    return NEXT


def cwd(cpu, u):
    """CWD, CDQ, CQO."""
    sign = U64(0)
    if negative(sign_extend(cpu.gpr[RAX], u.osize)):
        sign = ~U64(0)
    write_register(cpu, RDX, u.osize, sign)
    return NEXT


# ---- decimal arithmetic: OF, undefined, is clear; so are AF and CF of AAM and AAD, SF of AAA and AAS


def set_decimal(cpu, al, cf, af):
    """The flags that AL settles, CF and AF as given, OF clear."""
    aux = U8(0x10) if af else U8(0)
    set_flags(cpu, al, cf, negative(al), aux)


def daa(cpu, u):
    al, cf = U8(cpu.gpr[RAX]), carry(cpu)
    low = ((al & 0xF) > 9) | ((cpu.aux & 0x10) != 0)
    high = (al > 0x99) | cf
    r = al
    if low:
        r = r + 6
    if high:
        r = r + 0x60
    set_register(cpu, RAX, r)
    set_decimal(cpu, r, high, low)
    return NEXT


def das(cpu, u):
    al, cf = U8(cpu.gpr[RAX]), carry(cpu)
    low = ((al & 0xF) > 9) | ((cpu.aux & 0x10) != 0)
    high = (al > 0x99) | cf
    r = al
    if low:
        r = r - 6
    if high:
        r = r - 0x60
    set_register(cpu, RAX, r)
    set_decimal(cpu, r, high | (low & (al < 6)), low)
    return NEXT


def aaa(cpu, u):
    ax = U16(cpu.gpr[RAX])
    adjust = ((ax & 0xF) > 9) | ((cpu.aux & 0x10) != 0)
    if adjust:
        ax = ax + 0x106
    ax = ax & 0xFF0F
    set_register(cpu, RAX, ax)
    set_decimal(cpu, U8(ax), adjust, adjust)
    return NEXT


def aas(cpu, u):
    ax = U16(cpu.gpr[RAX])
    adjust = ((ax & 0xF) > 9) | ((cpu.aux & 0x10) != 0)
    if adjust:
        ax = ax - 0x106
    ax = ax & 0xFF0F
    set_register(cpu, RAX, ax)
    set_decimal(cpu, U8(ax), adjust, adjust)
    return NEXT


def aam(cpu, u, base):
    """#DE if the base is 0."""
    al, b = U8(cpu.gpr[RAX]), U8(base.value)
    if b == 0:
        return divide_fault(cpu)
    r = al % b
    set_register(cpu, RAX, (U16(al // b) << 8) | U16(r))
    set_decimal(cpu, r, False, False)
    return NEXT


def aad(cpu, u, base):
    ax = U16(cpu.gpr[RAX])
    r = U8(ax) + U8(ax >> 8) * U8(base.value)
    set_register(cpu, RAX, U16(r))
    set_decimal(cpu, r, False, False)
    return NEXT
