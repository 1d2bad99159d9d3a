"""x87 errors the way a PC reports them while CR0.NE is 0 (IBM PC AT Technical Reference; SDM vol. 1, appendix D).

FERR# raises IRQ 13.  Its handler writes port F0: the request goes away and IGNNE# is asserted, so that it may use the x87
until the error is cleared.
"""

from collections.abc import Callable

import numpy as np

PORT, IRQ = 0xF0, 13
COPROCESSOR = np.dtype([("requested", "u1")])  # bit n: FERR# of vCPU n has raised the request


class Coprocessor:
    """`line(level)` is IRQ 13; `ignore(n)` asserts IGNNE# of vCPU n, which lets go of it when the error is cleared."""

    def __init__(self, line: Callable[[bool], None], ignore: Callable[[int], None]):
        self.line, self.ignore = line, ignore
        self.state = np.zeros((), COPROCESSOR)

    def error(self, n: int) -> None:
        """FERR# of vCPU n."""
        self.state["requested"] |= 1 << n
        self.line(True)

    def read(self, offset: int, width: int) -> int:
        return (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        requested, self.state["requested"] = int(self.state["requested"]), 0
        self.line(False)
        for n in range(8):
            if requested >> n & 1:
                self.ignore(n)
