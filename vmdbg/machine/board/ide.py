"""An IDE channel with up to two drives, PIO only (ATA/ATAPI-6, T13 1410D): registers, protocols, interrupts.

    1F0 data   1F1 error, features   1F2 count   1F3 1F4 1F5 LBA   1F6 device   1F7 status, command   3F6 alternate, control
    170 ...                                                                                           376

Everything happens at once: BSY is never seen.  Drives (ide_disk.py, ide_cdrom.py) say what a command does.
"""

from collections.abc import Callable

import numpy as np

from vmdbg.machine.ready_ports import READING, WRITING

FIRST, CONTROL, IRQ = (0x1F0, 0x170), (0x3F6, 0x376), (14, 15)
DATA, ERROR, COUNT, LOW, MID, HIGH, DEVICE, STATUS = range(8)
FEATURES, COMMAND = ERROR, STATUS
ERR, DRQ, DSC, DRDY = 0x01, 0x08, 0x10, 0x40  # status
ABORTED, NOT_FOUND = 0x04, 0x10  # error
NO_INTERRUPT, SOFT_RESET, HIGH_ORDER = 0x02, 0x04, 0x80  # device control
SLAVE, LBA = 0x10, 0x40  # device
BUFFER, REPLY = 0x10000, 64
IDLE = 0  # in direction

DRIVE = np.dtype(
    [
        ("direction", "<u4"),  # of the buffer; these four and the buffer are a ready_ports.PortBuffer
        ("at", "<u4"),  # in the buffer
        ("end", "<u4"),
        ("spare", "<u4"),
        ("buffer", "u1", BUFFER),
        ("regs", "u1", 8),
        ("previous", "u1", 8),  # what count and LBA registers held before: the high-order bytes of 48-bit commands
        ("status", "u1"),
        ("command", "u1"),
        ("sector", "<u8"),  # next one of the command in flight
        ("left", "<u4"),  # sectors, or bytes of a packet command
        ("block", "<u4"),  # sectors of one DRQ block
        ("multiple", "<u4"),
        ("sense", "u1", 3),  # key, code, qualifier of the last packet command
        ("features", "u1"),
        ("reply", "u1", REPLY),  # what a packet command gives, if it is not sectors
        ("reply_size", "u1"),
    ]
)
# The first three are a ready_ports.PortBuffers
CHANNEL = np.dtype([("selected", "<u4"), ("stride", "<u4"), ("port", "<u8"), ("drives", DRIVE, 2), ("control", "u1"), ("interrupt", "u1")])


class Channel:
    """`drives`: master and slave, None where none is; `line(level)` is IRQ 14 or 15.

    It answers the eight command block ports from `first` on; `control` the port of device control.
    """

    def __init__(self, drives: list, line: Callable[[bool], None] = lambda level: None, first: int = FIRST[0]):
        self.line = line
        self.state = np.zeros((), CHANNEL)
        self.state["stride"], self.state["port"] = DRIVE.itemsize, first
        self.drives = [*drives, None, None][:2]
        for n, drive in enumerate(self.drives):
            if drive is not None:
                drive.plug(self, self.state["drives"][n])
        self.control = ControlPort(self)

    def selected(self):
        return self.drives[int(self.state["selected"])]

    def interrupt(self) -> None:
        """A drive asks for attention."""
        self.state["interrupt"] = 1
        self._update()

    def _update(self) -> None:
        self.line(bool(self.state["interrupt"]) and not self.state["control"] & NO_INTERRUPT)

    def status(self, acknowledge: bool) -> int:
        if acknowledge:
            self.state["interrupt"] = 0
            self._update()
        drive = self.selected()
        return 0 if drive is None else int(drive.state["status"])

    def read(self, offset: int, width: int) -> int:
        drive = self.selected()
        if offset == DATA:
            return 0 if drive is None else drive.take(width)
        if offset == STATUS:
            return self.status(True)
        if offset == DEVICE:
            return int(self.state["drives"][int(self.state["selected"])]["regs"][DEVICE]) | 0xA0
        if drive is None:
            return 0
        return int(drive.state["previous" if self.state["control"] & HIGH_ORDER else "regs"][offset])

    def write(self, offset: int, width: int, value: int) -> None:
        if offset == DATA:
            drive = self.selected()
            if drive is not None:
                drive.put(value, width)
            return
        value &= 0xFF
        self.state["control"] &= 0xFF ^ HIGH_ORDER
        if offset == COMMAND:
            self.state["interrupt"] = 0
            self._update()
            drive = self.selected()
            if drive is not None:
                drive.start(value)
            return
        if offset == DEVICE:
            self.state["selected"] = value >> 4 & 1
        for drive in self.drives:  # both take what is written
            if drive is not None:
                drive.state["previous"][offset] = drive.state["regs"][offset]
                if offset != ERROR:
                    drive.state["regs"][offset] = value
                else:
                    drive.state["features"] = value

    def set_control(self, value: int) -> None:
        before, self.state["control"] = int(self.state["control"]), value
        if value & SOFT_RESET and not before & SOFT_RESET:
            self.state["selected"] = self.state["interrupt"] = 0
            for drive in self.drives:
                if drive is not None:
                    drive.reset()
        self._update()


