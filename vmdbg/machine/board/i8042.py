"""The keyboard controller: an 8042 with keyboard and mouse at ports 60 and 64 (IBM PS/2 Technical Reference; 8042 section).

    60   data: output buffer (read), input buffer (write)         64   status (read), command (write)

What keyboard and mouse have to say waits in rings of 16 bytes; one byte at a time stands in the output buffer.
The keyboard speaks scan code set 2 and the controller translates it to set 1 if command byte bit 6 says so.
"""

from collections.abc import Callable

import numpy as np

from vmdbg.machine.board.scan_codes import KEYS, TO_SET_1

RING = np.dtype([("bytes", "u1", 16), ("first", "u1"), ("count", "u1")])
I8042_STATE = np.dtype(
    [
        ("command", "u1"),  # the command byte
        ("output_port", "u1"),
        ("ram", "u1", 32),
        ("full", "u1"),  # output buffer: 0 empty, 1 from the keyboard or the controller, 2 from the mouse
        ("data", "u1"),
        ("last", "u1"),  # 1: the last write went to port 64
        ("expects", "u1"),  # the controller command that waits for a byte at port 60
        ("released", "u1"),  # translation: F0 came
        ("keyboard", RING),
        ("mouse", RING),
        ("keyboard_expects", "u1"),  # the keyboard command that waits for its argument
        ("scanning", "u1"),
        ("set", "u1"),
        ("leds", "u1"),
        ("last_sent", "u1"),
        ("mouse_expects", "u1"),
        ("reporting", "u1"),
        ("rate", "u1"),
        ("resolution", "u1"),
        ("scaling", "u1"),
        ("wrap", "u1"),
    ]
)
KEYBOARD, MOUSE = 1, 2
IRQ1, IRQ12, SYSTEM, NO_KEYBOARD, NO_MOUSE, TRANSLATE = 0x01, 0x02, 0x04, 0x10, 0x20, 0x40  # command byte
OBF, A2, UNLOCKED, AUX = 0x01, 0x08, 0x10, 0x20  # status
A20 = 0x02  # output port
ACK, RESEND, PASSED = 0xFA, 0xFE, 0xAA


