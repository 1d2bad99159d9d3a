"""Random and mutated guest files and disk images are opened and run: one sentence, or a machine that runs them somehow."""

import random
from pathlib import Path

import pytest

import guests
from tests.monitor.bios.media import floppy, iso, partitioned, sector
from tests.monitor.images import elf, linux, multiboot, multiboot2, multiboot_addresses, pvh
from vmdbg.machine.machine import Machine
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import GuestError, Options
from vmdbg.monitor.load import FORMATS, load_guest

STEPS = 4000
CODE = bytes.fromhex("31c0 89c3 f7f3 cd80 0f01d8 ebf0")
# what BIOSes are asked for: INT 10h, 13h, 15h, 16h and 1Ah with whatever is in the registers
SERVICES = bytes.fromhex("fb b80102 b90100 ba8000 bb007e cd13 b80e41 cd10 b820e8 66ba50414d53 b91400 cd15 b401 cd16 cd1a ebdd")
SEEDS = [
    *(path.read_bytes() for path in guests.shipped().values()),
    elf(CODE),
    elf(CODE, bits=64),
    multiboot(CODE),
    multiboot_addresses(CODE),
    multiboot2(CODE, (1, 0, bytes(8)), (2, 0, bytes(16))),
    pvh(CODE),
    pvh(CODE, 32),
    linux(CODE),
    linux(CODE, flags=0),
    sector(SERVICES),
    floppy(SERVICES, 320),
    partitioned(SERVICES, 2, 18),
    iso(sector(SERVICES)),
    iso(floppy(SERVICES, 320), medium=1, count=1),
    iso(partitioned(SERVICES, 2, 18), medium=4, count=1),
    (bytes(0x10000 - 16) + b"\xea\x5b\xe0\x00\xf0").ljust(0x10000, b"\0"),
    b"",
]
VALUES = [b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0"]
# where formats keep what a loader believes: the beginning, setup headers and partition tables, El Torito
PLACES = [(0, 64), (0, 512), (0x1B0, 0x270), (0x8000, 0x8850), (0xA000, 0xA040), (0, 1 << 20)]


def mutated(r: random.Random) -> bytes:
    image = bytearray(r.choice(SEEDS)) or bytearray(r.randbytes(r.choice((1, 20, 512, 5000))))
    if r.random() < 0.02:
        return r.randbytes(r.choice((1, 511, 512, 70000)))
    for _ in range(r.choice((0, 1, 1, 2, 4, 8, 30))):
        first, last = r.choice(PLACES)
        at = r.randrange(first, max(min(last, len(image)), first + 1))
        value = r.choice(VALUES) if r.random() < 0.5 else r.randbytes(r.choice((1, 2, 4, 8)))
        image[at : at + len(value)] = value
    if r.random() < 0.2:
        del image[r.randrange(1, max(len(image), 2)) :]
    return bytes(image)


def options(r: random.Random, folder: Path) -> Options:
    o: dict = {"memory": r.choice((1 << 20, 2 << 20, 20 << 20, 33 << 20)), "cpus": r.choice((1, 1, 1, 2))}
    if r.random() < 0.15:
        o["format"] = r.choice(list(FORMATS))
    if r.random() < 0.1:
        o["bits"] = r.choice((16, 32, 64))
    if r.random() < 0.05:
        o["load_address"] = r.choice((0, 0x500, 0x7C00, 0xF0000, 0xFFFFF, 0x100000, r.getrandbits(40)))
    if r.random() < 0.05:
        o["entry"] = r.choice((0, 0x7C00, 0x100000, r.getrandbits(24)))
    if r.random() < 0.1:
        o["append"] = "x" * r.choice((0, 5, 300))
    if r.random() < 0.1:
        o["initrd"] = str(folder / "module")
    if r.random() < 0.1:
        o["disks"] = (str(folder / "module"),) * r.choice((1, 2, 3))
    if r.random() < 0.1:
        o["cdrom"] = str(folder / "module")
    return Options(**o)


def judge(seed: int, folder: Path) -> str:
    """What became of it: "refused" or the reason of the machine's stop."""
    r = random.Random(seed)
    path = folder / "guest"
    path.write_bytes(mutated(r))
    (folder / "module").write_bytes(b"module" * 100)
    try:
        guest = load_guest(path, options(r, folder))
        machine = Machine(guest.memory, cpus=guest.cpus)
        Bare(machine, guest)
    except GuestError as e:
        assert str(e) and "\n" not in str(e), seed
        return "refused"
    stop = machine.run(STEPS)
    assert stop.reason in ("budget", "halt", "idle", "shutdown", "exit"), (seed, stop)
    return stop.reason


def test_threaded_mutated_guests(tmp_path):
    found = [judge(seed, tmp_path) for seed in range(150)]
    assert len(set(found)) >= 4, found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_threaded_many_mutated_guests(tmp_path, seed):
    """10,000 of them."""
    for n in range(500):
        judge(1_000_000 + 500 * seed + n, tmp_path)
