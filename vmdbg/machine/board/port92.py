"""System control port A, 92: bit 1 is the fast A20 gate, a rising bit 0 resets the CPUs (IBM PS/2; PIIX3)."""

from collections.abc import Callable

import numpy as np

PORT92 = np.dtype([("value", "u1")])


class Port92:
    """`a20(on)` is the gate, which the keyboard controller moves too: it tells with `gate(on)`."""

    def __init__(self, a20: Callable[[bool], None], reset: Callable[[], None]):
        self.a20, self.reset = a20, reset
        self.state = np.zeros((), PORT92)
        self.state["value"] = 0x02

    def gate(self, on: bool) -> None:
        self.state["value"] = int(self.state["value"]) & ~0x02 | on << 1

    def read(self, offset: int, width: int) -> int:
        return int(self.state["value"]) | ((1 << 8 * width) - 1 & ~0xFF)

    def write(self, offset: int, width: int, value: int) -> None:
        old = int(self.state["value"])
        self.state["value"] = value & 0x03
        self.a20(bool(value & 0x02))
        if value & 0x01 and not old & 0x01:
            self.reset()
