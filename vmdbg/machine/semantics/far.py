"""Far JMP, CALL and RET; call gates and task gates (SDM vol. 2, JMP CALL RET; vol. 3, 5.8 and 7.3)."""

from isa.lang.struct import words16
from isa.lang.word import U64, like, outlined
from vmdbg.machine.descriptor import (
    CALL16,
    CALL32,
    INDEX,
    RPL,
    TASK_GATE,
    TI,
    TSS16,
    TSS32,
    check_code_descriptor,
    code_target,
    descriptor_attr,
    descriptor_base,
    descriptor_dpl,
    descriptor_limit,
    descriptor_present,
    descriptor_type,
    drop_segments,
    fetch_descriptor,
    fetch_high,
    is_code,
    is_conforming,
    load_segment,
    long_mode,
    put_cs,
    put_null_ss,
    put_real,
    put_segment,
    refresh_mode,
    set_accessed,
    system_read64,
    touch,
)
from vmdbg.machine.faults import fault
from vmdbg.machine.frame import attr_mask, far_mask, frame_add, frame_begin, frame_locate, frame_locate_on, frame_write, put_sp, stack_mask
from vmdbg.machine.gates import inner_stack
from vmdbg.machine.memory import READ, access
from vmdbg.machine.segmentation import LOW32, protected
from vmdbg.machine.state import BRANCH, CS, DS, ES, FAULT, FS, GP, GS, NEXT, NP, RSP, SS, TR, TS
from vmdbg.machine.task import CALL, JMP, task_switch
from vmdbg.machine.widths import read_memory


def far_pointer(cpu, u, ea):
    """(ok, selector, offset) of a far pointer in memory."""
    size = U64(u.osize >> 3)
    host = access(cpu, u.seg, ea.value, size + 2, READ)
    if host == 0:
        return False, U64(0), U64(0)
    return True, U64(words16(host + size)[0]), read_memory(host, u.osize)


# ---- LES LDS LSS LFS LGS


@outlined
def load_far(cpu, u, seg, ea):
    """(status, offset): a far pointer's selector goes to segment register seg."""
    ok, selector, offset = far_pointer(cpu, u, ea)
    if not ok:
        return FAULT, offset
    return load_segment(cpu, seg, selector), offset


def les(cpu, u, dst, ea):
    status, offset = load_far(cpu, u, U64(ES), ea)
    if status == NEXT:
        dst.value = like(dst.value, offset)
    return status


def lds(cpu, u, dst, ea):
    status, offset = load_far(cpu, u, U64(DS), ea)
    if status == NEXT:
        dst.value = like(dst.value, offset)
    return status


def lss(cpu, u, dst, ea):
    status, offset = load_far(cpu, u, U64(SS), ea)
    if status == NEXT:
        dst.value = like(dst.value, offset)
    return status


def lfs(cpu, u, dst, ea):
    status, offset = load_far(cpu, u, U64(FS), ea)
    if status == NEXT:
        dst.value = like(dst.value, offset)
    return status


def lgs(cpu, u, dst, ea):
    status, offset = load_far(cpu, u, U64(GS), ea)
    if status == NEXT:
        dst.value = like(dst.value, offset)
    return status


# ---- JMP, CALL


def jmp_far(cpu, u, target):
    """JMP ptr16:16, ptr16:32: target is offset | selector << 32."""
    return far_transfer(cpu, target.value >> 32, target.value & LOW32, U64(u.osize), u.after, U64(JMP))


def jmp_far_memory(cpu, u, ea):
    ok, selector, offset = far_pointer(cpu, u, ea)
    if not ok:
        return FAULT
    return far_transfer(cpu, selector, offset, U64(u.osize), u.after, U64(JMP))


def call_far(cpu, u, target):
    """CALL ptr16:16, ptr16:32: target is offset | selector << 32."""
    return far_transfer(cpu, target.value >> 32, target.value & LOW32, U64(u.osize), u.after, U64(CALL))


def call_far_memory(cpu, u, ea):
    ok, selector, offset = far_pointer(cpu, u, ea)
    if not ok:
        return FAULT
    return far_transfer(cpu, selector, offset, U64(u.osize), u.after, U64(CALL))


