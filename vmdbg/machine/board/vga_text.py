"""The screen: VGA in text mode, 80x25, cells in memory at B8000, registers at ports 3C0-3DF.

    3C0 attribute index and data, in turn (3DA read: index is next)   3C1 attribute data (read)   3C2 miscellaneous (3CC read)
    3C4 3C5 sequencer   3C6-3C9 palette   3CE 3CF graphics controller   3D4 3D5 CRT controller   3DA input status 1

The cells are plain RAM that the view reads.  Registers keep what a video BIOS writes; graphics modes and fonts are absent,
and the colours that the view shows are its own.
"""

from dataclasses import dataclass

import numpy as np

FIRST_PORT, PORTS = 0x3C0, 0x20
CELLS, COLUMNS, ROWS = 0xB8000, 80, 25
ATTRIBUTE, ATTRIBUTE_DATA, MISC_WRITE, MASK, DAC_READ, DAC_WRITE, DAC_DATA, MISC, STATUS = (
    0x00, 0x01, 0x02, 0x06, 0x07, 0x08, 0x09, 0x0C, 0x1A
)  # fmt: skip
CRTC_INDEX, CRTC_DATA = 0x14, 0x15
# Ports of an index, with its data behind it: the file of registers
INDEXED = {0x04: "sequencer", 0x0E: "graphics", CRTC_INDEX: "crtc"}
CURSOR_START, START_HIGH, START_LOW, CURSOR_HIGH, CURSOR_LOW = 0x0A, 0x0C, 0x0D, 0x0E, 0x0F
COLOUR = 0x67  # miscellaneous output: the ports at 3Dx, 25 MHz, both syncs as for 400 lines
DAC_READING = 3  # the state register after 3C7 was written

VGA_TEXT = np.dtype(
    [
        ("crtc", "u1", 32),
        ("sequencer", "u1", 32),
        ("graphics", "u1", 32),
        ("attribute", "u1", 32),
        ("palette", "u1", 768),
        ("indexes", "u1", PORTS),  # by port
        ("flip", "u1"),  # 1: a write to 3C0 is data
        ("misc", "u1"),
        ("mask", "u1"),
        ("dac", "<u2"),  # the byte of the palette that is next
        ("dac_state", "u1"),
        ("status", "u1"),
    ]
)

# Characters 0 to 31 and 127 have glyphs too on the screen (code page 437)
GLYPHS = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼" + bytes(range(32, 127)).decode("cp437") + "⌂" + bytes(range(128, 256)).decode("cp437")


@dataclass(frozen=True)
class Screen:
    """What a monitor shows: `text` 25 lines of 80 characters, `attributes` 25 lines of 80 bytes (bits 3:0 ink, 6:4 paper)."""

    text: tuple[str, ...]
    attributes: tuple[bytes, ...]
    cursor: tuple[int, int] | None  # row, column; None: switched off or outside


class VgaText:
    def __init__(self):
        self.state = np.zeros((), VGA_TEXT)
        self.state["crtc"][CURSOR_START] = 0x0D
        self.state["misc"], self.state["mask"] = COLOUR, 0xFF

    def read(self, offset: int, width: int) -> int:
        return sum(self._read(offset + i) << 8 * i for i in range(width))

    def write(self, offset: int, width: int, value: int) -> None:
        for i in range(width):
            self._write(offset + i, value >> 8 * i & 0xFF)

    def screen(self, ram: np.ndarray) -> Screen:
        """The 80x25 cells that the CRT controller shows, from RAM (bytes)."""
        crtc = self.state["crtc"]
        start = int(crtc[START_HIGH]) << 8 | int(crtc[START_LOW])
        cells = ram[CELLS : CELLS + 0x8000]
        at = (np.arange(COLUMNS * ROWS) + start) % 0x4000 * 2
        letters, attributes = cells[at].tobytes(), cells[at + 1].tobytes()
        text = "".join(map(GLYPHS.__getitem__, letters))
        lines = range(0, COLUMNS * ROWS, COLUMNS)
        place = (int(crtc[CURSOR_HIGH]) << 8 | int(crtc[CURSOR_LOW])) - start
        visible = not crtc[CURSOR_START] & 0x20 and 0 <= place < COLUMNS * ROWS
        return Screen(
            tuple(text[i : i + COLUMNS] for i in lines),
            tuple(attributes[i : i + COLUMNS] for i in lines),
            divmod(place, COLUMNS) if visible else None,
        )

    def _read(self, offset: int) -> int:
        s = self.state
        if offset in INDEXED or offset == ATTRIBUTE:
            return int(s["indexes"][offset])
        if offset - 1 in INDEXED:
            return int(s[INDEXED[offset - 1]][s["indexes"][offset - 1] & 31])
        if offset == ATTRIBUTE_DATA:
            return int(s["attribute"][s["indexes"][ATTRIBUTE] & 31])
        if offset == STATUS:  # retrace comes and goes: guests wait for either
            s["flip"] = 0
            s["status"] ^= 0x09
            return int(s["status"])
        if offset == DAC_DATA:
            at = int(s["dac"])
            s["dac"] = (at + 1) % 768
            return int(s["palette"][at])
        known = {MISC: "misc", MASK: "mask", DAC_READ: "dac_state"}.get(offset)
        if known is not None:
            return int(s[known])
        return int(s["dac"]) // 3 if offset == DAC_WRITE else 0

    def _write(self, offset: int, value: int) -> None:
        s = self.state
        if offset in INDEXED:
            s["indexes"][offset] = value
        elif offset - 1 in INDEXED:
            s[INDEXED[offset - 1]][s["indexes"][offset - 1] & 31] = value
        elif offset == ATTRIBUTE:
            if s["flip"]:
                s["attribute"][s["indexes"][ATTRIBUTE] & 31] = value
            else:
                s["indexes"][ATTRIBUTE] = value
            s["flip"] ^= 1
        elif offset == MISC_WRITE:
            s["misc"] = value
        elif offset == MASK:
            s["mask"] = value
        elif offset in (DAC_READ, DAC_WRITE):
            s["dac"], s["dac_state"] = 3 * value, DAC_READING if offset == DAC_READ else 0
        elif offset == DAC_DATA:
            at = int(s["dac"])
            s["palette"][at], s["dac"] = value & 0x3F, (at + 1) % 768
