"""x87: sine, cosine, tangent, arctangent, exponential, logarithms (SDM vol. 1, 8.3.7 to 8.3.10)."""

from isa.lang.word import U16, U32, U64, negative, outlined
from vmdbg.machine.semantics.x87_arithmetic import set_indefinite, store_result, unpack_register
from vmdbg.machine.semantics.x87_state import (
    C1,
    C2,
    INDEFINITE,
    INDEFINITE_SIGN,
    begin,
    full_mode_of,
    is_empty,
    pop_st,
    push_st,
    stack_overflow,
    stack_underflow,
)
from vmdbg.machine.softfloat.core import DENORMAL, INFINITY, NORMAL
from vmdbg.machine.softfloat.transcendental import arctangent, circular, exponential, tangent, y_log2_x, y_log2_x_plus_1
from vmdbg.machine.state import NEXT

SINE, COSINE = 0, 1


def out_of_range(kind, exponent):
    """|x| >= 2^63: the trigonometric instructions leave x and set C2."""
    return ((kind == NORMAL) | (kind == DENORMAL)) & (not negative(exponent)) & (exponent >= 63)


@outlined
def circular_top(cpu, turned):
    """FSIN, FCOS."""
    cpu.fsw = cpu.fsw & ~U16(C2)
    if is_empty(cpu, U32(0)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
        return False
    k, s, e, m = unpack_register(cpu, U32(0))
    if out_of_range(k, e):
        cpu.fsw = (cpu.fsw & ~U16(C1)) | C2
        return False
    s, e, m, flags = circular(k, s, e, m, turned, full_mode_of(cpu))
    return store_result(cpu, U32(0), s, e, m, flags)


def fsin(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        circular_top(cpu, U64(SINE))
    return status


def fcos(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        circular_top(cpu, U64(COSINE))
    return status


@outlined
def push_pair(cpu, s, e, m, flags, s2, e2, m2):
    """ST(0) = the first number, then push the second, unless an exception forbids it."""
    if store_result(cpu, U32(0), s, e, m, flags):
        push_st(cpu, m2, (s2 << 15) | (e2 & 0x7FFF))


@outlined
def pair_possible(cpu):
    """Whether an instruction that replaces ST(0) and pushes can go on; else stack faults, or C2, have been dealt with."""
    cpu.fsw = cpu.fsw & ~U16(C2)
    empty = is_empty(cpu, U32(0))
    if empty | (not is_empty(cpu, U32(7))):
        forbidden = stack_underflow(cpu) if empty else stack_overflow(cpu)
        if not forbidden:
            set_indefinite(cpu, U32(0))
            push_st(cpu, U64(INDEFINITE), U32(INDEFINITE_SIGN))
        return False
    k, s, e, m = unpack_register(cpu, U32(0))
    if out_of_range(k, e):
        cpu.fsw = (cpu.fsw & ~U16(C1)) | C2
        return False
    return True


@outlined
def sine_and_cosine(cpu):
    if pair_possible(cpu):
        k, s, e, m = unpack_register(cpu, U32(0))
        mode = full_mode_of(cpu)
        cs, ce, cm, cflags = circular(k, s, e, m, U64(COSINE), mode)
        ss, se, sm, sflags = circular(k, s, e, m, U64(SINE), mode)
        push_pair(cpu, ss, se, sm, sflags | (cflags & ~U32(C1)), cs, ce, cm)


def fsincos(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        sine_and_cosine(cpu)
    return status


@outlined
def tangent_and_one(cpu):
    if pair_possible(cpu):
        k, s, e, m = unpack_register(cpu, U32(0))
        s, e, m, flags = tangent(k, s, e, m, full_mode_of(cpu))
        if k < INFINITY:
            push_pair(cpu, s, e, m, flags, U32(0), U32(0x3FFF), U64(0x8000000000000000))
        else:
            push_pair(cpu, s, e, m, flags, s, e, m)


def fptan(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        tangent_and_one(cpu)
    return status


@outlined
def exponential_top(cpu):
    if is_empty(cpu, U32(0)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
    else:
        k, s, e, m = unpack_register(cpu, U32(0))
        s, e, m, flags = exponential(k, s, e, m, full_mode_of(cpu))
        store_result(cpu, U32(0), s, e, m, flags)


def f2xm1(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        exponential_top(cpu)
    return status


ARCTANGENT, LOGARITHM, LOGARITHM_PLUS_1 = 0, 1, 2


@outlined
def two_operands(cpu, which):
    """ST(1) = f(ST(1), ST(0)), then pop."""
    done = False
    if is_empty(cpu, U32(0)) | is_empty(cpu, U32(1)):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(1))
            done = True
    else:
        kx, sx_, ex, mx = unpack_register(cpu, U32(0))
        ky, sy, ey, my = unpack_register(cpu, U32(1))
        mode = full_mode_of(cpu)
        if which == ARCTANGENT:
            s, e, m, flags = arctangent(ky, sy, ey, my, kx, sx_, ex, mx, mode)
        elif which == LOGARITHM:
            s, e, m, flags = y_log2_x(ky, sy, ey, my, kx, sx_, ex, mx, mode)
        else:
            s, e, m, flags = y_log2_x_plus_1(ky, sy, ey, my, kx, sx_, ex, mx, mode)
        done = store_result(cpu, U32(1), s, e, m, flags)
    if done:
        pop_st(cpu)


def fpatan(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        two_operands(cpu, U32(ARCTANGENT))
    return status


def fyl2x(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        two_operands(cpu, U32(LOGARITHM))
    return status


def fyl2xp1(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        two_operands(cpu, U32(LOGARITHM_PLUS_1))
    return status