@outlined
def far_transfer(cpu, selector, offset, bits, after, how):
    """JMP or CALL (`how`) to selector:offset with operand size `bits`; all U64."""
    if not protected(cpu):
        return real_transfer(cpu, selector, offset, bits, after, how)
    if (selector & INDEX) == 0:
        return fault(cpu, GP, 0)
    ok, d, linear = fetch_descriptor(cpu, selector, U64(GP))
    if not ok:
        return FAULT
    kind = descriptor_type(d)
    if kind >= 16:
        return code_transfer(cpu, selector, d, linear, offset, bits, after, how)
    dpl = descriptor_dpl(d)
    long = long_mode(cpu)
    gate = kind == CALL32 or (kind == CALL16 and not long)
    task = not long and (kind == TASK_GATE or kind == TSS16 or kind == TSS32)
    if not (gate or task) or dpl < U64(cpu.cpl) or dpl < (selector & RPL):
        return fault(cpu, GP, selector & INDEX)
    if not descriptor_present(d):
        return fault(cpu, NP, selector & INDEX)
    if gate:
        return gate_transfer(cpu, selector, d, after, how)
    if kind == TASK_GATE:
        selector = (d >> 16) & 0xFFFF
        if (selector & TI) != 0:
            return fault(cpu, GP, selector & INDEX)
        ok, d, linear = fetch_descriptor(cpu, selector, U64(GP))
        if not ok:
            return FAULT
        kind = descriptor_type(d)
        if kind != TSS16 and kind != TSS32:
            return fault(cpu, GP, selector & INDEX)
        if not descriptor_present(d):
            return fault(cpu, NP, selector & INDEX)
    return task_switch(cpu, selector, d, linear, how, after, False, U64(0))


def real_transfer(cpu, selector, offset, bits, after, how):
    """In real-address and virtual-8086 mode."""
    if how == CALL:
        frame_begin(cpu)
        frame_add(cpu, U64(cpu.seg_selector[CS]))
        frame_add(cpu, after)
        mask = stack_mask(cpu)
        ok, sp = frame_locate_on(cpu, mask, bits >> 3)
        if not ok:
            return FAULT
        if offset > cpu.seg_limit[CS]:
            return fault(cpu, GP, 0)
        frame_write(cpu, bits >> 3)
        put_sp(cpu, sp, mask)
    elif offset > cpu.seg_limit[CS]:
        return fault(cpu, GP, 0)
    put_real(cpu, U64(CS), selector)
    refresh_mode(cpu)
    cpu.rip = offset
    return BRANCH


def cut_offset(cpu, d, offset):
    """A target's offset: 64 bits only in 64-bit code."""
    if long_mode(cpu) and ((d >> 53) & 1) != 0:
        return offset
    return offset & LOW32


def code_transfer(cpu, selector, d, linear, offset, bits, after, how):
    """To a code segment, without a gate: CPL stays."""
    cpl = U64(cpu.cpl)
    if not check_code_descriptor(cpu, selector, d, cpl):
        return FAULT
    target = cut_offset(cpu, d, offset)
    if how == CALL:
        frame_begin(cpu)
        frame_add(cpu, U64(cpu.seg_selector[CS]))
        frame_add(cpu, after)
        mask = far_mask(cpu, d)
        ok, sp = frame_locate_on(cpu, mask, bits >> 3)
        if not ok or not code_target(cpu, d, target):
            return FAULT
        ok, host = touch(cpu, d, linear)
        if not ok:
            return FAULT
        frame_write(cpu, bits >> 3)
        put_sp(cpu, sp, mask)
    else:
        if not code_target(cpu, d, target):
            return FAULT
        ok, host = touch(cpu, d, linear)
        if not ok:
            return FAULT
    set_accessed(host)
    put_cs(cpu, selector, d, cpl)
    cpu.rip = target
    return BRANCH


