"""An ATA disk (ATA/ATAPI-6, chapter 8): IDENTIFY, PIO reads and writes by CHS, LBA28 and LBA48, the commands without data."""

import struct

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.ide import COUNT, DEVICE, DRDY, DSC, HIGH, IDLE, LBA, LOW, MID, NOT_FOUND, Drive, text

HEADS, SECTORS, MULTIPLE = 16, 63, 16
READ, WRITE, VERIFY = "read", "write", "verify"
# command: what it does, 48 bits, a block at a time
TRANSFERS = {
    0x20: (READ, False, False),
    0x21: (READ, False, False),
    0x24: (READ, True, False),
    0x29: (READ, True, True),
    0xC4: (READ, False, True),
    0x30: (WRITE, False, False),
    0x31: (WRITE, False, False),
    0x34: (WRITE, True, False),
    0x39: (WRITE, True, True),
    0xC5: (WRITE, False, True),
    0x40: (VERIFY, False, False),
    0x41: (VERIFY, False, False),
    0x42: (VERIFY, True, False),
}
IDENTIFY, SET_FEATURES, SET_MULTIPLE, INITIALIZE, DIAGNOSTIC, CHECK_POWER, NATIVE_MAX, NATIVE_MAX_EXT = (
    0xEC, 0xEF, 0xC6, 0x91, 0x90, 0xE5, 0xF8, 0x27
)  # fmt: skip
FLUSHES = {0xE7, 0xEA}
WITHOUT_EFFECT = {0x10, 0x70, 0xE0, 0xE1, 0xE2, 0xE3}  # seeks, power
PIO_MODE, DEFAULT_PIO, READ_AHEAD_OFF, READ_AHEAD_ON, CACHE_ON, CACHE_OFF = 0x03, 0x00, 0x55, 0xAA, 0x02, 0x82


class Disk(Drive):
    signature = (0, 1, 1, 1, 0, 0, 0, 0)
    ready = DRDY | DSC

    def __init__(self, image: DiskImage):
        self.image = image

    def execute(self, command: int) -> bool:
        s = self.state
        if command in TRANSFERS:
            return self._transfer(*TRANSFERS[command])
        if command == IDENTIFY:
            s["left"] = 0
            self.offer(self.identity())
        elif command == SET_MULTIPLE:
            count = int(s["regs"][COUNT])
            if count > MULTIPLE or count & (count - 1):
                return False
            s["multiple"] = count
            self.finish()
        elif command == SET_FEATURES:
            if s["features"] not in (PIO_MODE, READ_AHEAD_OFF, READ_AHEAD_ON, CACHE_ON, CACHE_OFF):
                return False
            if s["features"] == PIO_MODE and int(s["regs"][COUNT]) >> 3 > 1:  # DMA modes
                return False
            self.finish()
        elif command == DIAGNOSTIC:
            self.reset()
            self.channel.interrupt()
        elif command == CHECK_POWER:
            s["regs"][COUNT] = 0xFF  # active
            self.finish()
        elif command in (NATIVE_MAX, NATIVE_MAX_EXT):
            self._set_address(self.image.sectors - 1, command == NATIVE_MAX_EXT)
            self.finish()
        elif command in FLUSHES:
            if not self.image.flush():
                return False
            self.finish()
        elif command == INITIALIZE or command in WITHOUT_EFFECT:
            self.finish()
        else:
            return False
        return True

    def _address(self, extended: bool) -> tuple[int, int]:
        """(first sector, count) of the command in the registers."""
        s = self.state
        regs, old = [int(r) for r in s["regs"]], [int(r) for r in s["previous"]]
        if extended:
            count = old[COUNT] << 8 | regs[COUNT] or 0x10000
            high = old[HIGH] << 40 | old[MID] << 32 | old[LOW] << 24
            return high | regs[HIGH] << 16 | regs[MID] << 8 | regs[LOW], count
        count = regs[COUNT] or 0x100
        if regs[DEVICE] & LBA:
            return (regs[DEVICE] & 0xF) << 24 | regs[HIGH] << 16 | regs[MID] << 8 | regs[LOW], count
        cylinder, head = regs[HIGH] << 8 | regs[MID], regs[DEVICE] & 0xF
        if not regs[LOW] or regs[LOW] > SECTORS:
            return self.image.sectors, count
        return (cylinder * HEADS + head) * SECTORS + regs[LOW] - 1, count

    def _set_address(self, sector: int, extended: bool) -> None:
        s = self.state
        parts = [sector >> 8 * n & 0xFF for n in range(6)]
        s["regs"][LOW : HIGH + 1] = parts[:3]
        if extended:
            s["previous"][LOW : HIGH + 1] = parts[3:]
        else:
            s["regs"][DEVICE] = int(s["regs"][DEVICE]) & 0xF0 | min(sector >> 24, 0xF)

    def _transfer(self, what: str, extended: bool, blocks: bool) -> bool:
        s = self.state
        first, count = self._address(extended)
        if blocks and not s["multiple"]:
            return False
        if first + count > self.image.sectors:
            self.abort(NOT_FOUND)
            return True
        if what == VERIFY:
            self.finish()
            return True
        s["sector"], s["left"], s["block"] = first, count, int(s["multiple"]) if blocks else 1
        n = min(int(s["left"]), int(s["block"]))
        if what == READ:
            self._next_block()
        else:
            self.accept(n * self.image.sector_size)
        return True

    def _next_block(self) -> None:
        s = self.state
        n = min(int(s["left"]), int(s["block"]))
        data = self.image.read(int(s["sector"]), n)
        s["sector"], s["left"] = int(s["sector"]) + n, int(s["left"]) - n
        self.offer(data)

    def taken(self) -> None:
        """The guest has read the buffer."""
        s = self.state
        if s["left"] and s["command"] != IDENTIFY:
            self._next_block()
        else:
            s["direction"], s["status"] = IDLE, DRDY | DSC

    def filled(self) -> None:
        """The guest has written the buffer."""
        s = self.state
        size = int(s["end"])
        n = size // self.image.sector_size
        if not self.image.write(int(s["sector"]), s["buffer"][:size].tobytes()):
            self.abort()
            return
        s["sector"], s["left"] = int(s["sector"]) + n, int(s["left"]) - n
        if s["left"]:
            self.accept(min(int(s["left"]), int(s["block"])) * self.image.sector_size, interrupt=True)
        else:
            self.finish()

    def identity(self) -> bytes:
        """IDENTIFY DEVICE (8.16), 256 words."""
        sectors = self.image.sectors
        cylinders = min(sectors // (HEADS * SECTORS), 16383)
        chs = cylinders * HEADS * SECTORS
        words = bytearray(512)

        def put(word: int, *values: int) -> None:
            struct.pack_into(f"<{len(values)}H", words, 2 * word, *values)

        put(0, 0x0040, cylinders, 0, HEADS, 0, 0, SECTORS)
        words[20:40], words[46:54], words[54:94] = text("VM0001", 20), text("1", 8), text("VMDBG DISK", 40)
        put(47, 0x8000 | MULTIPLE, 0, 0x0300)
        put(53, 0x0003, cylinders, HEADS, SECTORS, chs & 0xFFFF, chs >> 16, 0x0100 | int(self.state["multiple"]))
        most = min(sectors, 0x0FFFFFFF)
        put(60, most & 0xFFFF, most >> 16)
        put(64, 0x0003, 0, 0, 120, 120)
        put(80, 0x007E, 0, 0x0020, 0x7400, 0x4000, 0x0020, 0x3400, 0x4000)
        put(100, *(sectors >> 16 * n & 0xFFFF for n in range(4)))
        return bytes(words)
