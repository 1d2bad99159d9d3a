"""Random register scripts over every port and every device address of a full board, with its DMA: no traceback, no value too wide.

The board has a disk and a CD-ROM, a second disk, virtio disk and console.  Half of the accesses are what a driver would do:
IDE and packet commands, PCI registers, DMA descriptors, virtio queues, with addresses inside RAM, across its end and outside.
"""

import random
import struct
from functools import partial

import pytest

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.ide_cdrom import SECTOR, Cdrom
from vmdbg.machine.board.ide_disk import Disk
from vmdbg.machine.board.pc import Pc
from vmdbg.machine.board.scan_codes import KEYS
from vmdbg.machine.board.virtio_blk import VirtioBlk
from vmdbg.machine.board.virtio_console import VirtioConsole
from vmdbg.machine.machine import Leave, Machine

MEMORY = 1 << 20
PACKETS = (0x00, 0x03, 0x12, 0x1A, 0x25, 0x28, 0x43, 0x46, 0x4A, 0x5A, 0xA8)
COMMANDS = (
    0x08,
    0x20,
    0x24,
    0x25,
    0x29,
    0x30,
    0x34,
    0x35,
    0x39,
    0x40,
    0x90,
    0x91,
    0xA0,
    0xA1,
    0xC4,
    0xC5,
    0xC6,
    0xC8,
    0xCA,
    0xE7,
    0xEC,
    0xEF,
    0xF8,
)
VALUES = (0, 1, 0xFF, 0x7F, 0x80, 0xFFFF, 0xFFFFFFFF, 0x80000000, 0x1000)


def board(folder) -> tuple[Machine, Pc]:
    for name, size in (("disk", 512 * 2000), ("other", 512 * 3 + 100), ("cd", 2048 * 40), ("virtio", 512 * 100)):
        (folder / name).write_bytes(random.Random(name).randbytes(size))
    m = Machine(MEMORY, cpus=2, engine="plain")
    m.drop_code = lambda: None  # there is none; in Python it takes long
    drives = (Disk(DiskImage(folder / "disk")), Disk(DiskImage(folder / "other")), Cdrom(DiskImage(folder / "cd", SECTOR)), None)
    cards = (partial(VirtioBlk, image=DiskImage(folder / "virtio")), partial(VirtioConsole, send=lambda byte: None))
    pc = Pc(m, lambda byte: None, drives=drives, cards=cards)
    place(pc)
    return m, pc


def place(pc: Pc) -> None:
    """As firmware does: every base address register somewhere, everything enabled."""
    ports, memory = 0xC000, 0xFEA00000
    for f in pc.pci.functions.values():
        for register, region in f.regions.items():
            f.write(register, 4, ports if region.io else memory)
            ports, memory = (ports + 0x100, memory) if region.io else (ports, memory + 0x10000)
        f.write(0x04, 2, 7)


def value(r: random.Random, width: int) -> int:
    found = r.choice(VALUES) if r.random() < 0.4 else r.getrandbits(r.choice((4, 8, 16, 32, 64)))
    return found & (1 << 8 * width) - 1


def address(r: random.Random) -> int:
    """Of memory, for DMA: inside, across the end, outside, over devices."""
    return r.choice(
        (
            r.randrange(MEMORY),
            r.randrange(0x1000, 0x9000) & ~0xF,
            MEMORY - r.randrange(64),
            0xFEE00000,
            r.getrandbits(32),
            r.getrandbits(64),
        )
    )


def anywhere(r: random.Random, m: Machine, pc: Pc) -> None:
    """Any register of any device, at any width, also across its end."""
    if r.random() < 0.75:
        space, widths = m.ports, (1, 2, 4)
    else:
        space, widths = m.device_memory, (1, 2, 4, 8)
    first, count, _ = r.choice(space.ranges)
    at, width = first + r.randrange(-1, count + 1) if count < 4096 else first + r.randrange(count), r.choice(widths)
    access(r, space, max(at, 0), width)


def access(r: random.Random, space, at: int, width: int) -> None:
    if r.random() < 0.5:
        assert 0 <= space.read(at, width) < 1 << 8 * width
    else:
        space.write(at, width, value(r, width))


def ide(r: random.Random, m: Machine, pc: Pc) -> None:
    """A command with its registers, then some of its data."""
    base = r.choice((0x1F0, 0x170))
    m.ports.write(base + 6, 1, r.choice((0xA0, 0xB0, 0xE0, 0xF0, r.getrandbits(8))))
    for n in (1, 2, 3, 4, 5):
        m.ports.write(base + n, 1, r.choice((0, 1, 2, r.getrandbits(8))))
    command = r.choice(COMMANDS)
    m.ports.write(base + 7, 1, command)
    if command == 0xA0:
        packet = bytes([r.choice(PACKETS)]) + bytes(r.choice((0, 0, 0, 1, r.getrandbits(8))) for _ in range(11))
        for n in range(0, 12, 2):
            m.ports.write(base, 2, packet[n] | packet[n + 1] << 8)
    for _ in range(r.choice((0, 1, 130, 300))):
        if r.random() < 0.5:
            assert 0 <= m.ports.read(base, r.choice((1, 2, 4))) < 1 << 32
        else:
            m.ports.write(base, r.choice((1, 2, 4)), r.getrandbits(8))
    m.ports.read(base + 7, 1)


