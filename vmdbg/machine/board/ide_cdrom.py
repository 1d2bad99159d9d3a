"""An ATAPI CD-ROM drive (ATA/ATAPI-6, 9.8; MMC-3): PACKET in PIO with the commands that firmware and boot loaders use."""

import struct

import numpy as np

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.ide import COUNT, DRDY, DRQ, DSC, HIGH, IDLE, MID, Drive, text

SECTOR, PACKET_SIZE, MOST = 2048, 12, 0xF800
PACKET, IDENTIFY_PACKET, IDENTIFY, DEVICE_RESET, SET_FEATURES, DIAGNOSTIC = 0xA0, 0xA1, 0xEC, 0x08, 0xEF, 0x90
COMMAND_REASON, TO_HOST = 0x01, 0x02  # interrupt reason, in the count register
NOT_READY, ILLEGAL = 0x02, 0x05  # sense keys
BAD_COMMAND, OUT_OF_RANGE = 0x20, 0x21  # additional sense codes
TEST_UNIT_READY, REQUEST_SENSE, INQUIRY, MODE_SENSE_6, START_STOP, PREVENT = 0x00, 0x03, 0x12, 0x1A, 0x1B, 0x1E
READ_CAPACITY, READ_10, SEEK_10, READ_TOC, GET_CONFIGURATION, GET_EVENT, MODE_SENSE_10, READ_12 = (
    0x25,
    0x28,
    0x2B,
    0x43,
    0x46,
    0x4A,
    0x5A,
    0xA8,
)


class Cdrom(Drive):
    signature = (0, 1, 1, 1, 0x14, 0xEB, 0, 0)
    ready = 0

    def __init__(self, image: DiskImage):
        """`image` has sectors of 2048 bytes."""
        self.image = image

    def execute(self, command: int) -> bool:
        s = self.state
        if command == PACKET:
            self.accept(PACKET_SIZE)
            s["regs"][COUNT] = COMMAND_REASON
        elif command == IDENTIFY_PACKET:
            s["left"] = 0
            self.offer(self.identity())
        elif command == IDENTIFY:  # aborts, and shows the signature
            s["regs"][:] = (*self.signature[:6], s["regs"][6], 0)
            return False
        elif command == DEVICE_RESET:
            self.reset()
        elif command == DIAGNOSTIC:
            self.reset()
            self.channel.interrupt()
        elif command == SET_FEATURES:
            self.finish()
        else:
            return False
        return True

    def filled(self) -> None:
        """A command packet is there."""
        s = self.state
        packet = s["buffer"][:PACKET_SIZE].tobytes()
        found = self._perform(packet)
        if isinstance(found, tuple):
            s["sense"] = (*found, 0)
            s["regs"][COUNT] = COMMAND_REASON | TO_HOST
            self.abort(found[0] << 4)
            return
        if packet[0] != REQUEST_SENSE:
            s["sense"] = 0
        s["reply_size"] = 0
        if found is not None:
            s["reply"][: len(found)] = np.frombuffer(found, np.uint8)
            s["left"] = s["reply_size"] = len(found)
        self._more()

    def taken(self) -> None:
        """The guest has read the buffer."""
        if self.state["command"] == PACKET:
            self._more()
        else:
            self.state["direction"], self.state["status"] = IDLE, DRDY | DSC

    def _more(self) -> None:
        """The next part of what a packet command gives, or its end."""
        s = self.state
        left = int(s["left"])
        if not left:
            s["regs"][COUNT] = COMMAND_REASON | TO_HOST
            self.finish()
            return
        limit = int(s["regs"][HIGH]) << 8 | int(s["regs"][MID])
        n = min(left, MOST, max(limit & ~1, 2) if limit else MOST)
        if whole := int(s["reply_size"]):
            data = s["reply"][whole - left :][:n].tobytes()
        else:
            at = int(s["sector"])
            n = max(n // SECTOR * SECTOR, min(n, SECTOR))
            first, offset = divmod(at, SECTOR)
            data = self.image.read(first, -(-(offset + n) // SECTOR))[offset : offset + n]
            s["sector"] = at + n
        s["left"] = left - len(data)
        s["regs"][COUNT] = TO_HOST
        s["regs"][MID], s["regs"][HIGH] = len(data) & 0xFF, len(data) >> 8
        self.offer(data)
        s["status"] = DRDY | DSC | DRQ

    def _perform(self, p: bytes) -> bytes | None | tuple[int, int]:
        """What a packet's command gives: bytes, None (nothing, or sectors that `sector` and `left` count), or (key, code)."""
        s, command = self.state, p[0]
        s["left"] = 0
        allocation = p[4] if command in (INQUIRY, REQUEST_SENSE, MODE_SENSE_6) else p[7] << 8 | p[8]
        if command in (TEST_UNIT_READY, START_STOP, PREVENT, SEEK_10):
            return None
        if command == REQUEST_SENSE:
            key, code, qualifier = (int(x) for x in s["sense"])
            return bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0])[:allocation] or None
        if command == INQUIRY:
            return (bytes([5, 0x80, 0, 0x21, 31, 0, 0, 0]) + b"VMDBG   " + b"CD-ROM          " + b"1   ")[:allocation] or None
        if command == READ_CAPACITY:
            return struct.pack(">II", self.image.sectors - 1, SECTOR)
        if command in (READ_10, READ_12):
            first = int.from_bytes(p[2:6], "big")
            count = int.from_bytes(p[7:9] if command == READ_10 else p[6:10], "big")
            if first + count > self.image.sectors:
                return ILLEGAL, OUT_OF_RANGE
            s["sector"], s["left"] = first * SECTOR, count * SECTOR
            return None
        if command == READ_TOC:
            end = struct.pack(">I", self.image.sectors)
            return (bytes([0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x16, 0xAA, 0]) + end)[:allocation] or None
        if command == GET_CONFIGURATION:
            return struct.pack(">IHH", 4, 0, 8)[:allocation] or None  # a CD-ROM, no features listed
        if command == GET_EVENT:
            return bytes([0, 6, 4, 0x10, 0, 2, 0, 0])[:allocation] or None  # media are present
        if command in (MODE_SENSE_6, MODE_SENSE_10):
            return bytes([0, 6, 1, 0, 0, 0, 0, 0])[:allocation] or None
        return ILLEGAL, BAD_COMMAND

    def identity(self) -> bytes:
        """IDENTIFY PACKET DEVICE (8.17), 256 words."""
        words = bytearray(512)
        struct.pack_into("<H", words, 0, 0x85C0)  # CD-ROM, removable, DRQ within 50 us, packets of 12 bytes
        words[20:40], words[46:54], words[54:94] = text("VM0002", 20), text("1", 8), text("VMDBG CD-ROM", 40)
        struct.pack_into("<HH", words, 98, 0x0200, 0)
        struct.pack_into("<H", words, 106, 0x0002)
        struct.pack_into("<HHHHH", words, 128, 0x0003, 0, 0, 120, 120)
        struct.pack_into("<H", words, 160, 0x001E)
        return bytes(words)
