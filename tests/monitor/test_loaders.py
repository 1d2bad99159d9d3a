"""Loaders: what a guest finds where its boot protocol says, and one sentence where there is no guest."""

import gzip
import random
import struct

import pytest

import guests
from tests.monitor.images import BASE, elf, linux, multiboot, multiboot2, multiboot_addresses, pvh
from vmdbg.debugger.symbols import read_symbols
from vmdbg.machine.board.acpi_tables import RSDP
from vmdbg.machine.state import RAX, RBX, RSI, RSP
from vmdbg.monitor.guest import GuestError, Options, Piece
from vmdbg.monitor.load import FORMATS, load_guest
from vmdbg.monitor.memory_map import Room, ranges

MEMORY = 64 << 20
# write AL to port F4
LEAVE = bytes.fromhex("e6f4")


@pytest.fixture
def load(tmp_path):
    def do(image: bytes, **options):
        path = tmp_path / "guest.img"
        path.write_bytes(image)
        return load_guest(path, Options(**{"memory": MEMORY, **options}))

    return do


def memory_of(guest) -> bytearray:
    ram = bytearray(guest.memory)
    for p in guest.pieces:
        ram[p.address : p.address + p.size] = p.data.ljust(p.size, b"\0")
    return ram


def string(ram, at: int) -> bytes:
    return bytes(ram[at : ram.index(0, at)])


RECOGNISED = [
    ("Linux", linux(LEAVE)),
    ("multiboot", multiboot(LEAVE)),
    ("multiboot", multiboot_addresses(LEAVE)),
    ("multiboot 2", multiboot2(LEAVE)),
    ("PVH", pvh(LEAVE)),
    ("PVH", pvh(LEAVE, 32)),
    ("ELF64", elf(LEAVE, bits=64)),
    ("ELF32", elf(LEAVE)),
    ("boot sector", LEAVE.ljust(510, b"\0") + b"\x55\xaa"),
    ("firmware", bytes(0x10000 - 16) + b"\xea" + bytes(15)),
    ("flat binary", LEAVE),
]


@pytest.mark.parametrize("name, image", RECOGNISED)
def test_formats_are_recognised_by_content(load, name, image):
    assert load(image).format == name
    assert load(image, format="flat").format == "flat binary"


def test_kernels_packed_by_gzip_are_unpacked(load):
    """As boot loaders do; the symbols are those of the file inside."""
    for image in (multiboot(LEAVE), elf(LEAVE, bits=64)):
        assert load(gzip.compress(image)).pieces == load(image).pieces
    assert load(gzip.compress(LEAVE), format="flat").pieces[0].data[:2] == b"\x1f\x8b"
    kernel = guests.shipped()["dual_mode"]
    packed = load(gzip.compress(kernel.read_bytes()))
    assert read_symbols(packed.path).table == read_symbols(kernel).table != {}


def test_multiboot_information(load, tmp_path):
    module = tmp_path / "a module"
    module.write_bytes(b"NR_CPUS=1\n")
    guest = load(multiboot(LEAVE), append="one two", modules=(str(module), f"{tmp_path}/guest.img x y"))
    registers, ram = dict(guest.registers), memory_of(guest)
    assert (registers[RAX], guest.bits, guest.entry) == (0x2BADB002, 32, BASE + 12)
    info = struct.unpack_from("<29I", ram, registers[RBX])
    assert info[0] & 0x24F == 0x24D
    assert (info[1], info[2]) == (0x9FC00 >> 10, (MEMORY >> 10) - 1024)
    assert string(ram, info[4]) == b"guest.img one two"
    assert info[5] == 2
    modules = [struct.unpack_from("<4I", ram, info[6] + 16 * n) for n in range(2)]
    assert all(start % 4096 == 0 and start > BASE for start, *_ in modules)
    assert bytes(ram[modules[0][0] : modules[0][1]]) == b"NR_CPUS=1\n"
    assert [string(ram, text) for _, _, text, _ in modules] == [str(module).encode(), f"{tmp_path}/guest.img x y".encode()]
    entries, at = [], info[12]
    while at < info[12] + info[11]:
        size, *entry = struct.unpack_from("<IQQI", ram, at)
        entries.append(tuple(entry))
        at += 4 + size
    assert entries == ranges(MEMORY)


def test_multiboot_addresses(load):
    guest = load(multiboot_addresses(LEAVE))
    assert guest.entry == BASE + 48
    assert [(p.address, p.size) for p in guest.pieces][0] == (BASE, 0x4000)
    assert memory_of(guest)[guest.entry : guest.entry + 2] == LEAVE