def pci(r: random.Random, m: Machine, pc: Pc) -> None:
    """A register of a function that is there; base addresses, command bits and routing among them."""
    device, function = r.choice(list(pc.pci.functions))
    register = r.choice((0x04, 0x10, 0x20, 0x24, 0x3C, 0x40, 0x58, 0x60, 0x80, r.randrange(256)))
    m.ports.write(0xCF8, 4, 0x80000000 | device << 11 | function << 8 | register & 0xFC)
    width = r.choice((1, 2, 4))
    if register in (0x10, 0x20, 0x24) and r.random() < 0.7:
        m.ports.write(0xCFC, 4, r.choice((0xFEA00000, 0xC001, 0xFFFFFFFF, 0x1F1, 0xFEE00000, 0x40000, r.getrandbits(32))))
    elif register == 0x04 and r.random() < 0.7:
        m.ports.write(0xCFC, 2, 7)
    else:
        access(r, m.ports, 0xCFC + (register & 3), width)


def fw_cfg(r: random.Random, m: Machine, pc: Pc) -> None:
    at = r.randrange(0x1000, 0x9000)
    control = r.choice((2, 4, 8, 10, 16, r.getrandbits(8))) | r.choice((0, 3, 0x19, 0x20, r.getrandbits(16))) << 16
    m.write_physical(at, struct.pack(">IIQ", control, r.choice((0, 4, 16, 0x10000, r.getrandbits(32))), address(r)))
    m.ports.write(0x514, 4, r.choice((0, 0, r.getrandbits(32))))
    m.ports.write(0x518, 4, int.from_bytes(struct.pack(">I", at if r.random() < 0.8 else r.getrandbits(32)), "little"))


def virtio(r: random.Random, m: Machine, pc: Pc) -> None:
    """Reset, features, a queue with random descriptors, a notification."""
    regions = [first for first, count, _ in m.device_memory.ranges if count == 0x4000]
    if not regions:
        pci(r, m, pc)
        return
    base, w = r.choice(regions), m.device_memory.write
    if r.random() < 0.3:
        w(base + 0x14, 1, 0)
    w(base + 0x14, 1, 3)
    for n in (0, 1):
        w(base + 0x08, 4, n)
        w(base + 0x0C, 4, r.choice((1, r.getrandbits(32))) if n else r.choice((0, r.getrandbits(32))))
    w(base + 0x14, 1, 0x0B)
    w(base + 0x16, 2, r.choice((0, 1, 5)))
    w(base + 0x18, 2, r.choice((1, 8, 8, 256, 3, 0)))
    descriptors, available, used = 0x10000, 0x12000, 0x13000
    for n in range(8):
        flags = r.choice((0, 1, 2, 3, 4, r.getrandbits(4)))
        m.write_physical(
            descriptors + 16 * n,
            struct.pack(
                "<QIHH", address(r), r.choice((0, 16, 512, 1, r.getrandbits(32))), flags, r.choice((n + 1 & 7, n, r.getrandbits(16)))
            ),
        )
    m.write_physical(
        available,
        struct.pack("<HH8H", 0, r.choice((1, 2, 8, 9, r.getrandbits(16))), *(r.choice((0, 1, 7, 8, r.getrandbits(16))) for _ in range(8))),
    )
    for at, place in ((0x20, descriptors), (0x28, available), (0x30, used)):
        whole = place if r.random() < 0.85 else address(r)
        w(base + at, 4, whole & 0xFFFFFFFF)
        w(base + at + 4, 4, whole >> 32)
    w(base + 0x1C, 2, 1)
    w(base + 0x14, 1, 0x0F)
    w(base + 0x3000 + r.choice((0, 4, r.randrange(4096))), 2, r.choice((0, 1)))
    assert 0 <= m.device_memory.read(base + 0x1000, 1) < 256


def people(r: random.Random, m: Machine, pc: Pc) -> None:
    pc.keyboard.key(r.choice(list(KEYS)), r.random() < 0.5)
    pc.uart.receive(r.randbytes(r.choice((1, 20))))


def pass_time(r: random.Random, m: Machine, pc: Pc) -> None:
    due = min((d for t in m.timers if (d := t.deadline()) is not None), default=m.clock + r.randrange(10**6))
    for cpu in m.cpus:
        cpu.clock = max(m.clock, min(due, m.clock + 10**9))
    for timer in m.timers:
        timer.advance(m.clock)
    for n, cpu in enumerate(m.cpus):
        if int(cpu.intr) > int(cpu.cr8):
            assert 0 <= pc.acknowledge(n) < 256


ACTS = (anywhere, anywhere, anywhere, anywhere, ide, pci, fw_cfg, virtio, people, pass_time, pass_time)


def run(seed: int, count: int, folder) -> None:
    m, pc = board(folder)
    for n in range(count):
        r = random.Random(seed + n)
        try:
            for _ in range(r.randrange(3, 15)):
                r.choice(ACTS)(r, m, pc)
        except Leave:  # the script reset the machine, or switched it off
            pass
        except Exception as e:
            raise AssertionError(f"script {seed + n}") from e


@pytest.mark.parametrize("seed", range(2))
def test_random_scripts(seed, tmp_path):
    run(1000 * seed, 60, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_many_random_scripts(seed, tmp_path):
    """100,000 scripts."""
    run(1_000_000 + 1000 * seed, 1000, tmp_path)
