"""The interval timer: an 8254 at ports 40-43, and port 61 (Intel 8254 data sheet; PIIX3 for port 61).

    40 41 42   counters 0 (IRQ 0), 1 (refresh), 2 (speaker)      43   control word, read-back
    61         0 gate of counter 2, 1 speaker, 4 refresh toggle, 5 output of counter 2

Ticks are counted from clock 0: tick k begins at the first nanosecond t with t * 1193182 // 10^9 == k.  A counter is a
function of the tick: where its count was loaded (`start`) and from what (`count`); nothing runs between accesses.
"""

from collections.abc import Callable

import numpy as np

FREQUENCY, SECOND = 1193182, 10**9
NEVER = (1 << 63) - 1
REFRESH = 15085  # nanoseconds between changes of the refresh toggle

COUNTER = np.dtype(
    [
        ("mode", "u1"),
        ("bcd", "u1"),
        ("access", "u1"),  # 1 low byte, 2 high byte, 3 low then high
        ("write_high", "u1"),  # 1: the high byte is to be written next
        ("read_high", "u1"),
        ("low", "u1"),  # low byte of a count being written
        ("gate", "u1"),
        ("written", "u1"),  # 1: a count has been written since the control word
        ("running", "u1"),  # 0: before the first count, before the first trigger, or stopped between two bytes
        ("pending", "u4"),  # a count that is loaded when the period ends or by the next trigger; 0: none
        ("count", "u4"),  # 1..65536
        ("reload", "i8"),  # the tick at which a periodic counter loads `pending`
        ("start", "i8"),  # the tick at which `count` was loaded
        ("paused", "i8"),  # ticks done when the gate went low, else -1
        ("latched", "u1"),  # 1: `latch` waits to be read
        ("latch", "u2"),
        ("status_latched", "u1"),
        ("status", "u1"),
    ]
)
PIT = np.dtype([("counters", COUNTER, 3), ("port61", "u1"), ("due", "i8"), ("output", "u1")])


def tick_of(clock: int) -> int:
    """The tick at a clock in nanoseconds."""
    return clock * FREQUENCY // SECOND


