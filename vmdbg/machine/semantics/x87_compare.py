"""x87: comparison, test, examination, conditional moves (SDM vol. 1, 8.3.6 and table 8-3).

With an unmasked exception nothing is popped, but the answer is still reported (the manual's pseudocode does not report it; CPUs do).
"""

from isa.lang.word import U16, U32, U64, outlined
from vmdbg.machine.flags import condition, set_status
from vmdbg.machine.semantics.x87_arithmetic import set_indefinite, unpack_float, unpack_integer, unpack_register
from vmdbg.machine.semantics.x87_state import (
    C0,
    C1,
    C2,
    C3,
    CONDITIONS,
    begin,
    begin_memory,
    is_empty,
    pop_st,
    set_register,
    settle,
    sign_exponent,
    significand,
    stack_underflow,
)
from vmdbg.machine.softfloat.arithmetic import EQUAL, LESS, UNORDERED, compare
from vmdbg.machine.softfloat.core import DENORMAL, INFINITY, QNAN, UNSUPPORTED, ZERO
from vmdbg.machine.state import NEXT

# `how` (U32) to compare: how many pops, and whether a QNaN is invalid
POPS, SIGNALS = 3, 4


@outlined
def relate(cpu, kb, sb, eb, mb, how):
    """ST(0) against b, exceptions settled -> (relation, whether an unmasked exception forbids to report it)."""
    ka, sa, ea, ma = unpack_register(cpu, U32(0))
    relation, flags = compare(ka, sa, ea, ma, kb, sb, eb, mb, (how & SIGNALS) != 0)
    return relation, settle(cpu, flags)


def set_conditions(cpu, relation):
    """C3, C2, C0 of a relation (SDM vol. 1, table 8-6)."""
    codes = U16(0)
    if relation == EQUAL:
        codes = U16(C3)
    elif relation == LESS:
        codes = U16(C0)
    elif relation == UNORDERED:
        codes = U16(C3 | C2 | C0)
    cpu.fsw = (cpu.fsw & ~U16(C3 | C2 | C0)) | codes


@outlined
def compare_number(cpu, kb, sb, eb, mb, how):
    """C3, C2, C0 of ST(0) against b; then the pops that `how` has."""
    relation = U32(UNORDERED)
    if is_empty(cpu, U32(0)):
        forbidden = stack_underflow(cpu)
    else:
        relation, forbidden = relate(cpu, kb, sb, eb, mb, how)
    set_conditions(cpu, relation)
    if not forbidden:
        n = how & POPS
        while n != 0:
            pop_st(cpu)
            n = n - 1


@outlined
def compare_register(cpu, i, how):
    """C3, C2, C0 of ST(0) against ST(i); then the pops that `how` has."""
    if is_empty(cpu, U32(0)) | is_empty(cpu, i):
        set_conditions(cpu, U32(UNORDERED))
        if not stack_underflow(cpu):
            n = how & POPS
            while n != 0:
                pop_st(cpu)
                n = n - 1
    else:
        kb, sb, eb, mb = unpack_register(cpu, i)
        compare_number(cpu, kb, sb, eb, mb, how)


@outlined
def compare_flags(cpu, i, how):
    """ZF, PF, CF of ST(0) against ST(i), OF, SF, AF cleared; then the pop that `how` has."""
    relation = U32(UNORDERED)
    if is_empty(cpu, U32(0)) | is_empty(cpu, i):
        forbidden = stack_underflow(cpu)
    else:
        kb, sb, eb, mb = unpack_register(cpu, i)
        relation, forbidden = relate(cpu, kb, sb, eb, mb, how)
    flags = U64(0)
    if relation == EQUAL:
        flags = U64(0x40)
    elif relation == LESS:
        flags = U64(0x01)
    elif relation == UNORDERED:
        flags = U64(0x45)
    set_status(cpu, flags)
    if ((how & POPS) != 0) & (not forbidden):
        pop_st(cpu)


