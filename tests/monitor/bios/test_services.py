"""The services of the built-in BIOS, as a boot sector calls them: what comes back, and what it did."""

import pytest

from tests.monitor.bios.caller import BUFFER, MEMORY, Caller
from vmdbg.monitor.memory_map import ranges

SECTORS = 4 * 16 * 63


@pytest.fixture(scope="module", params=["threaded"])
def bios(tmp_path_factory, request):
    """A PC with one disk: sector n is filled with n, and with n / 256 in its second half; the first one is a boot sector."""
    path = tmp_path_factory.mktemp("bios") / "disk.img"
    sectors = [bytes([n & 0xFF]) * 256 + bytes([n >> 8]) * 256 for n in range(SECTORS)]
    sectors[0] = b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa"
    path.write_bytes(b"".join(sectors))
    return Caller(path)


def low(value: int) -> int:
    return value & 0xFFFF


def high_byte(value: int) -> int:
    return value >> 8 & 0xFF


# ---- the screen


def test_teletype_moves_the_cursor_and_scrolls(bios):
    bios(0x10, ax=0x0003)
    for letter in b"one\r\ntwo\x08X":
        bios(0x10, ax=0x0E00 | letter, bx=7)
    assert [line.rstrip() for line in bios.screen()[:2]] == ["one", "twX"]
    assert bios.cursor == (1, 3)
    assert low(bios(0x10, ax=0x0300)["dx"]) == 0x0103
    for _ in range(24):
        bios(0x10, ax=0x0E0A)
    assert [line.rstrip() for line in bios.screen()[:2]] == ["twX", ""] and bios.cursor == (24, 3)


def test_cells_windows_and_strings(bios):
    bios(0x10, ax=0x0003)
    bios(0x10, ax=0x0200, dx=0x0510)
    bios(0x10, ax=0x0900 | ord("x"), bx=0x004E, cx=5)
    assert low(bios(0x10, ax=0x0800)["ax"]) == 0x4E00 | ord("x")
    assert bios.screen()[5][0x10:0x16] == "xxxxx "
    bios(0x10, ax=0x0A00 | ord("y"), cx=2)
    assert bios.screen()[5][0x10:0x16] == "yyxxx "
    bios(0x10, ax=0x0601, bx=0x1700, cx=0x0410, dx=0x0512)  # the window moves up by one line
    assert bios.screen()[4][0x10:0x16] == "yyx   " and bios.screen()[5][0x10:0x16] == "   xx "
    bios(0x10, ax=0x0701, bx=0x1700, cx=0x0410, dx=0x0512)
    assert bios.screen()[5][0x10:0x16] == "yyxxx " and bios.screen()[4][0x10:0x16] == "      "
    bios.machine.write_physical(BUFFER, b"hello")
    bios(0x10, ax=0x1301, bx=0x1E, cx=5, dx=0x0A02, bp=BUFFER)
    assert bios.screen()[10][2:7] == "hello" and bios.cursor == (10, 7)
    assert low(bios(0x10, ax=0x0F00)["ax"]) == 0x5003


def test_what_is_not_there_changes_nothing(bios):
    assert low(bios(0x10, ax=0x4F00)["ax"]) == 0x4F00  # no VESA
    bios(0x10, ax=0x0013)
    assert low(bios(0x10, ax=0x0F00)["ax"]) & 0xFF == 3


# ---- disks


def chs(n: int, heads: int, track: int) -> dict[str, int]:
    cylinder, rest = divmod(n, heads * track)
    head, sector = divmod(rest, track)
    return dict(cx=(cylinder & 0xFF) << 8 | cylinder >> 8 << 6 | sector + 1, dx=head << 8 | 0x80)


def test_disk_parameters_and_reads_by_cylinder(bios):
    r = bios(0x13, ax=0x0800, dx=0x80)
    assert (r["carry"], high_byte(r["dx"]), low(r["cx"]), r["dx"] & 0xFF) == (0, 15, 0x033F, 1)
    for n in (1, 62, 63, 64, 1007, 1008, SECTORS - 2):
        r = bios(0x13, ax=0x0202, bx=BUFFER, **chs(n, 16, 63))
        assert (r["carry"], low(r["ax"])) == (0, 2)
        assert [bios.read(BUFFER + 256 * i, "B") for i in range(4)] == [n & 0xFF, n >> 8, n + 1 & 0xFF, n + 1 >> 8]
    for place in (dict(cx=0x0401, dx=0x80), dict(cx=0x0000, dx=0x80), dict(cx=0x0001, dx=0x1080)):
        r = bios(0x13, ax=0x0201, bx=BUFFER, **place)
        assert r["carry"] and high_byte(r["ax"]) == 4
    assert high_byte(bios(0x13, ax=0x0100, dx=0x80)["ax"]) == 4
    assert bios(0x13, ax=0x0201, bx=BUFFER, cx=1, dx=0x81)["carry"]