def test_multiboot2_information(load, tmp_path):
    module = tmp_path / "m"
    module.write_bytes(b"content")
    guest = load(multiboot2(LEAVE, (1, 0, struct.pack("<II", 4, 6))), append="args", modules=(str(module),))
    registers, ram = dict(guest.registers), memory_of(guest)
    assert registers[RAX] == 0x36D76289
    at = registers[RBX]
    total, tags, place = struct.unpack_from("<I", ram, at)[0], {}, 8
    while place < total:
        kind, size = struct.unpack_from("<II", ram, at + place)
        tags[kind] = bytes(ram[at + place + 8 : at + place + size])
        place += -(-size // 8) * 8
    assert tags[1] == b"guest.img args\0"
    first, last = struct.unpack_from("<II", tags[3])
    assert (bytes(ram[first:last]), tags[3][8:]) == (b"content", str(module).encode() + b"\0")
    assert tags[15][:8] == b"RSD PTR "
    assert len(tags[6]) == 8 + 24 * len(ranges(MEMORY))


def test_pvh_start_information(load):
    guest = load(pvh(LEAVE), append="console=hvc0")
    ram, at = memory_of(guest), dict(guest.registers)[RBX]
    magic, version, _, modules, _, line, rsdp, table, entries, _ = struct.unpack_from("<IIIIQQQQII", ram, at)
    assert (guest.entry, guest.bits, magic, version, modules, rsdp) == (BASE, 32, 0x336EC578, 1, 0, RSDP)
    assert string(ram, line) == b"console=hvc0"
    assert struct.unpack_from("<QQII", ram, table)[:3] == ranges(MEMORY)[0]
    assert entries == len(ranges(MEMORY))


def test_linux_zero_page(load, tmp_path):
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 20)
    guest = load(linux(LEAVE), append="quiet", initrd=str(initrd))
    ram, zero = memory_of(guest), dict(guest.registers)[RSI]
    assert (guest.bits, guest.entry, guest.selectors) == (64, 0x1000200, (0x10, 0x18))
    assert ram[zero + 0x202 : zero + 0x206] == b"HdrS"
    assert ram[zero + 0x210] == 0xFF
    where, size, line = (struct.unpack_from("<I", ram, zero + at)[0] for at in (0x218, 0x21C, 0x228))
    assert bytes(ram[where : where + size]) == initrd.read_bytes()
    assert where > MEMORY - (1 << 20)
    assert string(ram, line) == b"quiet"
    assert ram[zero + 0x1E8] == len(ranges(MEMORY))
    assert struct.unpack_from("<QQI", ram, zero + 0x2D0) == ranges(MEMORY)[0]
    assert load(linux(LEAVE, flags=0)).entry == 0x1000000
    assert load(linux(LEAVE), bits=32).entry == 0x1000000
    assert [load(linux(LEAVE, version=v)).bits for v in (0x207, 0x209, 0x20A, 0x20B, 0x20C)] == [16, 16, 32, 32, 64]