@outlined
def gate_transfer(cpu, gate_selector, gate, after, how):
    """Through a call gate of 16, 32 or (IA-32e mode) 64 bits, which is accessible and present."""
    long = long_mode(cpu)
    selector = (gate >> 16) & 0xFFFF
    offset = (gate & 0xFFFF) | ((gate >> 32) & 0xFFFF0000)
    size = U64(4)
    if long:
        ok, high = fetch_high(cpu, gate_selector, U64(GP))
        if not ok:
            return FAULT
        offset = offset | (high << 32)
        size = U64(8)
    elif descriptor_type(gate) == CALL16:
        offset = offset & 0xFFFF
        size = U64(2)
    if (selector & INDEX) == 0:
        return fault(cpu, GP, 0)
    ok, d, linear = fetch_descriptor(cpu, selector, U64(GP))
    if not ok:
        return FAULT
    cpl = U64(cpu.cpl)
    dpl = descriptor_dpl(d)
    good = is_code(d) and dpl <= cpl
    if good and how == JMP:
        good = is_conforming(d) or dpl == cpl
    if good and long:
        good = ((d >> 53) & 3) == 1
    if not good:
        return fault(cpu, GP, selector & INDEX)
    if not descriptor_present(d):
        return fault(cpu, NP, selector & INDEX)
    if how == CALL:
        if not is_conforming(d) and dpl < cpl:
            return inner_call(cpu, selector, d, linear, offset, size, gate, after)
        frame_begin(cpu)
        frame_add(cpu, U64(cpu.seg_selector[CS]))
        frame_add(cpu, after)
        mask = stack_mask(cpu)
        ok, sp = frame_locate_on(cpu, mask, size)
        if not ok or not code_target(cpu, d, offset):
            return FAULT
        ok, host = touch(cpu, d, linear)
        if not ok:
            return FAULT
        frame_write(cpu, size)
        put_sp(cpu, sp, mask)
    else:
        if not code_target(cpu, d, offset):
            return FAULT
        ok, host = touch(cpu, d, linear)
        if not ok:
            return FAULT
    set_accessed(host)
    put_cs(cpu, selector, d, cpl)
    cpu.rip = offset
    return BRANCH


def inner_call(cpu, selector, d, linear, offset, size, gate, after):
    """CALL through a gate to an inner privilege level: new stack, parameters copied."""
    cpl = descriptor_dpl(d)
    frame_begin(cpu)
    frame_add(cpu, U64(cpu.seg_selector[SS]))
    frame_add(cpu, cpu.gpr[RSP])
    ss = cpl
    stack = U64(0)
    host2 = U64(0)
    if long_mode(cpu):
        at = (cpl << 3) + 4
        if at + 7 > cpu.seg_limit[TR]:
            return fault(cpu, TS, U64(cpu.seg_selector[TR]) & INDEX)
        ok, sp = system_read64(cpu, cpu.seg_base[TR] + at)
        if not ok:
            return FAULT
        mask = ~U64(0)
        frame_add(cpu, U64(cpu.seg_selector[CS]))
        frame_add(cpu, after)
        ok, sp = frame_locate(cpu, U64(0), U64(0), cpu.seg_attr[SS], sp, mask, size, True, U64(0))
        if not ok:
            return FAULT
    else:
        ok, ss, stack, stack_linear, sp = inner_stack(cpu, cpl)
        if not ok:
            return FAULT
        n = (gate >> 32) & 31
        while n != 0:
            n = n - 1
            host = access(cpu, SS, (cpu.gpr[RSP] + n * size) & stack_mask(cpu), size, READ)
            if host == 0:
                return FAULT
            frame_add(cpu, read_memory(host, size << 3))
        frame_add(cpu, U64(cpu.seg_selector[CS]))
        frame_add(cpu, after)
        attr = descriptor_attr(stack)
        mask = attr_mask(attr)
        ok, sp = frame_locate(cpu, descriptor_base(stack), descriptor_limit(stack), attr, sp & mask, mask, size, True, ss & INDEX)
        if not ok:
            return FAULT
        ok, host2 = touch(cpu, stack, stack_linear)
        if not ok:
            return FAULT
    if not code_target(cpu, d, offset):
        return FAULT
    ok, host = touch(cpu, d, linear)
    if not ok:
        return FAULT
    frame_write(cpu, size)
    set_accessed(host)
    set_accessed(host2)
    if long_mode(cpu):
        put_null_ss(cpu, cpl, cpl)
    else:
        put_segment(cpu, U64(SS), ss, stack)
    put_sp(cpu, sp, mask)
    put_cs(cpu, selector, d, cpl)
    cpu.rip = offset
    return BRANCH


# ---- RET


def ret_far(cpu, u):
    return far_return(cpu, U64(u.osize), U64(0))


def ret_far_imm(cpu, u, released):
    return far_return(cpu, U64(u.osize), U64(released.value))


def stack_word(cpu, sp, n, bits):
    """(ok, the n-th word of `bits` above the U64 sp on the current stack)."""
    host = access(cpu, SS, (sp + n * (bits >> 3)) & stack_mask(cpu), bits >> 3, READ)
    if host == 0:
        return False, U64(0)
    return True, read_memory(host, bits)


