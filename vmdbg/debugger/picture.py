"""What a screen shows, as frozen rows of inked text: the guest's VGA screen, or the terminal at its serial port."""

import functools
from typing import NamedTuple

from vmdbg.machine.board.vga_text import CELLS, Screen

# The colours of VGA text, by attribute bits 3:0 (IBM VGA Technical Reference; brown instead of dark yellow)
VGA = (
    "000000 0000aa 00aa00 00aaaa aa0000 aa00aa aa5500 aaaaaa 555555 5555ff 55ff55 55ffff ff5555 ff55ff ffff55 ffffff"
).split()  # fmt: skip


class Ink(NamedTuple):
    """How text looks; colours as RRGGBB, '' is the terminal's own."""

    ink: str = ""
    paper: str = ""
    bold: bool = False
    underline: bool = False
    reverse: bool = False


PLAIN = Ink()
Run = tuple[str, Ink]  # text that looks alike
Cells = tuple[Run, ...]


class Picture(NamedTuple):
    """Rows of text; `cursor` is (row, column), None where there is none to be seen."""

    rows: tuple[Cells, ...] = ()
    cursor: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """Without colours, and without blanks at the end of lines and of the whole."""
        return "\n".join("".join(text for text, _ in row).rstrip() for row in self.rows).rstrip("\n")


@functools.cache
def attribute(value: int) -> Ink:
    """A VGA attribute byte; bit 7, blinking, is not shown."""
    return Ink(VGA[value & 15], VGA[value >> 4 & 7])


def vga_row(text: str, attributes: bytes) -> Cells:
    """One line of the screen."""
    runs: list[Run] = []
    start = 0
    for n in range(1, len(text) + 1):
        if n == len(text) or attributes[n] != attributes[start]:
            runs.append((text[start:n], attribute(attributes[start])))
            start = n
    return tuple(runs)


class VgaPicture:
    """Makes pictures of a VGA screen: anew only for what changed."""

    def __init__(self):
        self._seen: bytes | None = None
        self._rows: dict[tuple[str, bytes], Cells] = {}
        self._picture = Picture()

    @staticmethod
    def _state(vga, ram) -> bytes:
        return ram[CELLS : CELLS + 0x8000].tobytes() + vga.state["crtc"].tobytes()

    def behind(self, vga, ram) -> bool:
        """Whether the screen has changed since the last picture."""
        return self._state(vga, ram) != self._seen

    def take(self, vga, ram) -> Picture:
        seen = self._state(vga, ram)
        if seen != self._seen:
            screen: Screen = vga.screen(ram)
            self._seen = seen
            lines = list(zip(screen.text, screen.attributes))
            self._rows = {line: self._rows.get(line) or vga_row(*line) for line in lines}
            self._picture = Picture(tuple(self._rows[line] for line in lines), screen.cursor)
        return self._picture
