"""The time-stamp counter (contract.md section 5): 1 GHz, one count per step and skipped nanosecond."""


def read_clock(cpu):
    """Virtual nanoseconds at the instruction being executed, which ends its block: its own step is charged, but not yet past."""
    return cpu.clock + (cpu.slice - cpu.budget - cpu.rest) - 1


def read_tsc(cpu):
    """IA32_TIME_STAMP_COUNTER."""
    return read_clock(cpu) + cpu.tsc_offset


def write_tsc(cpu, value):
    """Set the counter: the difference to the clock is kept."""
    cpu.tsc_offset = value - read_clock(cpu)
