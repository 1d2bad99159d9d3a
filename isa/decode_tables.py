"""The decoder's flat tables in memory."""

import numpy as np

from isa.decoding import DecodeTables
from isa.kept import kept
from isa.lang.word import U64


class Tables:
    """The flat tables as numpy arrays (kept alive here), and `pointer`, the DecodeTables that points to them."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays = arrays
        self.memory = np.zeros(DecodeTables.size, np.uint8)
        self.pointer = DecodeTables(self.memory.ctypes.data)
        for name in DecodeTables.fields:
            setattr(self.pointer, name, U64(arrays[name].ctypes.data))


def _make() -> dict[str, np.ndarray]:
    from isa.tables_flat import flat  # here, because what is kept needs no rows

    return flat()


TABLES = Tables(kept("decoder", _make))
