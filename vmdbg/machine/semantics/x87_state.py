"""The x87 register stack and its exceptions (SDM vol. 1, chapter 8).

cpu.st holds the physical registers R0 .. R7; ST(i) is R[(TOP + i) mod 8], TOP being bits 13:11 of cpu.fsw.  In cpu.ftw
only "empty" (3) matters; a register that is not empty has tag 0 there, and `tag_word` works out valid, zero and special when
somebody looks (FNSTENV, FNSAVE), as CPUs do.  ES and B (bits 7 and 15 of fsw) are kept true: set while an unmasked
exception is pending.  FCS and FDS are always 0 (CPUID.7.EBX[13]), FIP and FDP are kept by every non-control instruction.
"""

from isa.lang.struct import words8
from isa.lang.word import U8, U16, U32, U64, outlined
from vmdbg.machine.faults import fault
from vmdbg.machine.memory import locate
from vmdbg.machine.state import CR0_EM, CR0_NE, CR0_TS, CS, EXIT, MF, NEXT, NM, X_FERR

IE, DE, ZE, OE, UE, PE, SF, ES = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80
C0, C1, C2, C3, BUSY = 0x100, 0x200, 0x400, 0x4000, 0x8000
CONDITIONS = 0x4700
EXCEPTIONS = 0x3F
PRECOMPUTATION = IE | DE | ZE
INDEFINITE, INDEFINITE_SIGN = 0xC000000000000000, 0xFFFF
ALL_EMPTY = 0xFFFF


# ---- may it run


def x87_enabled(cpu):
    """NEXT if an x87 instruction may run, else FAULT with #NM left (SDM vol. 3, 2.5: CR0.EM, TS)."""
    if (cpu.cr0 & (CR0_EM | CR0_TS)) != 0:
        return fault(cpu, NM, 0)
    return NEXT


def pending(cpu):
    """NEXT, or what a waiting instruction does about a pending unmasked exception (SDM vol. 1, 8.7).

    With CR0.NE #MF; without it the CPU asserts FERR# and waits: EXIT with X_FERR, for the board to raise IRQ 13 or assert IGNNE#.
    """
    if (cpu.fsw & ES) == 0:
        cpu.ignne = U64(0)
        return NEXT
    if (cpu.cr0 & CR0_NE) != 0:
        return fault(cpu, MF, 0)
    if cpu.ignne != 0:
        return NEXT
    cpu.reason = U64(X_FERR)
    return EXIT


def x87_control_available(cpu):
    """For the glue, before it translates operands: whether an instruction that does not wait may run."""
    return x87_enabled(cpu) == NEXT


def x87_available(cpu):
    """For the glue, before it translates operands: whether a waiting instruction may run; without CR0.NE its meaning decides."""
    if x87_enabled(cpu) != NEXT:
        return False
    if (cpu.fsw & ES) != 0 and (cpu.cr0 & CR0_NE) != 0:
        fault(cpu, MF, 0)
        return False
    return True


def waiting(cpu):
    """The start of a waiting instruction: NEXT if it may run."""
    status = x87_enabled(cpu)
    if status != NEXT:
        return status
    return pending(cpu)


def begin(cpu, u):
    """The start of a non-control instruction without memory operand: NEXT if it may run, and FIP is set."""
    status = waiting(cpu)
    if status == NEXT:
        cpu.fip = u.after - U64(u.length)
    return status


def begin_memory(cpu, u):
    """As begin, for an instruction with a memory operand: FIP and FDP are set."""
    status = waiting(cpu)
    if status == NEXT:
        cpu.fip = u.after - U64(u.length)
        cpu.fdp = operand_offset(cpu, u)
    return status


def operand_offset(cpu, u):
    """The offset of u's memory operand, cut to the address size."""
    offset = cpu.gpr[u.base] + (cpu.gpr[u.index] << U64(u.scale)) + u.disp
    if u.asize == 32:
        offset = offset & 0xFFFFFFFF
    elif u.asize == 16:
        offset = offset & 0xFFFF
    return offset


# ---- registers


def top(cpu):
    return (U32(cpu.fsw) >> 11) & 7


def set_top(cpu, n):
    cpu.fsw = (cpu.fsw & 0xC7FF) | (U16(n & 7) << 11)


def physical(cpu, i):
    """The number of the register that ST(i) is; i is U32."""
    return (top(cpu) + i) & 7


def is_empty(cpu, i):
    return ((U32(cpu.ftw) >> (physical(cpu, i) << 1)) & 3) == 3


def significand(cpu, i):
    return cpu.st[physical(cpu, i) << 1]


def sign_exponent(cpu, i):
    return U32(cpu.st[(physical(cpu, i) << 1) + 1]) & 0xFFFF


def set_register(cpu, i, m, se):
    """Write ST(i): significand (U64), sign and exponent (U32); it is not empty any more."""
    n = physical(cpu, i) << 1
    cpu.st[n] = m
    cpu.st[n + 1] = U64(se & 0xFFFF)
    cpu.ftw = cpu.ftw & ~(U16(3) << n)


def set_empty(cpu, i):
    cpu.ftw = cpu.ftw | (U16(3) << (physical(cpu, i) << 1))