def test_linux_through_its_setup_code(load, tmp_path):
    """What boot.rst asks of a loader that enters in real mode."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"initrd" * 1000)
    guest = load(linux(LEAVE), bits=16, append="quiet", initrd=str(initrd))
    ram = memory_of(guest)
    assert (guest.bits, guest.entry, guest.selectors, dict(guest.registers)[RSP]) == (16, 0x10200, (0x1020, 0x1000), 0xE000)
    assert ram[0x10202:0x10206] == b"HdrS" and ram[0x10210] == 0xFF and ram[0x10211] & 0x81 == 0x81
    code, where, size, line = (struct.unpack_from("<I", ram, 0x10000 + at)[0] for at in (0x214, 0x218, 0x21C, 0x228))
    assert (code, string(ram, line)) == (0x100000, b"quiet")
    assert struct.unpack_from("<H", ram, 0x10224)[0] == 0xDE00
    assert bytes(ram[where : where + size]) == initrd.read_bytes()
    assert ram[0x100200:0x100202] == LEAVE


REFUSED = [
    (linux(LEAVE)[:600], {}, "a truncated Linux image"),
    (linux(LEAVE)[:1030], {}, "a truncated Linux image: 528 bytes of kernel are announced"),
    (linux(LEAVE, version=0x201), {}, "protocol 2.01"),
    (linux(LEAVE), {"memory": 8 << 20}, "needs memory up to 17 MiB"),
    (linux(LEAVE), {"append": "x" * 300}, "300 bytes; this kernel takes 255"),
    (linux(LEAVE, flags=0), {"bits": 64}, "no 64-bit entry"),
    (linux(LEAVE), {"initrd": "/nonexistent"}, "no such file"),
    (linux(LEAVE), {"modules": ("/x",)}, "does not take --module"),
    (multiboot(LEAVE, flags=0x8003), {}, "demands what nobody has defined"),
    (multiboot(LEAVE), {"modules": ("/nonexistent a",)}, "no such file"),
    (multiboot(LEAVE), {"entry": 5}, "--entry are for flat binaries"),
    (multiboot_addresses(LEAVE)[:40], {}, "a truncated multiboot header"),
    (multiboot2(LEAVE, (1, 0, struct.pack("<I", 8))), {}, "demands information 8"),
    (multiboot2(LEAVE, (99, 0, b"")), {}, "demands tag 99"),
    (LEAVE, {"append": "x"}, "a flat binary does not take --append"),
    (LEAVE, {"format": "linux"}, "a truncated Linux image"),
    (LEAVE, {"format": "multiboot"}, "no multiboot header"),
    (LEAVE, {"format": "multiboot2"}, "no multiboot 2 header"),
    (LEAVE, {"format": "pvh"}, "no PVH entry point"),
    (LEAVE, {"format": "elf"}, "a damaged ELF file"),
    (LEAVE, {"format": "rom"}, "a multiple of 4,096"),
    (gzip.compress(multiboot(LEAVE))[:40], {}, "the gzip stream is cut short after 40 bytes"),
    (b"\x1f\x8b\x08\xff" + bytes(40), {}, "begins as a gzip stream, which is damaged"),
    (gzip.compress(bytes(MEMORY + 1)), {}, "do not fit into 64 MiB"),
    (gzip.compress(LEAVE.ljust(510, b"\0") + b"\x55\xaa"), {}, "a disk image packed by gzip: unpack it first"),
    (LEAVE, {"cpus": 9}, "from 1 to 8"),
    (LEAVE, {"disks": ("/nonexistent",)}, "no such file"),
]


@pytest.mark.parametrize("image, options, words", REFUSED, ids=[words for *_, words in REFUSED])
def test_what_cannot_be_loaded_is_said_in_one_sentence(load, image, options, words):
    with pytest.raises(GuestError, match=words.replace("(", r"\(")) as e:
        load(image, **options)
    assert "\n" not in str(e.value)


def test_optional_tags_may_be_missing(load):
    assert load(multiboot2(LEAVE, (99, 1, b""), (1, 1, struct.pack("<I", 8)))).format == "multiboot 2"


IMAGES = [image for name, image in RECOGNISED[:7]]


@pytest.mark.parametrize("seed", range(10))
def test_mutated_headers(load, seed):
    """A changed, cut or stretched file is a guest or a GuestError: never another exception."""
    r = random.Random(seed)
    for n in range(120):
        image = bytearray(IMAGES[n % len(IMAGES)])
        for _ in range(r.randrange(1, 6)):
            at, size = r.randrange(min(len(image), 0x300)), r.choice((1, 2, 4, 8))
            value = r.choice((0, 1, (1 << 8 * size) - 1, 1 << 8 * size - 1, r.getrandbits(8 * size)))
            image[at : at + size] = value.to_bytes(size, "little")
        if r.random() < 0.3:
            del image[r.randrange(1, len(image)) :]
        options = {"format": r.choice([None, None, *FORMATS]), "memory": r.choice((1 << 20, 4 << 20, 32 << 20))}
        try:
            guest = load(bytes(image), **options)
        except GuestError as e:
            assert "\n" not in str(e)
            continue
        assert all(0 <= p.address and len(p.data) <= p.size and p.address + p.size <= guest.memory for p in guest.pieces)


def test_room_keeps_pieces_apart():
    room = Room([Piece(0x1000, b"", 0x1000), Piece(0x180000, b"", 0x1000)], 0x200000)
    assert room.put(b"x", "it") == 0x2000
    assert room.put(bytes(0x90000), "it") == 0x3000
    assert room.put(bytes(0x7F000), "it", first=1 << 20) == 0x100000
    assert room.put(bytes(0x2000), "it", first=1 << 20) == 0x181000
    assert room.put(b"x", "it", high=True) == 0x1FF000
    with pytest.raises(GuestError):
        room.put(bytes(1 << 21), "it")


ENDS = [
    (linux(bytes.fromhex("8cc8e6f4")), 0x21),  # CS is 10h
    (linux(bytes.fromhex("8cd8e6f4")), 0x31),  # DS is 18h
    (multiboot(bytes.fromhex("3d02b0ad2b0f94c0e6f4")), 3),  # EAX
    (multiboot2(bytes.fromhex("3d8962d7360f94c0e6f4")), 3),
    (pvh(bytes.fromhex("813b78c56e330f94c0e6f4")), 3),  # [EBX]
]


@pytest.mark.parametrize("image, status", ENDS)
def test_guests_start(tmp_path, image, status):
    from vmdbg.debugger.opening import open_bare

    path = tmp_path / "guest.img"
    path.write_bytes(image)
    stop = open_bare(load_guest(path, Options(memory=32 << 20)), engine="plain").run(1000)
    assert stop.exit_code == status, stop
