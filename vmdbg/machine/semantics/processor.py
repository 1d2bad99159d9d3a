"""What asks the processor about itself or makes it wait: MSRs, time, random numbers, CPUID, HLT, IF (SDM vol. 2)."""

from isa.lang.word import U8, U64, like, outlined
from vmdbg.machine.clock import read_tsc
from vmdbg.machine.faults import fault_gp0, fault_ud
from vmdbg.machine.flags import set_status
from vmdbg.machine.msr import in_x2apic, read_apic, read_known, write_apic, write_known
from vmdbg.machine.state import (
    CR0_PE,
    CR4_PVI,
    CR4_TSD,
    CR4_VME,
    END,
    EXIT,
    F_CF,
    F_IF,
    F_IOPL,
    F_VIF,
    F_VIP,
    F_VM,
    HALT,
    NEXT,
    RAX,
    RBX,
    RCX,
    RDX,
    X_CPUID,
)

LOW32 = 0xFFFFFFFF


def put_pair(cpu, value):
    """EDX:EAX := value; the upper halves are cleared."""
    cpu.gpr[RAX] = value & LOW32
    cpu.gpr[RDX] = value >> 32


# ---- MSRs, time


@outlined
def rdmsr(cpu, u):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    n = cpu.gpr[RCX] & LOW32
    if in_x2apic(cpu, n):
        status, value = read_apic(cpu, n)
        if status == END:
            put_pair(cpu, value)
        return status
    known, value = read_known(cpu, n)
    if not known:
        return fault_gp0(cpu)
    put_pair(cpu, value)
    return END


@outlined
def wrmsr(cpu, u):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    n = cpu.gpr[RCX] & LOW32
    value = (cpu.gpr[RDX] << 32) | (cpu.gpr[RAX] & LOW32)
    if in_x2apic(cpu, n):
        return write_apic(cpu, n, value)
    return write_known(cpu, n, value)


def may_read_tsc(cpu):
    return cpu.cpl == 0 or (cpu.cr4 & CR4_TSD) == 0


def rdtsc(cpu, u):
    if not may_read_tsc(cpu):
        return fault_gp0(cpu)
    put_pair(cpu, read_tsc(cpu))
    return END


def rdtscp(cpu, u):
    if not may_read_tsc(cpu):
        return fault_gp0(cpu)
    put_pair(cpu, read_tsc(cpu))
    cpu.gpr[RCX] = cpu.tsc_aux & LOW32
    return END


def rdpmc(cpu, u):
    """The model has no performance counters: whatever ECX says is out of range."""
    return fault_gp0(cpu)


def rdpid(cpu, u, dst):
    dst.value = like(dst.value, cpu.tsc_aux)
    return NEXT


def cpuid(cpu, u):
    """Python answers in cpu.latch[0..3]: EAX, EBX, ECX, EDX."""
    if cpu.latched == 0:
        cpu.reason = U64(X_CPUID)
        return EXIT
    cpu.gpr[RAX] = cpu.latch[0] & LOW32
    cpu.gpr[RBX] = cpu.latch[1] & LOW32
    cpu.gpr[RCX] = cpu.latch[2] & LOW32
    cpu.gpr[RDX] = cpu.latch[3] & LOW32
    return END


# ---- random numbers: deterministic, xorshift64* over cpu.random (Vigna, "An experimental exploration of Marsaglia's xorshift generators")


def next_random(cpu):
    x = cpu.random
    if x == 0:
        x = U64(0x9E3779B97F4A7C15)
    x = x ^ (x >> 12)
    x = x ^ (x << 25)
    x = x ^ (x >> 27)
    cpu.random = x
    return x * 0x2545F4914F6CDD1D


def draw(cpu, dst):
    """There is always a number: CF set, the other status flags cleared."""
    value = next_random(cpu)
    dst.value = like(dst.value, value if dst.value.bits == 64 else value >> 32)
    set_status(cpu, U64(F_CF))
    return END


def rdrand(cpu, u, dst):
    return draw(cpu, dst)


def rdseed(cpu, u, dst):
    return draw(cpu, dst)


# ---- waiting


def hlt(cpu, u):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    return HALT


def pause(cpu, u):
    """A hint that this vCPU spins: the others get their turn (contract.md section 5)."""
    cpu.yields = cpu.sharing
    return END


def monitor(cpu, u):
    """CPUID does not offer MONITOR and MWAIT."""
    return fault_ud(cpu)


def mwait(cpu, u):
    return fault_ud(cpu)


def getsec(cpu, u):
    return fault_ud(cpu)


# ---- the interrupt flag


def virtual_if(cpu):
    """Whether CLI and STI work on VIF: IOPL < 3 at CPL 3, in V86 mode with VME or in protected mode with PVI (SDM vol. 3, 20.3, 20.4)."""
    if (cpu.eflags & F_VM) != 0:
        return (cpu.cr4 & CR4_VME) != 0
    return cpu.cpl == 3 and (cpu.cr4 & CR4_PVI) != 0


def owns_if(cpu):
    """Real-address mode, or CPL <= IOPL."""
    return (cpu.cr0 & CR0_PE) == 0 or U64(cpu.cpl) <= (cpu.eflags & F_IOPL) >> 12


def cli(cpu, u):
    if owns_if(cpu):
        cpu.eflags = cpu.eflags & ~U64(F_IF)
    elif virtual_if(cpu):
        cpu.eflags = cpu.eflags & ~U64(F_VIF)
    else:
        return fault_gp0(cpu)
    return END


def sti(cpu, u):
    """If IF was clear, interrupts stay off until the next instruction is done."""
    if owns_if(cpu):
        if (cpu.eflags & F_IF) == 0:
            cpu.shadow = U8(1)
        cpu.eflags = cpu.eflags | F_IF
    elif virtual_if(cpu) and (cpu.eflags & F_VIP) == 0:
        cpu.eflags = cpu.eflags | F_VIF
    else:
        return fault_gp0(cpu)
    return END
