"""x87: control, status and tag words, environment and whole state in memory (SDM vol. 1, 8.1.5 to 8.1.10 and 8.3.9).

The environment is seven words of the operand size, then ST(0) .. ST(7) of ten bytes each follow in FNSAVE's image:

    protected    FCW FSW FTW FIP FCS|opcode FDP FDS                16 bits: FIP 15:0 FCS FDP 15:0 FDS, no opcode
    real, V86    FCW FSW FTW FIP 15:0 | opcode + FIP 31:16 ...     linear addresses, split (figures 8-9 to 8-12)

The memory is translated whole before anything changes.
"""

from isa.lang.struct import words16, words32, words64
from isa.lang.word import U16, U32, U64, outlined
from vmdbg.machine.faults import fault
from vmdbg.machine.memory import access
from vmdbg.machine.segmentation import protected
from vmdbg.machine.semantics.x87_state import (
    BUSY,
    C1,
    ES,
    EXCEPTIONS,
    SF,
    begin,
    initialize,
    pending,
    physical,
    pop_st,
    set_empty,
    set_tags,
    set_top,
    sign_exponent,
    significand,
    summarize,
    tag_word,
    top,
    waiting,
    x87_enabled,
)
from vmdbg.machine.state import CR0_MP, CR0_TS, FAULT, NEXT, NM


def fnop(cpu, u):
    """FNOP."""
    return waiting(cpu)


def fneni(cpu, u):
    """FNENI, FNDISI, FNSETPM of the 8087 and 80287: nothing happens, pending exceptions are not waited for."""
    return x87_enabled(cpu)


def fwait(cpu, u):
    """FWAIT: #NM only if both CR0.MP and CR0.TS are set (SDM vol. 3, 2.5)."""
    if ((cpu.cr0 & CR0_MP) != 0) & ((cpu.cr0 & CR0_TS) != 0):
        return fault(cpu, NM, 0)
    return pending(cpu)


def fnclex(cpu, u):
    status = x87_enabled(cpu)
    if status == NEXT:
        cpu.fsw = cpu.fsw & ~U16(EXCEPTIONS | SF | ES | BUSY)
    return status


def fninit(cpu, u):
    status = x87_enabled(cpu)
    if status == NEXT:
        initialize(cpu)
    return status


def set_control(cpu, w):
    """FCW: bit 6 is always set, bits 7 and 15:13 are always clear."""
    cpu.fcw = (w & 0x1F3F) | 0x40
    summarize(cpu)


def fldcw(cpu, u, src):
    status = waiting(cpu)
    if status == NEXT:
        set_control(cpu, src.value)
    return status


def fnstcw(cpu, u, dst):
    status = x87_enabled(cpu)
    if status == NEXT:
        dst.value = cpu.fcw
    return status


def fnstsw(cpu, u, dst):
    status = x87_enabled(cpu)
    if status == NEXT:
        dst.value = cpu.fsw
    return status