def test_a_buffer_across_64_kib(bios):
    r = bios(0x13, ax=0x0204, bx=0xFE80, es=0x1000, **chs(5, 16, 63))
    assert r["carry"] == 0
    assert bios.machine.read_physical(0x1FE80, 512)[:1] == b"\x05"
    assert bios.machine.read_physical(0x1FE80 + 3 * 512, 256) == b"\x08" * 256


def test_disk_packets(bios):
    r = bios(0x13, ax=0x4100, bx=0x55AA, dx=0x80)
    assert (r["carry"], low(r["bx"]), low(r["cx"]) & 1) == (0, 0xAA55, 1)
    bios.write(0x600, "BBHHHQ", 16, 0, 130, 0, 0x1000, 700)
    r = bios(0x13, ax=0x4200, si=0x600, dx=0x80)
    assert (r["carry"], high_byte(r["ax"]), bios.read(0x602, "H")) == (0, 0, 130)
    assert bios.read(0x10000, "B") == 700 & 0xFF and bios.read(0x10000 + 129 * 512, "B") == 829 & 0xFF
    bios.write(0x600, "BBHHHQ", 16, 0, 2, 0, 0x1000, SECTORS - 1)
    r = bios(0x13, ax=0x4200, si=0x600, dx=0x80)
    assert (r["carry"], bios.read(0x602, "H")) == (1, 0)
    bios.write(0x600, "H", 30)
    bios(0x13, ax=0x4800, si=0x600, dx=0x80)
    assert bios.read(0x600, "HHIIIQH") == (30, 2, 4, 16, 63, SECTORS, 512)


def test_a_sector_that_is_written_is_read_again(bios):
    bios.machine.write_physical(BUFFER, b"written".ljust(512, b"!"))
    assert bios(0x13, ax=0x0301, bx=BUFFER, **chs(100, 16, 63))["carry"] == 0
    assert bios(0x13, ax=0x0201, bx=BUFFER + 0x200, **chs(100, 16, 63))["carry"] == 0
    assert bios.machine.read_physical(BUFFER + 0x200, 8) == b"written!"
    assert bios(0x13, ax=0x0401, **chs(100, 16, 63))["carry"] == 0
    r = bios(0x13, ax=0x1500, dx=0x80)
    assert (high_byte(r["ax"]), low(r["cx"]) << 16 | low(r["dx"])) == (3, SECTORS)


# ---- the keyboard


@pytest.mark.parametrize(
    "keys, word, old",
    [
        (("a",), 0x1E61, 0x1E61),
        (("shift", "a"), 0x1E41, 0x1E41),
        (("ctrl", "a"), 0x1E01, 0x1E01),
        (("alt", "a"), 0x1E00, 0x1E00),
        (("enter",), 0x1C0D, 0x1C0D),
        (("f1",), 0x3B00, 0x3B00),
        (("shift", "2"), 0x0340, 0x0340),
        (("up",), 0x48E0, 0x4800),
        (("ctrl", "left"), 0x73E0, 0x7300),
        (("keypad_enter",), 0xE00D, 0x1C0D),
        (("keypad_7",), 0x4700, 0x4700),
        (("right_ctrl", "c"), 0x2E03, 0x2E03),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, tuple) else "",
)
def test_keys(bios, keys, word, old):
    """What services 10h and 00h say of them; afterwards nothing waits and no shift key is down."""
    for service, expected in ((0x10, word), (0x00, old)):
        bios.press(*keys)
        r = bios(0x16, ax=service + 1 << 8)
        assert (low(r["ax"]), r["zero"]) == (expected, False)
        assert low(bios(0x16, ax=service << 8)["ax"]) == expected
        assert bios(0x16, ax=service + 1 << 8)["zero"]
    assert bios(0x16, ax=0x0200)["ax"] & 0x0F == 0


def test_caps_lock_turns_letters_only(bios):
    bios.press("caps_lock")
    bios.press("q")
    bios.press("1")
    assert [low(bios(0x16)["ax"]) for _ in range(2)] == [0x1051, 0x0231]
    assert bios(0x16, ax=0x0200)["ax"] & 0x40
    bios.press("caps_lock")
    assert not bios(0x16, ax=0x0200)["ax"] & 0x40


def test_a_full_buffer_and_keys_that_are_put_into_it(bios):
    assert bios(0x16, ax=0x0500, cx=0x1234)["ax"] & 0xFF == 0
    assert low(bios(0x16)["ax"]) == 0x1234
    stored = [bios(0x16, ax=0x0500, cx=n + 1)["ax"] & 0xFF for n in range(16)]
    assert stored == [0] * 15 + [1]
    assert [low(bios(0x16, ax=0x1000)["ax"]) for _ in range(15)] == list(range(1, 16))


