"""The POST port 80: the last code that firmware or a test wrote; reading it gives it back (a PC's DMA page register does)."""

import numpy as np

POST_PORT = np.dtype([("code", "u4")])


class PostPort:
    def __init__(self):
        self.state = np.zeros((), POST_PORT)

    def read(self, offset: int, width: int) -> int:
        return int(self.state["code"]) & (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        self.state["code"] = value & 0xFFFFFFFF
