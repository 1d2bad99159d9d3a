"""Breakpoints of the debug registers (SDM vol. 3, 17.2): which of DR0..DR3 an access matches, as bits 3:0 of DR6.

Each function returns 0 unless an *enabled* breakpoint matches; if one does, the bits of all matching ones, enabled or
not.  Instruction breakpoints are faults (before the instruction, not while RF is set); the others are traps: their
bits go to cpu.pending_db, and #DB follows the instruction.
"""

from isa.lang.word import U64, outlined
from vmdbg.machine.state import CR4_DE

EXECUTE, WRITE_ONLY, PORT, READ_WRITE = 0, 1, 2, 3  # DR7.R/Wn
DB_BREAKPOINTS, DB_GENERAL_DETECT, DB_SINGLE_STEP = 0xF, 0x2000, 0x4000  # DR6.B0 to B3, BD, BS
DR7_GENERAL_DETECT = 0x2000


def covered(cpu, n, control):
    """Bytes that breakpoint n covers: LENn is 1, 2, 8, 4."""
    length = (control >> (18 + (n << 2))) & 3
    if length == 2:
        return U64(8)
    return length + 1


@outlined
def match_access(cpu, address, size, first, second):
    """Breakpoints of type `first` or `second` that the bytes at address touch."""
    control = cpu.dr[7]
    found = U64(0)
    enabled = False
    n = U64(0)
    while n < 4:
        kind = (control >> (16 + (n << 2))) & 3
        if kind == first or kind == second:
            length = covered(cpu, n, control)
            start = cpu.dr[n] & ~(length - 1)
            if address < start + length and start < address + size:
                found = found | (U64(1) << n)
                if ((control >> (n << 1)) & 3) != 0:
                    enabled = True
        n = n + 1
    return found if enabled else U64(0)


def instruction_breakpoint(cpu, linear):
    """Breakpoints on the instruction at a linear address."""
    return match_access(cpu, linear, U64(1), U64(EXECUTE), U64(EXECUTE))


def data_breakpoint(cpu, linear, size, write):
    """Breakpoints on a data access; type 3 also matches reads."""
    if write:
        return match_access(cpu, linear, size, U64(WRITE_ONLY), U64(READ_WRITE))
    return match_access(cpu, linear, size, U64(READ_WRITE), U64(READ_WRITE))


def io_breakpoint(cpu, port, size):
    """Breakpoints on a port access; only with CR4.DE."""
    if (cpu.cr4 & CR4_DE) == 0 or (cpu.dr[7] & 0xFF) == 0:
        return U64(0)
    return match_access(cpu, port, size, U64(PORT), U64(PORT))
