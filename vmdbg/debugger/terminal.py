"""The terminal at the guest's serial port: what a Linux shell expects of one (pyte), and nothing that a guest could break.

80 columns, 24 lines, ANSI colours, cursor movement, scrolling regions; LINES lines above it are kept.  What programs ask a
terminal (where the cursor is, what it is) it answers.
"""

from collections import deque
from collections.abc import Callable

import pyte
from pyte.screens import Char

from vmdbg.debugger.picture import PLAIN, VGA, Cells, Ink, Picture, Run

COLUMNS, ROWS, LINES = 80, 24, 2000
TAIL = 1 << 16  # bytes of the log from which the screen is made anew after time went back
LONGEST = 256  # characters of one control sequence; a longer one is none
COMBINED = 8  # characters in one cell
NAMES = "black blue green cyan red magenta brown white".split()  # pyte's, in the order of VGA's colours
COLOURS = {"default": ""} | dict(zip(NAMES, VGA)) | {f"bright{name}": colour for name, colour in zip(NAMES, VGA[8:])}


class Lines(pyte.Screen):
    """A pyte screen that keeps what scrolls off its top, and takes no harm from odd sequences."""

    def __init__(self, answer: Callable[[str], None]):
        self.above: deque[Cells] = deque(maxlen=LINES)
        self.answer = answer
        super().__init__(COLUMNS, ROWS)

    def index(self) -> None:
        if self.margins is None and self.cursor.y == self.lines - 1:
            self.above.append(cells(self.buffer[0]))
        super().index()

    def draw(self, data: str) -> None:
        super().draw(data)
        row, x = self.buffer[self.cursor.y], self.cursor.x - 1
        if len(row[x].data) > COMBINED:
            row[x] = row[x]._replace(data=row[x].data[:COMBINED])

    def save_cursor(self) -> None:
        del self.savepoints[:-LONGEST]
        super().save_cursor()

    def select_graphic_rendition(self, *attributes: int, private: bool = False) -> None:
        if not private:
            super().select_graphic_rendition(*attributes)

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """It has one size, whatever the guest wants (DECCOLM)."""

    def write_process_input(self, data: str) -> None:
        self.answer(data)


def cells(row) -> Cells:
    """A row of pyte's as runs, without blanks at its end."""
    last = max((x for x, c in row.items() if c.data != " " or c.bg != "default" or c.reverse), default=-1)
    runs: list[Run] = []
    text, before = "", None
    for x in range(last + 1):
        c: Char = row[x]
        look = c[1:]
        if look != before and text:
            runs.append((text, ink(before)))
            text = ""
        text, before = text + c.data, look
    return (*runs, (text, ink(before))) if text else ()


def ink(look) -> Ink:
    fg, bg, bold, _italics, underscore, _strike, reverse, _blink = look
    if look == (*("default",) * 2, *(False,) * 6):
        return PLAIN
    return Ink(COLOURS.get(fg, fg), COLOURS.get(bg, bg), bold, underscore, reverse)


class Terminal:
    """Follows a log of bytes; `answer(bytes)` gets what the terminal itself has to say."""

    def __init__(self, answer: Callable[[bytes], None] = lambda data: None):
        self.answer = answer
        self._fed = 0
        self._begin()

    def _begin(self) -> None:
        self.lines = Lines(self._say)
        self.stream = pyte.ByteStream(self.lines)
        self._sequence = 0  # characters of the control sequence that is under way
        self._quiet = False
        self._rows: list[Cells] = [()] * ROWS

    def _say(self, text: str) -> None:
        if not self._quiet:
            self.answer(text.encode("ascii", "replace"))

    def behind(self, sent: int) -> bool:
        """Whether there is something to `follow`."""
        return sent != self._fed

    def follow(self, transcript) -> None:
        """Show what was said so far (monitor.transcript).  If that is less than before, time has gone back.

        What is said again on the way to where the guest has been before is not answered again: the answer is in the past too.
        """
        said = transcript.said
        if said == self._fed:
            return
        new = said - self._fed
        self._quiet = new < 0 or said < transcript.heard
        tail = transcript.tail(new if new > 0 else TAIL)
        if not 0 < new <= len(tail):
            self._begin()
            self._quiet = True
            tail = transcript.tail(TAIL)
        self.feed(tail)
        self._fed = said

    def feed(self, data: bytes) -> None:
        """Whatever a guest sends: a sequence that makes no sense is dropped."""
        while data:
            piece, data = data[:LONGEST], data[LONGEST:]
            try:
                self.stream.feed(piece)
            except Exception:  # pyte has begun anew after the sequence that it could not take
                continue
            self._limit(len(piece))

    def _limit(self, n: int) -> None:
        """Give up a control sequence that does not end."""
        if self.stream._taking_plain_text:
            self._sequence = 0
            return
        self._sequence += n
        if self._sequence > 4 * LONGEST:
            self.stream._initialize_parser()
            self._sequence = 0

    def picture(self) -> Picture:
        """The lines above, then the 24 of the screen as far as they are used."""
        screen = self.lines
        for y in screen.dirty:
            if y < ROWS:
                self._rows[y] = cells(screen.buffer[y])
        screen.dirty.clear()
        used = max((y for y, row in enumerate(self._rows) if row), default=-1)
        cursor = screen.cursor
        rows = self._rows[: max(used, cursor.y) + 1]
        place = None if cursor.hidden else (len(screen.above) + cursor.y, min(cursor.x, COLUMNS - 1))
        return Picture((*screen.above, *rows), place)
