"""What Python answers for the CPU: exits that are neither ports, nor devices, nor the end."""

from isa import cpuid
from vmdbg.machine.state import X_CPUID, X_FERR, X_RDMSR, X_WRMSR, Cpu


def answer(machine, cpu: Cpu, reason: int):
    """Do what exit `reason` asks for; returns a Stop, or None to go on."""
    from vmdbg.machine.machine import Stop

    if reason == X_CPUID:
        leaf, subleaf = int(cpu.gpr[0]) & 0xFFFFFFFF, int(cpu.gpr[1]) & 0xFFFFFFFF
        values = cpuid.cpuid(leaf, subleaf)
        for n, value in enumerate(values):
            cpu.latch[n] = value
        cpu.latched = 1
        return None
    if reason in (X_RDMSR, X_WRMSR):  # the local APIC's: until there is one, reads give 0 and writes go nowhere
        cpu.latch[0], cpu.latched = 0, 1
        return None
    if reason == X_FERR:  # no interrupt controller hangs on FERR# yet: what its handler would do is done
        cpu.ignne = 1
        return None
    return Stop("error", int(cpu.index), text=f"exit reason {reason} has no answer")