class I8042:
    """`irq1` and `irq12` are lines, `a20(on)` the gate, `reset()` the pulse to the CPUs."""

    def __init__(
        self,
        irq1: Callable[[bool], None] = lambda level: None,
        irq12: Callable[[bool], None] = lambda level: None,
        a20: Callable[[bool], None] = lambda on: None,
        reset: Callable[[], None] = lambda: None,
    ):
        self.irq1, self.irq12, self.a20, self.reset = irq1, irq12, a20, reset
        self.state = np.zeros((), I8042_STATE)
        self.state["command"], self.state["output_port"] = IRQ1 | SYSTEM | TRANSLATE | NO_MOUSE, 0xCF
        self._keyboard_defaults()
        self._mouse_defaults()

    # ---- what the host does

    def accepts(self, name: str, down: bool = True) -> bool:
        """Whether `key` would be heard now: the keyboard scans, and has room."""
        return bool(self.state["scanning"]) and self._room("keyboard") > len(KEYS[name]) - down

    def key(self, name: str, down: bool = True) -> bool:
        """A key of KEYS goes down or up.  False: the keyboard does not scan, or has no room."""
        codes = KEYS[name]
        if not self.accepts(name, down):
            return False
        if not down:
            codes = codes[:-1] + bytes([0xF0, codes[-1]])
        for code in codes:
            self._put("keyboard", code)
        self._move()
        return True

    def _room(self, ring: str) -> int:
        return 16 - int(self.state[ring]["count"])

    # ---- ports

    def read(self, offset: int, width: int) -> int:
        """Offset 0 is port 60, 4 port 64."""
        value = self._read_data() if offset == 0 else self._status() if offset == 4 else 0xFF
        return value | ((1 << 8 * width) - 1 & ~0xFF)

    def write(self, offset: int, width: int, value: int) -> None:
        s = self.state
        if offset == 4:
            s["last"] = 1
            self._command(value & 0xFF)
        elif offset == 0:
            s["last"] = 0
            self._data(value & 0xFF)
        self._move()

    def _status(self) -> int:
        s = self.state
        full = int(s["full"])
        return (OBF if full else 0) | int(s["command"]) & SYSTEM | (A2 if s["last"] else 0) | UNLOCKED | (AUX if full == MOUSE else 0)

    def _read_data(self) -> int:
        s = self.state
        data = int(s["data"])
        if s["full"]:
            s["full"] = 0
            self._lines()
            self._move()
        return data

    # ---- the controller

    def _command(self, c: int) -> None:
        s = self.state
        s["expects"] = 0
        if 0x20 <= c < 0x40:
            self._answer(int(s["command"]) if c == 0x20 else int(s["ram"][c & 31]))
        elif 0x60 <= c < 0x80 or 0xD1 <= c <= 0xD4:
            s["expects"] = c
        elif c in (0xA7, 0xA8):
            s["command"] = int(s["command"]) & ~NO_MOUSE | (NO_MOUSE if c == 0xA7 else 0)
        elif c in (0xAD, 0xAE):
            s["command"] = int(s["command"]) & ~NO_KEYBOARD | (NO_KEYBOARD if c == 0xAD else 0)
        elif c in (0xA9, 0xAB):
            self._answer(0)
        elif c == 0xAA:
            s["command"] = int(s["command"]) | SYSTEM
            self._answer(0x55)
        elif c == 0xC0:
            self._answer(0x80)
        elif c == 0xD0:
            self._answer(int(s["output_port"]))
        elif c == 0xE0:
            self._answer(0)
        elif c in (0xDD, 0xDF):
            self._set_output_port(int(s["output_port"]) & ~A20 | (A20 if c == 0xDF else 0))
        elif c >= 0xF0 and not c & 1:
            self.reset()

    def _data(self, value: int) -> None:
        s = self.state
        c = int(s["expects"])
        s["expects"] = 0
        if c == 0x60:
            s["command"] = value
            self._lines()
        elif 0x60 < c < 0x80:
            s["ram"][c & 31] = value
        elif c == 0xD1:
            self._set_output_port(value)
        elif c == 0xD2:
            self._answer(value)
        elif c == 0xD3:
            self._answer(value, MOUSE)
        elif c == 0xD4:
            s["command"] = int(s["command"]) & ~NO_MOUSE
            self._to_mouse(value)
        else:
            s["command"] = int(s["command"]) & ~NO_KEYBOARD
            self._to_keyboard(value)

    def _set_output_port(self, value: int) -> None:
        self.state["output_port"] = value
        self.a20(bool(value & A20))
        if not value & 1:
            self.reset()

    def gate(self, on: bool) -> None:
        """Port 92 moves the same gate."""
        self.state["output_port"] = int(self.state["output_port"]) & ~A20 | (A20 if on else 0)

    def _answer(self, value: int, source: int = KEYBOARD) -> None:
        """A byte of the controller's own goes to the output buffer at once."""
        s = self.state
        s["full"], s["data"] = source, value
        self._lines()

    def _lines(self) -> None:
        s = self.state
        self.irq1(s["full"] == KEYBOARD and bool(s["command"] & IRQ1))
        self.irq12(s["full"] == MOUSE and bool(s["command"] & IRQ12))

    def _put(self, ring: str, value: int) -> None:
        r = self.state[ring]
        if r["count"] < 16:
            r["bytes"][(int(r["first"]) + int(r["count"])) % 16] = value
            r["count"] += 1

    def _get(self, ring: str) -> int:
        r = self.state[ring]
        value = int(r["bytes"][r["first"]])
        r["first"], r["count"] = (int(r["first"]) + 1) % 16, int(r["count"]) - 1
        return value

    def _move(self) -> None:
        """Let the next byte of keyboard or mouse into the empty output buffer."""
        s = self.state
        while not s["full"]:
            if s["keyboard"]["count"] and not s["command"] & NO_KEYBOARD:
                value = self._get("keyboard")
                if s["command"] & TRANSLATE:
                    if value == 0xF0:
                        s["released"] = 0x80
                        continue
                    value = TO_SET_1[value] | int(s["released"]) if value < 0x84 else value
                    s["released"] = 0
                self._answer(value)
            elif s["mouse"]["count"] and not s["command"] & NO_MOUSE:
                self._answer(self._get("mouse"), MOUSE)
            else:
                return

    # ---- the keyboard

    def _keyboard_defaults(self) -> None:
        s = self.state
        s["scanning"], s["set"], s["leds"] = 1, 2, 0

    def _say(self, *values: int) -> None:
        for v in values:
            self._put("keyboard", v)

    def _to_keyboard(self, value: int) -> None:
        s = self.state
        waiting = int(s["keyboard_expects"])
        s["keyboard_expects"] = 0
        if waiting and value < 0x80:
            self._say(ACK)
            if waiting == 0xED:
                s["leds"] = value & 7
            elif waiting == 0xF0 and value == 0:
                self._say(int(s["set"]))
            elif waiting == 0xF0 and value <= 3:
                s["set"] = value
            return
        if value in (0xED, 0xF0, 0xF3):
            s["keyboard_expects"] = value
        if value == 0xEE:
            self._say(0xEE)
        elif value == 0xF2:
            self._say(ACK, 0xAB, 0x83)
        elif value == 0xFE:
            self._say(int(s["data"]))
        elif value == 0xFF:
            s["keyboard"]["count"] = 0
            self._keyboard_defaults()
            self._say(ACK, PASSED)
        elif value in (0xED, 0xF0, 0xF3) or 0xF4 <= value <= 0xFD:
            if value in (0xF5, 0xF6):
                s["keyboard"]["count"] = 0
                self._keyboard_defaults()
            if value in (0xF4, 0xF5):
                s["scanning"] = value == 0xF4
            self._say(ACK)
        else:
            self._say(RESEND)

    # ---- the mouse: it answers, and never moves

    def _mouse_defaults(self) -> None:
        s = self.state
        s["reporting"], s["rate"], s["resolution"], s["scaling"], s["wrap"] = 0, 100, 2, 0, 0

    def _to_mouse(self, value: int) -> None:
        s = self.state

        def say(*values: int) -> None:
            for v in values:
                self._put("mouse", v)

        waiting = int(s["mouse_expects"])
        s["mouse_expects"] = 0
        if waiting:
            s["rate" if waiting == 0xF3 else "resolution"] = value
            say(ACK)
        elif s["wrap"] and value not in (0xEC, 0xFF):
            say(value)
        elif value in (0xE8, 0xF3):
            s["mouse_expects"] = value
            say(ACK)
        elif value in (0xE6, 0xE7):
            s["scaling"] = value & 1
            say(ACK)
        elif value == 0xE9:
            say(ACK, int(s["reporting"]) << 5 | int(s["scaling"]) << 4, int(s["resolution"]), int(s["rate"]))
        elif value == 0xEB:
            say(ACK, 0x08, 0, 0)
        elif value == 0xF2:
            say(ACK, 0)
        elif value in (0xEC, 0xEE):
            s["wrap"] = value == 0xEE
            say(ACK)
        elif value in (0xF4, 0xF5):
            s["reporting"] = value == 0xF4
            say(ACK)
        elif value in (0xEA, 0xF0, 0xF6):
            if value == 0xF6:
                self._mouse_defaults()
            say(ACK)
        elif value == 0xFF:
            s["mouse"]["count"] = 0
            self._mouse_defaults()
            say(ACK, PASSED, 0)
        else:
            say(RESEND)
