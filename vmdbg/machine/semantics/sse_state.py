"""When SSE and MMX instructions may run (SDM vol. 3, 13.1 and 12.1; vol. 2, 2.4).

The engine asks before it translates operands, so the meanings need not.
"""

from vmdbg.machine.faults import fault, fault_ud
from vmdbg.machine.state import CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT, MF, NM, XM

MXCSR_FLAGS = 0x3F  # IE DE ZE OE UE PE; their masks are 7 bits higher (SDM vol. 1, 10.2.3)


def sse_available(cpu):
    """Whether an SSE instruction may run now; leaves #UD or #NM if not."""
    if ((cpu.cr0 & CR0_EM) != 0) | ((cpu.cr4 & CR4_OSFXSR) == 0):
        fault_ud(cpu)
        return False
    if (cpu.cr0 & CR0_TS) != 0:
        fault(cpu, NM, 0)
        return False
    return True


def mmx_available(cpu):
    """Whether an MMX instruction may run now; leaves #UD, #NM or #MF (a pending x87 exception) if not."""
    if (cpu.cr0 & CR0_EM) != 0:
        fault_ud(cpu)
        return False
    if (cpu.cr0 & CR0_TS) != 0:
        fault(cpu, NM, 0)
        return False
    if (cpu.fsw & ~cpu.fcw & 0x3F) != 0:
        fault(cpu, MF, 0)
        return False
    return True


def accept_exceptions(cpu, flags):
    """Add MXCSR exception flags; False, with #XM (#UD without CR4.OSXMMEXCPT) left, if one of them is unmasked.

    Unmasked invalid, denormal and divide-by-zero keep any lane from being computed: overflow, underflow and
    precision are then not reported (SDM vol. 1, 11.5.1 to 11.5.3).
    """
    unmasked = flags & ~(cpu.mxcsr >> 7) & MXCSR_FLAGS
    if (unmasked & 7) != 0:
        flags = flags & 7
    cpu.mxcsr = cpu.mxcsr | flags
    if unmasked == 0:
        return True
    if (cpu.cr4 & CR4_OSXMMEXCPT) == 0:
        fault_ud(cpu)
    else:
        fault(cpu, XM, 0)
    return False
