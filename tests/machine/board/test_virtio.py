"""Virtio over PCI, as a driver uses it: configuration space, registers, rings in memory."""

import random
import struct
from functools import partial

import pytest

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.pc import Pc
from vmdbg.machine.board.virtio import NEEDS_RESET
from vmdbg.machine.board.virtio_blk import VirtioBlk
from vmdbg.machine.board.virtio_console import MULTIPORT, VirtioConsole
from vmdbg.machine.machine import Machine
from vmdbg.machine.physical import PAGE_CODE

SECTORS, IRQ = 100, 11
NEXT, WRITE, INDIRECT = 1, 2, 4
DESCRIPTORS, AVAILABLE, USED, BUFFERS = 0x10000, 0x11000, 0x12000, 0x20000


class Driver:
    """A driver of the card at 00:`device`.0: finds its registers by the capabilities, sets up queues of 8 entries."""

    def __init__(self, machine: Machine, device: int):
        self.m, self.device, self.ports = machine, device, machine.ports
        self.base = self.config(0x20, 4) & ~0xF
        self.config(0x04, 2, 6)  # memory, bus master
        self.parts = {}
        at = self.config(0x34, 1)
        while at:
            kind, offset = self.config(at + 3, 1), self.config(at + 8, 4)
            assert self.config(at, 1) == 9
            self.parts[kind], self.window = offset, at
            at = self.config(at + 1, 1)
        self.index = [0] * 4

    def config(self, register: int, width: int, value: int | None = None) -> int:
        self.ports.write(0xCF8, 4, 0x80000000 | self.device << 11 | register & 0xFC)
        if value is None:
            return self.ports.read(0xCFC + (register & 3), width)
        self.ports.write(0xCFC + (register & 3), width, value)
        return 0

    def get(self, offset: int, width: int, part: int = 1) -> int:
        return self.m.device_memory.read(self.base + self.parts[part] + offset, width)

    def set(self, offset: int, width: int, value: int, part: int = 1) -> None:
        self.m.device_memory.write(self.base + self.parts[part] + offset, width, value)

    def start(self, queues: int, features: int = 0) -> None:
        """3.1.1, step by step."""
        self.set(0x14, 1, 0)
        assert self.get(0x14, 1) == 0
        self.set(0x14, 1, 1)
        self.set(0x14, 1, 3)
        self.set(0x00, 4, 1)
        assert self.get(0x04, 4) == 1  # VERSION_1
        self.set(0x08, 4, 1)
        self.set(0x0C, 4, 1)
        self.set(0x08, 4, 0)
        self.set(0x0C, 4, 1 << 28 | features)
        self.set(0x14, 1, 11)
        assert self.get(0x14, 1) == 11
        self.index = [0] * 4
        for n in range(queues):
            self.put(AVAILABLE + 0x4000 * n, "HH", 0, 0)
            self.set(0x16, 2, n)
            assert self.get(0x18, 2) == 256
            self.set(0x18, 2, 8)
            for offset, address in ((0x20, DESCRIPTORS), (0x28, AVAILABLE), (0x30, USED)):
                self.set(offset, 8, address + 0x4000 * n)
            self.set(0x1C, 2, 1)
        self.set(0x14, 1, 15)

    def put(self, address: int, layout: str, *values: int) -> None:
        assert self.m.write_physical(address, struct.pack("<" + layout, *values))

    def take(self, address: int, layout: str) -> tuple:
        return struct.unpack("<" + layout, self.m.read_physical(address, struct.calcsize("<" + layout)))

    def submit(self, queue: int, *pieces: tuple[int, int, int], first: int = 0, notify: bool = True) -> None:
        """One chain of (address, length, WRITE or 0), in descriptors from `first` on."""
        for n, (address, length, flags) in enumerate(pieces):
            more = NEXT if n < len(pieces) - 1 else 0
            self.put(DESCRIPTORS + 0x4000 * queue + 16 * (first + n), "QIHH", address, length, flags | more, first + n + 1)
        ring = AVAILABLE + 0x4000 * queue
        self.put(ring + 4 + 2 * (self.index[queue] % 8), "H", first)
        self.index[queue] += 1
        self.put(ring + 2, "H", self.index[queue])
        if notify:
            self.set(4 * queue, 2, queue, part=2)

    def used(self, queue: int = 0) -> tuple[int, int, int]:
        """(index, head, bytes written) of what came back last."""
        index = self.take(USED + 0x4000 * queue + 2, "H")[0]
        return index, *self.take(USED + 0x4000 * queue + 4 + 8 * ((index - 1) % 8), "II")

    def request(self, kind: int, sector: int, data: int, flags: int) -> int:
        """A disk's request with `data` bytes at BUFFERS + 0x1000; its status."""
        self.put(BUFFERS, "IIQ", kind, 0, sector)
        self.put(BUFFERS + 0x800, "B", 0xEE)
        pieces = [(BUFFERS, 16, 0), (BUFFERS + 0x1000, data, flags), (BUFFERS + 0x800, 1, WRITE)]
        self.submit(0, *[p for p in pieces if p[1]])
        return self.take(BUFFERS + 0x800, "B")[0]


