"""The power-off port 8900: a guest that writes the letters of "Shutdown" there, one after the other, turns the machine off (Bochs)."""

from collections.abc import Callable

import numpy as np

FIRST, WORD = 0x8900, b"Shutdown"
SHUTDOWN_PORT = np.dtype([("matched", "u1")])


class ShutdownPort:
    """`power_off()` is called after the last letter; another byte begins anew."""

    def __init__(self, power_off: Callable[[], None]):
        self.power_off = power_off
        self.state = np.zeros((), SHUTDOWN_PORT)

    def read(self, offset: int, width: int) -> int:
        return (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        n, letter = int(self.state["matched"]), value & 0xFF
        n = n + 1 if letter == WORD[n] else int(letter == WORD[0])
        self.state["matched"] = n % len(WORD)
        if n == len(WORD):
            self.power_off()
