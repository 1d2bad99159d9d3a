"""What is where in a PC's memory, as firmware tells it (ACPI specification 6.5, 15: address range types of INT 15h E820h).

0 .. 9FC00           usable
9FC00 .. A0000       EBDA, reserved
A0000 .. E0000       the screen and option ROMs: not listed
E0000 .. 100000      firmware: ACPI and MP tables, reserved
100000 .. memory     usable
FEC00000, FEE00000   I/O APIC, local APIC, reserved
"""

from vmdbg.monitor.guest import GuestError, Piece

USABLE, RESERVED = 1, 2
LOW_END, LOW_LIMIT, FIRMWARE, MIB = 0x9FC00, 0xA0000, 0xE0000, 1 << 20
IO_APIC, LOCAL_APIC = 0xFEC00000, 0xFEE00000
LOW_FIRST = 0x1000  # page 0 holds the interrupt vectors and the BIOS data area
PAGE = 0x1000


def ranges(memory: int) -> list[tuple[int, int, int]]:
    """(address, size, type), ascending, of a PC with `memory` bytes."""
    return [
        (0, LOW_END, USABLE),
        (LOW_END, LOW_LIMIT - LOW_END, RESERVED),
        (FIRMWARE, MIB - FIRMWARE, RESERVED),
        *([(MIB, memory - MIB, USABLE)] if memory > MIB else []),
        (IO_APIC, PAGE, RESERVED),
        (LOCAL_APIC, PAGE, RESERVED),
    ]


def lower_kib() -> int:
    """KiB from 0 on, as INT 12h counts them."""
    return LOW_END >> 10


def upper_kib(memory: int) -> int:
    """KiB from 1 MiB on."""
    return max(memory - MIB, 0) >> 10


class Room:
    """Finds places between what is already placed.  `end` is where memory, or what a guest may be given of it, ends."""

    def __init__(self, pieces: list[Piece], end: int):
        self.pieces, self.end = list(pieces), end

    def put(self, data: bytes, what: str, align: int = PAGE, first: int = LOW_FIRST, high: bool = False) -> int:
        """Place `data` at the lowest free aligned address from `first` on (high: at the highest); its address.

        GuestError: `what` does not fit.
        """
        spans = [(MIB, self.end)] if high or first >= MIB else [(first, LOW_END), (MIB, self.end)]
        found = None
        for low, end in spans:
            found = self._highest(len(data), align, low, end) if high else self._lowest(len(data), align, low, end)
            if found is not None:
                break
        if found is None:
            raise GuestError(f"{what} of {len(data):,} bytes does not fit into memory beside the guest (--memory)")
        self.pieces.append(Piece(found, data, len(data)))
        return found

    def _clash(self, first: int, size: int) -> Piece | None:
        return next((p for p in self.pieces if first < p.address + p.size and p.address < first + size), None)

    def _lowest(self, size: int, align: int, low: int, end: int) -> int | None:
        at = -(-low // align) * align
        while at + size <= end:
            clash = self._clash(at, size)
            if clash is None:
                return at
            at = -(-(clash.address + clash.size) // align) * align
        return None

    def _highest(self, size: int, align: int, low: int, end: int) -> int | None:
        at = (end - size) // align * align
        while at >= low:
            clash = self._clash(at, size)
            if clash is None:
                return at
            at = (clash.address - size) // align * align
        return None
