"""The test device: how a guest that tests its kernel raises interrupt lines and reaches a device of its own (QEMU, hw/misc/pc-testdev.c).

E0-E3  four bytes that are kept      E4  flush (nothing to do: translations are always coherent)      E8-EB  the same four bytes
2000+n  bit 0 of the value drives IRQ n, 0-15      FF000000  64 KiB of memory that only this device answers for
"""

from collections.abc import Callable

import numpy as np

LATCH, FLUSH, LATCH_BYTES, LINES, MEMORY, SIZE = 0xE0, 0xE4, 0xE8, 0x2000, 0xFF000000, 0x10000
IRQS = 16
TEST_DEVICE = np.dtype([("latch", "u1", 4), ("memory", "u1", SIZE)])


class TestDevice:
    """`irq(n)` is the line of IRQ n.  It answers the twelve ports from E0 on; `lines` and `memory` the other places."""

    __test__ = False  # not a pytest class

    def __init__(self, irq: Callable[[int], Callable[[bool], None]]):
        self.state = np.zeros((), TEST_DEVICE)
        self.lines = Lines([irq(n) for n in range(IRQS)])
        self.memory = Bytes(self.state["memory"])
        self.latch = Bytes(self.state["latch"])

    def read(self, offset: int, width: int) -> int:
        if 4 <= offset < 8:
            return 0
        return self.latch.read(offset & 3, width)

    def write(self, offset: int, width: int, value: int) -> None:
        if not 4 <= offset < 8:
            self.latch.write(offset & 3, width, value)


class Bytes:
    """Bytes that keep what is written to them; those beyond the end read as 0."""

    def __init__(self, content: np.ndarray):
        self.content = content

    def read(self, offset: int, width: int) -> int:
        return int.from_bytes(self.content[offset : offset + width].tobytes(), "little")

    def write(self, offset: int, width: int, value: int) -> None:
        data = value.to_bytes(width, "little")[: max(len(self.content) - offset, 0)]
        self.content[offset : offset + len(data)] = np.frombuffer(data, np.uint8)


class Lines:
    """A port for each interrupt line."""

    def __init__(self, lines: list[Callable[[bool], None]]):
        self.lines = lines

    def read(self, offset: int, width: int) -> int:
        return (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        if offset < len(self.lines):
            self.lines[offset](bool(value & 0xFF))
