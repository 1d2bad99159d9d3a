"""x87: loads, stores, constants, exchange (SDM vol. 1, 8.3.3 and 8.3.4)."""

from isa.lang.struct import words16, words64
from isa.lang.word import U16, U32, U64, like, outlined
from vmdbg.machine.memory import access
from vmdbg.machine.semantics.x87_arithmetic import set_indefinite, unpack_float, unpack_integer, unpack_register
from vmdbg.machine.semantics.x87_state import (
    C1,
    DE,
    INDEFINITE,
    INDEFINITE_SIGN,
    OE,
    UE,
    begin,
    begin_memory,
    full_mode_of,
    is_empty,
    mode_of,
    open_overflow,
    pop_st,
    push_checked,
    push_st,
    set_register,
    settle,
    sign_exponent,
    significand,
    stack_underflow,
    waiting,
)
from vmdbg.machine.softfloat.convert import to_format, to_integer
from vmdbg.machine.softfloat.core import CHOP, F32, F64, F80, NEAREST, UP
from vmdbg.machine.softfloat.double import f64_pack
from vmdbg.machine.softfloat.extended import from_decimal, to_decimal
from vmdbg.machine.softfloat.single import f32_pack
from vmdbg.machine.state import FAULT, NEXT

POPS, CHOPS = 1, 2  # how (U32) to store: pop afterwards; towards zero
F32_INDEFINITE, F64_INDEFINITE = 0xFFC00000, 0xFFF8000000000000


# ---- loads


@outlined
def push_number(cpu, k, s, e, m):
    """Push a number taken apart, exactly; the format it came from raises DE and IE."""
    s, e, m, flags = to_format(U32(F80), k, s, e, m, full_mode_of(cpu))
    push_checked(cpu, m, (s << 15) | e, flags)


def fld(cpu, u, src):
    """FLD m32, m64."""
    status = begin_memory(cpu, u)
    if status != NEXT:
        return status
    k, s, e, m = unpack_float(src.value)
    push_number(cpu, k, s, e, m)
    return NEXT


def fild(cpu, u, src):
    status = begin_memory(cpu, u)
    if status != NEXT:
        return status
    k, s, e, m = unpack_integer(src.value)
    push_number(cpu, k, s, e, m)
    return NEXT


@outlined
def fld80(cpu, u, src):
    """FLD m80: no exception but stack overflow."""
    status = waiting(cpu)
    if status != NEXT:
        return status
    host = access(cpu, u.seg, src.value, U64(10), False)
    if host == 0:
        return FAULT
    begin_memory(cpu, u)
    push_checked(cpu, words64(host)[0], U32(words16(host)[4]), U32(0))
    return NEXT


@outlined
def fld_st(cpu, u, src):
    status = begin(cpu, u)
    if status != NEXT:
        return status
    i = U32(src.value)
    if is_empty(cpu, i) & is_empty(cpu, U32(7)):
        if not stack_underflow(cpu):
            push_st(cpu, U64(INDEFINITE), U32(INDEFINITE_SIGN))
    else:
        push_checked(cpu, significand(cpu, i), sign_exponent(cpu, i), U32(0))
    return NEXT


@outlined
def fbld(cpu, u, src):
    status = waiting(cpu)
    if status != NEXT:
        return status
    host = access(cpu, u.seg, src.value, U64(10), False)
    if host == 0:
        return FAULT
    begin_memory(cpu, u)
    s, e, m, flags = from_decimal(words64(host)[0], U64(words16(host)[4]))
    push_checked(cpu, m, (s << 15) | e, flags)
    return NEXT


@outlined
def push_constant(cpu, m, rest, se):
    """Push a constant whose significand is m and a fraction `rest` (U32: below or above a half ulp as bit 1 says; 0: exact)."""
    control = (U32(cpu.fcw) >> 10) & 3
    n = m
    if (rest != 0) & ((control == UP) | ((control == NEAREST) & (rest >= 2))):
        n = m + 1
    push_checked(cpu, n, se, U32(0))


def fldconst(cpu, u, cc):
    """FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ: cc is the low three bits of the opcode; rounded as RC says, without PE."""
    status = begin(cpu, u)
    if status != NEXT:
        return status
    if cc == 0:
        push_constant(cpu, U64(0x8000000000000000), U32(0), U32(0x3FFF))
    elif cc == 1:
        push_constant(cpu, U64(0xD49A784BCD1B8AFE), U32(1), U32(0x4000))
    elif cc == 2:
        push_constant(cpu, U64(0xB8AA3B295C17F0BB), U32(2), U32(0x3FFF))
    elif cc == 3:
        push_constant(cpu, U64(0xC90FDAA22168C234), U32(2), U32(0x4000))
    elif cc == 4:
        push_constant(cpu, U64(0x9A209A84FBCFF798), U32(2), U32(0x3FFD))
    elif cc == 5:
        push_constant(cpu, U64(0xB17217F7D1CF79AB), U32(2), U32(0x3FFE))
    else:
        push_constant(cpu, U64(0), U32(0), U32(0))
    return NEXT


# ---- stores


@outlined
def narrow(cpu, fmt):
    """ST(0) in F32 or F64 -> (raw bits U64, whether memory is to be written); exceptions are settled."""
    raw = U64(F64_INDEFINITE) if fmt == F64 else U64(F32_INDEFINITE)
    if is_empty(cpu, U32(0)):
        return raw, not stack_underflow(cpu)
    k, s, e, m = unpack_register(cpu, U32(0))
    s, e, m, flags = to_format(fmt, k, s, e, m, mode_of(cpu))
    flags = flags & ~U32(DE)  # a denormal source is no exception here (SDM vol. 2, FST)
    stored = not open_overflow(cpu, flags)
    if not stored:
        flags = flags & (OE | UE)
    if settle(cpu, flags):
        stored = False
    if fmt == F64:
        raw, _ = f64_pack(s, e & 0x7FF, m, flags)
    else:
        single, _ = f32_pack(s, e & 0xFF, m, flags)
        raw = U64(single)
    return raw, stored


