"""Guest memory as Python sees it: session.memory[0x1000:0x1010], session.memory.u32[0xb8000], session.memory.physical."""

LARGEST = 1 << 30  # bytes of one slice


class ReadError(Exception):
    """Memory that is not there; the message is one sentence."""


class Memory:
    """Bytes by address: linear as the current vCPU sees them now, or physical.

    `[address]` is a byte as a number, `[first:end]` is bytes; u8, u16, u32, u64 are little-endian integers at any address.  Looking
    changes nothing in the guest.  Assigning writes RAM as Session.write_memory does, whatever the page's permissions are: in the past
    another line of history begins.  ReadError, WriteError: it is not there; then nothing has changed.
    """

    def __init__(self, session, space: str = "linear"):
        self._session, self._space = session, space
        self.u8, self.u16, self.u32, self.u64 = (Integers(self, bits // 8) for bits in (8, 16, 32, 64))

    @property
    def physical(self) -> "Memory":
        """By physical addresses: RAM and ROM, without what devices have there."""
        return Memory(self._session, "physical")

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes from an address on; ReadError if any of them is not there."""
        session = self._session
        if address < 0 or size < 0:
            raise ReadError(f"expected an address and a size from 0 up, not {address} and {size}")
        data = session.machine.read_physical(address, size) if self._space == "physical" else session.read(address, size)
        if data is None:
            raise ReadError(f"no memory at {self._space} {address:#x} to {address + size - 1:#x}")
        return bytes(data)

    def write(self, address: int, data: bytes) -> None:
        """Write bytes from an address on; WriteError if any of it is not RAM."""
        self._session.write_memory(address, bytes(data), self._space)

    def __getitem__(self, where: int | slice) -> int | bytes:
        if isinstance(where, slice):
            first, end = bounds(where)
            return self.read(first, end - first) if end > first else b""
        return self.read(where, 1)[0]

    def __setitem__(self, where: int | slice, value) -> None:
        if not isinstance(where, slice):
            self.write(where, bytes([value]))
            return
        first, end = bounds(where)
        data = bytes(value)
        if len(data) != end - first:
            raise ValueError(f"{len(data)} bytes do not fill {first:#x} to {end:#x}: expected {end - first}")
        if data:
            self.write(first, data)

    def __repr__(self) -> str:
        return f"<{self._space} memory>"


def bounds(where: slice) -> tuple[int, int]:
    first, end = where.start, where.stop
    if first is None or end is None or where.step is not None or not 0 <= first <= end <= 1 << 64 or end - first > LARGEST:
        raise ValueError(f"expected memory[first:end] with addresses in order, at most {LARGEST >> 20} MiB apart")
    return first, end


class Integers:
    """Little-endian unsigned integers of `size` bytes in a Memory, by address."""

    def __init__(self, memory: Memory, size: int):
        self._memory, self._size = memory, size

    def __getitem__(self, address: int) -> int:
        return int.from_bytes(self._memory.read(address, self._size), "little")

    def __setitem__(self, address: int, value: int) -> None:
        """OverflowError if it does not fit; negative numbers in two's complement."""
        self._memory.write(address, value.to_bytes(self._size, "little", signed=value < 0))
