"""Every write to guest memory marks its page, however it is made; pages that are put back take with them what came from them."""

import numpy as np
import pytest

from guests import shipped
from vmdbg.machine.board.fw_cfg import FwCfg
from vmdbg.machine.machine import PAGE, Machine
from vmdbg.machine.ram_pages import begin_interval, changed_pages, get_pages, put_pages
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Guest, Options, Piece
from vmdbg.monitor.load import load_guest
from vmdbg.monitor.start import start

MEMORY = 1 << 20
ENGINES = ["plain", "threaded"]


def machine(engine: str, code: str, bits: int = 16, at: int = 0x1000) -> Machine:
    """A machine that is about to run `code`."""
    m = Machine(MEMORY, engine=engine)
    data = bytes.fromhex(code)
    guest = Guest("code", "flat", bits, at, (Piece(at, data, len(data)),), MEMORY)
    guest.place(m.ram)
    start(m.cpus[0], m.ram, guest)
    return m


def written(m: Machine, steps: int) -> set[int]:
    """The pages that are marked after so many steps from now; every page that changed is among them."""
    before = m.ram.copy()
    begin_interval(m)
    m.run(steps)
    changed = set(np.flatnonzero((m.ram.reshape(-1, PAGE) != before.reshape(-1, PAGE)).any(axis=1)).tolist())
    marked = set(changed_pages(m).tolist())
    assert changed <= marked
    return marked


@pytest.mark.parametrize("engine", ENGINES)
def test_a_store_marks_its_page_in_every_interval(engine):
    """again: inc word [8000h]; jmp again: the second interval needs a right to write that the first one had."""
    m = machine(engine, "ff 06 00 80 eb fa")
    for _ in range(3):
        assert written(m, 10) == {8}
    assert written(m, 1) | written(m, 1) == {8}


@pytest.mark.parametrize("engine", ENGINES)
def test_reads_mark_nothing(engine):
    m = machine(engine, "a1 00 80 8b 1e ff 8f eb f7")  # again: mov ax, [8000h]; mov bx, [8FFFh]; jmp again
    written(m, 10)
    assert written(m, 10) == set()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "code, steps, pages",
    [
        ("c7 06 ff 8f 34 12 f4", 1, {8, 9}),  # mov word [8FFFh], 1234h: two pages, by slots
        ("c6 06 80 10 90 f4", 1, {1}),  # mov byte [1080h], 90h: the page it runs from
        ("c6 06 03 10 90 f4", 1, {1}),  # over its own bytes
        ("bf 00 80 b9 00 20 fc f3 aa f4", 0x2010, {8, 9}),  # rep stosb: two pages
        ("cd 21", 1, {7}),  # int 21h: what the event pushes
        ("e8 00 00", 1, {7}),  # call
    ],
    ids=["crossing", "code-page", "itself", "string", "event", "call"],
)
def test_kinds_of_writes(engine, code, steps, pages):
    assert written(machine(engine, code), steps) == pages


@pytest.mark.parametrize("engine", ENGINES)
def test_page_walks_mark_the_tables(engine):
    """A and D bits: mov [8000h], eax in long mode on the identity map."""
    m = machine(engine, "89 04 25 00 80 00 00 f4", bits=64)
    tables = (MEMORY >> 12) - 7
    assert written(m, 1) == {8, tables + 1, tables + 2, tables + 3}


def test_python_and_dma_mark():
    m = machine("plain", "f4")
    begin_interval(m)
    m.write_physical(0x8FFF, b"ab")
    assert changed_pages(m).tolist() == [8, 9]
    config = FwCfg(m, 1, MEMORY)
    begin_interval(m)
    m.ram[0x4000:0x4010] = np.frombuffer(bytes.fromhex("00000002 00000004 00000000 0000a000"), np.uint8)  # read 4 bytes to A000
    config.select(0)
    config.transfer(0x4000)
    assert changed_pages(m).tolist() == [4, 10] and m.read_physical(0xA000, 4) == b"QEMU"


@pytest.mark.parametrize("engine", ENGINES)
def test_code_goes_with_its_page(engine):
    """again: mov ax, 1; jmp again: then the immediate is 2."""
    m = machine(engine, "b8 01 00 eb fb")
    m.run(10)
    page = np.array([1])
    contents = get_pages(m, page)
    contents[0, 1] = 2
    invalidations = int(m.shared.invalidations)
    put_pages(m, page, get_pages(m, page))
    assert int(m.shared.invalidations) == invalidations
    put_pages(m, page, contents)
    m.run(2)
    assert int(m.cpus[0].gpr[0]) == 2


def test_a_guest_threaded():
    """Whatever dual_mode does, in intervals of all sizes: tasks, page faults, system calls, a serial port."""
    guest = load_guest(shipped()["dual_mode"], Options(memory=4 << 20))
    m = Machine(guest.memory)
    Bare(m, guest)
    for steps in np.random.default_rng(1).integers(1, 5000, 60):
        written(m, int(steps))
