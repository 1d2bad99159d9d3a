"""The reset control register CF9 (PIIX3 data sheet, 2.3.4.3): bit 2 going from 0 to 1 resets, bit 1 says how hard."""

from collections.abc import Callable

import numpy as np

RESET_PORT = 0xCF9
RESET_CPU, FULL = 0x04, 0x02
RESET_CONTROL = np.dtype([("value", "u1")])


class ResetControl:
    """`reset(full)` is called where the hardware would pull the reset line; full: of all devices, else of the CPUs."""

    def __init__(self, reset: Callable[[bool], None]):
        self.reset = reset
        self.state = np.zeros((), RESET_CONTROL)

    def read(self, offset: int, width: int) -> int:
        return int(self.state["value"]) | ((1 << 8 * width) - 1 & ~0xFF)

    def write(self, offset: int, width: int, value: int) -> None:
        before, self.state["value"] = int(self.state["value"]), value & FULL
        if value & RESET_CPU and not before & RESET_CPU:
            self.reset(bool(value & FULL))
