"""What a BIOS leaves in the first pages for guests that are loaded without one (IBM PC AT Technical Reference, 5: data areas).

000 interrupt vectors: each leads to an IRET at F000:FF53        400 BIOS data area        9FC00 extended BIOS data area
"""

import struct

import numpy as np

from vmdbg.monitor.memory_map import LOW_END, lower_kib

IRET_SEGMENT, IRET_OFFSET, IRET = 0xF000, 0xFF53, 0xCF
DATA_AREA = 0x400
COLOUR_TEXT, FPU, MOUSE, ONE_SERIAL = 0x20, 0x02, 0x04, 1 << 9  # in the equipment word
# (offset in the data area, format, values)
FIELDS = (
    (0x00, "<H", (0x3F8,)),  # COM1
    (0x0E, "<H", (LOW_END >> 4,)),  # segment of the extended data area
    (0x10, "<H", (COLOUR_TEXT | FPU | MOUSE | ONE_SERIAL,)),
    (0x13, "<H", (lower_kib(),)),
    (0x1A, "<HH", (0x1E, 0x1E)),  # keyboard buffer: head, tail
    (0x49, "<BHHH", (3, 80, 4000, 0)),  # video mode, columns, size and start of a page
    (0x63, "<H", (0x3D4,)),  # CRTC
    (0x80, "<HH", (0x1E, 0x3E)),  # keyboard buffer: its first byte, and the one after its last
    (0x84, "<BH", (24, 16)),  # rows less one, height of a character
)


def place_low_memory(ram: np.ndarray) -> None:
    """Write vectors and data areas; the hardware that they describe is in the state of power-up."""
    ram[(IRET_SEGMENT << 4) + IRET_OFFSET] = IRET
    ram[:DATA_AREA].view("<u4")[:] = IRET_SEGMENT << 16 | IRET_OFFSET
    for offset, form, values in FIELDS:
        data = struct.pack(form, *values)
        ram[DATA_AREA + offset : DATA_AREA + offset + len(data)] = np.frombuffer(data, np.uint8)
    ram[LOW_END] = (0xA0000 - LOW_END) >> 10
