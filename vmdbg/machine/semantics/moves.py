"""Moves, the stack, RFLAGS (SDM vol. 2)."""

from isa.lang.word import U8, U16, U64, outlined, sx
from isa.lang.word import bswap as reverse_bytes
from vmdbg.machine.faults import fault_gp0
from vmdbg.machine.flags import carry, condition, get_rflags, set_carry, set_rflags, set_status
from vmdbg.machine.memory import READ, WRITE, access, set_rsp, stack_offset
from vmdbg.machine.slots import unwritten
from vmdbg.machine.stack import pop_host, pop_value, push_host, push_value, stack_host
from vmdbg.machine.state import (
    CR0_PE,
    CR4_VME,
    END,
    F_DF,
    F_IF,
    F_IOPL,
    F_OF,
    F_RF,
    F_TF,
    F_VIF,
    F_VIP,
    F_VM,
    FAULT,
    NEXT,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
)
from vmdbg.machine.widths import read_memory, set_register, truncate, write_memory, write_register

# ---- moves


def mov(cpu, u, dst, src):
    dst.value = src.value
    return NEXT


def movzx(cpu, u, dst, src):
    dst.value = src.value
    return NEXT


def movsx(cpu, u, dst, src):
    dst.value = sx(src.value)
    return NEXT


def cmov(cpu, u, dst, src, cc):
    """The source is read, and a 32-bit destination zero-extended, whether the condition holds or not."""
    kept, moved = dst.value, src.value
    dst.value = moved if condition(cpu, cc) else kept
    return NEXT


def xchg(cpu, u, dst, src):
    a, b = dst.value, src.value
    dst.value = b
    src.value = a
    return NEXT


def bswap(cpu, u, dst):
    """A 16-bit operand, undefined in the manual, becomes 0."""
    a = dst.value
    if a.bits == 16:
        dst.value = a ^ a
    else:
        dst.value = reverse_bytes(a)
    return NEXT


def lea(cpu, u, dst, ea):
    dst.value = ea.value
    return NEXT


def xlat(cpu, u):
    """AL := byte at rBX + AL."""
    at = truncate(cpu.gpr[RBX] + (cpu.gpr[RAX] & 0xFF), u.asize)
    host = access(cpu, u.seg, at, U64(1), READ)
    if host == 0:
        return FAULT
    write_register(cpu, RAX, 8, read_memory(host, 8))
    return NEXT


# ---- push and pop


def push(cpu, u, src):
    """The source is read before rSP changes."""
    value = src.value
    if push_value(cpu, value.bits, U64(value)):
        return NEXT
    return FAULT


def push_imm(cpu, u, src):
    """An immediate, sign-extended to the operand size."""
    if push_value(cpu, u.osize, sx(src.value)):
        return NEXT
    return FAULT


def push_seg(cpu, u, src):
    """A selector: of a 32-bit slot only the low half is written, a 64-bit one is zero-extended."""
    host, top = push_host(cpu, u.osize)
    if host == 0:
        return FAULT
    selector = U64(cpu.seg_selector[src.value])
    if u.osize == 64:
        write_memory(host, 64, selector)
    else:
        write_memory(host, 16, selector)
    set_rsp(cpu, top)
    return NEXT


def pop(cpu, u, dst):
    """A register; rSP is written first, so POP rSP leaves the value."""
    ok, value = pop_value(cpu, dst.value.bits)
    if not ok:
        return FAULT
    dst.value = value
    return NEXT


def pop_memory(cpu, u, ea):
    """The effective address is computed with rSP as it is after the pop."""
    source, top = pop_host(cpu, u.osize)
    if source == 0:
        return FAULT
    at = ea.value
    if u.base == RSP:
        at = truncate(at + (stack_offset(cpu, top) - stack_offset(cpu, cpu.gpr[RSP])), u.asize)
    host = access(cpu, u.seg, at, U64(u.osize >> 3), WRITE)
    if host == 0:
        return FAULT
    value = read_memory(source, u.osize)
    set_rsp(cpu, top)
    write_memory(host, u.osize, value)
    return NEXT


@outlined
def slot_host(cpu, n, bits, write):
    """The n-th place from the top of the stack (signed)."""
    size = U64(bits >> 3)
    return stack_host(cpu, stack_offset(cpu, cpu.gpr[RSP] + n * size), size, write)


def slot_hosts(cpu, lowest, bits, write):
    """Hosts of eight places from `lowest` on, the last first: in the order in which PUSHA pushes."""
    a = slot_host(cpu, lowest + 7, bits, write)
    b = slot_host(cpu, lowest + 6, bits, write) if a != 0 else a
    c = slot_host(cpu, lowest + 5, bits, write) if b != 0 else b
    d = slot_host(cpu, lowest + 4, bits, write) if c != 0 else c
    e = slot_host(cpu, lowest + 3, bits, write) if d != 0 else d
    f = slot_host(cpu, lowest + 2, bits, write) if e != 0 else e
    g = slot_host(cpu, lowest + 1, bits, write) if f != 0 else f
    h = slot_host(cpu, lowest, bits, write) if g != 0 else g
    return a, b, c, d, e, f, g, h


