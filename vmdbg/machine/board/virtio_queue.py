"""A virtqueue with split rings (Virtual I/O Device specification 1.2, 2.7), as the device sees it.

    descriptor   0 address   8 length   12 flags: NEXT WRITE INDIRECT   14 next          driver area   0 flags  2 index  4 ring[size]
    device area  0 flags  2 index  4 ring[size] of (number of the chain's head, bytes written)

Reads of what is not RAM give all ones and writes there go nowhere, as on a bus.  What no driver may write (a chain that loops,
a number beyond the ring) is a QueueError: the device then asks to be reset (2.1.2).
"""

import struct
from dataclasses import dataclass

import numpy as np

NEXT, WRITE, INDIRECT = 1, 2, 4
NO_INTERRUPT = 1  # in the driver area's flags
LARGEST = 256  # entries of a ring
MOST = 64 << 20  # bytes of one chain: more than any driver asks for at once
PAGE = 4096

QUEUE = np.dtype(
    [
        ("size", "<u2"),
        ("enable", "<u2"),
        ("descriptors", "<u8"),
        ("driver", "<u8"),
        ("device", "<u8"),
        ("taken", "<u2"),  # chains taken from the driver's ring so far
        ("given", "<u2"),  # and given back
    ]
)


class QueueError(Exception):
    """The driver broke the rules of its rings."""


@dataclass(frozen=True)
class Chain:
    """A buffer of the driver's: `head` names it, `readable` and `writable` are (address, length) pieces in order."""

    head: int
    readable: tuple[tuple[int, int], ...]
    writable: tuple[tuple[int, int], ...]

    @property
    def room(self) -> int:
        """Bytes that the device may write."""
        return sum(length for _, length in self.writable)

    @property
    def size(self) -> int:
        """Bytes that it may read."""
        return sum(length for _, length in self.readable)


class Bus:
    """Guest-physical memory as a device reaches it; `memory` has read_physical and write_physical, as the machine has."""

    def __init__(self, memory):
        self.memory = memory

    def read(self, address: int, size: int) -> bytes:
        found = self.memory.read_physical(address, size)
        if found is not None:
            return found
        out = bytearray()
        for at, n in pages(address, size):
            piece = self.memory.read_physical(at, n)
            out += b"\xff" * n if piece is None else piece
        return bytes(out)

    def write(self, address: int, data: bytes) -> None:
        if self.memory.write_physical(address, data):
            return
        done = 0
        for at, n in pages(address, len(data)):
            self.memory.write_physical(at, data[done : done + n])
            done += n


def pages(address: int, size: int):
    """(address, size) of the parts of a range that lie in one page each; addresses wrap at 64 bits."""
    while size > 0:
        n = min(size, PAGE - address % PAGE)
        yield address, n
        address, size = (address + n) & (1 << 64) - 1, size - n


class Queue:
    """One virtqueue; `state` is a record of QUEUE."""

    def __init__(self, bus: Bus, state):
        self.bus, self.state = bus, state
        self.reset()

    def reset(self) -> None:
        for name in QUEUE.names:
            self.state[name] = 0
        self.state["size"] = LARGEST

    def available(self) -> int:
        """Chains that the driver has put there and nobody has taken."""
        if not self.state["enable"]:
            return 0
        index = int.from_bytes(self.bus.read(int(self.state["driver"]) + 2, 2), "little")
        waiting = index - int(self.state["taken"]) & 0xFFFF
        if waiting > int(self.state["size"]):
            raise QueueError("more chains than the ring holds")
        return waiting

    def take(self) -> Chain:
        """The next chain; there must be one."""
        s = self.state
        at = int(s["driver"]) + 4 + 2 * (int(s["taken"]) % int(s["size"]))
        head = int.from_bytes(self.bus.read(at, 2), "little")
        chain = self._chain(head)
        s["taken"] = int(s["taken"]) + 1 & 0xFFFF
        return chain

    def give(self, head: int, written: int) -> bool:
        """Return a chain; whether the driver wants an interrupt."""
        s = self.state
        ring = int(s["device"])
        self.bus.write(ring + 4 + 8 * (int(s["given"]) % int(s["size"])), struct.pack("<II", head, written & 0xFFFFFFFF))
        s["given"] = int(s["given"]) + 1 & 0xFFFF
        self.bus.write(ring + 2, int(s["given"]).to_bytes(2, "little"))
        return not int.from_bytes(self.bus.read(int(s["driver"]), 2), "little") & NO_INTERRUPT

    def _chain(self, head: int) -> Chain:
        table, size, n = int(self.state["descriptors"]), int(self.state["size"]), head
        readable: list[tuple[int, int]] = []
        writable: list[tuple[int, int]] = []
        total, indirect = 0, False
        for _ in range(2 * LARGEST):
            if n >= size:
                raise QueueError(f"descriptor {n} of {size}")
            address, length, flags, following = struct.unpack("<QIHH", self.bus.read(table + 16 * n, 16))
            if flags & INDIRECT:
                if indirect or flags & NEXT or not length or length % 16 or length > 16 * 0x10000:
                    raise QueueError("an indirect table where there can be none")
                table, size, n, indirect = address, length // 16, 0, True
                continue
            if flags & WRITE:
                writable.append((address, length))
            elif writable:
                raise QueueError("something to read after something to write")
            else:
                readable.append((address, length))
            total += length
            if total > MOST:
                raise QueueError(f"a chain of more than {MOST} bytes")
            if not flags & NEXT:
                return Chain(head, tuple(readable), tuple(writable))
            n = following
        raise QueueError("a chain that does not end")

    # ---- the bytes of a chain

    def read(self, chain: Chain) -> bytes:
        """All that the device may read."""
        return b"".join(self.bus.read(address, length) for address, length in chain.readable)

    def write(self, chain: Chain, data: bytes, at: int = 0) -> int:
        """Write `data` from byte `at` of the writable pieces on; what does not fit is dropped.  Returns the bytes written."""
        done = 0
        for address, length in chain.writable:
            if at >= length:
                at -= length
                continue
            piece = data[done : done + length - at]
            if not piece:
                break
            self.bus.write(address + at, piece)
            done, at = done + len(piece), 0
        return done
