"""What Python answers for the CPU: exits that are neither ports, nor devices, nor the end."""

from vmdbg.machine.reset import HALTED
from vmdbg.machine.state import X_FERR, Cpu

TSC, TSC_ADJUST, TSC_DEADLINE = 0x10, 0x3B, 0x6E0
DONE, REFUSED = 1, 2  # cpu.latched: go on, or #GP(0)
WORD = (1 << 64) - 1


def answer(machine, cpu: Cpu, reason: int):
    """Do what exit `reason` asks for; returns a Stop, or None to go on."""
    from vmdbg.machine.machine import Stop

    if reason == X_FERR:
        if machine.coprocessor is None:
            cpu.ignne = 1
        else:
            machine.coprocessor.error(int(cpu.index))
            cpu.activity = HALTED  # the instruction waits until an interrupt is taken (SDM vol. 1, D.2.1), ...
            cpu.shadow = 0  # ... be it the first after STI or MOV SS: nothing else would ever end the wait;
            cpu.latched = cpu.mmio_count = 0  # then it begins anew, reads of its operand included, as after a fault
        return None
    return Stop("error", int(cpu.index), text=f"exit reason {reason} has no answer")


def write_msr(machine, n: int, number: int, value: int) -> bool:
    """WRMSR by vCPU n of what the local APIC takes part in; without one it goes nowhere.  False: #GP."""
    if machine.apics:
        return machine.apics[n].write_msr(number, value)
    cpu = machine.cpus[n]
    if number == TSC:
        cpu.tsc_offset = value - machine.clock & WORD
    elif number == TSC_ADJUST:
        cpu.tsc_offset = value
    elif number == TSC_DEADLINE:
        cpu.tsc_deadline = value
    return True