def pop_st(cpu):
    """ST(0) becomes empty and TOP one more."""
    set_empty(cpu, U32(0))
    set_top(cpu, top(cpu) + 1)


def push_st(cpu, m, se):
    set_top(cpu, top(cpu) - 1)
    set_register(cpu, U32(0), m, se)


def tag_word(cpu):
    """The tag word with 0 valid, 1 zero, 2 special (denormal, infinity, NaN, unsupported), 3 empty (SDM vol. 1, 8.1.7)."""
    tags = U16(0)
    i = U32(0)
    while i < 8:
        tag = U16(0)
        m = cpu.st[i << 1]
        e = cpu.st[(i << 1) + 1] & 0x7FFF
        if ((U32(cpu.ftw) >> (i << 1)) & 3) == 3:
            tag = U16(3)
        elif (e == 0) & (m == 0):
            tag = U16(1)
        elif (e == 0) | (e == 0x7FFF) | ((m >> 63) == 0):
            tag = U16(2)
        tags = tags | (tag << (i << 1))
        i = i + 1
    return tags


def set_tags(cpu, tags):
    """Take a tag word from memory: only emptiness counts."""
    full = tags & (tags >> 1) & 0x5555
    cpu.ftw = full | (full << 1)


# ---- exceptions


def summarize(cpu):
    """Make ES and B say whether an unmasked exception is pending."""
    if (cpu.fsw & ~cpu.fcw & EXCEPTIONS) != 0:
        cpu.fsw = cpu.fsw | (ES | BUSY)
    else:
        cpu.fsw = cpu.fsw & ~U16(ES | BUSY)


@outlined
def unmasked(cpu, flags):
    """ES, B and FOP after an unmasked exception was raised.

    FOP is the second byte of the opcode under the low bits of the first (SDM vol. 1, 8.1.9); it is fetched again from cpu.fip
    past the prefixes, and stays if the code cannot be read as data.
    """
    cpu.fsw = cpu.fsw | (ES | BUSY)
    at = cpu.seg_base[CS] + cpu.fip
    if cpu.bits == 64:
        at = cpu.fip
    first = U8(0)
    n = U32(0)
    while n < 15:
        host = locate(cpu, at if cpu.bits == 64 else at & 0xFFFFFFFF, U64(1), False)
        if host == 0:
            n = U32(15)
        else:
            byte = words8(host)[0]
            if (first & 0xF8) == 0xD8:
                cpu.fop = (U16(first & 7) << 8) | U16(byte)
                n = U32(15)
            first = byte
        at = at + 1
        n = n + 1


def settle(cpu, flags):
    """Record the exceptions (and SF, C1) of an instruction -> whether an unmasked IE, DE or ZE forbids its result.

    Such an exception hides what the computation would have raised after it.  C1 is cleared unless flags has it.
    """
    raised = flags
    open_ = flags & ~U32(cpu.fcw) & EXCEPTIONS
    forbids = (open_ & PRECOMPUTATION) != 0
    if forbids:
        raised = flags & (PRECOMPUTATION | SF) if (flags & SF) == 0 else flags & (PRECOMPUTATION | SF | C1)
    cpu.fsw = (cpu.fsw & ~U16(C1)) | U16(raised & (EXCEPTIONS | SF | C1))
    if open_ != 0:
        unmasked(cpu, open_)
    return forbids


def open_overflow(cpu, flags):
    """Whether flags has OE or UE unmasked: a store to memory does not happen then (SDM vol. 1, 8.5.4 and 8.5.5)."""
    return (flags & ~U32(cpu.fcw) & (OE | UE)) != 0


def stack_underflow(cpu):
    """An operand is empty: IE and SF, C1 = 0 -> whether IE is unmasked."""
    return settle(cpu, U32(IE | SF))


def stack_overflow(cpu):
    """No empty register to push: IE, SF and C1 -> whether IE is unmasked."""
    return settle(cpu, U32(IE | SF | C1))


def push_checked(cpu, m, se, flags):
    """Push a value whose making raised `flags`, or deal with stack overflow or an unmasked IE; an unmasked DE pushes too."""
    if not is_empty(cpu, U32(7)):
        if not stack_overflow(cpu):
            push_st(cpu, U64(INDEFINITE), U32(INDEFINITE_SIGN))
    elif not settle(cpu, flags) or (flags & IE) == 0:
        push_st(cpu, m, se)


def mode_of(cpu):
    """The control word as soft-float's `mode`: masks, rounding control, precision control."""
    w = U32(cpu.fcw)
    return ((w & EXCEPTIONS) << 7) | ((w & 0xC00) << 3) | ((w & 0x300) << 8)


def full_mode_of(cpu):
    """As mode_of, with all 64 bits of precision."""
    return mode_of(cpu) | 0x30000


def initialize(cpu):
    """FNINIT's state (SDM vol. 1, 8.1.5); the registers keep their contents."""
    cpu.fcw, cpu.fsw, cpu.ftw, cpu.fop = U16(0x37F), U16(0), U16(ALL_EMPTY), U16(0)
    cpu.fip, cpu.fdp, cpu.fcs, cpu.fds = U64(0), U64(0), U16(0), U16(0)
