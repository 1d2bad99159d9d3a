"""What asks the processor about itself or makes it wait: MSRs, time, random numbers, CPUID, HLT, IF (SDM vol. 2)."""

from isa.cpuid import ANY, MAX_BASIC, MAX_EXTENDED
from isa.lang.word import U8, U64, like, outlined
from vmdbg.machine.clock import read_tsc
from vmdbg.machine.faults import fault_gp0, fault_ud
from vmdbg.machine.flags import set_status
from vmdbg.machine.msr import in_x2apic, read_apic, read_known, write_apic, write_known
from vmdbg.machine.reset import APIC_ENABLED
from vmdbg.machine.state import (
    CR0_PE,
    CR4_OSXSAVE,
    CR4_PVI,
    CR4_TSD,
    CR4_VME,
    END,
    F_CF,
    F_IF,
    F_IOPL,
    F_VIF,
    F_VIP,
    F_VM,
    HALT,
    LIMIT_CPUID,
    NEXT,
    NX_DISABLED,
    RAX,
    RBX,
    RCX,
    RDX,
    Identity,
    Shared,
)

LOW32 = 0xFFFFFFFF
ROW = Identity.size
LIMITED_LEAF = 3  # the last basic leaf that CPUID shows to a guest that has asked for no more (IA32_MISC_ENABLE bit 22)


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


@outlined
def identity(cpu, leaf, subleaf):
    """Address of the row for a leaf, which the model has, and a subleaf; 0: none."""
    shared = Shared(cpu.shared)
    n = U64(0)
    while n < shared.identity_count:
        row = Identity(shared.identity + n * ROW)
        if U64(row.leaf) == leaf and (U64(row.subleaf) == subleaf or U64(row.subleaf) == ANY):
            return shared.identity + n * ROW
        n = n + 1
    return U64(0)


@outlined
def cpuid(cpu, u):
    """The model's rows, with what depends on this vCPU and its state: APIC id, APIC, OSXSAVE, what IA32_MISC_ENABLE hides."""
    leaf, subleaf = cpu.gpr[RAX] & LOW32, cpu.gpr[RCX] & LOW32
    last = U64(MAX_BASIC)
    if (cpu.misc_enable & LIMIT_CPUID) != 0:
        last = U64(LIMITED_LEAF)
    if (leaf > last and leaf < 0x80000000) or leaf > MAX_EXTENDED:
        leaf = last  # leaves beyond the last answer as the last basic one does
    eax, ebx, ecx, edx = U64(0), U64(0), U64(0), U64(0)
    at = identity(cpu, leaf, subleaf)
    if at != 0:
        row = Identity(at)
        eax, ebx, ecx, edx = U64(row.eax), U64(row.ebx), U64(row.ecx), U64(row.edx)
    if leaf == 0:
        eax = last
    elif leaf == 1:
        ebx = ebx | (cpu.index << 24)
        if (cpu.apic_base & APIC_ENABLED) == 0:
            edx = edx & ~U64(1 << 9)
        if (cpu.cr4 & CR4_OSXSAVE) != 0:
            ecx = ecx | (1 << 27)
    elif leaf == 0xB:
        ecx = (ecx & ~U64(0xFF)) | (subleaf & 0xFF)
        edx = cpu.index
    elif leaf == 0x80000001 and (cpu.misc_enable & NX_DISABLED) != 0:
        edx = edx & ~U64(1 << 20)
    cpu.gpr[RAX], cpu.gpr[RBX], cpu.gpr[RCX], cpu.gpr[RDX] = eax, ebx, ecx, edx
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
