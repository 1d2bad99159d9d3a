"""A disk as virtio has it (Virtual I/O Device specification 1.2, 5.2): one queue of requests, each done at once.

request   0 type   8 sector (of 512 bytes) | data | status, the last byte that may be written
"""

import struct

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.virtio import INDIRECT_DESC, VERSION_1, Virtio
from vmdbg.machine.board.virtio_queue import Chain

KIND = 2
SEG_MAX, BLK_SIZE, FLUSH = 1 << 2, 1 << 6, 1 << 9
IN, OUT, DO_FLUSH, GET_ID = 0, 1, 4, 8
OK, IO_ERROR, UNSUPPORTED = 0, 1, 2
HEADER, SECTOR, SEGMENTS = 16, 512, 126
IDENTITY = b"VM0003"


class VirtioBlk(Virtio):
    kind = KIND
    class_code = 0x010000
    features = VERSION_1 | INDIRECT_DESC | SEG_MAX | BLK_SIZE | FLUSH

    def __init__(self, memory, space, line, image: DiskImage):
        """`image` has sectors of 512 bytes; the rest is Virtio's."""
        super().__init__(memory, space, line, 1)
        self.image = image

    def own(self) -> bytes:
        """Capacity, size_max (not offered), seg_max, geometry (not offered), blk_size."""
        return struct.pack("<QIIIIQ", self.image.sectors, 0, SEGMENTS, 0, SECTOR, 0)

    def serve(self, number: int) -> None:
        for chain in self.chains(number):
            self.done(number, chain, self._request(chain))

    def _request(self, chain: Chain) -> int:
        """Do one request; the bytes written."""
        if not chain.room:  # nowhere for a status
            return 0
        queue, status = self.queues[0], UNSUPPORTED
        given = queue.read(chain)
        size, written = chain.room - 1, 0
        if len(given) < HEADER:
            status = IO_ERROR
        else:
            kind, _, sector = struct.unpack_from("<IIQ", given)
            data = given[HEADER:]
            if kind == IN:
                status = self._check(sector, size)
                if status == OK:
                    written = queue.write(chain, self.image.read(sector, size // SECTOR))
            elif kind == OUT:
                status = self._check(sector, len(data))
                if status == OK and not self.image.write(sector, data):
                    status = IO_ERROR
            elif kind == DO_FLUSH:
                status = OK if self.image.flush() else IO_ERROR
            elif kind == GET_ID:
                status, written = OK, queue.write(chain, IDENTITY.ljust(20, b"\0")[:size])
        return written + queue.write(chain, bytes([status]), size)

    def _check(self, sector: int, size: int) -> int:
        return OK if size % SECTOR == 0 and sector + size // SECTOR <= self.image.sectors else IO_ERROR