class Board:
    def __init__(self, path):
        path.write_bytes(b"".join(bytes([n]) * 512 for n in range(SECTORS)))
        self.sent = bytearray()
        self.m = Machine(1 << 20, engine="plain")
        cards = [partial(VirtioBlk, image=DiskImage(path)), partial(VirtioConsole, send=self.sent.append)]
        self.pc = Pc(self.m, self.sent.append, cards=cards)
        self.disk, self.console = Driver(self.m, 3), Driver(self.m, 4)

    def line(self, irq: int) -> bool:
        return bool(self.pc.pic.state["chips"][irq >> 3]["lines"] >> (irq & 7) & 1)


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path / "disk")


def test_identity_and_capabilities(board):
    disk, console = board.disk, board.console
    assert (disk.config(0, 4), console.config(0, 4)) == (0x10421AF4, 0x10431AF4)
    assert disk.config(8, 1) >= 1 and disk.config(6, 2) & 0x10 and disk.config(0x3D, 1) == 1
    assert sorted(disk.parts) == [1, 2, 3, 4, 5]
    assert disk.config(0x3C, 1) == board.pc.chipset.pirqs.function.get(0x60 + 2, 1) == IRQ  # device 3: PIRQC
    assert disk.get(0, 8, part=4) == SECTORS
    assert struct.pack("<I", console.get(0, 4, part=4)) == struct.pack("<HH", 80, 25)


def test_reading_and_writing_sectors(board):
    disk = board.disk
    disk.start(1)
    assert disk.request(0, 7, 1024, WRITE) == 0
    assert disk.used() == (1, 0, 1025)
    assert board.m.read_physical(BUFFERS + 0x1000, 1024) == bytes([7]) * 512 + bytes([8]) * 512
    assert board.line(IRQ)
    assert disk.get(0, 1, part=3) == 1  # ISR: reading acknowledges
    assert not board.line(IRQ)
    board.m.write_physical(BUFFERS + 0x1000, b"\xab" * 512)
    assert disk.request(1, 9, 512, 0) == 0
    assert disk.used() == (2, 0, 1)
    assert disk.request(0, 9, 512, WRITE) == 0
    assert board.m.read_physical(BUFFERS + 0x1000, 512) == b"\xab" * 512
    assert disk.request(4, 0, 0, 0) == 0  # flush
    assert disk.request(8, 0, 20, WRITE) == 0 and board.m.read_physical(BUFFERS + 0x1000, 7) == b"VM0003\0"


def test_what_a_disk_refuses(board):
    disk = board.disk
    disk.start(1)
    for kind, sector, size, status in ((0, SECTORS, 512, 1), (0, (1 << 64) - 1, 512, 1), (0, 0, 100, 1), (99, 0, 0, 2)):
        assert disk.request(kind, sector, size, WRITE) == status
    assert disk.get(0x14, 1) == 15


def test_an_indirect_table(board):
    disk = board.disk
    disk.start(1)
    disk.put(BUFFERS, "IIQ", 0, 0, 3)
    for n, piece in enumerate(((BUFFERS, 16, NEXT, 1), (BUFFERS + 0x1000, 512, WRITE | NEXT, 2), (BUFFERS + 0x800, 1, WRITE, 0))):
        disk.put(0x30000 + 16 * n, "QIHH", *piece)
    disk.submit(0, (0x30000, 48, INDIRECT))
    assert disk.used() == (1, 0, 513) and board.m.read_physical(BUFFERS + 0x1000, 512) == bytes([3]) * 512


def test_dma_drops_code(board):
    """What the device writes is written as the guest writes: translated code there is forgotten."""
    board.m.page_flags.array[(BUFFERS + 0x1000) >> 12] |= PAGE_CODE
    disk = board.disk
    disk.start(1)
    assert disk.request(0, 5, 512, WRITE) == 0
    assert board.m.read_physical(BUFFERS + 0x1000, 512) == bytes([5]) * 512


