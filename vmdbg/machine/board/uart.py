"""The serial port: a 16550A UART, 8 ports from 3F8 (National Semiconductor PC16550D data sheet, section 8).

    +0 RBR THR DLL   +1 IER DLM   +2 IIR FCR   +3 LCR   +4 MCR   +5 LSR   +6 MSR   +7 SCR

It transmits at once: the transmitter is always empty.  What it receives waits in a FIFO of 16 bytes; the host keeps the rest.
"""

from collections.abc import Callable

import numpy as np

UART = np.dtype(
    [
        ("ier", "u1"),
        ("fcr", "u1"),
        ("lcr", "u1"),
        ("mcr", "u1"),
        ("scr", "u1"),
        ("overrun", "u1"),
        ("sent", "u1"),  # 1: "transmitter empty" has not been acknowledged by reading IIR
        ("polls", "u1"),  # reads of LSR in a row: 2 and more is a guest that waits
        ("divisor", "u2"),
        ("first", "u1"),  # of the FIFO, a ring
        ("count", "u1"),
        ("fifo", "u1", 16),
    ]
)
RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
DLAB = 0x80  # LCR: the first two registers are the divisor
DR, OE, THRE, TEMT = 0x01, 0x02, 0x20, 0x40  # LSR
LOOP = 0x10  # MCR; OUT2 gates nothing: today's boards and QEMU route the interrupt without it, and xv6 never sets it
FIFO_SIZE, POLLS = 16, 2


class Uart:
    """A 16550A: `send(byte)` gets what the guest transmits, `line(level)` is its interrupt."""

    def __init__(self, send: Callable[[int], None], line: Callable[[bool], None] = lambda level: None):
        self.send, self.line = send, line
        self.state = np.zeros((), UART)
        self.state["divisor"] = 12  # 9600 baud

    def room(self) -> int:
        """How many bytes `receive` takes now."""
        return FIFO_SIZE - int(self.state["count"])

    def wants(self) -> int:
        """How many bytes a patient sender sends now: what the FIFO takes once the guest listens (by interrupt, or polling LSR)."""
        s = self.state
        if s["mcr"] & LOOP:
            return 0
        if s["ier"] & 0x01:
            return self.room()
        return 1 if s["polls"] >= POLLS and not s["count"] else 0

    def receive(self, data: bytes) -> None:
        """Bytes arrive on the line; what does not fit is lost, as on the wire (LSR bit 1)."""
        s = self.state
        for byte in data:
            if s["count"] == FIFO_SIZE:
                s["overrun"] = 1
            else:
                s["fifo"][(int(s["first"]) + int(s["count"])) % FIFO_SIZE] = byte
                s["count"] += 1
        self._update()

    def read(self, offset: int, width: int) -> int:
        if width == 1:
            return self._read(offset & 7)
        return sum(self._read(offset + i & 7) << 8 * i for i in range(width))

    def write(self, offset: int, width: int, value: int) -> None:
        if width == 1:
            self._write(offset & 7, value & 0xFF)
            return
        for i in range(width):
            self._write(offset + i & 7, value >> 8 * i & 0xFF)

    def _read(self, register: int) -> int:
        s = self.state
        s["polls"] = min(int(s["polls"]) + 1, POLLS) if register == LSR else 0
        if register == RBR:
            return int(s["divisor"]) & 0xFF if int(s["lcr"]) & DLAB else self._take()
        if register == IER:
            return int(s["divisor"]) >> 8 if int(s["lcr"]) & DLAB else int(s["ier"])
        if register == IIR:
            cause = self._cause()
            if cause == 0x02:
                s["sent"] = 0
                self._update()
            return cause | (0xC0 if s["fcr"] & 1 else 0)
        if register == LSR:
            status = THRE | TEMT | (DR if s["count"] else 0) | (OE if s["overrun"] else 0)
            s["overrun"] = 0
            return status
        if register == MSR:
            mcr = int(s["mcr"])
            if mcr & LOOP:  # the four outputs come back: RTS DTR OUT1 OUT2 as CTS DSR RI DCD
                return (mcr & 0x0C) << 4 | (mcr & 0x02) << 3 | (mcr & 0x01) << 5
            return 0xB0  # DCD, DSR, CTS: somebody is there
        return int(s[{LCR: "lcr", MCR: "mcr", SCR: "scr"}[register]])

    def _write(self, register: int, value: int) -> None:
        s = self.state
        s["polls"] = 0
        if register == RBR and int(s["lcr"]) & DLAB:
            s["divisor"] = int(s["divisor"]) & 0xFF00 | value
        elif register == RBR:
            s["sent"] = 1
            if s["mcr"] & LOOP:
                self.receive(bytes([value]))
            else:
                self.send(value)
        elif register == IER and int(s["lcr"]) & DLAB:
            s["divisor"] = int(s["divisor"]) & 0xFF | value << 8
        elif register == IER:
            if value & 0x02 and not s["ier"] & 0x02:
                s["sent"] = 1  # enabling it raises it: the transmitter is empty
            s["ier"] = value & 0x0F
        elif register == IIR:  # FCR
            s["fcr"] = value & 0xC9
            if value & 0x02 or not value & 0x01:
                s["first"], s["count"] = 0, 0
        elif register == LCR:
            s["lcr"] = value
        elif register == MCR:
            s["mcr"] = value & 0x1F
        elif register == SCR:
            s["scr"] = value
        self._update()

    def _take(self) -> int:
        s = self.state
        if not s["count"]:
            return 0
        byte = int(s["fifo"][s["first"]])
        s["first"], s["count"] = (int(s["first"]) + 1) % FIFO_SIZE, s["count"] - 1
        self._update()
        return byte

    def _cause(self) -> int:
        """IIR bits 3:0, by priority: received data, then transmitter empty; 1 is none."""
        s = self.state
        if s["ier"] & 0x01 and s["count"]:
            return 0x04
        if s["ier"] & 0x02 and s["sent"]:
            return 0x02
        return 0x01

    def _update(self) -> None:
        self.line(self._cause() != 0x01 and not self.state["mcr"] & LOOP)
