"""IDE, as a driver uses it."""

import random
import struct

import pytest

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.ide import COMMAND, COUNT, DATA, DEVICE, ERROR, HIGH, LOW, MID, STATUS, Channel
from vmdbg.machine.board.ide_cdrom import Cdrom
from vmdbg.machine.board.ide_disk import Disk

SECTORS = 300


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"".join(n.to_bytes(4, "little") * 128 for n in range(SECTORS)))
    return path


@pytest.fixture
def channel(file):
    levels = []
    c = Channel([Disk(DiskImage(file)), Cdrom(DiskImage(file, 2048))], levels.append)
    c.levels = levels
    return c


def command(c, code, sector=0, count=1, device=0xE0, features=0):
    for register, value in (
        (DEVICE, device | sector >> 24 & 0xF if device & 0x10 == 0 else device),
        (ERROR, features),
        (COUNT, count & 0xFF),
        (LOW, sector & 0xFF),
        (MID, sector >> 8 & 0xFF),
        (HIGH, sector >> 16 & 0xFF),
        (COMMAND, code),
    ):
        c.write(register, 1, value)


def words(c, count, width=2):
    return b"".join(c.read(DATA, width).to_bytes(width, "little") for _ in range(count))


def test_identify(channel):
    command(channel, 0xEC)
    assert channel.levels[-1]
    assert channel.read(STATUS, 1) == 0x58
    assert not channel.levels[-1]
    found = words(channel, 256)
    assert channel.read(STATUS, 1) == 0x50
    assert struct.unpack_from("<I", found, 120)[0] == SECTORS
    assert struct.unpack_from("<Q", found, 200)[0] == SECTORS
    assert found[54:64] == b"MVBD GIDKS"


@pytest.mark.parametrize("code, extended", [(0x20, False), (0x24, True)])
def test_reading_interrupts_for_each_sector(channel, code, extended):
    if extended:
        for register in (COUNT, LOW, MID, HIGH):
            channel.write(register, 1, 0)
    command(channel, code, 5, 3)
    for n in (5, 6, 7):
        assert channel.levels[-1]
        assert channel.read(STATUS, 1) == 0x58
        assert words(channel, 128, 4) == n.to_bytes(4, "little") * 128
    assert (channel.read(STATUS, 1), channel.levels[-1]) == (0x50, False)


def test_chs(channel):
    command(channel, 0x20, 0x000002, 1, device=0xA0)  # cylinder 0, head 0, sector 2
    assert words(channel, 256)[:4] == b"\1\0\0\0"
    command(channel, 0x20, 0x000001, 1, device=0xA1)  # head 1: 63 sectors on
    channel.write(DEVICE, 1, 0xA1)
    assert int.from_bytes(words(channel, 256)[:4], "little") in (0, 63)


def test_writing_stays_out_of_the_file(channel, file):
    before = file.read_bytes()
    command(channel, 0x30, 9, 2)
    assert (channel.read(STATUS, 1), channel.levels[-1]) == (0x58, False)
    for _ in range(2):
        for _ in range(256):
            channel.write(DATA, 2, 0xBEEF)
        assert channel.levels[-1]
        channel.read(STATUS, 1)
    assert channel.read(STATUS, 1) == 0x50
    command(channel, 0x20, 10)
    assert words(channel, 256) == b"\xef\xbe" * 256
    assert file.read_bytes() == before


def test_a_file_opened_to_be_written_is(file):
    c = Channel([Disk(DiskImage(file, write=True))])
    command(c, 0x30, 0)
    for _ in range(128):
        c.write(DATA, 4, 0x01020304)
    command(c, 0xE7)
    c.drives[0].image.flush()
    assert file.read_bytes()[:8] == b"\4\3\2\1" * 2


def test_multiple(channel):
    command(channel, 0xC4, 0, 4)
    assert channel.read(STATUS, 1) & 1
    command(channel, 0xC6, 0, 4)
    command(channel, 0xC4, 0, 6)
    assert list(words(channel, 1024, 2)[::512]) == [0, 1, 2, 3]
    assert channel.levels[-1]
    assert list(words(channel, 512, 2)[::512]) == [4, 5]
    assert channel.read(STATUS, 1) == 0x50


