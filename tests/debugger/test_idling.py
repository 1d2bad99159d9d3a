"""Idle time: at wall speed where somebody watches, skipped otherwise; the guest's run is the same."""

import threading
import time
from pathlib import Path

import pytest

from vmdbg.debugger.console_input import KEPT, ConsoleInput
from vmdbg.debugger.idling import WallClock
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load_flat import load_flat

# IRQ 0 at 100 Hz counts in CX; the rest is HLT
TICKS = bytes.fromhex("fab011e620b008e621b004e621b001e621b0fee621c7062000337cc70622000000b034e643b09ce640b02ee64031c9fbf4ebfd41b020e620cf")
NS = 10**9


@pytest.fixture
def ticking(tmp_path: Path):
    def open_session(code: bytes = TICKS):
        path = tmp_path / "ticks.bin"
        path.write_bytes(code)
        return open_bare(load_flat(path, code, Options(memory=1 << 20, bits=16)), engine="plain")

    return open_session


def ticks(session) -> int:
    return int(session.cpu.gpr[1])


def test_idle_time_passes_no_faster_than_here(ticking):
    """Ten ticks of a 100 Hz timer take the time that the guest's clock says, less what its instructions count."""
    s = ticking()
    s.idle = WallClock(s).pass_until
    s.between = lambda: s.interrupt() if ticks(s) == 10 else None
    began = time.perf_counter()
    assert s.run().has("pause")
    assert s.machine.clock > 0.09 * NS
    assert s.machine.clock - s.position <= (time.perf_counter() - began) * NS


def test_whoever_wakes_a_wait_finds_the_clock_as_far_as_time_was(ticking):
    """A deadline a second away, and a wake after much less: the guest's clock is in between."""
    s = ticking(bytes.fromhex("b030e643 f4ebfd"))  # the BIOS's timer stops
    s.run()
    before = s.machine.clock
    clock = WallClock(s)
    threading.Timer(0.05, clock.wake).start()
    began = time.perf_counter()
    clock.pass_until(before + 60 * NS)
    assert 0 < s.machine.clock - before <= (time.perf_counter() - began) * NS


def test_without_a_wall_clock_it_is_skipped(ticking):
    s = ticking()
    s.run(limit=5000)
    assert s.machine.clock > 5 * NS


def test_steps_skip_it_too(ticking):
    """Whoever steps does not wait for a timer."""
    s = ticking()
    s.idle = lambda due: (_ for _ in ()).throw(AssertionError("waited"))
    s.step(500)
    assert ticks(s) > 10


def test_waiting_changes_nothing_for_the_guest(ticking):
    """Idle time in small pieces or at once: the same clock, position and registers."""
    pieces, whole = ticking(), ticking()
    pieces.idle = lambda due: pieces.give("clock", min(due, pieces.machine.clock + 3_333_333))
    whole.idle = lambda due: whole.give("clock", due)
    seen = []
    for s in (pieces, whole):
        s.between = lambda s=s: s.interrupt() if ticks(s) == 20 else None
        s.run()
        while s.machine.run(1).reason == "wait":
            s.idle(1 << 62)
        seen.append((ticks(s), s.position, [int(s.cpu.gpr[n]) for n in range(16)]))
    assert seen[0] == seen[1]


def test_what_is_typed_waits_for_a_guest_that_listens(ticking):
    """HLT for ever with interrupts on: the FIFO is offered only to those who poll or have enabled the interrupt."""
    s = ticking(bytes.fromhex("f4ebfd"))
    console = ConsoleInput(s)
    console.type(b"abc")
    assert not console.pump()
    s.monitor.board.uart.write(1, 1, 1)  # IER: received data
    assert console.pump()
    assert not console.waiting
    assert s.monitor.board.uart.room() == 13


def test_a_keyboard_that_nobody_reads_is_bounded(ticking):
    s = ticking()
    console = ConsoleInput(s)
    for _ in range(KEPT):
        console.press(("shift", "a"))
        console.type(b"xy")
    console.pump()
    assert len(console._keys) <= KEPT
    assert len(console._bytes) <= KEPT
