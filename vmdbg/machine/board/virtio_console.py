"""A console as virtio has it (Virtual I/O Device specification 1.2, 5.3): one port, queue 0 to the guest, queue 1 from it."""

import struct
from collections.abc import Callable

from vmdbg.machine.board.virtio import INDIRECT_DESC, VERSION_1, Virtio

KIND = 3
SIZE = 1 << 0
RECEIVE, TRANSMIT = 0, 1
COLUMNS, ROWS = 80, 25
AT_ONCE, KEPT = 64, 4096  # bytes


class VirtioConsole(Virtio):
    """`send(byte)` gets what the guest transmits; what it receives waits here, at most KEPT bytes, until it has a buffer."""

    kind = KIND
    class_code = 0x078000
    features = VERSION_1 | INDIRECT_DESC | SIZE

    def __init__(self, memory, space, line, send: Callable[[int], None]):
        super().__init__(memory, space, line, 2)
        self.send = send
        self.waiting = bytearray()

    def own(self) -> bytes:
        """Columns, rows, max_nr_ports and emerg_wr (not offered)."""
        return struct.pack("<HHII", COLUMNS, ROWS, 1, 0)

    def wants(self) -> int:
        """How many bytes a patient sender sends now: none until the guest has a buffer for them."""
        if self.waiting or not self.active():
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
            self._fill()
            return
        for chain in self.chains(number):
            data = self.queues[number].read(chain)
            self.done(number, chain, 0)
            for byte in data:
                self.send(byte)

    def _fill(self) -> None:
        while self.waiting:
            chain = next(self.chains(RECEIVE), None)
            if chain is None:
                return
            n = self.queues[RECEIVE].write(chain, bytes(self.waiting))
            del self.waiting[:n]
            self.done(RECEIVE, chain, n)

    def reset(self) -> None:
        self.waiting.clear()
        super().reset()