def store_float(cpu, u, dst, how):
    status = begin_memory(cpu, u)
    if status != NEXT:
        return status
    raw, stored = narrow(cpu, U32(F32) if dst.value.bits == 32 else U32(F64))
    if stored:
        dst.value = like(dst.value, raw)
        if (how & POPS) != 0:
            pop_st(cpu)
    return NEXT


def fst(cpu, u, dst):
    return store_float(cpu, u, dst, U32(0))


def fstp(cpu, u, dst):
    return store_float(cpu, u, dst, U32(POPS))


@outlined
def fstp80(cpu, u, dst):
    """FSTP m80: the register as it is."""
    status = waiting(cpu)
    if status != NEXT:
        return status
    host = access(cpu, u.seg, dst.value, U64(10), True)
    if host == 0:
        return FAULT
    begin_memory(cpu, u)
    m = significand(cpu, U32(0))
    se = sign_exponent(cpu, U32(0))
    if is_empty(cpu, U32(0)):
        m = U64(INDEFINITE)
        se = U32(INDEFINITE_SIGN)
        if stack_underflow(cpu):
            return NEXT
    else:
        cpu.fsw = cpu.fsw & ~U16(C1)
    words64(host)[0] = m
    words16(host)[4] = U16(se)
    pop_st(cpu)
    return NEXT


@outlined
def copy_top(cpu, i, how):
    """ST(i) = ST(0), then pop where `how` has POPS."""
    if is_empty(cpu, U32(0)):
        if stack_underflow(cpu):
            return False
        set_indefinite(cpu, i)
    else:
        cpu.fsw = cpu.fsw & ~U16(C1)
        set_register(cpu, i, significand(cpu, U32(0)), sign_exponent(cpu, U32(0)))
    if (how & POPS) != 0:
        pop_st(cpu)
    return True


def fst_st(cpu, u, dst):
    status = begin(cpu, u)
    if status == NEXT:
        copy_top(cpu, U32(dst.value), U32(0))
    return status


def fstp_st(cpu, u, dst):
    status = begin(cpu, u)
    if status == NEXT:
        copy_top(cpu, U32(dst.value), U32(POPS))
    return status


def fstpnce(cpu, u, dst):
    """FSTPNCE ST(i): as FSTP, but an empty ST(0) is no exception and not copied."""
    status = begin(cpu, u)
    if status != NEXT:
        return status
    if is_empty(cpu, U32(0)):
        cpu.fsw = cpu.fsw & ~U16(C1)
        pop_st(cpu)
    else:
        copy_top(cpu, U32(dst.value), U32(POPS))
    return NEXT


@outlined
def whole(cpu, bits, control):
    """ST(0) as a signed integer of `bits` -> (U64, whether memory is to be written); exceptions are settled."""
    if is_empty(cpu, U32(0)):
        return -(U64(1) << (bits - 1)), not stack_underflow(cpu)
    k, s, e, m = unpack_register(cpu, U32(0))
    value, flags = to_integer(k, s, e, m, bits, control)
    return value, not settle(cpu, flags)


def store_integer(cpu, u, dst, how):
    status = begin_memory(cpu, u)
    if status != NEXT:
        return status
    control = U32(CHOP) if (how & CHOPS) != 0 else (U32(cpu.fcw) >> 10) & 3
    value, stored = whole(cpu, U32(dst.value.bits), control)
    if stored:
        dst.value = like(dst.value, value)
        if (how & POPS) != 0:
            pop_st(cpu)
    return NEXT


def fist(cpu, u, dst):
    return store_integer(cpu, u, dst, U32(0))


def fistp(cpu, u, dst):
    return store_integer(cpu, u, dst, U32(POPS))


def fisttp(cpu, u, dst):
    return store_integer(cpu, u, dst, U32(POPS | CHOPS))


@outlined
def fbstp(cpu, u, dst):
    status = waiting(cpu)
    if status != NEXT:
        return status
    host = access(cpu, u.seg, dst.value, U64(10), True)
    if host == 0:
        return FAULT
    begin_memory(cpu, u)
    low = U64(0xC000000000000000)
    high = U64(0xFFFF)
    if is_empty(cpu, U32(0)):
        forbidden = stack_underflow(cpu)
    else:
        k, s, e, m = unpack_register(cpu, U32(0))
        low, high, flags = to_decimal(k, s, e, m, (U32(cpu.fcw) >> 10) & 3)
        forbidden = settle(cpu, flags)
    if not forbidden:
        words64(host)[0] = low
        words16(host)[4] = U16(high)
        pop_st(cpu)
    return NEXT


# ---- exchange


@outlined
def exchange(cpu, i):
    empty_top = is_empty(cpu, U32(0))
    empty_other = is_empty(cpu, i)
    if empty_top | empty_other:
        if stack_underflow(cpu):
            return False
        if empty_top:
            set_indefinite(cpu, U32(0))
        if empty_other:
            set_indefinite(cpu, i)
    else:
        cpu.fsw = cpu.fsw & ~U16(C1)
    m = significand(cpu, U32(0))
    se = sign_exponent(cpu, U32(0))
    set_register(cpu, U32(0), significand(cpu, i), sign_exponent(cpu, i))
    set_register(cpu, i, m, se)
    return True


def fxch(cpu, u, src):
    status = begin(cpu, u)
    if status == NEXT:
        exchange(cpu, U32(src.value))
    return status
