"""Devices are saved and restored exactly, whatever they are: nothing is written in a device for that."""

import random
from collections import deque

import numpy as np
import pytest

from tests.machine.board.test_wired import PORTS, script
from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.ide_cdrom import Cdrom
from vmdbg.machine.board.ide_disk import Disk
from vmdbg.machine.board.pc import Pc
from vmdbg.machine.checkpoint import Checkpoints
from vmdbg.machine.device_state import DeviceState, StateError, decode, encode
from vmdbg.machine.machine import Leave, Machine

IDE = [0x1F0, 0x1F1, 0x1F2, 0x1F3, 0x1F4, 0x1F5, 0x1F6, 0x1F7, 0x3F6, 0x170, 0x176, 0x177]


class Board:
    """A PC with disks, three plain vCPUs, and what scripts do to it."""

    def __init__(self, tmp_path, monkeypatch):
        file = tmp_path / "disk"
        file.write_bytes(bytes(range(256)) * 64)
        self.machine = Machine(1 << 20, cpus=3, engine="plain")
        monkeypatch.setattr(self.machine, "drop_code", lambda: None)
        drives = (Disk(DiskImage(file)), None, Cdrom(DiskImage(file, 2048)), None)
        self.pc = Pc(self.machine, lambda byte: None, drives=drives)
        self.checkpoints = Checkpoints(self.machine, board=self.pc)
        self.checkpoints.begin_interval()

    def live(self, seed: int, rounds: int = 10) -> list:
        """Scripts of accesses; what was read at the end, port by port."""
        r, read = random.Random(seed), self.machine.ports.read
        for _ in range(rounds):
            try:
                script(r, self.machine, self.pc)
                for _ in range(10):
                    self.machine.ports.write(r.choice(IDE), 1, r.choice((0x20, 0x30, 0xEC, 0xA0, 0x40, 0, 1, 2, 0xC6, 0x91)))
                for _ in range(200):
                    self.machine.ports.write(0x1F0, 4, r.getrandbits(32))
                    read(r.choice((0x1F0, 0x170)), 2)
            except Leave:  # the script reset the machine
                pass
        seen = [read(port, 1) for port in (*PORTS, *IDE) for _ in range(2)]
        seen += [self.machine.device_memory.read(0xFEE00000 + 16 * n, 4) for n in range(64)]
        return [*seen, *(t.deadline() for t in self.machine.timers), self.machine.ram.tobytes()]


@pytest.mark.parametrize("seed", range(5))
def test_random_scripts_from_a_checkpoint(seed, tmp_path, monkeypatch):
    """Save, go one way, restore, go another, restore, go the first way: it is the same way, to the last bit."""
    board = Board(tmp_path, monkeypatch)
    keep = board.checkpoints
    board.live(seed)
    first = keep.take()
    seen = board.live(1000 + seed)
    second = keep.take()

    def back() -> None:
        pages = np.union1d(second.pages, keep.changed_pages())
        keep.put_pages(pages, keep.origin_pages(pages))
        keep.put_pages(first.pages, first.contents)
        keep.put_state(first.state)

    back()
    assert keep.state() == first.state
    board.live(2000 + seed)
    back()
    assert keep.state() == first.state
    assert board.live(1000 + seed) == seen
    assert keep.state() == second.state
    assert (keep.get_pages(second.pages) == second.contents).all()


def test_another_board_reads_it(tmp_path, monkeypatch):
    """The saved form does not depend on the process: a board that was built the same way is in the same state then."""
    one = Board(tmp_path, monkeypatch)
    one.live(7)
    state, other = one.checkpoints.state(), Board(tmp_path, monkeypatch)
    other.checkpoints.put_state(state)
    assert other.checkpoints.state() == state
    for cut in (10, len(state) // 2, len(state) - 1):
        with pytest.raises(StateError):
            other.checkpoints.put_state(state[:cut])
    assert other.checkpoints.state() == state


def device(**facts):
    """An object of a class that vmdbg.machine could have."""
    kind = type("Tomorrow", (), {"__module__": "vmdbg.machine.board.pc"})
    made = kind()
    made.__dict__.update(facts)
    return made


def test_a_device_of_tomorrow():
    """Whatever attributes it has, in place where others may look at them."""
    record = np.zeros((), [("a", "u1"), ("b", "<u4", 3)])
    other = device(level=0)
    d = device(n=1, big=1 << 70, name="x", queue=deque([1, (2, b"3")]), bits={3, 1}, table={1: [other]}, record=record, part=record["b"])
    count = 0

    def counting():
        nonlocal count
        count += 1

    counting.__module__ = "vmdbg.machine.board.pc"
    d.line, d.act = counting, None
    state = DeviceState(device=d, other=other)
    saved = state.save()
    queue, table = d.queue, d.table
    d.n, d.big, d.name, d.late, other.level, d.act, d.record["b"][1] = 2, 0, "y", 5, 9, counting, 77
    d.queue.append(4)
    d.bits.add(8)
    d.table[1] = []
    counting()
    assert state.save() != saved
    state.restore(saved)
    assert state.save() == saved and count == 0
    assert (d.n, d.big, d.name, d.act, other.level) == (1, 1 << 70, "x", None, 0) and not hasattr(d, "late")
    assert d.queue is queue and list(queue) == [1, (2, b"3")] and d.bits == {1, 3} and d.table is table and table[1] == [other]
    assert d.record is record and not record["b"].any()


def test_what_cannot_be_known_is_refused():
    with pytest.raises(StateError, match=r"device\.source: .* save\(\) and restore\(\)"):
        DeviceState(device=device(source=iter([1])))
    with pytest.raises(StateError, match="array of objects"):
        DeviceState(device=device(source=np.array([None])))
    d = device(source=None)
    state = DeviceState(device=d)
    d.source = open(__file__)  # noqa: SIM115
    with d.source, pytest.raises(StateError, match="TextIOWrapper"):
        state.save()


def test_every_value_comes_back():
    values = [None, True, 0, -1, 1 << 64, 1.5, "ä", b"", bytearray(b"x"), [1, [2]], (1,), {1: "a"}, {2, 3}, frozenset("b"), deque([1])]
    back = decode(encode(values))
    assert back == values and [type(v) for v in back] == [type(v) for v in values]
    array = decode(encode(np.arange(6, dtype="<u2").reshape(2, 3)))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]] and array.dtype == np.uint16
    scalar = decode(encode(np.uint8(3)))
    assert scalar == 3 and isinstance(scalar, np.uint8)


def test_damaged_bytes_are_refused():
    """Any byte changed: another value or StateError, nothing else."""
    data = encode({"a": [1, np.zeros(3, "<u4")], "b": (b"xyz", "t")})
    r = random.Random(3)
    for _ in range(3000):
        damaged = bytearray(data)
        damaged[r.randrange(len(data))] = r.randrange(256)
        try:
            decode(bytes(damaged))
        except StateError:
            pass