def test_no_interrupt_if_the_driver_wants_none(board):
    disk = board.disk
    disk.start(1)
    disk.put(AVAILABLE, "H", 1)
    assert disk.request(0, 0, 512, WRITE) == 0
    assert not board.line(IRQ) and disk.get(0, 1, part=3) == 0


def test_without_bus_mastering_nothing_happens_until_it_is_on(board):
    disk = board.disk
    disk.start(1)
    disk.config(4, 2, 2)
    assert disk.request(0, 1, 512, WRITE) == 0xEE
    disk.config(4, 2, 6)
    assert disk.take(BUFFERS + 0x800, "B") == (0,)


def test_addresses_outside_memory(board):
    """Reads give all ones, writes go nowhere; the request ends all the same."""
    disk = board.disk
    disk.start(1)
    for address in (0x100000, 0xFFFFF, 0xFEE00000, (1 << 64) - 100):
        disk.put(BUFFERS, "IIQ", 0, 0, 1)
        disk.submit(0, (BUFFERS, 16, 0), (address, 512, WRITE), (BUFFERS + 0x800, 1, WRITE))
        assert disk.take(BUFFERS + 0x800, "B") == (0,)
        assert disk.used()[2] == 513
    disk.submit(0, (1 << 40, 16, 0), (BUFFERS + 0x800, 1, WRITE))
    assert disk.take(BUFFERS + 0x800, "B") == (2,)


@pytest.mark.parametrize(
    "pieces",
    [
        [(BUFFERS, 16, WRITE), (BUFFERS, 16, 0)],  # read after write
        [(BUFFERS, 1 << 31, 0), (BUFFERS, 1 << 31, 0)],  # too long
        [(BUFFERS, 17, INDIRECT)],
        [(BUFFERS, 0, INDIRECT)],
    ],
)
def test_a_driver_that_breaks_the_rules_must_reset(board, pieces):
    disk = board.disk
    disk.start(1)
    disk.submit(0, *pieces)
    assert disk.get(0x14, 1) & NEEDS_RESET and board.line(IRQ) and disk.get(0, 1, part=3) & 2
    assert disk.request(0, 0, 512, WRITE) == 0xEE  # it does nothing any more
    disk.start(1)
    assert disk.request(0, 4, 512, WRITE) == 0


def test_loops_and_numbers_beyond_the_ring(board):
    disk = board.disk
    for descriptor, index in (((BUFFERS, 16, NEXT, 0), 1), ((BUFFERS, 16, NEXT, 8), 1), ((BUFFERS, 16, 0, 0), 100)):
        disk.start(1)
        disk.put(DESCRIPTORS, "QIHH", *descriptor)
        disk.put(AVAILABLE, "HHH", 0, index, 0)
        disk.set(0, 2, 0, part=2)
        assert disk.get(0x14, 1) & NEEDS_RESET


def test_features_that_were_not_offered_are_refused(board):
    disk = board.disk
    disk.set(0x14, 1, 3)
    disk.set(0x0C, 4, 1 << 29)
    disk.set(0x14, 1, 11)
    assert disk.get(0x14, 1) == 3


def test_the_window_in_configuration_space(board):
    """The capability that reaches the registers without the BAR (4.1.4.9)."""
    disk = board.disk
    disk.config(disk.window + 4, 1, 4)
    disk.config(disk.window + 8, 4, 0x12)
    disk.config(disk.window + 12, 4, 2)
    assert disk.config(disk.window + 16, 2) == 1
    disk.config(disk.window + 8, 4, 0x3FFF)
    assert disk.config(disk.window + 16, 4) == 0


def test_a_console(board):
    console, device = board.console, board.pc.console
    assert device is board.pc.chipset.cards[1] and device.wants() == 0
    console.start(2)
    board.m.write_physical(BUFFERS, b"hello")
    console.submit(1, (BUFFERS, 5, 0))
    assert bytes(board.sent) == b"hello" and console.used(1) == (1, 0, 0)
    assert device.wants() == 0
    device.receive(b"ab")
    console.submit(0, (BUFFERS + 0x100, 16, WRITE))
    assert console.used(0) == (1, 0, 2) and board.m.read_physical(BUFFERS + 0x100, 2) == b"ab"
    console.submit(0, (BUFFERS + 0x200, 3, WRITE), first=1)
    assert device.wants()
    device.receive(b"12345")
    assert console.used(0) == (2, 1, 3) and device.wants() == 0
    console.submit(0, (BUFFERS + 0x300, 3, WRITE), first=2)
    assert console.used(0) == (3, 2, 2) and board.m.read_physical(BUFFERS + 0x300, 2) == b"45"
    device.receive(bytes(10_000))
    assert len(device.waiting) == 4096


