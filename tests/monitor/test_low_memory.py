"""What guests that are loaded without firmware find in the first pages, read as a guest would."""

import numpy as np

from vmdbg.monitor.low_memory import place_low_memory
from vmdbg.monitor.memory_map import ranges


def test_vectors_and_data_areas():
    ram = np.zeros(1 << 20, np.uint8)
    place_low_memory(ram)
    word = ram.view("<u2")
    for vector in range(256):
        offset, segment = int(word[2 * vector]), int(word[2 * vector + 1])
        assert ram[(segment << 4) + offset] == 0xCF  # IRET
    extended = int(word[0x40E >> 1]) << 4
    (end,) = [first for first, size, kind in ranges(64 << 20) if first + size == 0xA0000]
    assert extended == end == int.from_bytes(ram[0x413:0x415].tobytes(), "little") << 10  # where tables of firmware are looked for
    assert int(ram[extended]) << 10 == 0xA0000 - extended
    assert not ram[0x500:0x1000].any()
