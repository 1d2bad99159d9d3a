"""What Python answers for the CPU: exits that are neither ports, nor devices, nor the end."""

from isa import cpuid
from vmdbg.machine.state import CR4_OSXSAVE, X_CPUID, X_FERR, X_RDMSR, X_WRMSR, Cpu

TSC, TSC_DEADLINE = 0x10, 0x6E0
DONE, REFUSED = 1, 2  # cpu.latched: go on, or #GP(0)
APIC_ENABLED = 0x800  # in IA32_APIC_BASE
WORD = (1 << 64) - 1


def answer(machine, cpu: Cpu, reason: int):
    """Do what exit `reason` asks for; returns a Stop, or None to go on."""
    from vmdbg.machine.machine import Stop

    if reason == X_CPUID:
        for n, value in enumerate(identification(machine, cpu)):
            cpu.latch[n] = value
        cpu.latched = DONE
        return None
    if reason == X_RDMSR:
        value = machine.apics[int(cpu.index)].read_msr(int(cpu.port)) if machine.apics else 0
        cpu.latch[0], cpu.latched = value or 0, REFUSED if value is None else DONE
        return None
    if reason == X_WRMSR:
        cpu.latched = DONE if write_msr(machine, cpu, int(cpu.port), int(cpu.value)) else REFUSED
        return None
    if reason == X_FERR:  # no interrupt controller hangs on FERR# yet: what its handler would do is done
        cpu.ignne = 1
        return None
    return Stop("error", int(cpu.index), text=f"exit reason {reason} has no answer")


def identification(machine, cpu: Cpu) -> tuple[int, int, int, int]:
    """CPUID of EAX and ECX: the model's, with what depends on this vCPU and its state."""
    leaf, subleaf = int(cpu.gpr[0]) & 0xFFFFFFFF, int(cpu.gpr[1]) & 0xFFFFFFFF
    eax, ebx, ecx, edx = cpuid.cpuid(leaf, subleaf, apic_id=int(cpu.index), cpus=len(machine.cpus))
    if leaf == 1:
        if not int(cpu.apic_base) & APIC_ENABLED:
            edx &= ~(1 << 9)
        if int(cpu.cr4) & CR4_OSXSAVE:
            ecx |= 1 << 27
    return eax, ebx, ecx, edx


def write_msr(machine, cpu: Cpu, number: int, value: int) -> bool:
    """WRMSR of what the local APIC takes part in; without one it goes nowhere.  False: #GP."""
    apic = machine.apics[int(cpu.index)] if machine.apics else None
    if apic is not None:
        return apic.write_msr(number, value)
    if number == TSC:
        cpu.tsc_offset = value - machine.clock & WORD
    elif number == TSC_DEADLINE:
        cpu.tsc_deadline = value
    return True