def test_a_console_of_many_ports(board):
    """A driver that knows ports is told of the only one, and gets what is typed once it has opened it, not before."""
    console, device = board.console, board.pc.console
    console.start(4, features=MULTIPORT)
    for n in range(4):
        console.submit(2, (BUFFERS + 0x40 * n, 16, WRITE), first=n)
    console.submit(0, (BUFFERS + 0x800, 16, WRITE))
    said = iter(range(8))

    def tell(event: int, value: int) -> None:
        n = next(said)
        board.m.write_physical(BUFFERS + 0x400, struct.pack("<IHH", 0, event, value))
        console.submit(3, (BUFFERS + 0x400, 8, 0), first=n)

    def told(n: int, size: int) -> bytes:
        return bytes(board.m.read_physical(BUFFERS + 0x40 * n, size))

    assert console.used(2)[0] == 0
    tell(0, 1)
    assert console.used(2) == (1, 0, 8) and told(0, 8) == struct.pack("<IHH", 0, 1, 0)
    tell(3, 1)
    assert console.used(2) == (4, 3, 8)
    assert told(1, 8) == struct.pack("<IHH", 0, 4, 1)
    assert told(2, 12) == struct.pack("<IHHHH", 0, 5, 0, 80, 25)
    assert told(3, 8) == struct.pack("<IHH", 0, 6, 1)
    assert device.wants() == 0
    device.receive(b"early")
    assert console.used(0)[0] == 0
    tell(6, 1)
    assert console.used(0) == (1, 0, 5) and board.m.read_physical(BUFFERS + 0x800, 5) == b"early"
    console.submit(0, (BUFFERS + 0x900, 16, WRITE), first=1)
    assert device.wants()
    tell(6, 0)
    assert device.wants() == 0


def fuzz(board: Board, seed: int, count: int) -> None:
    """Registers, rings and configuration at random, mostly near what a driver does; everything that is read has its width."""
    r, m = random.Random(seed), board.m
    addresses = [DESCRIPTORS, AVAILABLE, USED, BUFFERS, 0xFFFF0, 0x100000, 0xFEB00000, (1 << 64) - 8]
    for _ in range(count):
        driver, what, width = r.choice((board.disk, board.console)), r.randrange(10), r.choice((1, 2, 4, 8))
        if what == 0:
            driver.start(r.choice((1, 2)) if driver is board.console else 1)
        elif what < 3:
            flags = [0, WRITE, INDIRECT, r.getrandbits(16)]
            sizes = [0, 1, 16, 512, 4096, r.getrandbits(32)]
            pieces = [
                (r.choice(addresses) + r.randrange(64) & (1 << 64) - 1, r.choice(sizes), r.choice(flags)) for _ in range(r.randrange(1, 5))
            ]
            driver.submit(r.randrange(2), *pieces, first=r.randrange(8))
        elif what < 5:
            driver.put(r.choice(addresses[:4]) + 0x4000 * r.randrange(2) + r.randrange(64), "Q", r.getrandbits(r.choice((8, 16, 64))))
            driver.set(4 * r.randrange(4), width, r.getrandbits(16), part=2)
        elif what == 5:
            driver.config(r.randrange(256) & -min(width, 4), min(width, 4), r.getrandbits(8 * min(width, 4)))
            driver.config(0x20, 4, driver.base)
            driver.config(4, 2, 6)
        elif what == 6:
            board.pc.console.receive(bytes(r.randrange(100)))
            board.pc.console.wants()
        elif what == 7:
            driver.set(r.choice((0x20, 0x28, 0x30)), 8, r.choice(addresses))
        else:
            offset = r.choice((r.randrange(0x40), r.randrange(0x4000)))
            m.device_memory.write(driver.base + offset, width, r.getrandbits(8 * width))
            assert 0 <= m.device_memory.read(driver.base + offset, width) < 1 << 8 * width


@pytest.mark.parametrize("seed", range(4))
def test_random_scripts(board, seed):
    fuzz(board, seed, 300)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_many_random_scripts(board, seed):
    """100,000 accesses and chains."""
    fuzz(board, 1000 + seed, 1000)
