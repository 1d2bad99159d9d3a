"""String instructions: MOVS, CMPS, STOS, LODS, SCAS with REP, REPE, REPNE (SDM vol. 2).

f(cpu, u, bits): bits is the width of an element, u.rep the prefix (0, 0xF2, 0xF3), u.asize the address size, u.seg the
segment of the source; the destination is always in ES.  A call does one iteration, whose cost the block has charged.
With REP it may do more of them, each for one more of cpu.budget, and returns REPEAT (everything consistent, rip still
at the instruction) when budget or memory runs out or somebody wants attention; the fault comes up again when the
instruction is run again.  With cpu.slow it does exactly one.

    one iteration -> loop: run() elements that lie in one page on both sides and cost no more than budget -> copy, fill, search

What is done in bulk ends in the same bytes as element after element, overlap included.
"""

from isa.lang.struct import words8, words64
from isa.lang.word import U64, outlined, slt
from vmdbg.machine.flags import set_flags, zero
from vmdbg.machine.memory import PAGE_MASK, READ, WRITE, access
from vmdbg.machine.physical import PAGE_WATCHED
from vmdbg.machine.state import ES, F_DF, FAULT, NEXT, RAX, RCX, RDI, REPEAT, RSI
from vmdbg.machine.widths import element_shift, read_memory, read_register, sign_extend, truncate, write_memory, write_register

REPNE = 0xF2
GRANULE = 64  # translated and watched bytes are tracked in pieces of this many


def step_of(cpu, bits):
    """What an iteration adds to rSI and rDI."""
    size = U64(bits >> 3)
    if (cpu.eflags & F_DF) != 0:
        return -size
    return size


def nothing_to_do(cpu, u):
    """Whether a REP prefix finds a count of 0."""
    return u.rep != 0 and read_register(cpu, RCX, u.asize) == 0


def advance(cpu, u, n, by):
    """Add `by` to rSI or rDI, in the address size."""
    write_register(cpu, n, u.asize, cpu.gpr[n] + by)


def count_down(cpu, u, done):
    """Take `done` iterations off rCX; returns what is left."""
    left = truncate(cpu.gpr[RCX] - done, u.asize)
    write_register(cpu, RCX, u.asize, left)
    return left


def may_go_on(cpu):
    """Whether another iteration may follow within this call."""
    return cpu.budget != 0 and (cpu.pending >> 63) == 0 and cpu.slow == 0


def source_host(cpu, u, bits):
    return access(cpu, u.seg, truncate(cpu.gpr[RSI], u.asize), U64(bits >> 3), READ)


def target_host(cpu, u, bits, write):
    return access(cpu, ES, truncate(cpu.gpr[RDI], u.asize), U64(bits >> 3), write)


# ---- how many elements may be done at once, going up


def least(a, b):
    return a if a < b else b


def room(cpu, host, shift):
    """Elements from host (in RAM) to the end of its page; of its granule, if the page is watched."""
    if (words8(cpu.page_flags)[(host - cpu.ram) >> 12] & PAGE_WATCHED) != 0:
        return (U64(GRANULE) - ((host - cpu.ram) & (GRANULE - 1))) >> shift
    return (U64(PAGE_MASK + 1) - ((host - cpu.ram) & PAGE_MASK)) >> shift


def room_to_write(cpu, host, shift):
    """As room; in a page with tracking to the end of its granule, and only the first element, which was allowed, beside code."""
    at = host - cpu.ram
    if words8(cpu.page_flags)[at >> 12] == 0:
        return room(cpu, host, shift)
    if ((words64(cpu.page_code)[at >> 12] >> ((at >> 6) & 63)) & 1) != 0:
        return U64(1)
    return (U64(GRANULE) - ((host - cpu.ram) & (GRANULE - 1))) >> shift


def before_wrap(offset, bits, shift):
    """Elements before the offset wraps at the address size (64 bits: any number)."""
    if bits == 64:
        return ~U64(0)
    return (truncate(~U64(0), bits) - offset + 1) >> shift


def bounded(cpu, seg, offset, n, bits, write):
    """n if the n-th element from offset on is accessible as well, else 1.  The fault state is left as it was."""
    if n < 2:
        return n
    vector, error_code, has_error = cpu.vector, cpu.error_code, cpu.has_error
    address, reason = cpu.fault_address, cpu.reason
    size = U64(bits >> 3)
    if access(cpu, seg, offset + (n - 1) * size, size, write) != 0:
        return n
    cpu.vector, cpu.error_code, cpu.has_error = vector, error_code, has_error
    cpu.fault_address, cpu.reason = address, reason
    return U64(1)


