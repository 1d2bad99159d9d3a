"""The interrupt controllers: two 8259As, the slave on IR2 of the master (Intel 8259A data sheet; ELCR: Intel PIIX3).

20 21   master: +0 ICW1 OCW2 OCW3 (write), IRR or ISR (read)     +1 ICW2-4 OCW1 (write), IMR (read)
A0 A1   slave: the same
4D0 4D1 ELCR: a 1 makes the line level-triggered
"""

from collections.abc import Callable

import numpy as np

CHIP = np.dtype(
    [
        ("lines", "u1"),  # levels at the inputs
        ("irr", "u1"),
        ("isr", "u1"),
        ("imr", "u1"),
        ("elcr", "u1"),
        ("base", "u1"),  # vector of IR0
        ("icw3", "u1"),
        ("lowest", "u1"),  # input of lowest priority: 7 unless rotated
        ("step", "u1"),  # 2-4: which ICW comes next; 0: none; 1: no ICW1 yet, and no requests
        ("icw4", "u1"),  # 1: an ICW4 will follow
        ("single", "u1"),
        ("auto_eoi", "u1"),
        ("rotate_on_aeoi", "u1"),
        ("nested", "u1"),  # special fully nested mode
        ("special_mask", "u1"),
        ("poll", "u1"),
        ("read_isr", "u1"),
    ]
)
PIC = np.dtype([("chips", CHIP, 2), ("output", "u1")])
MASTER, SLAVE, CASCADE, SPURIOUS = 0, 1, 2, 7
EDGE_ONLY = (0x07, 0x21)  # ELCR bits that stay 0: IRQ 0, 1, 2; 8, 13


