"""x87: add, subtract, multiply, divide, square root, remainder, scale, extract, round, sign, and compare (SDM vol. 1, 8.3)."""

from isa.lang.word import U16, U32, U64, leading_zeros, negative, outlined, sx
from vmdbg.machine.semantics.x87_state import (
    C1,
    C2,
    CONDITIONS,
    INDEFINITE,
    INDEFINITE_SIGN,
    begin,
    begin_memory,
    full_mode_of,
    is_empty,
    mode_of,
    pop_st,
    push_st,
    set_register,
    settle,
    sign_exponent,
    significand,
    stack_overflow,
    stack_underflow,
)
from vmdbg.machine.softfloat.arithmetic import add, div, mul, sqrt
from vmdbg.machine.softfloat.convert import round_to_integral
from vmdbg.machine.softfloat.core import F80, NORMAL, ZERO, denormal
from vmdbg.machine.softfloat.double import f64_unpack
from vmdbg.machine.softfloat.extended import extract, f80_unpack, remainder, scale
from vmdbg.machine.softfloat.single import f32_unpack
from vmdbg.machine.state import NEXT

ADD, SUB, MUL, DIV = range(4)  # operations, as U32
REVERSED, POPPING = 4, 8  # or-ed to them: operands in each other's place; pop afterwards


def unpack_register(cpu, i):
    """ST(i) taken apart; i is U32."""
    return f80_unpack(significand(cpu, i), sign_exponent(cpu, i))


def unpack_float(raw):
    """A 32- or 64-bit number from memory taken apart."""
    wide = U64(raw)
    if raw.bits == 32:
        return f32_unpack(U32(wide), U32(0))
    return f64_unpack(wide, U32(0))


def unpack_integer(raw):
    """A signed integer from memory taken apart."""
    value = sx(raw)
    kind = U32(ZERO)
    sign = U32(negative(value))
    e = U32(0)
    m = value
    if value != 0:
        kind = U32(NORMAL)
        m = -value if sign != 0 else value
        n = leading_zeros(m)
        e = 63 - U32(n)
        m = m << n
    return kind, sign, e, m


def set_indefinite(cpu, i):
    set_register(cpu, i, U64(INDEFINITE), U32(INDEFINITE_SIGN))


def store_result(cpu, i, sign, e, m, flags):
    """Settle the flags and write ST(i) unless an unmasked exception forbids it -> whether it was written."""
    if settle(cpu, flags):
        return False
    set_register(cpu, i, m, (sign << 15) | (e & 0x7FFF))
    return True


# ---- the four operations


@outlined
def compute(cpu, op, dst, ka, sa, ea, ma, kb, sb, eb, mb):
    """ST(dst) = a op b -> whether it was written."""
    mode = mode_of(cpu)
    if op == MUL:
        s, e, m, flags = mul(U32(F80), ka, sa, ea, ma, kb, sb, eb, mb, mode)
    elif op == DIV:
        s, e, m, flags = div(U32(F80), ka, sa, ea, ma, kb, sb, eb, mb, mode)
    else:
        s, e, m, flags = add(U32(F80), ka, sa, ea, ma, kb, sb, eb, mb, op, mode)
    return store_result(cpu, dst, s, e, m, flags)