@outlined
def return_code(cpu, selector):
    """(ok, code descriptor to return to, its address); not to an inner level (SDM vol. 2, RET, IRET)."""
    if (selector & INDEX) == 0:
        fault(cpu, GP, 0)
        return False, U64(0), U64(0)
    ok, d, linear = fetch_descriptor(cpu, selector, U64(GP))
    if ok and (selector & RPL) < U64(cpu.cpl):
        fault(cpu, GP, selector & INDEX)
        ok = False
    if ok:
        ok = check_code_descriptor(cpu, selector, d, selector & RPL)
    return ok, d, linear


@outlined
def return_stack(cpu, selector, d, cpl):
    """(ok, stack descriptor to return to, its address); a null selector, for 64-bit code below level 3, gives address 0."""
    if (selector & INDEX) == 0:
        good = long_mode(cpu) and ((d >> 53) & 1) != 0 and cpl != 3
        if not good:
            fault(cpu, GP, 0)
        return good, U64(0), U64(0)
    ok, stack, linear = fetch_descriptor(cpu, selector, U64(GP))
    if ok:
        ok = check_stack_return(cpu, selector, stack, cpl)
    return ok, stack, linear


def check_stack_return(cpu, selector, stack, cpl):
    if (selector & RPL) != cpl or (descriptor_type(stack) & 0x1A) != 0x12 or descriptor_dpl(stack) != cpl:
        fault(cpu, GP, selector & INDEX)
        return False
    if not descriptor_present(stack):
        fault(cpu, 12, selector & INDEX)
        return False
    return True


def put_return_stack(cpu, selector, stack, linear, cpl):
    """Load SS of the level returned to; before CS, whose loading recomputes the stack size."""
    if linear == 0:
        put_null_ss(cpu, selector, cpl)
    else:
        put_segment(cpu, U64(SS), selector, stack)


def put_return_sp(cpu, sp):
    """Set the stack pointer in the size of the stack just loaded."""
    mask = stack_mask(cpu)
    put_sp(cpu, sp & mask, mask)


@outlined
def far_return(cpu, bits, released):
    """RETF with operand size `bits`, releasing bytes of parameters; all U64."""
    sp = cpu.gpr[RSP]
    ok, offset = stack_word(cpu, sp, U64(0), bits)
    if not ok:
        return FAULT
    ok, selector = stack_word(cpu, sp, U64(1), bits)
    if not ok:
        return FAULT
    selector = selector & 0xFFFF
    size = bits >> 3
    if not protected(cpu):
        if offset > cpu.seg_limit[CS]:
            return fault(cpu, GP, 0)
        put_real(cpu, U64(CS), selector)
        refresh_mode(cpu)
        put_return_sp(cpu, sp + size + size + released)
        cpu.rip = offset
        return BRANCH
    ok, d, linear = return_code(cpu, selector)
    if not ok:
        return FAULT
    cpl = selector & RPL
    target = cut_offset(cpu, d, offset)
    if cpl == U64(cpu.cpl):
        if not code_target(cpu, d, target):
            return FAULT
        ok, host = touch(cpu, d, linear)
        if not ok:
            return FAULT
        set_accessed(host)
        put_return_sp(cpu, sp + size + size + released)
        put_cs(cpu, selector, d, cpl)
        cpu.rip = target
        return BRANCH
    above = sp + size + size + released
    ok, outer = stack_word(cpu, above, U64(0), bits)
    if not ok:
        return FAULT
    ok, ss = stack_word(cpu, above, U64(1), bits)
    if not ok:
        return FAULT
    ss = ss & 0xFFFF
    ok, stack, stack_linear = return_stack(cpu, ss, d, cpl)
    if not ok or not code_target(cpu, d, target):
        return FAULT
    ok, host = touch(cpu, d, linear)
    host2 = U64(0)
    if ok and stack_linear != 0:
        ok, host2 = touch(cpu, stack, stack_linear)
    if not ok:
        return FAULT
    set_accessed(host)
    set_accessed(host2)
    put_return_stack(cpu, ss, stack, stack_linear, cpl)
    put_cs(cpu, selector, d, cpl)
    put_return_sp(cpu, outer + released)
    drop_segments(cpu)
    cpu.rip = target
    return BRANCH