class Pic:
    """Both chips: `line(level)` is INTR; `irq(n)` gives the line of IRQ n, `acknowledge()` the vector."""

    def __init__(self, line: Callable[[bool], None] = lambda level: None):
        self.line = line
        self.state = np.zeros((), PIC)
        self.state["chips"]["lowest"], self.state["chips"]["step"] = 7, 1
        self.state["chips"]["icw3"] = 1 << CASCADE, CASCADE

    def irq(self, n: int) -> Callable[[bool], None]:
        """The line of IRQ n, 0-15 (2 is the slave's)."""
        return lambda level: self.set_line(n, level)

    def set_line(self, n: int, level: bool) -> None:
        self._input(self.state["chips"][n >> 3], 1 << (n & 7), level)
        self._update()

    def acknowledge(self) -> int:
        """The CPU's INTA cycles: the vector; with no request left that of IR7."""
        chips = self.state["chips"]
        n = self._take(chips[MASTER])
        chip = chips[MASTER]
        if n == CASCADE and not chip["single"]:
            chip = chips[SLAVE]
            self._update()
            n = self._take(chip)
        self._update()
        return int(chip["base"]) + (SPURIOUS if n is None else n)

    def read(self, offset: int, width: int) -> int:
        """The ports of a chip are `Pic.chip`'s: here the master's two follow each other, then the slave's."""
        return sum(self._read(self.state["chips"][offset + i >> 1 & 1], offset + i & 1) << 8 * i for i in range(width))

    def write(self, offset: int, width: int, value: int) -> None:
        for i in range(width):
            self._write(self.state["chips"][offset + i >> 1 & 1], offset + i & 1, value >> 8 * i & 0xFF)

    def chip(self, n: int) -> "Ports":
        """The two ports of the master (0) or slave (1)."""
        return Ports(self.read, self.write, 2 * n)

    def elcr(self) -> "Ports":
        """The two ports at 4D0."""
        return Ports(self._read_elcr, self._write_elcr, 0)

    # ---- one chip

    @staticmethod
    def _input(chip, bit: int, level: bool) -> None:
        """An input changes.  A request lasts while its line does: one that drops before INTA becomes spurious."""
        was = chip["lines"] & bit
        if level:
            chip["lines"] |= bit
            if not was or chip["elcr"] & bit:
                chip["irr"] |= bit
        else:
            chip["lines"] &= ~bit & 0xFF
            chip["irr"] &= ~bit & 0xFF

    @staticmethod
    def _first(bits: int, lowest: int) -> int | None:
        """The input of highest priority in a set."""
        for k in range(1, 9):
            n = lowest + k & 7
            if bits >> n & 1:
                return n
        return None

    def _request(self, chip) -> int | None:
        """The input that asks for service now, or None."""
        irr = int(chip["irr"]) & ~int(chip["imr"]) & 0xFF
        if not irr or chip["step"]:
            return None
        lowest, isr = int(chip["lowest"]), int(chip["isr"])
        if chip["special_mask"]:
            return self._first(irr & ~isr, lowest)
        wanted, serving = self._first(irr, lowest), self._first(isr, lowest)
        if serving is None:
            return wanted
        ahead, behind = wanted - lowest - 1 & 7, serving - lowest - 1 & 7
        if ahead < behind or (ahead == behind and chip["nested"] and wanted == CASCADE):
            return wanted
        return None

    def _take(self, chip) -> int | None:
        """The request is being served: IRR to ISR."""
        n = self._request(chip)
        if n is None:
            return None
        bit = 1 << n
        if not chip["elcr"] & bit:
            chip["irr"] &= ~bit & 0xFF
        if not chip["auto_eoi"]:
            chip["isr"] |= bit
        elif chip["rotate_on_aeoi"]:
            chip["lowest"] = n
        return n

    def _update(self) -> None:
        """The slave's output to the master's input, the master's to INTR."""
        master, slave = self.state["chips"]
        if not master["single"]:
            self._input(master, 1 << CASCADE, self._request(slave) is not None)
        level = self._request(master) is not None
        if level != bool(self.state["output"]):
            self.state["output"] = level
            self.line(level)

    def _read(self, chip, port: int) -> int:
        if chip["poll"]:
            chip["poll"] = 0
            n = self._take(chip)
            self._update()
            return 0 if n is None else 0x80 | n
        if port:
            return int(chip["imr"])
        return int(chip["isr"] if chip["read_isr"] else chip["irr"])

    def _write(self, chip, port: int, value: int) -> None:
        if port == 0 and value & 0x10:
            self._icw1(chip, value)
        elif port == 0 and value & 0x08:
            self._ocw3(chip, value)
        elif port == 0:
            self._ocw2(chip, value)
        elif chip["step"] > 1:
            self._icw(chip, value)
        else:
            chip["imr"] = value
        self._update()

    @staticmethod
    def _icw1(chip, value: int) -> None:
        """The edge sense circuit is reset: lines must rise again."""
        chip["irr"] = chip["lines"] & chip["elcr"]
        chip["imr"] = chip["isr"] = 0
        chip["lowest"] = 7
        chip["special_mask"] = chip["read_isr"] = chip["poll"] = 0
        chip["auto_eoi"] = chip["nested"] = chip["rotate_on_aeoi"] = 0
        chip["icw4"], chip["single"], chip["step"] = value & 1, value >> 1 & 1, 2

    @staticmethod
    def _icw(chip, value: int) -> None:
        step = int(chip["step"])
        if step == 2:
            chip["base"] = value & 0xF8
        elif step == 3:
            chip["icw3"] = value
        else:
            chip["auto_eoi"], chip["nested"] = value >> 1 & 1, value >> 4 & 1
        steps = [2] + ([] if chip["single"] else [3]) + ([4] if chip["icw4"] else []) + [0]
        chip["step"] = steps[steps.index(step) + 1] if step in steps else 0

    def _ocw2(self, chip, value: int) -> None:
        command, n = value >> 5, value & 7
        if command in (0, 4):  # rotation in automatic-EOI mode
            chip["rotate_on_aeoi"] = command >> 2
        elif command in (1, 5):  # non-specific EOI
            isr = int(chip["isr"])
            if chip["special_mask"]:
                isr &= ~int(chip["imr"])
            n = self._first(isr, int(chip["lowest"]))
            if n is not None:
                chip["isr"] &= ~(1 << n) & 0xFF
                if command == 5:
                    chip["lowest"] = n
        elif command in (3, 7):  # specific EOI
            chip["isr"] &= ~(1 << n) & 0xFF
            if command == 7:
                chip["lowest"] = n
        elif command == 6:  # set priority
            chip["lowest"] = n

    @staticmethod
    def _ocw3(chip, value: int) -> None:
        if value & 0x02:
            chip["read_isr"] = value & 1
        if value & 0x40:
            chip["special_mask"] = value >> 5 & 1
        chip["poll"] = value >> 2 & 1

    def _read_elcr(self, offset: int, width: int) -> int:
        return sum(int(self.state["chips"][offset + i & 1]["elcr"]) << 8 * i for i in range(width))

    def _write_elcr(self, offset: int, width: int, value: int) -> None:
        for i in range(width):
            n = offset + i & 1
            chip = self.state["chips"][n]
            chip["elcr"] = value >> 8 * i & 0xFF & ~EDGE_ONLY[n]
            chip["irr"] |= chip["lines"] & chip["elcr"]
        self._update()


class Ports:
    """Two ports of a device that has several pairs."""

    def __init__(self, read: Callable[[int, int], int], write: Callable[[int, int, int], None], first: int):
        self._read, self._write, self.first = read, write, first

    def read(self, offset: int, width: int) -> int:
        """Bytes beyond the pair are an open bus."""
        inside = min(width, 2 - offset)
        return self._read(self.first + offset, inside) | ((1 << 8 * width) - 1 & ~((1 << 8 * inside) - 1))

    def write(self, offset: int, width: int, value: int) -> None:
        inside = min(width, 2 - offset)
        self._write(self.first + offset, inside, value & (1 << 8 * inside) - 1)
