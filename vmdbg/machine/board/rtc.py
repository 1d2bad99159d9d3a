"""The real-time clock: an MC146818 with 128 bytes at ports 70 (index) and 71 (data) (Motorola MC146818 data sheet).

    00 02 04 seconds minutes hours    01 03 05 alarm    06-09 weekday day month year    32 century
    0A rate and divider, UIP    0B modes and interrupt enables    0C interrupt flags    0D valid    0E-7F memory

The time of day is an input (`start`) plus virtual time.  Nothing runs between accesses: the time registers and the flags
are brought up to date when somebody looks, or when an enabled interrupt is due.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np

RTC = np.dtype(
    [
        ("index", "u1"),
        ("ram", "u1", 128),
        ("time", "i8"),  # seconds since 1970 when the second that began at `since` began
        ("since", "i8"),  # ns
        ("seen", "i8"),  # the ns up to which flags have been collected
        ("due", "i8"),
        ("weekday", "u1"),  # what the guest added to the true day of the week
    ]
)
SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY = 0, 2, 4, 6, 7, 8, 9, 0x32
ALARM = (1, 3, 5)
TIME = (SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY)
A, B, C, D = 0x0A, 0x0B, 0x0C, 0x0D
UIP = 0x80  # A
SET, PIE, AIE, UIE, BINARY, HOURS_24 = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02  # B
IRQF, PF, AF, UF = 0x80, 0x40, 0x20, 0x10  # C
NEVER = (1 << 63) - 1
NS = 10**9
UPDATE = 244_000  # ns before the second in which UIP is set
PULSE = 32768  # Hz
EPOCH = datetime(1970, 1, 1)
LAST = int((datetime(9999, 12, 31) - EPOCH).total_seconds())


class Rtc:
    """`clock()` gives virtual nanoseconds, `line(level)` is IRQ 8; `start` seconds since 1970, UTC, at clock 0."""

    def __init__(self, clock: Callable[[], int], line: Callable[[bool], None] = lambda level: None, start: int = 0, memory: int = 0):
        """`memory` bytes of RAM are told in the bytes where firmware looks for them."""
        self.clock, self.line = clock, line
        self.state = s = np.zeros((), RTC)
        s["time"], s["due"] = min(max(start, 0), LAST), NEVER
        r = s["ram"]
        r[A], r[B], r[D] = 0x26, HOURS_24, 0x80
        r[0x14] = 0x06  # equipment: FPU, pointing device
        self._tell(0x15, min(memory >> 10, 640))
        above = min(max((memory >> 10) - 1024, 0), 0xFFFF)
        self._tell(0x17, above)
        self._tell(0x30, above)
        self._tell(0x34, min(max(min(memory, 1 << 32) - (16 << 20), 0) >> 16, 0xFFFF))
        high = max(memory - (1 << 32), 0) >> 16
        r[0x5B], r[0x5C], r[0x5D] = high & 0xFF, high >> 8 & 0xFF, high >> 16 & 0xFF

    def _tell(self, at: int, value: int) -> None:
        self.state["ram"][at], self.state["ram"][at + 1] = value & 0xFF, value >> 8

    # ---- what the machine asks

    def deadline(self) -> int | None:
        """When the next enabled interrupt is due."""
        due = int(self.state["due"])
        return None if due == NEVER else due

    def advance(self, clock: int) -> None:
        if clock >= int(self.state["due"]):
            self._update(clock)

    # ---- ports

    def read(self, offset: int, width: int) -> int:
        return sum(self._read(offset + i & 1) << 8 * i for i in range(width))

    def write(self, offset: int, width: int, value: int) -> None:
        for i in range(width):
            self._write(offset + i & 1, value >> 8 * i & 0xFF)

    def steady(self, offset: int, width: int) -> int:
        """The data port: until UIP or the time changes; a register that only the guest writes, for ever.  Reading C is an event."""
        n = int(self.state["index"]) & 0x7F
        if offset & 1 == 0 or width != 1 or n == C:
            return 0
        if n not in TIME + (A,) or not self._counts():
            return NEVER
        now = self.clock()
        change = self._next_second(now)
        return change - UPDATE if n == A and change - now > UPDATE else change

    def keeps(self, offset: int, width: int) -> bool:
        """The index."""
        return offset & 1 == 0 and width == 1

    def _read(self, port: int) -> int:
        if port == 0:
            return 0xFF  # the index cannot be read
        s, now = self.state, self.clock()
        n = int(s["index"]) & 0x7F
        r = s["ram"]
        if n == A:
            left = NS - (now - int(s["since"])) % NS
            return int(r[A]) & 0x7F | (UIP if self._counts() and left <= UPDATE else 0)
        if n == C:
            self._update(now)
            flags = int(r[C])
            r[C] = 0
            self._update(now)
            return flags
        if n in TIME:
            self._show(now)
        return int(r[n])

    def _write(self, port: int, value: int) -> None:
        s, now = self.state, self.clock()
        if port == 0:
            s["index"] = value
            return
        n = int(s["index"]) & 0x7F
        r = s["ram"]
        self._update(now)
        if n in (C, D):
            return
        if n in TIME:
            self._show(now)
            r[n] = value
            if self._counts():
                self._adopt()
        elif n in (A, B):
            self._show(now)  # changing the mode keeps the bytes: what they mean changes
            held = int(r[A]) & 0x60 == 0x60
            r[n] = value & 0x7F if n == A else (value & ~UIE & 0xFF if value & SET else value)
            if held and int(r[A]) & 0x60 != 0x60:
                s["since"] = now - NS // 2  # half a second after the divider is let go
            if self._counts():
                s["since"] = now - (now - int(s["since"])) % NS
                self._adopt()
        else:
            r[n] = value
        self._update(now)

    # ---- time

    def _counts(self) -> bool:
        return not self.state["ram"][B] & SET and int(self.state["ram"][A]) & 0x60 != 0x60

    def _now(self, clock: int) -> int:
        """Seconds since 1970."""
        s = self.state
        return min(int(s["time"]) + ((clock - int(s["since"])) // NS if self._counts() else 0), LAST)

    def _encode(self, value: int) -> int:
        return value if self.state["ram"][B] & BINARY else value // 10 << 4 | value % 10

    def _decode(self, value: int) -> int:
        return value if self.state["ram"][B] & BINARY else (value >> 4) * 10 + (value & 15)

    def _encode_hour(self, hour: int) -> int:
        if self.state["ram"][B] & HOURS_24:
            return self._encode(hour)
        return self._encode((hour - 1) % 12 + 1) | (0x80 if hour >= 12 else 0)

    def _decode_hour(self, value: int) -> int:
        if self.state["ram"][B] & HOURS_24:
            return self._decode(value)
        return self._decode(value & 0x7F) % 12 + (12 if value & 0x80 else 0)

    def _show(self, clock: int) -> None:
        """Bring the time registers up to date."""
        if not self._counts():
            return
        s, r = self.state, self.state["ram"]
        t = EPOCH + timedelta(seconds=self._now(clock))
        r[SECONDS], r[MINUTES], r[HOURS] = self._encode(t.second), self._encode(t.minute), self._encode_hour(t.hour)
        r[WEEKDAY] = self._encode((t.isoweekday() + int(s["weekday"])) % 7 + 1)
        r[DAY], r[MONTH], r[YEAR], r[CENTURY] = (self._encode(v) for v in (t.day, t.month, t.year % 100, t.year // 100))
        s["time"], s["since"] = self._now(clock), clock - (clock - int(s["since"])) % NS

    def _adopt(self) -> None:
        """Take the time from the registers; what no calendar has is carried over."""
        s, r = self.state, self.state["ram"]
        year = min(max(self._decode(int(r[CENTURY])) * 100 + self._decode(int(r[YEAR])), 1970), 9990)
        month = min(max(self._decode(int(r[MONTH])), 1), 12)
        t = datetime(year, month, 1) + timedelta(
            days=max(self._decode(int(r[DAY])), 1) - 1,
            hours=self._decode_hour(int(r[HOURS])),
            minutes=self._decode(int(r[MINUTES])),
            seconds=self._decode(int(r[SECONDS])),
        )
        s["time"] = int((t - EPOCH).total_seconds())
        s["weekday"] = (self._decode(int(r[WEEKDAY])) - 1 - t.isoweekday()) % 7

    # ---- interrupts

    def _period(self) -> int:
        """Of the periodic interrupt, in pulses of 32768 Hz; 0: none."""
        a = int(self.state["ram"][A])
        rate = a & 15
        if rate == 0 or a & 0x70 != 0x20:
            return 0
        return 1 << (rate + 6 if rate < 3 else rate - 1)

    def _next_second(self, clock: int) -> int:
        return clock + NS - (clock - int(self.state["since"])) % NS

    def _next_alarm(self, clock: int) -> int:
        """The ns, after `clock`, at which the time of day is the alarm's: within a day, or never."""
        r = self.state["ram"]
        wanted = [None if r[n] >= 0xC0 else decode(int(r[n])) for n, decode in zip(ALARM, (self._decode, self._decode, self._decode_hour))]
        today = (self._now(clock) + 1) % 86400
        for ahead in range(86400 // 60 + 1):
            minute = (today // 60 + ahead) % 1440
            if wanted[2] not in (None, minute // 60) or wanted[1] not in (None, minute % 60):
                continue
            first = today % 60 if ahead == 0 else 0
            second = first if wanted[0] is None else wanted[0]
            if first <= second < 60:
                return self._next_second(clock) + (60 * ahead + second - today % 60) * NS
        return NEVER

    def _update(self, clock: int) -> None:
        """Collect flags up to `clock`, drive the line, find out what is due next."""
        s, r = self.state, self.state["ram"]
        seen = int(s["seen"])
        flags, enabled = int(r[C]) & 0x70, int(r[B]) & 0x70
        period = self._period()
        if clock > seen:
            if period and clock * PULSE // NS // period > seen * PULSE // NS // period:
                flags |= PF
            if self._counts():
                if self._next_second(seen) <= clock:
                    flags |= UF
                    if self._next_alarm(seen) <= clock:
                        flags |= AF
            s["seen"] = clock
        level = bool(flags & enabled)
        r[C] = flags | (IRQF if level else 0)
        due = NEVER
        if not level:
            if enabled & PIE and period:
                due = -(-((clock * PULSE // NS // period + 1) * period * NS) // PULSE)
            if enabled & UIE and self._counts():
                due = min(due, self._next_second(clock))
            if enabled & AIE and self._counts():
                due = min(due, self._next_alarm(clock))
        s["due"] = due
        self.line(level)
