"""The screen: VGA in text mode, 80x25, cells in memory at B8000, CRT controller at ports 3C0-3DF.

    3C0 attribute index and data    3CC miscellaneous (read)    3D4 CRTC index    3D5 CRTC data    3DA input status 1

The cells are plain RAM that the view reads.  Graphics modes, fonts and palettes are absent.
"""

from dataclasses import dataclass

import numpy as np

FIRST_PORT, PORTS = 0x3C0, 0x20
CELLS, COLUMNS, ROWS = 0xB8000, 80, 25
CRTC_INDEX, CRTC_DATA, ATTRIBUTE, MISC, STATUS = 0x14, 0x15, 0x00, 0x0C, 0x1A
CURSOR_START, START_HIGH, START_LOW, CURSOR_HIGH, CURSOR_LOW = 0x0A, 0x0C, 0x0D, 0x0E, 0x0F

VGA_TEXT = np.dtype([("index", "u1"), ("crtc", "u1", 32), ("ports", "u1", PORTS), ("status", "u1")])

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
        if offset == CRTC_INDEX:
            return int(s["index"])
        if offset == CRTC_DATA:
            return int(s["crtc"][s["index"] & 31])
        if offset == STATUS:  # retrace comes and goes: guests wait for either
            s["status"] ^= 0x09
            return int(s["status"])
        if offset == MISC:
            return 0x67  # colour, the ports at 3Dx
        return int(s["ports"][offset % PORTS])

    def _write(self, offset: int, value: int) -> None:
        s = self.state
        if offset == CRTC_INDEX:
            s["index"] = value
        elif offset == CRTC_DATA:
            s["crtc"][s["index"] & 31] = value
        else:
            s["ports"][offset % PORTS] = value