def pusha(cpu, u):
    """PUSHA, PUSHAD: all or nothing."""
    bits = u.osize
    a, b, c, d, e, f, g, h = slot_hosts(cpu, ~U64(0) - 7, bits, WRITE)
    if h == 0:
        return FAULT
    write_memory(a, bits, cpu.gpr[RAX])
    write_memory(b, bits, cpu.gpr[RCX])
    write_memory(c, bits, cpu.gpr[RDX])
    write_memory(d, bits, cpu.gpr[RBX])
    write_memory(e, bits, cpu.gpr[RSP])
    write_memory(f, bits, cpu.gpr[RBP])
    write_memory(g, bits, cpu.gpr[RSI])
    write_memory(h, bits, cpu.gpr[RDI])
    set_rsp(cpu, cpu.gpr[RSP] - U64(bits))
    return NEXT


def pop_hosts(cpu, bits):
    """Hosts of the eight top places, the top first; all are looked at in that order."""
    h = slot_host(cpu, U64(0), bits, READ)
    g = slot_host(cpu, U64(1), bits, READ) if h != 0 else h
    f = slot_host(cpu, U64(2), bits, READ) if g != 0 else g
    e = slot_host(cpu, U64(3), bits, READ) if f != 0 else f
    d = slot_host(cpu, U64(4), bits, READ) if e != 0 else e
    c = slot_host(cpu, U64(5), bits, READ) if d != 0 else d
    b = slot_host(cpu, U64(6), bits, READ) if c != 0 else c
    a = slot_host(cpu, U64(7), bits, READ) if b != 0 else b
    return a, b, c, d, f, g, h


def popa(cpu, u):
    """POPA, POPAD: the saved SP is skipped."""
    bits = u.osize
    a, b, c, d, f, g, h = pop_hosts(cpu, bits)
    if a == 0:
        return FAULT
    write_register(cpu, RDI, bits, read_memory(h, bits))
    write_register(cpu, RSI, bits, read_memory(g, bits))
    write_register(cpu, RBP, bits, read_memory(f, bits))
    write_register(cpu, RBX, bits, read_memory(d, bits))
    write_register(cpu, RDX, bits, read_memory(c, bits))
    write_register(cpu, RCX, bits, read_memory(b, bits))
    write_register(cpu, RAX, bits, read_memory(a, bits))
    set_rsp(cpu, cpu.gpr[RSP] + U64(bits))
    return NEXT


# ---- frames


def leave(cpu, u):
    """rSP := rBP by the stack's address size, then pop rBP."""
    size = U64(u.osize >> 3)
    top = stack_offset(cpu, cpu.gpr[RBP])
    host = stack_host(cpu, top, size, READ)
    if host == 0:
        return FAULT
    value = read_memory(host, u.osize)
    set_rsp(cpu, top + size)
    write_register(cpu, RBP, u.osize, value)
    return NEXT


def enter(cpu, u, size, level):
    """Push rBP, copy the display of the enclosing frames, make room.  The final rSP must be writable.

    The decoder hands over both operands in one immediate: the size in bits 15:0, the level in bits 23:16.
    """
    bits = u.osize
    step = U64(bits >> 3)
    depth = (u.imm >> 16) & 31
    frame = stack_offset(cpu, cpu.gpr[RSP] - step)
    top = stack_offset(cpu, frame - depth * step)
    last = stack_offset(cpu, top - (u.imm & 0xFFFF))
    if not enter_frame(cpu, bits, frame, depth, last):
        return FAULT
    frame_value = frame
    if cpu.stack_bits == 16:
        frame_value = (cpu.gpr[RSP] & ~U64(0xFFFF)) | frame
    n = U64(0)
    while n < depth or n == 0:
        write_memory(cpu.frame_host[n], bits, cpu.frame_value[n])
        n = n + 1
    if depth != 0:
        write_memory(cpu.frame_host[depth], bits, frame_value)
    set_rsp(cpu, last)
    write_register(cpu, RBP, bits, frame_value)
    return NEXT


def overlaid(cpu, value, pushed, at, target, step):
    """`value`, read from offset `at`, with the bytes that `pushed` has put at offset `target`; both are `step` bytes wide."""
    above, below = stack_offset(cpu, at - target), stack_offset(cpu, target - at)
    if above < step:
        kept = ~U64(0) << ((step - above) << 3) if above != 0 or step != 8 else U64(0)
        return (value & kept) | ((pushed >> (above << 3)) & ~kept)
    if below < step:
        kept = (U64(1) << (below << 3)) - 1
        return (value & kept) | (pushed << (below << 3))
    return value


