"""The exit port F4: writing v ends the run with status (v << 1) | 1 (QEMU's isa-debug-exit, which test suites use)."""

from collections.abc import Callable

import numpy as np

EXIT_PORT = np.dtype([("written", "u1"), ("value", "u4")])


class ExitPort:
    """`leave(status)` gets the exit status, which is odd and fits a byte as the host's shell keeps it."""

    def __init__(self, leave: Callable[[int], None]):
        self.leave = leave
        self.state = np.zeros((), EXIT_PORT)

    def read(self, offset: int, width: int) -> int:
        return 0

    def write(self, offset: int, width: int, value: int) -> None:
        self.state["written"], self.state["value"] = 1, value & 0xFFFFFFFF
        self.leave((value << 1 | 1) & 0xFF)