def memory_compare(cpu, u, src, how):
    status = begin_memory(cpu, u)
    if status != NEXT:
        return status
    k, s, e, m = unpack_float(src.value)
    compare_number(cpu, k, s, e, m, how)
    return NEXT


def integer_compare(cpu, u, src, how):
    status = begin_memory(cpu, u)
    if status != NEXT:
        return status
    k, s, e, m = unpack_integer(src.value)
    compare_number(cpu, k, s, e, m, how)
    return NEXT


def register_compare(cpu, u, i, how):
    status = begin(cpu, u)
    if status == NEXT:
        compare_register(cpu, i, how)
    return status


def flag_compare(cpu, u, i, how):
    status = begin(cpu, u)
    if status == NEXT:
        compare_flags(cpu, i, how)
    return status


def fcom(cpu, u, src):
    return memory_compare(cpu, u, src, U32(SIGNALS))


def fcomp(cpu, u, src):
    return memory_compare(cpu, u, src, U32(SIGNALS | 1))


def ficom(cpu, u, src):
    return integer_compare(cpu, u, src, U32(SIGNALS))


def ficomp(cpu, u, src):
    return integer_compare(cpu, u, src, U32(SIGNALS | 1))


def fcom_st(cpu, u, src):
    return register_compare(cpu, u, U32(src.value), U32(SIGNALS))


def fcomp_st(cpu, u, src):
    return register_compare(cpu, u, U32(src.value), U32(SIGNALS | 1))


def fcompp(cpu, u):
    return register_compare(cpu, u, U32(1), U32(SIGNALS | 2))


def fucom(cpu, u, src):
    return register_compare(cpu, u, U32(src.value), U32(0))


def fucomp(cpu, u, src):
    return register_compare(cpu, u, U32(src.value), U32(1))


def fucompp(cpu, u):
    return register_compare(cpu, u, U32(1), U32(2))


def fcomi(cpu, u, dst, src):
    return flag_compare(cpu, u, U32(src.value), U32(SIGNALS))


def fcomip(cpu, u, dst, src):
    return flag_compare(cpu, u, U32(src.value), U32(SIGNALS | 1))


def fucomi(cpu, u, dst, src):
    return flag_compare(cpu, u, U32(src.value), U32(0))


def fucomip(cpu, u, dst, src):
    return flag_compare(cpu, u, U32(src.value), U32(1))


def ftst(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        compare_number(cpu, U32(ZERO), U32(0), U32(0), U64(0), U32(SIGNALS))
    return status


@outlined
def examine(cpu):
    """C3, C2, C0: the class of ST(0); C1: its sign, whatever it is (SDM vol. 2, FXAM)."""
    k, s, e, m = unpack_register(cpu, U32(0))
    codes = U16(C2)  # normal
    if is_empty(cpu, U32(0)):
        codes = U16(C3 | C0)
    elif k == ZERO:
        codes = U16(C3)
    elif k == DENORMAL:
        codes = U16(C3 | C2)
    elif k == INFINITY:
        codes = U16(C2 | C0)
    elif k == UNSUPPORTED:
        codes = U16(0)
    elif k >= QNAN:
        codes = U16(C0)
    if s != 0:
        codes = codes | C1
    cpu.fsw = (cpu.fsw & ~U16(CONDITIONS)) | codes


def fxam(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        examine(cpu)
    return status


def fcmov(cpu, u, dst, src, cc):
    """ST(0) = ST(i) if condition cc holds; both must not be empty either way."""
    status = begin(cpu, u)
    if status != NEXT:
        return status
    i = U32(src.value)
    if is_empty(cpu, U32(0)) | is_empty(cpu, i):
        if not stack_underflow(cpu):
            set_indefinite(cpu, U32(0))
    elif condition(cpu, cc):
        set_register(cpu, U32(0), significand(cpu, i), sign_exponent(cpu, i))
    return NEXT