def run(cpu, u, seg, offset, host, bits, write, most):
    """How many elements from host on (its first one was accessed) lie side by side: at least 1 and at most `most`."""
    if (cpu.eflags & F_DF) != 0:
        return U64(1)
    shift = element_shift(bits)
    n = least(most, before_wrap(offset, u.asize, shift))
    n = least(n, room_to_write(cpu, host, shift) if write else room(cpu, host, shift))
    if n == 0:
        return U64(1)
    return bounded(cpu, seg, offset, n, bits, write)


def wanted(cpu, u):
    """Iterations that count and budget allow: at least 1."""
    return least(read_register(cpu, RCX, u.asize), cpu.budget)


def charge(cpu, done):
    cpu.budget = cpu.budget - done


# ---- bulk


def copy(source, target, n, bits):
    """n elements, lowest first, each read before it is written and after the one before was written."""
    size = U64(bits >> 3)
    length = n * size
    done = U64(0)
    if target - source >= length:  # the target does not begin inside the source: any upward order gives the same bytes
        while length - done >= 8:
            words64(target + done)[0] = words64(source + done)[0]
            done = done + 8
    while done != length:
        write_memory(target + done, bits, read_memory(source + done, bits))
        done = done + size


def spread(value, bits):
    """An element, repeated to 64 bits."""
    if bits == 64:
        return value
    if bits == 32:
        return value | (value << 32)
    if bits == 16:
        return value * 0x0001000100010001
    return value * 0x0101010101010101


def fill(target, n, bits, value):
    pattern = spread(value, bits)
    at, left = target, n * U64(bits >> 3)
    while left >= 8:
        words64(at)[0] = pattern
        at = at + 8
        left = left - 8
    if (left & 4) != 0:
        write_memory(at, 32, pattern)
        at = at + 4
    if (left & 2) != 0:
        write_memory(at, 16, pattern)
        at = at + 2
    if (left & 1) != 0:
        write_memory(at, 8, pattern)


# ---- MOVS, STOS, LODS


def movs(cpu, u, bits):
    if nothing_to_do(cpu, u):
        return NEXT
    source = source_host(cpu, u, bits)
    if source == 0:
        return FAULT
    target = target_host(cpu, u, bits, WRITE)
    if target == 0:
        return FAULT
    write_memory(target, bits, read_memory(source, bits))
    advance(cpu, u, RSI, step_of(cpu, bits))
    advance(cpu, u, RDI, step_of(cpu, bits))
    if u.rep == 0:
        return NEXT
    if count_down(cpu, u, U64(1)) == 0:
        return NEXT
    return movs_on(cpu, u, U64(bits))


@outlined
def movs_on(cpu, u, bits):
    while may_go_on(cpu):
        source = source_host(cpu, u, bits)
        if source == 0:
            return REPEAT
        target = target_host(cpu, u, bits, WRITE)
        if target == 0:
            return REPEAT
        n = run(cpu, u, u.seg, truncate(cpu.gpr[RSI], u.asize), source, bits, READ, wanted(cpu, u))
        n = run(cpu, u, ES, truncate(cpu.gpr[RDI], u.asize), target, bits, WRITE, n)
        copy(source, target, n, bits)
        charge(cpu, n)
        advance(cpu, u, RSI, n * step_of(cpu, bits))
        advance(cpu, u, RDI, n * step_of(cpu, bits))
        if count_down(cpu, u, n) == 0:
            return NEXT
    return REPEAT


def stos(cpu, u, bits):
    if nothing_to_do(cpu, u):
        return NEXT
    target = target_host(cpu, u, bits, WRITE)
    if target == 0:
        return FAULT
    write_memory(target, bits, cpu.gpr[RAX])
    advance(cpu, u, RDI, step_of(cpu, bits))
    if u.rep == 0:
        return NEXT
    if count_down(cpu, u, U64(1)) == 0:
        return NEXT
    return stos_on(cpu, u, U64(bits))


@outlined
def stos_on(cpu, u, bits):
    value = read_register(cpu, RAX, bits)
    while may_go_on(cpu):
        target = target_host(cpu, u, bits, WRITE)
        if target == 0:
            return REPEAT
        n = run(cpu, u, ES, truncate(cpu.gpr[RDI], u.asize), target, bits, WRITE, wanted(cpu, u))
        fill(target, n, bits, value)
        charge(cpu, n)
        advance(cpu, u, RDI, n * step_of(cpu, bits))
        if count_down(cpu, u, n) == 0:
            return NEXT
    return REPEAT


