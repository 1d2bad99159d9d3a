"""IN, OUT, INS, OUTS: who may, and the way to Python and back (SDM vol. 1, 19.5).

A port access leaves EXIT with X_IN or X_OUT in cpu.reason, and cpu.port, cpu.width (bytes), cpu.value.  Python performs
it, puts what was read in cpu.latch[0], sets cpu.latched and runs the instruction again: this time it is completed.
Data ports whose bytes are ready (ready_ports.py) need no Python.
"""

from isa.lang.word import U64, like, outlined
from vmdbg.machine.debug import io_breakpoint
from vmdbg.machine.descriptor import system_read64
from vmdbg.machine.faults import fault_gp0
from vmdbg.machine.memory import READ, WRITE, access
from vmdbg.machine.ready_ports import READING, WRITING, next_bytes, same_again
from vmdbg.machine.semantics.strings import advance, count_down, nothing_to_do, step_of
from vmdbg.machine.state import CR0_PE, END, ES, EXIT, F_IOPL, F_VM, FAULT, NEXT, RDI, RDX, REPEAT, RSI, TR, X_IN, X_OUT
from vmdbg.machine.widths import read_memory, truncate, write_memory


@outlined
def may_use_port(cpu, port, size):
    """Whether CPL, IOPL and the TSS's I/O permission bitmap allow `size` ports from `port` on; else #GP(0) is left."""
    if (cpu.cr0 & CR0_PE) == 0:
        return True
    if (cpu.eflags & F_VM) == 0 and U64(cpu.cpl) <= (cpu.eflags & F_IOPL) >> 12:
        return True
    limit = cpu.seg_limit[TR]
    if (cpu.seg_attr[TR] & 0x9D) != 0x89 or limit < 103:  # a present 32- or 64-bit TSS
        fault_gp0(cpu)
        return False
    ok, word = system_read64(cpu, cpu.seg_base[TR] + 96)
    if not ok:
        return False
    at = (word >> 48) + (port >> 3)
    if at >= limit:  # both bytes that may hold the bits must be there
        fault_gp0(cpu)
        return False
    ok, bitmap = system_read64(cpu, cpu.seg_base[TR] + at)
    if not ok:
        return False
    if ((bitmap >> (port & 7)) & ((U64(1) << size) - 1)) != 0:
        fault_gp0(cpu)
        return False
    return True


def ask_port(cpu, reason, port, size, value):
    """EXIT for Python."""
    cpu.reason, cpu.port, cpu.width, cpu.value = U64(reason), port, size, value
    return EXIT


def port_value(cpu, port, size):
    """(there, value) of what an input gives: latched by Python, or from a data port's buffer."""
    if cpu.latched != 0:
        return True, cpu.latch[0]
    at = next_bytes(cpu, port, size, U64(READING))
    if at == 0:
        return False, U64(0)
    return True, read_memory(at, size << 3)


def port_taken(cpu, port, size, value):
    """Whether an output has been performed: by Python, into a data port's buffer, or before."""
    if cpu.latched != 0 or same_again(cpu, port, size, value):
        return True
    at = next_bytes(cpu, port, size, U64(WRITING))
    if at == 0:
        return False
    write_memory(at, size << 3, value)
    return True


def finished(cpu, port, size):
    """The access has been performed: report I/O breakpoints."""
    cpu.pending_db = cpu.pending_db | io_breakpoint(cpu, port, size)


def in_(cpu, u, dst, number):
    port = U64(number.value)
    size = U64(dst.value.bits >> 3)
    if not may_use_port(cpu, port, size):
        return FAULT
    ready, value = port_value(cpu, port, size)
    if not ready:
        return ask_port(cpu, X_IN, port, size, U64(0))
    dst.value = like(dst.value, value)
    finished(cpu, port, size)
    return END


def out(cpu, u, number, src):
    port = U64(number.value)
    size = U64(src.value.bits >> 3)
    if not may_use_port(cpu, port, size):
        return FAULT
    if not port_taken(cpu, port, size, U64(src.value)):
        return ask_port(cpu, X_OUT, port, size, U64(src.value))
    finished(cpu, port, size)
    return END


def go_on(cpu, u):
    """After an iteration: REPEAT if REP wants more."""
    if u.rep == 0:
        return END
    if count_down(cpu, u, U64(1)) == 0:
        return END
    return REPEAT


def ins(cpu, u, bits):
    """One iteration; the port is looked at even if there is none, the memory is found to be writable before the port is read."""
    port = cpu.gpr[RDX] & 0xFFFF
    size = U64(bits >> 3)
    if not may_use_port(cpu, port, size):
        return FAULT
    if nothing_to_do(cpu, u):
        return NEXT
    host = access(cpu, ES, truncate(cpu.gpr[RDI], u.asize), size, WRITE)
    if host == 0:
        return FAULT
    ready, value = port_value(cpu, port, size)
    if not ready:
        return ask_port(cpu, X_IN, port, size, U64(0))
    write_memory(host, bits, value)
    advance(cpu, u, RDI, step_of(cpu, bits))
    finished(cpu, port, size)
    return go_on(cpu, u)


def outs(cpu, u, bits):
    """One iteration; the port is looked at even if there is none."""
    port = cpu.gpr[RDX] & 0xFFFF
    size = U64(bits >> 3)
    if not may_use_port(cpu, port, size):
        return FAULT
    if nothing_to_do(cpu, u):
        return NEXT
    host = access(cpu, u.seg, truncate(cpu.gpr[RSI], u.asize), size, READ)
    if host == 0:
        return FAULT
    value = read_memory(host, bits)
    if not port_taken(cpu, port, size, value):
        return ask_port(cpu, X_OUT, port, size, value)
    advance(cpu, u, RSI, step_of(cpu, bits))
    finished(cpu, port, size)
    return go_on(cpu, u)