@pytest.mark.parametrize("code, sector, count", [(0x20, SECTORS, 1), (0x20, SECTORS - 1, 2), (0x30, 0xFFFFFF, 1)])
def test_beyond_the_end(channel, code, sector, count):
    command(channel, code, sector, count)
    assert channel.read(STATUS, 1) == 0x51
    assert channel.read(ERROR, 1) == 0x10


def test_unknown_commands_abort(channel):
    for code in (0x00, 0x99, 0xC8, 0x25):
        command(channel, code)
        assert (channel.read(STATUS, 1) & 1, channel.read(ERROR, 1)) == (1, 4)


def test_signatures_after_reset(channel):
    channel.control.write(0, 1, 4)
    channel.control.write(0, 1, 0)
    assert [channel.read(r, 1) for r in (COUNT, LOW, MID, HIGH)] == [1, 1, 0, 0]
    channel.write(DEVICE, 1, 0xB0)
    assert [channel.read(r, 1) for r in (COUNT, LOW, MID, HIGH)] == [1, 1, 0x14, 0xEB]


def packet(c, *content, limit=0xFFFE):
    c.write(DEVICE, 1, 0xB0)
    c.write(MID, 1, limit & 0xFF)
    c.write(HIGH, 1, limit >> 8)
    c.write(COMMAND, 1, 0xA0)
    assert (c.read(STATUS, 1), c.read(COUNT, 1)) == (0x58, 1)
    data = bytes(content).ljust(12, b"\0")
    for i in range(0, 12, 2):
        c.write(DATA, 2, int.from_bytes(data[i : i + 2], "little"))
    found = b""
    while c.read(STATUS, 1) & 8:
        assert c.read(COUNT, 1) == 2
        size = c.read(MID, 1) | c.read(HIGH, 1) << 8
        found += words(c, size // 2)
    assert c.read(COUNT, 1) == 3
    return found


def test_atapi(channel, file):
    assert packet(channel, 0x00) == b""
    assert packet(channel, 0x12, 0, 0, 0, 36)[8:16] == b"VMDBG   "
    last, size = struct.unpack(">II", packet(channel, 0x25))
    assert (last + 1, size) == (75, 2048)
    for limit in (0xFFFE, 2048, 512):
        assert packet(channel, 0x28, 0, 0, 0, 0, 3, 0, 0, 2, limit=limit) == file.read_bytes()[3 * 2048 : 5 * 2048]
    assert packet(channel, 0xBE) == b""
    assert channel.read(ERROR, 1) == 0x50
    sense = packet(channel, 0x03, 0, 0, 0, 18)
    assert (sense[2], sense[12]) == (5, 0x20)
    packet(channel, 0x28, 0, 0, 0, 0, 75, 0, 0, 1)
    assert channel.read(STATUS, 1) & 1


def test_an_absent_drive_reads_as_0(file):
    c = Channel([Disk(DiskImage(file))])
    c.write(DEVICE, 1, 0xF0)
    c.write(COMMAND, 1, 0xEC)
    assert [c.read(r, 1) for r in (ERROR, COUNT, STATUS)] == [0, 0, 0]
    assert Channel([]).read(STATUS, 1) == 0


@pytest.mark.parametrize("seed", range(8))
def test_random_scripts(channel, seed):
    """Whatever a guest does: no exception, and bytes of the width that was asked for."""
    r = random.Random(seed)
    for _ in range(4000):
        offset, width = r.randrange(8), r.choice((1, 2, 4))
        if r.random() < 0.4:
            assert 0 <= channel.read(offset, width) < 1 << 8 * width
        elif r.random() < 0.05:
            channel.control.write(0, width, r.getrandbits(8 * width))
        else:
            codes = (0x20, 0x24, 0x30, 0x34, 0xC4, 0xC5, 0xC6, 0xA0, 0xA1, 0xEC, 0xEF, 0x29, 0x39, r.randrange(256))
            channel.write(offset, width, r.choice(codes) if offset == COMMAND else r.getrandbits(8 * width))
