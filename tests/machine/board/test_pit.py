"""The 8254: counts, outputs and their exact nanoseconds, driven as a guest drives it (8254 data sheet)."""

import random

import pytest

from vmdbg.machine.board.pit import FREQUENCY, SECOND, Pit, Port61, clock_of, tick_of


class Time:
    now = 0

    def __call__(self):
        return self.now


def pit():
    time, edges = Time(), []
    p = Pit(time, lambda level: edges.append((tick_of(time.now), level)))
    return p, time, edges


def until(p: Pit, time: Time, tick: int) -> None:
    """Time passes, deadline by deadline, as the machine lets it."""
    end = clock_of(tick)
    while (due := p.deadline()) is not None and due <= end:
        assert due >= time.now
        time.now = due
        p.advance(due)
    time.now = end


def program(p: Pit, control: int, count: int) -> None:
    p.write(3, 1, control)
    n = control >> 6
    if control & 0x10:
        p.write(n, 1, count & 0xFF)
    if control & 0x20:
        p.write(n, 1, count >> 8)


def count_of(p: Pit, n: int) -> int:
    p.write(3, 1, n << 6)
    return p.read(n, 1) | p.read(n, 1) << 8


@pytest.mark.parametrize("tick", [0, 1, 2, 12345, FREQUENCY, 10**12])
def test_ticks_begin_at_their_first_nanosecond(tick):
    assert tick_of(clock_of(tick)) == tick
    assert tick == 0 or tick_of(clock_of(tick) - 1) == tick - 1


@pytest.mark.parametrize(
    "control, count, edges",
    [
        (0x30, 5, [(0, False), (6, True)]),  # mode 0: N + 1 clocks after the write
        (0x34, 4, [(0, True), (4, False), (5, True), (8, False), (9, True)]),  # mode 2: low for one clock in N
        (0x36, 4, [(0, True), (3, False), (5, True), (7, False), (9, True)]),  # mode 3, even: halves
        (0x36, 5, [(0, True), (4, False), (6, True), (9, False)]),  # mode 3, odd: the high half is longer
        (0x38, 3, [(0, True), (4, False), (5, True)]),  # mode 4: one strobe
        (0x32, 3, [(0, True)]),  # mode 1 waits for a gate that never comes
        (0x14, 3, [(0, True), (3, False), (4, True), (6, False), (7, True), (9, False), (10, True)]),  # low byte only
        (0x35, 0x10, [(0, True), (10, False)]),  # BCD
    ],
)
def test_outputs(control, count, edges):
    p, time, seen = pit()
    program(p, control, count)
    until(p, time, 10)
    assert [e for e in seen if e[0]] == edges[1:]
    assert [level for tick, level in seen if tick == 0][-1] == edges[0][1]


def test_a_hundred_hertz_are_exact():
    p, time, edges = pit()
    program(p, 0x34, 11932)
    rises = []
    p.line = lambda level: rises.append(time.now) if level else None
    until(p, time, FREQUENCY)
    assert len(rises) == FREQUENCY // 11932
    assert rises == [clock_of(1 + 11932 * k) for k in range(1, len(rises) + 1)]
    assert abs(rises[-1] - SECOND) < 10**7


def test_latch_and_bytes():
    p, time, _ = pit()
    program(p, 0x34, 0x1234)
    until(p, time, 1 + 0x34)
    assert count_of(p, 0) == 0x1200
    p.write(3, 1, 0x00)
    until(p, time, 200)
    assert p.read(0, 1) == 0x00  # the latch keeps its count
    assert p.read(0, 1) == 0x12


def test_read_back():
    p, time, _ = pit()
    program(p, 0x34, 100)
    p.write(3, 1, 0xE2)  # status of counter 0
    assert p.read(0, 1) == 0xF4  # OUT, null count until the next clock
    until(p, time, 1)
    p.write(3, 1, 0xC2)  # count and status
    assert (p.read(0, 1), p.read(0, 1), p.read(0, 1)) == (0xB4, 100, 0)


def test_a_new_period_waits_for_the_old_one():
    p, time, edges = pit()
    program(p, 0x34, 10)
    until(p, time, 3)
    program_count = (4, 0)
    for byte in program_count:
        p.write(0, 1, byte)
    until(p, time, 20)
    assert [t for t, level in edges if level and t] == [11, 15, 19]


def test_mode_3_takes_a_new_count_after_half():
    p, time, edges = pit()
    program(p, 0x36, 10)
    until(p, time, 2)
    p.write(0, 1, 4)
    p.write(0, 1, 0)
    until(p, time, 14)
    assert [t for t, level in edges if t] == [6, 8, 10, 12, 14]


def test_mode_3_counts_by_two():
    p, time, _ = pit()
    program(p, 0xB6, 8)
    Port61(p).write(0, 1, 1)
    until(p, time, 1)
    seen = []
    for tick in range(1, 10):
        until(p, time, tick)
        seen.append(count_of(p, 2))
    assert seen == [8, 6, 4, 2, 8, 6, 4, 2, 8]


def test_gate_and_output_of_counter_2():
    """How guests time loops without interrupts: mode 0, gate up, wait for bit 5 of port 61."""
    p, time, _ = pit()
    port = Port61(p)
    port.write(0, 1, 0)
    program(p, 0xB0, 100)
    until(p, time, 1000)
    assert port.read(0, 1) & 0x20 == 0  # the gate is low: it stands
    port.write(0, 1, 1)
    until(p, time, 1050)
    assert port.read(0, 1) & 0x21 == 0x01
    until(p, time, 1101)
    assert port.read(0, 1) & 0x21 == 0x21


def test_one_shot_by_the_gate():
    p, time, _ = pit()
    port = Port61(p)
    program(p, 0xB2, 10)
    assert port.read(0, 1) & 0x20
    port.write(0, 1, 1)
    until(p, time, 1)
    assert not port.read(0, 1) & 0x20
    until(p, time, 11)
    assert port.read(0, 1) & 0x20


def test_refresh_toggles():
    p, time, _ = pit()
    port = Port61(p)
    seen = set()
    for time.now in range(0, 100000, 5000):
        seen.add(port.read(0, 1) & 0x10)
    assert seen == {0, 0x10}


@pytest.mark.parametrize("seed", range(20))
def test_random_scripts(seed):
    """Any writes at any time: bytes come back, deadlines lie ahead, and the same calls in smaller steps give the same edges."""
    r = random.Random(seed)
    script = [(r.randrange(4), r.randrange(4), r.choice((1, 2, 4)), r.getrandbits(32), r.choice((0, 1, 7, 100, 5000))) for _ in range(60)]
    runs = []
    for step in (1, 3):
        p, time, edges = pit()
        port, tick = Port61(p), 0
        for what, offset, width, value, wait in script:
            if what == 0:
                assert 0 <= p.read(offset, width) < 1 << 8 * width
            elif what == 3:
                port.write(0, width, value)
                assert 0 <= port.read(0, width) < 256
            else:
                p.write(offset, width, value & (1 << 8 * width) - 1)
            for part in range(step):
                until(p, time, tick + wait * (part + 1) // step)
            tick += wait
        runs.append((edges, p.state.tobytes()))
    assert runs[0][0] == runs[1][0]