def clock_of(tick: int) -> int:
    """The first nanosecond of a tick."""
    return -(-tick * SECOND // FREQUENCY)


class Pit:
    """An 8254: `clock()` gives virtual nanoseconds, `line(level)` is the output of counter 0."""

    def __init__(self, clock: Callable[[], int], line: Callable[[bool], None] = lambda level: None):
        self.clock, self.line = clock, line
        self.state = s = np.zeros((), PIT)
        s["counters"]["gate"] = 1, 1, 0
        s["counters"]["access"], s["counters"]["mode"], s["counters"]["paused"] = 3, 3, -1
        s["counters"]["count"] = 0x10000
        s["due"], s["output"] = NEVER, 1  # the outputs are high until somebody programs them
        line(True)

    # ---- what the machine asks

    def deadline(self) -> int | None:
        """When the output of counter 0 changes next."""
        due = int(self.state["due"])
        return None if due == NEVER else due

    def advance(self, clock: int) -> None:
        self._follow(clock)

    # ---- ports

    def read(self, offset: int, width: int) -> int:
        if width == 1:  # guests that measure time do nothing else
            return self._read(offset & 3)
        return sum(self._read(offset + i & 3) << 8 * i for i in range(width))

    def write(self, offset: int, width: int, value: int) -> None:
        for i in range(width):
            self._write(offset + i & 3, value >> 8 * i & 0xFF)

    def _read(self, n: int) -> int:
        if n == 3:
            return 0xFF  # the control word cannot be read
        c = self.state["counters"][n]
        if c["status_latched"]:
            c["status_latched"] = 0
            return int(c["status"])
        access, latched = int(c["access"]), int(c["latched"])
        value = int(c["latch"]) if latched else self._value(c, tick_of(self.clock()))
        if access == 3:
            high = bool(c["read_high"])
            c["read_high"] = not high
            last = high
        else:
            high, last = access == 2, True
        if latched and last:
            c["latched"] = 0
        return value >> 8 if high else value & 0xFF

    def _write(self, n: int, value: int) -> None:
        now = self.clock()
        if n == 3:
            self._control(value, tick_of(now))
        else:
            self._write_count(self.state["counters"][n], value, tick_of(now))
        self._follow(now)

    def _control(self, value: int, tick: int) -> None:
        n, access, mode = value >> 6, value >> 4 & 3, value >> 1 & 7
        if n == 3:
            for k in range(3):
                if value >> k & 2:
                    c = self.state["counters"][k]
                    if not value & 0x20:
                        self._latch(c, tick)
                    if not value & 0x10 and not c["status_latched"]:
                        c["status_latched"], c["status"] = 1, self._status(c, tick)
            return
        c = self.state["counters"][n]
        if access == 0:
            self._latch(c, tick)
            return
        c["mode"], c["access"], c["bcd"] = mode if mode < 6 else mode - 4, access, value & 1
        c["write_high"] = c["read_high"] = c["written"] = c["running"] = c["latched"] = c["status_latched"] = 0
        c["pending"], c["paused"] = 0, -1

    def _latch(self, c, tick: int) -> None:
        if not c["latched"]:
            c["latched"], c["latch"] = 1, self._value(c, tick)

    def _status(self, c, tick: int) -> int:
        self._settle(c, tick)
        null = not c["written"] or c["pending"] or (c["running"] and tick < c["start"])
        return self._out(c, tick) << 7 | bool(null) << 6 | int(c["access"]) << 4 | int(c["mode"]) << 1 | int(c["bcd"])

    def _write_count(self, c, value: int, tick: int) -> None:
        if c["access"] == 3 and not c["write_high"]:
            c["low"], c["write_high"] = value, 1
            if c["mode"] == 0:  # the first byte stops the counter
                c["running"] = c["written"] = 0
            return
        count = {1: value, 2: value << 8}.get(int(c["access"]), value << 8 | int(c["low"]))
        c["write_high"] = 0
        if c["bcd"]:
            count = sum((count >> 4 * k & 15) * 10**k for k in range(4)) or 10000
        count = count or 0x10000
        self._settle(c, tick)
        mode, first = int(c["mode"]), not c["written"]
        c["written"] = 1
        if mode in (1, 5):
            c["pending"] = count
        elif mode in (2, 3) and not first and c["running"]:
            period, done = int(c["count"]), max(tick - int(c["start"]), 0)
            high = period + 1 >> 1
            part = high if mode == 3 and done % period < high else period
            c["pending"], c["reload"] = count, int(c["start"]) + done // period * period + part
        else:
            c["count"], c["start"], c["running"] = max(count, 2) if mode in (2, 3) else count, tick + 1, 1
            c["pending"], c["paused"] = 0, -1 if c["gate"] else 0

    def _set_gate(self, c, gate: int, tick: int) -> None:
        self._settle(c, tick)
        if gate == c["gate"]:
            return
        c["gate"] = gate
        mode = int(c["mode"])
        if mode in (1, 5):
            if gate and c["written"]:
                c["count"], c["pending"] = c["pending"] or c["count"], 0
                c["start"], c["running"] = tick + 1, 1
        elif not c["running"]:
            return
        elif not gate:
            c["paused"] = max(tick - int(c["start"]), 0)
        elif mode in (2, 3):  # a trigger: it begins anew
            count = int(c["pending"]) or int(c["count"])
            c["count"], c["pending"], c["start"], c["paused"] = max(count, 2), 0, tick + 1, -1
        else:
            c["start"], c["paused"] = tick - int(c["paused"]), -1

    # ---- a counter as a function of the tick

    @staticmethod
    def _settle(c, tick: int) -> None:
        """Load the pending count of a periodic counter if its period (in mode 3: half of it) ended."""
        if c["pending"] and c["mode"] in (2, 3) and c["paused"] < 0 and tick >= c["reload"]:
            count, reload = max(int(c["pending"]), 2), int(c["reload"])
            half = (reload - int(c["start"])) % int(c["count"]) != 0  # the low half follows
            c["start"], c["count"], c["pending"] = reload - (count + 1 >> 1) * half, count, 0

    @staticmethod
    def _elapsed(c, tick: int) -> int:
        paused = int(c["paused"])
        return paused if paused >= 0 else tick - int(c["start"])

    def _value(self, c, tick: int) -> int:
        """The counting element, as it is read: binary or BCD."""
        self._settle(c, tick)
        count, mode = int(c["count"]), int(c["mode"])
        e = max(self._elapsed(c, tick), 0) if c["running"] else 0
        if mode == 2:
            value = count - e % count
        elif mode == 3:
            e %= count
            high = count + 1 >> 1
            value = (count & ~1) - 2 * (e if e < high else e - high)
        else:
            value = count - e
        if c["bcd"]:
            value %= 10000
            return sum(value // 10**k % 10 << 4 * k for k in range(4))
        return value & 0xFFFF

    def _out(self, c, tick: int) -> int:
        """The level of OUT."""
        self._settle(c, tick)
        mode = int(c["mode"])
        if not c["running"]:
            return int(mode != 0)
        e, count = self._elapsed(c, tick), int(c["count"])
        if mode in (0, 1):
            return int(e >= count) if mode == 0 or e >= 0 else 1
        if mode in (4, 5):
            return int(e != count)
        if c["paused"] >= 0 or e < 0:
            return 1
        if mode == 2:
            return int(e % count != count - 1)
        return int(e % count < count + 1 >> 1)

    def _next(self, c, tick: int) -> int:
        """The next tick at which OUT changes, NEVER if it does not."""
        mode, count, start = int(c["mode"]), int(c["count"]), int(c["start"])
        if not c["running"] or c["paused"] >= 0:
            return NEVER
        if mode in (0, 1):
            marks = (start, start + count) if mode == 1 else (start + count,)
        elif mode in (4, 5):
            marks = (start + count, start + count + 1)
        else:
            period = start + max(tick - start, 0) // count * count
            turn = count - 1 if mode == 2 else count + 1 >> 1
            marks = (period + turn, period + count, period + count + turn)
        return next((m for m in marks if m > tick), NEVER)

    def _follow(self, clock: int) -> None:
        """Let IRQ 0 have the level of counter 0, and find out when it changes next."""
        s = self.state
        c, tick = s["counters"][0], tick_of(clock)
        level = self._out(c, tick)
        due = self._next(c, tick)
        s["due"] = due if due == NEVER else clock_of(due)
        if level != s["output"]:
            s["output"] = level
            self.line(bool(level))


class Port61:
    """System control port B: counter 2's gate and output, the speaker, the refresh toggle."""

    def __init__(self, pit: Pit):
        self.pit = pit

    def read(self, offset: int, width: int) -> int:
        pit, now = self.pit, self.pit.clock()
        out = pit._out(pit.state["counters"][2], tick_of(now))
        return int(pit.state["port61"]) | (now // REFRESH & 1) << 4 | out << 5

    def steady(self, offset: int, width: int) -> int:
        """Until the refresh toggle or counter 2's output changes."""
        now = self.pit.clock()
        due = self.pit._next(self.pit.state["counters"][2], tick_of(now))
        refresh = (now // REFRESH + 1) * REFRESH
        return refresh if due == NEVER else min(refresh, clock_of(due))

    def write(self, offset: int, width: int, value: int) -> None:
        self.pit.state["port61"] = value & 0x0F
        self.pit._set_gate(self.pit.state["counters"][2], value & 1, tick_of(self.pit.clock()))