# ---- time


def test_ticks_and_waits(bios):
    before = bios(0x1A)
    clock = bios.machine.clock
    r = bios(0x15, ax=0x8600, cx=0x0007, dx=0xA120)  # half a second
    assert r["carry"] == 0
    assert 500_000_000 <= bios.machine.clock - clock < 502_000_000
    after = bios(0x1A)
    assert low(after["dx"]) - low(before["dx"]) in (9, 10)


def test_time_of_day(bios):
    r = bios(0x1A, ax=0x0400)
    assert (low(r["cx"]), r["carry"]) == (0x1970, 0)
    bios(0x1A, ax=0x0300, cx=0x1234, dx=0x5600)
    r = bios(0x1A, ax=0x0200)
    assert (low(r["cx"]), high_byte(r["dx"])) == (0x1234, 0x56)
    bios(0x1A, ax=0x0500, cx=0x2026, dx=0x1122)
    r = bios(0x1A, ax=0x0400)
    assert (low(r["cx"]), low(r["dx"])) == (0x2026, 0x1122)


# ---- the machine


def test_memory(bios):
    assert low(bios(0x12)["ax"]) == 639
    assert low(bios(0x15, ax=0x8800)["ax"]) == (MEMORY >> 10) - 1024
    r = bios(0x15, ax=0xE801)
    assert (low(r["ax"]), low(r["bx"])) == (15 << 10, (MEMORY - (16 << 20)) >> 16)
    found, index = [], 0
    while True:
        r = bios(0x15, ax=0xE820, bx=index, cx=20, dx=0x534D4150, di=BUFFER)
        assert (r["carry"], r["ax"], r["cx"]) == (0, 0x534D4150, 20)
        found.append(bios.read(BUFFER, "QQI"))
        index = r["bx"]
        if not index:
            break
    assert found == ranges(MEMORY)
    assert bios(0x15, ax=0xE820, bx=99, cx=20, dx=0x534D4150, di=BUFFER)["carry"]


def test_block_move(bios):
    data = bytes(range(256)) * 2
    bios.machine.write_physical(0x500000, data)
    for source, target in ((0x500000, BUFFER), (BUFFER, 0x1A00000)):
        bios.machine.write_physical(0x600, bytes(48))
        for at, address in ((0x610, source), (0x618, target)):
            bios.write(at, "HHBBH", 0xFFFF, address & 0xFFFF, address >> 16 & 0xFF, 0x93, address >> 24 << 8)
        r = bios(0x15, ax=0x8700, cx=256, si=0x600)
        assert (r["carry"], high_byte(r["ax"])) == (0, 0)
    assert bios.machine.read_physical(0x1A00000, 512) == data


def test_a20(bios):
    assert bios(0x15, ax=0x2400)["carry"] == 0
    assert bios(0x15, ax=0x2402)["ax"] & 0xFF == 0
    bios(0x15, ax=0x2401)
    assert bios(0x15, ax=0x2402)["ax"] & 0xFF == 1
    assert low(bios(0x15, ax=0x2403)["bx"]) == 3


def test_equipment_and_configuration(bios):
    assert low(bios(0x11)["ax"]) & 0x0E31 == (2 << 9 | 0x20)  # two serial ports, 80x25, no floppy
    r = bios(0x15, ax=0xC000)
    assert bios.read((r["es"] << 4) + low(r["bx"]), "HBBB") == (8, 0xFC, 1, 0)
    assert bios(0x15, ax=0x9900)["carry"]


def test_serial_port(bios):
    bios(0x14, ax=0x00E3)
    for letter in b"hi":
        assert not bios(0x14, ax=0x0100 | letter)["ax"] & 0x8000
    assert bytes(bios.bare.log)[-2:] == b"hi"
    bios.bare.uart.receive(b"k")
    assert low(bios(0x14, ax=0x0200)["ax"]) & 0x80FF == ord("k")


def test_pci(bios):
    r = bios(0x1A, ax=0xB101)
    assert (r["carry"], r["dx"], low(r["bx"])) == (0, 0x20494350, 0x0210)
    r = bios(0x1A, ax=0xB102, cx=0x7010, dx=0x8086)
    assert (r["carry"], low(r["bx"]), high_byte(r["ax"])) == (0, 0x0009, 0)
    assert bios(0x1A, ax=0xB10A, bx=0x0009, di=0)["cx"] == 0x70108086
    assert low(bios(0x1A, ax=0xB103, cx=0x010180)["bx"]) == 9 or low(bios(0x1A, ax=0xB103, cx=0x010100)["bx"]) == 9
    assert high_byte(bios(0x1A, ax=0xB102, cx=0x1234, dx=0x5678)["ax"]) == 0x86
