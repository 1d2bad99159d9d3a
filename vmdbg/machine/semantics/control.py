"""Near control transfer: JMP, Jcc, LOOP, CALL, RET; BOUND; the software interrupts (SDM vol. 2).

A branch whose target is beyond the limit of CS, or not canonical in 64-bit mode, raises #GP(0) at the branch itself, and
nothing has happened.
"""

from isa.lang.word import U64, slt
from vmdbg.machine.faults import fault, fault_gp0, fault_ud
from vmdbg.machine.flags import condition, zero
from vmdbg.machine.memory import READ, access, set_rsp
from vmdbg.machine.segmentation import canonical
from vmdbg.machine.stack import pop_host, push_host
from vmdbg.machine.state import BR, BRANCH, CS, FAULT, NEXT, RCX
from vmdbg.machine.widths import read_memory, read_register, sign_extend, truncate, write_memory, write_register


def reachable(cpu, target):
    """Whether execution may go on at `target`, an offset in CS."""
    if cpu.bits == 64:
        return canonical(target)
    return target <= cpu.seg_limit[CS]


def go(cpu, target):
    if not reachable(cpu, target):
        return fault_gp0(cpu)
    cpu.rip = target
    return BRANCH


def jmp(cpu, u, target):
    return go(cpu, U64(target.value))


def jmp_indirect(cpu, u, target):
    return go(cpu, U64(target.value))


def jcc(cpu, u, target, cc):
    if condition(cpu, cc):
        return go(cpu, U64(target.value))
    return NEXT


def loop_while(cpu, u, target, holds):
    """Decrement rCX by address size; branch if it is not 0 and `holds`."""
    count = truncate(cpu.gpr[RCX] - 1, u.asize)
    status = NEXT
    if holds and count != 0:
        status = go(cpu, U64(target.value))
    if status != FAULT:
        write_register(cpu, RCX, u.asize, count)
    return status


def loop(cpu, u, target):
    return loop_while(cpu, u, target, True)


def loope(cpu, u, target):
    return loop_while(cpu, u, target, zero(cpu))


def loopne(cpu, u, target):
    return loop_while(cpu, u, target, not zero(cpu))


def jcxz(cpu, u, target):
    if read_register(cpu, RCX, u.asize) == 0:
        return go(cpu, U64(target.value))
    return NEXT


# ---- calls


def call_to(cpu, u, target):
    """Push the address of the next instruction, as wide as the operand size, and go.  A fault of the stack comes first."""
    host, top = push_host(cpu, u.osize)
    if host == 0:
        return FAULT
    if not reachable(cpu, target):
        return fault_gp0(cpu)
    write_memory(host, u.osize, u.after)
    set_rsp(cpu, top)
    cpu.rip = target
    return BRANCH


def call_near(cpu, u, target):
    return call_to(cpu, u, U64(target.value))


def call_indirect(cpu, u, target):
    return call_to(cpu, u, U64(target.value))


def ret_releasing(cpu, u, released):
    """Pop the return address, then release bytes of parameters."""
    host, top = pop_host(cpu, u.osize)
    if host == 0:
        return FAULT
    target = read_memory(host, u.osize)
    if not reachable(cpu, target):
        return fault_gp0(cpu)
    set_rsp(cpu, top + released)
    cpu.rip = target
    return BRANCH


def ret(cpu, u):
    return ret_releasing(cpu, u, U64(0))


def ret_imm(cpu, u, released):
    return ret_releasing(cpu, u, U64(released.value))


def bound(cpu, u, index, ea):
    """#BR if the signed index is below the first or above the second word at ea."""
    size = U64(index.value.bits >> 3)
    low = access(cpu, u.seg, ea.value, size, READ)
    if low == 0:
        return FAULT
    high = access(cpu, u.seg, truncate(ea.value + size, u.asize), size, READ)
    if high == 0:
        return FAULT
    bits = index.value.bits
    i = sign_extend(U64(index.value), bits)
    if slt(i, sign_extend(read_memory(low, bits), bits)) or slt(sign_extend(read_memory(high, bits), bits), i):
        return fault(cpu, BR, 0)
    return NEXT


def nop(cpu, u):
    """Also the prefetches: their operand is not accessed."""
    return NEXT


def ud(cpu, u):
    """UD0, UD1, UD2, and what this model does not offer."""
    return fault_ud(cpu)
