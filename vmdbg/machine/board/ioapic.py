"""The I/O APIC: 24 inputs, a redirection entry each, at FEC00000 (Intel 82093AA data sheet; EOI register: ICH).

    +00 register select    +10 window    +40 EOI (vector of a level-triggered interrupt)
    registers: 00 ID  01 version  02 arbitration  10+2n, 11+2n redirection entry n

    entry: vector 7:0  mode 10:8  logical 11  status 12  polarity 13  remote IRR 14  level 15  masked 16  destination 63:56

A line says whether its device asks for service; polarity is what the wire looks like, and changes nothing here.
"""

from collections.abc import Callable

import numpy as np

from vmdbg.machine.board.apic_bus import BROADCAST, ApicBus, Message

INPUTS = 24
IOAPIC = np.dtype([("select", "u1"), ("id", "u4"), ("lines", "u4"), ("entries", "u8", INPUTS)])
SELECT, WINDOW, EOI = 0x00, 0x10, 0x40
VERSION_VALUE = (INPUTS - 1) << 16 | 0x20
REMOTE_IRR, LEVEL, MASKED = 0x4000, 0x8000, 0x10000
WRITABLE_LOW, WRITABLE_HIGH = 0x1AFFF, 0xFF000000


class Ioapic:
    def __init__(self, bus: ApicBus, number: int = 0):
        self.bus = bus
        self.state = np.zeros((), IOAPIC)
        self.state["id"] = number
        self.state["entries"] = MASKED
        bus.sources.append(self)

    def irq(self, n: int) -> Callable[[bool], None]:
        """The line of input n, 0-23."""
        return lambda level: self.set_line(n, level)

    def level(self, n: int) -> bool:
        """What input n was driven to last."""
        return bool(int(self.state["lines"]) >> n & 1)

    def set_line(self, n: int, level: bool) -> None:
        s = self.state
        was = bool(s["lines"] >> n & 1)
        s["lines"] = int(s["lines"]) & ~(1 << n) | level << n
        if level and (not was or int(s["entries"][n]) & LEVEL):
            self._deliver(n)

    def end_of_interrupt(self, vector: int) -> None:
        """A local APIC's EOI: the entry may ask again, and does if its line is still active."""
        s = self.state
        for n in range(INPUTS):
            entry = int(s["entries"][n])
            if entry & REMOTE_IRR and entry & LEVEL and entry & 0xFF == vector:
                s["entries"][n] = entry & ~REMOTE_IRR
                if s["lines"] >> n & 1:
                    self._deliver(n)

    def _deliver(self, n: int) -> None:
        """Send the message of input n; an edge at a masked input is lost."""
        entry = int(self.state["entries"][n])
        if entry & MASKED or (entry & LEVEL and entry & REMOTE_IRR):
            return
        destination = entry >> 56
        message = Message(
            BROADCAST if destination == 0xFF else destination, bool(entry & 0x800), entry >> 8 & 7, entry & 0xFF, bool(entry & LEVEL)
        )
        if entry & LEVEL and message.mode <= 1:
            self.state["entries"][n] = entry | REMOTE_IRR
        self.bus.send(message)

    # ---- registers

    def read(self, offset: int, width: int) -> int:
        byte, register = offset & 3, offset & ~3
        value = int(self.state["select"]) if register == SELECT else self._read(int(self.state["select"])) if register == WINDOW else 0
        return value >> 8 * byte & (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        if offset == SELECT:
            self.state["select"] = value & 0xFF
        elif offset == WINDOW and width >= 4:
            self._write(int(self.state["select"]), value & 0xFFFFFFFF)
        elif offset == EOI:
            self.end_of_interrupt(value & 0xFF)

    def _read(self, register: int) -> int:
        s = self.state
        if register in (0, 2):
            return int(s["id"]) << 24
        if register == 1:
            return VERSION_VALUE
        if 0x10 <= register < 0x10 + 2 * INPUTS:
            return int(s["entries"][register - 0x10 >> 1]) >> 32 * (register & 1) & 0xFFFFFFFF
        return 0

    def _write(self, register: int, value: int) -> None:
        s = self.state
        if register == 0:
            s["id"] = value >> 24 & 15
        elif 0x10 <= register < 0x10 + 2 * INPUTS:
            n = register - 0x10 >> 1
            entry = int(s["entries"][n])
            if register & 1:
                entry = entry & 0xFFFFFFFF | (value & WRITABLE_HIGH) << 32
            else:
                entry = entry & ~WRITABLE_LOW | value & WRITABLE_LOW
                if not entry & LEVEL:
                    entry &= ~REMOTE_IRR
            s["entries"][n] = entry
            if entry & LEVEL and s["lines"] >> n & 1:
                self._deliver(n)