@outlined
def with_number(cpu, op, kb, sb, eb, mb):
    """ST(0) = ST(0) op b."""
    if is_empty(cpu, U32(0)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
    else:
        ka, sa, ea, ma = unpack_register(cpu, U32(0))
        if (op & REVERSED) != 0:
            compute(cpu, op & 3, U32(0), kb, sb, eb, mb, ka, sa, ea, ma)
        else:
            compute(cpu, op & 3, U32(0), ka, sa, ea, ma, kb, sb, eb, mb)


@outlined
def with_register(cpu, op, dst, src):
    """ST(dst) = ST(dst) op ST(src)."""
    done = False
    if is_empty(cpu, dst) | is_empty(cpu, src):
        if not stack_underflow(cpu):
            set_indefinite(cpu, dst)
            done = True
    else:
        reverse = (op & REVERSED) != 0
        ka, sa, ea, ma = unpack_register(cpu, src if reverse else dst)
        kb, sb, eb, mb = unpack_register(cpu, dst if reverse else src)
        done = compute(cpu, op & 3, dst, ka, sa, ea, ma, kb, sb, eb, mb)
    if done & ((op & POPPING) != 0):
        pop_st(cpu)


def memory_operation(cpu, u, op, src):
    """FADD m32 and kin."""
    status = begin_memory(cpu, u)
    if status != NEXT:
        return status
    k, s, e, m = unpack_float(src.value)
    with_number(cpu, op, k, s, e, m)
    return NEXT


def integer_operation(cpu, u, op, src):
    """FIADD m16 and kin."""
    status = begin_memory(cpu, u)
    if status != NEXT:
        return status
    k, s, e, m = unpack_integer(src.value)
    with_number(cpu, op, k, s, e, m)
    return NEXT


def register_operation(cpu, u, op, dst, src):
    """FADD ST(i), ST and kin."""
    status = begin(cpu, u)
    if status != NEXT:
        return status
    with_register(cpu, op, U32(dst.value), U32(src.value))
    return NEXT


def fadd(cpu, u, src):
    return memory_operation(cpu, u, U32(ADD), src)


def fiadd(cpu, u, src):
    return integer_operation(cpu, u, U32(ADD), src)


def fadd_st(cpu, u, dst, src):
    return register_operation(cpu, u, U32(ADD), dst, src)


def faddp(cpu, u, dst, src):
    return register_operation(cpu, u, U32(ADD | POPPING), dst, src)


def fmul(cpu, u, src):
    return memory_operation(cpu, u, U32(MUL), src)


def fimul(cpu, u, src):
    return integer_operation(cpu, u, U32(MUL), src)


def fmul_st(cpu, u, dst, src):
    return register_operation(cpu, u, U32(MUL), dst, src)


def fmulp(cpu, u, dst, src):
    return register_operation(cpu, u, U32(MUL | POPPING), dst, src)


def fsub(cpu, u, src):
    return memory_operation(cpu, u, U32(SUB), src)


def fisub(cpu, u, src):
    return integer_operation(cpu, u, U32(SUB), src)


def fsub_st(cpu, u, dst, src):
    return register_operation(cpu, u, U32(SUB), dst, src)


def fsubp(cpu, u, dst, src):
    return register_operation(cpu, u, U32(SUB | POPPING), dst, src)


def fsubr(cpu, u, src):
    return memory_operation(cpu, u, U32(SUB | REVERSED), src)


def fisubr(cpu, u, src):
    return integer_operation(cpu, u, U32(SUB | REVERSED), src)


def fsubr_st(cpu, u, dst, src):
    return register_operation(cpu, u, U32(SUB | REVERSED), dst, src)


def fsubrp(cpu, u, dst, src):
    return register_operation(cpu, u, U32(SUB | REVERSED | POPPING), dst, src)


def fdiv(cpu, u, src):
    return memory_operation(cpu, u, U32(DIV), src)


def fidiv(cpu, u, src):
    return integer_operation(cpu, u, U32(DIV), src)


def fdiv_st(cpu, u, dst, src):
    return register_operation(cpu, u, U32(DIV), dst, src)


def fdivp(cpu, u, dst, src):
    return register_operation(cpu, u, U32(DIV | POPPING), dst, src)


def fdivr(cpu, u, src):
    return memory_operation(cpu, u, U32(DIV | REVERSED), src)


def fidivr(cpu, u, src):
    return integer_operation(cpu, u, U32(DIV | REVERSED), src)


def fdivr_st(cpu, u, dst, src):
    return register_operation(cpu, u, U32(DIV | REVERSED), dst, src)


def fdivrp(cpu, u, dst, src):
    return register_operation(cpu, u, U32(DIV | REVERSED | POPPING), dst, src)


# ---- functions of ST(0)


@outlined
def square_root(cpu):
    if is_empty(cpu, U32(0)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
    else:
        k, s, e, m = unpack_register(cpu, U32(0))
        s, e, m, flags = sqrt(U32(F80), k, s, e, m, mode_of(cpu))
        store_result(cpu, U32(0), s, e, m, flags)


def fsqrt(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        square_root(cpu)
    return status


@outlined
def round_top(cpu):
    if is_empty(cpu, U32(0)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
    else:
        k, s, e, m = unpack_register(cpu, U32(0))
        de = denormal(k, k)
        s, e, m, flags = round_to_integral(U32(F80), k, s, e, m, (U32(cpu.fcw) >> 10) & 3)
        store_result(cpu, U32(0), s, e, m, flags | de)


def frndint(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        round_top(cpu)
    return status


def change_sign(cpu, u, keep, flip):
    """ST(0)'s sign and exponent become (se & keep) ^ flip; no exception but stack underflow."""
    status = begin(cpu, u)
    if status != NEXT:
        return status
    if is_empty(cpu, U32(0)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
    else:
        cpu.fsw = cpu.fsw & ~U16(C1)
        set_register(cpu, U32(0), significand(cpu, U32(0)), (sign_exponent(cpu, U32(0)) & keep) ^ flip)
    return NEXT


def fchs(cpu, u):
    return change_sign(cpu, u, U32(0xFFFF), U32(0x8000))


def fabs(cpu, u):
    return change_sign(cpu, u, U32(0x7FFF), U32(0))


@outlined
def scale_top(cpu):
    if is_empty(cpu, U32(0)) | is_empty(cpu, U32(1)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
    else:
        ka, sa, ea, ma = unpack_register(cpu, U32(0))
        kb, sb, eb, mb = unpack_register(cpu, U32(1))
        s, e, m, flags = scale(ka, sa, ea, ma, kb, sb, eb, mb, full_mode_of(cpu))
        store_result(cpu, U32(0), s, e, m, flags)


def fscale(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        scale_top(cpu)
    return status


@outlined
def extract_top(cpu):
    if is_empty(cpu, U32(0)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
            push_st(cpu, U64(INDEFINITE), U32(INDEFINITE_SIGN))
    elif not is_empty(cpu, U32(7)):
        if not stack_overflow(cpu):
            set_indefinite(cpu, U32(0))
            push_st(cpu, U64(INDEFINITE), U32(INDEFINITE_SIGN))
    else:
        k, s, e, m = unpack_register(cpu, U32(0))
        xs, xe, xm, s, e, m, flags = extract(k, s, e, m)
        if store_result(cpu, U32(0), xs, xe, xm, flags):
            push_st(cpu, m, (s << 15) | e)


def fxtract(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        extract_top(cpu)
    return status


@outlined
def remainder_top(cpu, nearest):
    cpu.fsw = cpu.fsw & ~U16(C2)
    if is_empty(cpu, U32(0)) | is_empty(cpu, U32(1)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
    else:
        ka, sa, ea, ma = unpack_register(cpu, U32(0))
        kb, sb, eb, mb = unpack_register(cpu, U32(1))
        s, e, m, flags, q, complete = remainder(ka, sa, ea, ma, kb, sb, eb, mb, nearest != 0, full_mode_of(cpu))
        if store_result(cpu, U32(0), s, e, m, flags):
            if not complete:
                cpu.fsw = (cpu.fsw & ~U16(CONDITIONS)) | C2
            elif (e & 0x7FFF) != 0x7FFF:
                codes = ((q & 4) << 6) | ((q & 2) << 13) | ((q & 1) << 9)
                cpu.fsw = (cpu.fsw & ~U16(CONDITIONS)) | U16(codes)


def fprem(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        remainder_top(cpu, U32(0))
    return status


def fprem1(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        remainder_top(cpu, U32(1))
    return status