def lods(cpu, u, bits):
    """REP LODS, which nobody needs, goes one iteration at a time."""
    if nothing_to_do(cpu, u):
        return NEXT
    source = source_host(cpu, u, bits)
    if source == 0:
        return FAULT
    write_register(cpu, RAX, bits, read_memory(source, bits))
    advance(cpu, u, RSI, step_of(cpu, bits))
    if u.rep == 0:
        return NEXT
    if count_down(cpu, u, U64(1)) == 0:
        return NEXT
    return REPEAT


# ---- CMPS, SCAS


def compare(cpu, a, b, bits):
    """The flags of a - b at a width that is data: sign extension keeps both orders, and the low byte."""
    left, right = sign_extend(a, bits), sign_extend(b, bits)
    r = sign_extend(left - right, bits)
    set_flags(cpu, r, left < right, slt(left, right), left ^ right ^ r)


def ended(cpu, u, left):
    """Whether REPE or REPNE ends after the comparison just done, `left` iterations being left."""
    return left == 0 or zero(cpu) == (u.rep == REPNE)


def cmps(cpu, u, bits):
    """ES:rDI is looked at first, as processors do."""
    if nothing_to_do(cpu, u):
        return NEXT
    target = target_host(cpu, u, bits, READ)
    if target == 0:
        return FAULT
    source = source_host(cpu, u, bits)
    if source == 0:
        return FAULT
    compare(cpu, read_memory(source, bits), read_memory(target, bits), bits)
    advance(cpu, u, RSI, step_of(cpu, bits))
    advance(cpu, u, RDI, step_of(cpu, bits))
    if u.rep == 0:
        return NEXT
    if ended(cpu, u, count_down(cpu, u, U64(1))):
        return NEXT
    return cmps_on(cpu, u, U64(bits))


@outlined
def cmps_on(cpu, u, bits):
    while may_go_on(cpu):
        target = target_host(cpu, u, bits, READ)
        if target == 0:
            return REPEAT
        source = source_host(cpu, u, bits)
        if source == 0:
            return REPEAT
        n = run(cpu, u, u.seg, truncate(cpu.gpr[RSI], u.asize), source, bits, READ, wanted(cpu, u))
        n = run(cpu, u, ES, truncate(cpu.gpr[RDI], u.asize), target, bits, READ, n)
        size = U64(bits >> 3)
        a, b, done = read_memory(source, bits), read_memory(target, bits), U64(1)
        while done != n and (a == b) != (u.rep == REPNE):
            a, b = read_memory(source + done * size, bits), read_memory(target + done * size, bits)
            done = done + 1
        compare(cpu, a, b, bits)
        charge(cpu, done)
        advance(cpu, u, RSI, done * step_of(cpu, bits))
        advance(cpu, u, RDI, done * step_of(cpu, bits))
        if ended(cpu, u, count_down(cpu, u, done)):
            return NEXT
    return REPEAT


def scas(cpu, u, bits):
    if nothing_to_do(cpu, u):
        return NEXT
    target = target_host(cpu, u, bits, READ)
    if target == 0:
        return FAULT
    compare(cpu, read_register(cpu, RAX, bits), read_memory(target, bits), bits)
    advance(cpu, u, RDI, step_of(cpu, bits))
    if u.rep == 0:
        return NEXT
    if ended(cpu, u, count_down(cpu, u, U64(1))):
        return NEXT
    return scas_on(cpu, u, U64(bits))


@outlined
def scas_on(cpu, u, bits):
    a = read_register(cpu, RAX, bits)
    while may_go_on(cpu):
        target = target_host(cpu, u, bits, READ)
        if target == 0:
            return REPEAT
        n = run(cpu, u, ES, truncate(cpu.gpr[RDI], u.asize), target, bits, READ, wanted(cpu, u))
        size = U64(bits >> 3)
        b, done = read_memory(target, bits), U64(1)
        while done != n and (a == b) != (u.rep == REPNE):
            b = read_memory(target + done * size, bits)
            done = done + 1
        compare(cpu, a, b, bits)
        charge(cpu, done)
        advance(cpu, u, RDI, done * step_of(cpu, bits))
        if ended(cpu, u, count_down(cpu, u, done)):
            return NEXT
    return REPEAT
