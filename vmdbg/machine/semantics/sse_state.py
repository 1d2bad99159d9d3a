"""When SSE and MMX instructions may run, and what SSE floating-point exceptions do (SDM vol. 3, 13.1 and 12.1; vol. 2, 2.4).

The engine asks before it translates operands, so the meanings need not.
"""

from isa.lang.word import U16, U64
from vmdbg.machine.faults import fault, fault_ud
from vmdbg.machine.softfloat.core import settle_mxcsr
from vmdbg.machine.state import CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT, FAULT, MF, NEXT, NM, XM


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
    return nothing_pending(cpu)


def sse_mmx_available(cpu):
    """Whether an SSE instruction with an MMX register may run now; leaves #UD, #NM or #MF if not."""
    if not sse_available(cpu):
        return False
    return nothing_pending(cpu)


def nothing_pending(cpu):
    """Whether no x87 exception is pending; leaves #MF if one is (SDM vol. 1, 9.6.4: bit 7 of the status word says so)."""
    if (cpu.fsw & 0x80) != 0:
        fault(cpu, MF, 0)
        return False
    return True


def accept_exceptions(cpu, flags):
    """Add MXCSR exception flags (of all lanes together); False, with #XM left, if one of them is unmasked.

    Without CR4.OSXMMEXCPT it is #UD instead (SDM vol. 3, 2.5).
    """
    mxcsr, due = settle_mxcsr(cpu.mxcsr, flags)
    cpu.mxcsr = mxcsr
    if not due:
        return True
    if (cpu.cr4 & CR4_OSXMMEXCPT) == 0:
        fault_ud(cpu)
    else:
        fault(cpu, XM, 0)
    return False


def commit(cpu, dst, value, flags):
    """The end of a floating-point meaning: settle the flags, and store the value if nothing unmasked was raised."""
    if not accept_exceptions(cpu, flags):
        return FAULT
    dst.value = value
    return NEXT


def mmx_written(cpu, number):
    """What every MMX instruction but EMMS does besides its result: TOP is 0, no register is empty (SDM vol. 1, 9.5).

    number: the register written, whose sign and exponent become ones; 8 if none was.
    """
    cpu.fsw = cpu.fsw & 0xC7FF
    cpu.ftw = U16(0)
    if number < 8:
        cpu.st[(number << 1) + 1] = U64(0xFFFF)