def fincstp(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        cpu.fsw = cpu.fsw & ~U16(C1)
        set_top(cpu, top(cpu) + 1)
    return status


def fdecstp(cpu, u):
    status = begin(cpu, u)
    if status == NEXT:
        cpu.fsw = cpu.fsw & ~U16(C1)
        set_top(cpu, top(cpu) - 1)
    return status


def ffree(cpu, u, dst):
    status = begin(cpu, u)
    if status == NEXT:
        cpu.fsw = cpu.fsw & ~U16(C1)
        set_empty(cpu, U32(dst.value))
    return status


def ffreep(cpu, u, dst):
    """FFREE, then pop (undocumented, on all CPUs)."""
    status = begin(cpu, u)
    if status == NEXT:
        cpu.fsw = cpu.fsw & ~U16(C1)
        set_empty(cpu, U32(dst.value))
        pop_st(cpu)
    return status


# ---- environment


def cut(u, offset):
    """An offset cut to the address size."""
    if u.asize == 64:
        return offset
    if u.asize == 32:
        return offset & 0xFFFFFFFF
    return offset & 0xFFFF


def environment_word(cpu, u, i):
    """Word i (0 .. 6) of the environment in the layout of now, as 32 bits (SDM vol. 1, figures 8-9 to 8-12)."""
    w = U32(0)
    if i == 0:
        w = U32(cpu.fcw) | 0xFFFF0000
    elif i == 1:
        w = U32(cpu.fsw) | 0xFFFF0000
    elif i == 2:
        w = U32(tag_word(cpu)) | 0xFFFF0000
    elif protected(cpu):
        if i == 3:
            w = U32(cpu.fip)
        elif i == 4:
            w = (U32(cpu.fop & 0x7FF) << 16) if u.osize != 16 else U32(0)
        elif i == 5:
            w = U32(cpu.fdp)
        else:
            w = U32(0xFFFF0000)
    elif u.osize == 16:
        if i == 3:
            w = U32(cpu.fip)
        elif i == 4:
            w = ((U32(cpu.fip) >> 4) & 0xF000) | U32(cpu.fop & 0x7FF)
        elif i == 5:
            w = U32(cpu.fdp)
        else:
            w = (U32(cpu.fdp) >> 4) & 0xF000
    else:
        if i == 3:
            w = (U32(cpu.fip) & 0xFFFF) | 0xFFFF0000
        elif i == 4:
            w = ((U32(cpu.fip) >> 4) & 0x0FFFF000) | U32(cpu.fop & 0x7FF)
        elif i == 5:
            w = (U32(cpu.fdp) & 0xFFFF) | 0xFFFF0000
        else:
            w = (U32(cpu.fdp) >> 4) & 0x0FFFF000
    return w


def environment_size(u):
    return U64(14) if u.osize == 16 else U64(28)


def store_environment(cpu, u, host):
    """Write the seven words."""
    i = U32(0)
    while i < 7:
        w = environment_word(cpu, u, i)
        if u.osize == 16:
            words16(host)[i] = U16(w)
        else:
            words32(host)[i] = w
        i = i + 1


def read_word(u, host, i):
    """Word i of an environment in memory, as 32 bits."""
    return U32(words16(host)[i]) if u.osize == 16 else words32(host)[i]


def load_environment(cpu, u, host):
    """Read the seven words into the state."""
    ip = read_word(u, host, U32(3))
    cs = read_word(u, host, U32(4))
    dp = read_word(u, host, U32(5))
    ds = read_word(u, host, U32(6))
    if protected(cpu):
        cpu.fip, cpu.fdp = U64(ip), U64(dp)
        cpu.fop = U16(0) if u.osize == 16 else U16(cs >> 16) & 0x7FF
    else:
        cpu.fip = U64((ip & 0xFFFF) | ((cs & 0x0FFFF000) << 4))
        cpu.fdp = U64((dp & 0xFFFF) | ((ds & 0x0FFFF000) << 4))
        cpu.fop = U16(cs) & 0x7FF
    cpu.fcs, cpu.fds = U16(0), U16(0)
    cpu.fsw = U16(read_word(u, host, U32(1)))
    set_tags(cpu, U16(read_word(u, host, U32(2))))
    set_control(cpu, U16(read_word(u, host, U32(0))))


def pair(cpu, u, offset, n, write):
    """Host address of ST(2n) and ST(2n + 1), 20 bytes, in the image of FNSAVE at offset; 0: a fault is left."""
    return access(cpu, u.seg, cut(u, offset + environment_size(u) + n * 20), U64(20), write)


def store_pair(cpu, host, i):
    """Write ST(i) and ST(i + 1); i is U32."""
    words64(host)[0] = significand(cpu, i)
    words16(host)[4] = U16(sign_exponent(cpu, i))
    words64(host + 10)[0] = significand(cpu, i + 1)
    words16(host + 10)[4] = U16(sign_exponent(cpu, i + 1))


def load_pair(cpu, host, i):
    """Read ST(i) and ST(i + 1), tags left alone."""
    a = physical(cpu, i) << 1
    b = physical(cpu, i + 1) << 1
    cpu.st[a] = words64(host)[0]
    cpu.st[a + 1] = U64(words16(host)[4])
    cpu.st[b] = words64(host + 10)[0]
    cpu.st[b + 1] = U64(words16(host + 10)[4])


@outlined
def fnstenv(cpu, u, dst):
    """FNSTENV: store the environment, then mask all exceptions."""
    status = x87_enabled(cpu)
    if status != NEXT:
        return status
    host = access(cpu, u.seg, cut(u, dst.value), environment_size(u), True)
    if host == 0:
        return FAULT
    store_environment(cpu, u, host)
    cpu.fcw = cpu.fcw | EXCEPTIONS
    summarize(cpu)
    return NEXT


@outlined
def fldenv(cpu, u, src):
    status = waiting(cpu)
    if status != NEXT:
        return status
    host = access(cpu, u.seg, cut(u, src.value), environment_size(u), False)
    if host == 0:
        return FAULT
    load_environment(cpu, u, host)
    return NEXT


@outlined
def fnsave(cpu, u, dst):
    """FNSAVE: environment and registers, then FNINIT."""
    status = x87_enabled(cpu)
    if status != NEXT:
        return status
    host = access(cpu, u.seg, cut(u, dst.value), environment_size(u), True)
    if host == 0:
        return FAULT
    a = pair(cpu, u, dst.value, U64(0), True)
    if a == 0:
        return FAULT
    b = pair(cpu, u, dst.value, U64(1), True)
    if b == 0:
        return FAULT
    c = pair(cpu, u, dst.value, U64(2), True)
    if c == 0:
        return FAULT
    d = pair(cpu, u, dst.value, U64(3), True)
    if d == 0:
        return FAULT
    store_environment(cpu, u, host)
    store_pair(cpu, a, U32(0))
    store_pair(cpu, b, U32(2))
    store_pair(cpu, c, U32(4))
    store_pair(cpu, d, U32(6))
    initialize(cpu)
    return NEXT


@outlined
def frstor(cpu, u, src):
    status = waiting(cpu)
    if status != NEXT:
        return status
    host = access(cpu, u.seg, cut(u, src.value), environment_size(u), False)
    if host == 0:
        return FAULT
    a = pair(cpu, u, src.value, U64(0), False)
    if a == 0:
        return FAULT
    b = pair(cpu, u, src.value, U64(1), False)
    if b == 0:
        return FAULT
    c = pair(cpu, u, src.value, U64(2), False)
    if c == 0:
        return FAULT
    d = pair(cpu, u, src.value, U64(3), False)
    if d == 0:
        return FAULT
    load_environment(cpu, u, host)
    load_pair(cpu, a, U32(0))
    load_pair(cpu, b, U32(2))
    load_pair(cpu, c, U32(4))
    load_pair(cpu, d, U32(6))
    return NEXT
