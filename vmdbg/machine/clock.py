"""The time-stamp counter (contract.md section 5): 1 GHz, one count per instruction and skipped nanosecond."""


def read_clock(cpu):
    """Virtual nanoseconds now: those when the slice began, and one for each instruction since, the running one excluded."""
    return cpu.clock


def read_tsc(cpu):
    """IA32_TIME_STAMP_COUNTER."""
    return read_clock(cpu) + cpu.tsc_offset


def write_tsc(cpu, value):
    """Set the counter: the difference to the clock is kept."""
    cpu.tsc_offset = value - read_clock(cpu)
