"""The debug ports: a byte written is a character for the host (E9: Bochs's, which reads as E9; 402: SeaBIOS's, likewise)."""

from collections.abc import Callable

import numpy as np

DEBUG_PORT = np.dtype([("last", "u1")])


class DebugPort:
    """One port at which the guest logs; reading gives `signature`, by which guests find it."""

    def __init__(self, send: Callable[[int], None], signature: int = 0xE9):
        self.send, self.signature = send, signature
        self.state = np.zeros((), DEBUG_PORT)

    def read(self, offset: int, width: int) -> int:
        return self.signature

    def write(self, offset: int, width: int, value: int) -> None:
        self.state["last"] = value & 0xFF
        self.send(value & 0xFF)