@outlined
def enter_frame(cpu, bits, frame, depth, last):
    """Find what ENTER pushes and where: cpu.frame_value[n] to cpu.frame_host[n], n below depth, and at
    frame_host[depth] room for the frame's own address.  False: a fault is left.

    Bytes of the display that lie where one has just been pushed are those.
    """
    step = U64(bits >> 3)
    cpu.frame_value[0] = cpu.gpr[RBP]
    host = stack_host(cpu, frame, step, WRITE)
    if host == 0:
        return False
    cpu.frame_host[0] = host
    n = U64(1)
    while n < depth:
        at = stack_offset(cpu, cpu.gpr[RBP] - n * step)
        source = stack_host(cpu, at, step, READ)
        if source == 0:
            return False
        target = stack_host(cpu, stack_offset(cpu, frame - n * step), step, WRITE)
        if target == 0:
            return False
        value = read_memory(source, bits)
        k = U64(0)
        while k < n:
            value = overlaid(cpu, value, cpu.frame_value[k], at, stack_offset(cpu, frame - k * step), step)
            k = k + 1
        cpu.frame_value[n], cpu.frame_host[n] = value, target
        n = n + 1
    if depth != 0:
        bottom = stack_host(cpu, stack_offset(cpu, frame - depth * step), step, WRITE)
        if bottom == 0:
            return False
        cpu.frame_host[depth] = bottom
    used = cpu.slots
    if stack_host(cpu, last, step, WRITE) == 0:
        return False
    unwritten(cpu, used)
    return True


# ---- flags


def cmc(cpu, u):
    set_carry(cpu, not carry(cpu))
    return NEXT


def clc(cpu, u):
    set_carry(cpu, False)
    return NEXT


def stc(cpu, u):
    set_carry(cpu, True)
    return NEXT


def cld(cpu, u):
    cpu.eflags = cpu.eflags & ~U64(F_DF)
    return NEXT


def std(cpu, u):
    cpu.eflags = cpu.eflags | F_DF
    return NEXT


def lahf(cpu, u):
    ah = U16(U8(get_rflags(cpu)))
    set_register(cpu, RAX, (ah << 8) | U16(U8(cpu.gpr[RAX])))
    return NEXT


def sahf(cpu, u):
    """OF is kept."""
    set_status(cpu, (get_rflags(cpu) & F_OF) | ((cpu.gpr[RAX] >> 8) & 0xFF))
    return NEXT


CHANGEABLE = 0x244FD5  # CF PF AF ZF SF TF IF DF OF NT AC ID


def iopl(cpu):
    return (cpu.eflags & F_IOPL) >> 12


def v86(cpu):
    return (cpu.eflags & F_VM) != 0


def pushf(cpu, u):
    """VM and RF are pushed as 0.  Virtual-8086 mode with IOPL < 3: #GP(0), or with VME a 16-bit image with VIF for IF and IOPL 3."""
    image = get_rflags(cpu) & ~U64(F_VM | F_RF)
    if v86(cpu) and iopl(cpu) != 3:
        if u.osize != 16 or (cpu.cr4 & CR4_VME) == 0:
            return fault_gp0(cpu)
        image = (image & ~U64(F_IF)) | F_IOPL
        if (cpu.eflags & F_VIF) != 0:
            image = image | F_IF
    if push_value(cpu, u.osize, image):
        return NEXT
    return FAULT


def changeable(cpu, bits):
    """Which flags POPF and IRET may change outside virtual-8086 mode's VME case: IOPL for CPL 0, IF for CPL <= IOPL."""
    mask = U64(CHANGEABLE)
    if (cpu.cr0 & CR0_PE) == 0 or cpu.cpl == 0:
        mask = mask | F_IOPL
    elif U64(cpu.cpl) > iopl(cpu):
        mask = mask & ~U64(F_IF)
    if bits == 16:
        return mask & 0xFFFF
    return mask


def popf(cpu, u):
    """VM, VIF, VIP are kept, RF is cleared by 32 and 64 bits; what CPL forbids is kept silently.

    Virtual-8086 mode with IOPL < 3: #GP(0), or with VME and 16 bits IF goes to VIF; there #GP(0) for TF, and for IF while VIP is set.
    """
    virtual = v86(cpu) and iopl(cpu) != 3
    if virtual and (u.osize != 16 or (cpu.cr4 & CR4_VME) == 0):
        return fault_gp0(cpu)
    host, top = pop_host(cpu, u.osize)
    if host == 0:
        return FAULT
    image = read_memory(host, u.osize)
    old = get_rflags(cpu)
    mask = changeable(cpu, u.osize)
    if virtual:
        if (image & F_TF) != 0 or ((image & F_IF) != 0 and (old & F_VIP) != 0):
            return fault_gp0(cpu)
        mask = mask & ~U64(F_IF)
        old = old & ~U64(F_VIF)
        if (image & F_IF) != 0:
            old = old | F_VIF
    if u.osize != 16:
        old = old & ~U64(F_RF)
    set_rsp(cpu, top)
    set_rflags(cpu, (old & ~mask) | (image & mask))
    return END
