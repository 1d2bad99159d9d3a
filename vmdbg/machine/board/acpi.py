"""ACPI fixed hardware (ACPI specification 6.5, 4.8): PM1a event and control registers, the power management timer.

    600 PM1 status   602 PM1 enable   604 PM1 control   608 PM timer (32 bits, 3.579545 MHz)

ACPI mode is always on (SCI_EN reads as 1).  Writing S5_TYPE and SLP_EN switches the machine off; other sleep states are absent.
"""

from collections.abc import Callable

import numpy as np

PM1_EVENT, PM1_CONTROL, PM_TIMER, PORTS = 0x600, 0x604, 0x608, 12
SCI = 9  # IRQ
FREQUENCY, TIMER_BITS = 3_579_545, 32
NANOSECONDS = 1_000_000_000
STATUS, ENABLE, CONTROL, TIMER = 0, 2, 4, 8
TIMER_STATUS, GLOBAL_STATUS, POWER_STATUS, RTC_STATUS, WAKE_STATUS = 0x01, 0x20, 0x100, 0x400, 0x8000
SCI_ENABLED, SLEEP_TYPE, SLEEP_ENABLE = 0x0001, 0x1C00, 0x2000
S5_TYPE = 0  # soft-off, as the PIIX4 has it (82371AB, PMCNTRL): firmware for it says so in its tables

ACPI = np.dtype([("status", "<u2"), ("enable", "<u2"), ("control", "<u2"), ("half", "<u8")])


class Acpi:
    """`clock()` is virtual nanoseconds, `power_off()` ends the run, `line(level)` is the SCI.

    It is a Timer of the machine too: the timer's highest bit changes every 600 s, which may interrupt.
    """

    def __init__(self, clock: Callable[[], int], power_off: Callable[[], None], line: Callable[[bool], None] = lambda level: None):
        self.clock, self.power_off, self.line = clock, power_off, line
        self.state = np.zeros((), ACPI)

    def timer(self) -> int:
        """Ticks since the start, not cut to the register's width."""
        return int(self.clock()) * FREQUENCY // NANOSECONDS

    def deadline(self) -> int | None:
        """When the highest bit changes next, if that interrupts."""
        if not int(self.state["enable"]) & TIMER_STATUS or int(self.state["status"]) & TIMER_STATUS:
            return None
        ticks = (int(self.state["half"]) + 1) << TIMER_BITS - 1
        return -(-ticks * NANOSECONDS // FREQUENCY)

    def advance(self, clock: int) -> None:
        half = self.timer() >> TIMER_BITS - 1
        if half != int(self.state["half"]):
            self.state["half"] = half
            self.state["status"] |= TIMER_STATUS
            self._update()

    def press_power(self) -> None:
        """The power button."""
        self.state["status"] |= POWER_STATUS
        self._update()

    def read(self, offset: int, width: int) -> int:
        return sum(self._read(offset + i) << 8 * i for i in range(width))

    def counts(self, offset: int, width: int) -> int:
        """The timer's frequency."""
        return FREQUENCY if offset == TIMER and width == 4 else 0

    def write(self, offset: int, width: int, value: int) -> None:
        """Registers are 16 bits wide; a byte written changes that byte."""
        for register in (STATUS, ENABLE, CONTROL):
            mask = new = 0
            for i in range(width):
                at = offset + i - register
                if 0 <= at < 2:
                    mask, new = mask | 0xFF << 8 * at, new | (value >> 8 * i & 0xFF) << 8 * at
            if mask:
                self._write(register, mask, new)

    def _read(self, offset: int) -> int:
        s = self.state
        if offset < STATUS + 2:
            self.advance(0)
            return int(s["status"]) >> 8 * offset & 0xFF
        if offset < ENABLE + 2:
            return int(s["enable"]) >> 8 * (offset - ENABLE) & 0xFF
        if offset < CONTROL + 2:
            return (int(s["control"]) | SCI_ENABLED) >> 8 * (offset - CONTROL) & 0xFF
        if TIMER <= offset < TIMER + 4:
            return self.timer() >> 8 * (offset - TIMER) & 0xFF
        return 0

    def _write(self, register: int, mask: int, value: int) -> None:
        s = self.state
        if register == STATUS:
            self.advance(0)
            s["status"] = int(s["status"]) & ~value
        elif register == ENABLE:
            s["enable"] = int(s["enable"]) & ~mask & 0xFFFF | value & (TIMER_STATUS | GLOBAL_STATUS | POWER_STATUS | RTC_STATUS)
        else:
            control = int(s["control"]) & ~mask & 0xFFFF | value
            s["control"] = control & ~SLEEP_ENABLE
            if control & SLEEP_ENABLE and (control & SLEEP_TYPE) >> 10 == S5_TYPE:
                self.power_off()
        self._update()

    def _update(self) -> None:
        s = self.state
        self.line(bool(int(s["status"]) & int(s["enable"]) & (TIMER_STATUS | GLOBAL_STATUS | POWER_STATUS | RTC_STATUS)))
