"""A console as virtio has it (Virtual I/O Device specification 1.2, 5.3): one port, queue 0 to the guest, queue 1 from it.

A driver that takes MULTIPORT says on queue 3 how far it is, and is answered on queue 2; only a port that it has opened gets what is
typed.  With the other drivers the device cannot know, and sends as soon as there is a buffer.
"""

import struct
from collections.abc import Callable

import numpy as np

from vmdbg.machine.board.virtio import INDIRECT_DESC, VERSION_1, Virtio

KIND = 3
SIZE, MULTIPORT = 1 << 0, 1 << 1
RECEIVE, TRANSMIT, ANSWER, CONTROL = 0, 1, 2, 3
MESSAGE = struct.Struct("<IHH")  # port, event, value
DEVICE_READY, PORT_ADD, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN = 0, 1, 3, 4, 5, 6
COLUMNS, ROWS = 80, 25
AT_ONCE, KEPT = 64, 4096  # bytes


class VirtioConsole(Virtio):
    """`send(byte)` gets what the guest transmits; what it receives waits here, at most KEPT bytes, until it has a buffer."""

    kind = KIND
    class_code = 0x078000
    features = VERSION_1 | INDIRECT_DESC | SIZE | MULTIPORT

    def __init__(self, memory, space, line, send: Callable[[int], None]):
        super().__init__(memory, space, line, 4)
        self.send = send
        self.waiting = bytearray()
        self.answers = bytearray()  # messages for the driver
        self.opened = np.zeros(1, np.uint8)

    def own(self) -> bytes:
        """Columns, rows, max_nr_ports and emerg_wr (not offered)."""
        return struct.pack("<HHII", COLUMNS, ROWS, 1, 0)

    def listens(self) -> bool:
        """Whether what is sent now finds somebody."""
        return self.active() and bool(self.opened[0] or not int(self.state["features"]) & MULTIPORT)

    def wants(self) -> int:
        """How many bytes a patient sender sends now: none until the guest has a buffer for them."""
        if self.waiting or not self.listens():
            return 0
        index = self.queues[RECEIVE]
        waiting = int.from_bytes(index.bus.read(int(index.state["driver"]) + 2, 2), "little") - int(index.state["taken"])
        return AT_ONCE if index.state["enable"] and waiting & 0xFFFF else 0

    def receive(self, data: bytes) -> None:
        """Bytes arrive; what does not fit is lost."""
        self.waiting += data[: max(KEPT - len(self.waiting), 0)]
        self.attend(RECEIVE)

    def serve(self, number: int) -> None:
        if number == RECEIVE:
            self._fill(RECEIVE, self.waiting if self.listens() else bytearray())
        elif number == ANSWER:
            self._fill(ANSWER, self.answers, framed=True)
        else:
            for chain in self.chains(number):
                data = self.queues[number].read(chain)
                self.done(number, chain, 0)
                if number == TRANSMIT:
                    for byte in data:
                        self.send(byte)
                elif len(data) >= MESSAGE.size:
                    self._control(*MESSAGE.unpack_from(data))

    def _control(self, port: int, event: int, value: int) -> None:
        """What the driver says of the device or its only port (5.3.6.2)."""
        if event == DEVICE_READY and value:
            self._answer(PORT_ADD, 0)
        elif port == 0 and event == PORT_READY and value:
            self._answer(CONSOLE_PORT, 1)
            self._answer(RESIZE, 0, struct.pack("<HH", COLUMNS, ROWS))
            self._answer(PORT_OPEN, 1)
        elif port == 0 and event == PORT_OPEN:
            self.opened[0] = value & 1
            self.attend(RECEIVE)

    def _answer(self, event: int, value: int, more: bytes = b"") -> None:
        message = MESSAGE.pack(0, event, value) + more
        if len(self.answers) < KEPT:  # a driver that asks and never listens
            self.answers += len(message).to_bytes(2, "little") + message
        self.attend(ANSWER)

    def _fill(self, number: int, waiting: bytearray, framed: bool = False) -> None:
        """Bytes into the driver's buffers, as many as fit; messages (framed, each with its length before it) one to a buffer."""
        while waiting:
            chain = next(self.chains(number), None)
            if chain is None:
                return
            if framed:
                size = int.from_bytes(waiting[:2], "little")
                n = self.queues[number].write(chain, bytes(waiting[2 : 2 + size]))
                del waiting[: 2 + size]
            else:
                n = self.queues[number].write(chain, bytes(waiting))
                del waiting[:n]
            self.done(number, chain, n)

    def reset(self) -> None:
        self.waiting.clear()
        self.answers.clear()
        self.opened[0] = 0
        super().reset()