class ControlPort:
    """3F6 or 376: alternate status (read, which acknowledges nothing), device control (write)."""

    def __init__(self, channel: Channel):
        self.channel = channel

    def read(self, offset: int, width: int) -> int:
        return self.channel.status(False) | ((1 << 8 * width) - 1 & ~0xFF)

    def write(self, offset: int, width: int, value: int) -> None:
        self.channel.set_control(value & 0xFF)


class Drive:
    """What all drives share: registers, the data buffer, the end of a command.  `state` is a record of DRIVE."""

    def plug(self, channel: Channel, state) -> None:
        self.channel, self.state = channel, state
        self.reset()

    def reset(self) -> None:
        """Power-up, soft reset and diagnostics: the signature says what it is."""
        s = self.state
        s["direction"] = s["left"] = 0
        s["regs"][:] = self.signature
        s["status"] = self.ready

    def start(self, command: int) -> None:
        s = self.state
        s["command"], s["direction"] = command, IDLE
        s["regs"][ERROR] = 0
        if not self.execute(command):
            self.abort()

    def abort(self, error: int = ABORTED) -> None:
        self.state["regs"][ERROR] = error
        self.finish(ERR)

    def finish(self, more: int = 0) -> None:
        """The command is done: no more data, and an interrupt."""
        self.state["direction"] = IDLE
        self.state["status"] = DRDY | DSC | more
        self.channel.interrupt()

    def offer(self, data: bytes, interrupt: bool = True) -> None:
        """Let the guest read `data`."""
        s = self.state
        s["buffer"][: len(data)] = np.frombuffer(data, np.uint8)
        s["at"], s["end"], s["direction"] = 0, len(data), READING
        s["status"] = DRDY | DSC | DRQ
        if interrupt:
            self.channel.interrupt()

    def accept(self, count: int, interrupt: bool = False) -> None:
        """Let the guest write `count` bytes."""
        s = self.state
        s["at"], s["end"], s["direction"] = 0, count, WRITING
        s["status"] = DRDY | DSC | DRQ
        if interrupt:
            self.channel.interrupt()

    def take(self, width: int) -> int:
        s = self.state
        if s["direction"] != READING:
            return 0
        at, end = int(s["at"]), int(s["end"])
        n = min(width, end - at)
        value = int.from_bytes(s["buffer"][at : at + n].tobytes(), "little")
        s["at"] = at + n
        if at + n == end:
            self.taken()
        return value

    def put(self, value: int, width: int) -> None:
        s = self.state
        if s["direction"] != WRITING:
            return
        at, end = int(s["at"]), int(s["end"])
        n = min(width, end - at)
        s["buffer"][at : at + n] = np.frombuffer(value.to_bytes(width, "little")[:n], np.uint8)
        s["at"] = at + n
        if at + n == end:
            self.filled()


def text(s: str, size: int) -> bytes:
    """A string of IDENTIFY: padded with blanks, the bytes of each word swapped."""
    padded = s.ljust(size).encode()
    return b"".join(padded[i + 1 : i + 2] + padded[i : i + 1] for i in range(0, size, 2))
