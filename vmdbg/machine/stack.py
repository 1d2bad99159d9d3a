"""The stack: pushes and pops of 16, 32 and 64 bits in whatever stack-address size is current (SDM vol. 1, 6.2).

    host, top = push_host(cpu, bits)     where the value will go, and RSP afterwards; host 0: a fault is left
    write_memory(host, bits, value)      widths.py
    set_rsp(cpu, top)                    memory.py

An instruction asks for every host it needs before it writes through the first.
"""

from isa.lang.word import U64
from vmdbg.machine.memory import PAGE_MASK, READ, WRITE, access, entry_of, set_rsp, stack_offset
from vmdbg.machine.state import RSP, SS
from vmdbg.machine.widths import read_memory, write_memory


def stack_host(cpu, offset, size, write):
    """As `access` in SS, whose 64-bit aligned case needs no more than a look into the TLB."""
    if cpu.stack_bits == 64:
        entry = entry_of(cpu.tlb, offset)
        page = entry.write if write else entry.read
        if page == (offset & ~U64(PAGE_MASK)) and (offset & (size - 1)) == 0:
            return offset + entry.addend
    return access(cpu, SS, offset, size, write)


def push_host(cpu, bits):
    """(host address, RSP afterwards) of a push."""
    size = U64(bits >> 3)
    top = stack_offset(cpu, cpu.gpr[RSP] - size)
    return stack_host(cpu, top, size, WRITE), top


def pop_host(cpu, bits):
    """(host address, RSP afterwards) of a pop."""
    size = U64(bits >> 3)
    top = stack_offset(cpu, cpu.gpr[RSP])
    return stack_host(cpu, top, size, READ), top + size


def push_value(cpu, bits, value):
    """Push the low `bits` of a U64; False: nothing happened and a fault is left."""
    host, top = push_host(cpu, bits)
    if host == 0:
        return False
    write_memory(host, bits, value)
    set_rsp(cpu, top)
    return True


def pop_value(cpu, bits):
    """(done, zero-extended value); not done: nothing happened and a fault is left."""
    host, top = pop_host(cpu, bits)
    if host == 0:
        return False, U64(0)
    value = read_memory(host, bits)
    set_rsp(cpu, top)
    return True, value
