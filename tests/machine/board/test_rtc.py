"""The MC146818: time, alarms and flags, driven through ports 70 and 71 (MC146818 data sheet)."""

import random
from datetime import UTC, datetime

import pytest

from vmdbg.machine.board.rtc import NS, Rtc

START = int(datetime(1999, 12, 31, 23, 59, 58, tzinfo=UTC).timestamp())


class Time:
    now = 0

    def __call__(self):
        return self.now


def rtc(start=START, memory=0):
    time, levels = Time(), []
    return Rtc(time, levels.append, start, memory), time, levels


def get(r, n):
    r.write(0, 1, n)
    return r.read(1, 1)


def put(r, n, value):
    r.write(0, 1, n)
    r.write(1, 1, value)


def clock(r):
    return "".join(f"{get(r, n):02x}" for n in (0x32, 9, 8, 7)) + " " + ":".join(f"{get(r, n):02x}" for n in (4, 2, 0)) + f" {get(r, 6)}"


def until(r, time, end):
    """Time passes, deadline by deadline; returns when interrupts were due."""
    seen = []
    while (due := r.deadline()) is not None and due <= end:
        assert due >= time.now
        time.now = due
        seen.append(due)
        r.advance(due)
        get(r, 0x0C)
    time.now = end
    return seen


def test_it_tells_the_time():
    r, time, _ = rtc()
    assert clock(r) == "19991231 23:59:58 6"
    time.now = 2 * NS - 1
    assert clock(r) == "19991231 23:59:59 6"
    time.now = 2 * NS
    assert clock(r) == "20000101 00:00:00 7"


def test_binary_and_twelve_hours():
    r, _, _ = rtc()
    put(r, 0x0B, 0x04)
    put(r, 4, 0x80 | 11)
    assert get(r, 4) == 0x8B
    put(r, 0x0B, 0x06)
    put(r, 4, 23)
    assert get(r, 4) == 23


def test_setting_it():
    r, time, _ = rtc()
    put(r, 0x0B, 0x82)
    for n, value in ((0, 0x30), (2, 0x59), (4, 0x12), (7, 0x28), (8, 0x02), (9, 0x24), (0x32, 0x20), (6, 4)):
        put(r, n, value)
    time.now = 10 * NS
    assert clock(r) == "20240228 12:59:30 4"  # SET stops it
    put(r, 0x0B, 0x02)
    time.now += 30 * NS + 11 * 3600 * NS
    assert clock(r) == "20240229 00:00:00 5"


def test_update_in_progress():
    r, time, _ = rtc()
    assert get(r, 0x0A) == 0x26
    time.now = NS - 244_000
    assert get(r, 0x0A) == 0xA6
    time.now = NS
    assert get(r, 0x0A) == 0x26


def test_periodic_interrupt():
    r, time, levels = rtc()
    put(r, 0x0B, 0x42)
    seen = until(r, time, NS)
    assert len(seen) == 1024
    assert seen == [-(-k * NS // 1024) for k in range(1, 1025)]
    assert levels[-1] is False


def test_the_line_stays_until_c_is_read():
    r, time, levels = rtc()
    put(r, 0x0B, 0x42)
    time.now = r.deadline()
    r.advance(time.now)
    assert levels[-1] is True and r.deadline() is None
    assert get(r, 0x0C) == 0xC0
    assert levels[-1] is False and r.deadline() is not None


def test_update_ended_interrupt():
    r, time, _ = rtc()
    put(r, 0x0B, 0x12)
    assert until(r, time, 3 * NS) == [NS, 2 * NS, 3 * NS]


@pytest.mark.parametrize(
    "alarm, seconds",
    [
        ((0x00, 0x00, 0x00), [2]),
        ((0xFF, 0xFF, 0xFF), [1, 2, 3]),
        ((0x01, 0xC0, 0xC0), [3, 63]),
        ((0x58, 0x59, 0x23), [86400]),
        ((0x99, 0, 0), []),
    ],
)
def test_alarm(alarm, seconds):
    r, time, _ = rtc()
    for n, value in zip((1, 3, 5), alarm):
        put(r, n, value)
    put(r, 0x0B, 0x22)
    last = (seconds or [100000])[-1]
    assert until(r, time, last * NS) == [s * NS for s in seconds]


def test_flags_without_enables():
    r, time, levels = rtc()
    time.now = NS
    assert get(r, 0x0C) == 0x50
    assert get(r, 0x0C) == 0
    assert True not in levels


def test_memory_is_told():
    r, _, _ = rtc(memory=256 << 20)
    assert [get(r, n) for n in (0x15, 0x16, 0x30, 0x31, 0x34, 0x35)] == [0x80, 0x02, 0xFF, 0xFF, 0x00, 0x0F]
    r, _, _ = rtc(memory=6 << 30)
    assert [get(r, n) for n in (0x5B, 0x5C, 0x5D)] == [0x00, 0x80, 0x00]


def test_memory_keeps_and_registers_do_not():
    r, _, _ = rtc()
    put(r, 0x0F, 0x0A)
    put(r, 0x7F, 0x55)
    put(r, 0x0D, 0)
    assert (get(r, 0x8F), get(r, 0x7F), get(r, 0x0D), r.read(0, 1)) == (0x0A, 0x55, 0x80, 0xFF)


@pytest.mark.parametrize("seed", range(20))
def test_random_scripts(seed):
    r_ = random.Random(seed)
    r, time, _ = rtc(r_.choice((0, START, -5, 1 << 62)))
    for _ in range(100):
        offset, width = r_.randrange(2), r_.choice((1, 2, 4))
        if r_.random() < 0.5:
            r.write(0, 1, r_.choice((r_.randrange(16), r_.randrange(256))))
        r.write(offset, width, r_.getrandbits(8 * width))
        assert 0 <= r.read(offset, width) < 1 << 8 * width
        until(r, time, time.now + r_.choice((0, 1, 10**5, 10**8, 10**15 if r.deadline() is None else 1)))


def test_steady_registers():
    """What it says is steady is read the same until then, whatever the time, the mode and the register; C never is."""
    rng = random.Random(4)
    for _ in range(300):
        r, time, _ = rtc()
        time.now = rng.randrange(5 * NS)
        put(r, 0x0B, rng.choice([0x02, 0x06, 0x82]))
        time.now += rng.choice([rng.randrange(3 * NS), 0])
        n = rng.choice([0, 2, 4, 6, 7, 8, 9, 0x32, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x40])
        before, until = get(r, n), r.steady(1, 1)
        assert (until == 0) == (n == 0x0C)
        if n == 0x0A and not r.state["ram"][0x0B] & 0x80:
            assert until - time.now <= NS
        for now in (time.now, rng.randrange(time.now, max(until, time.now + 1)), until - 1):
            if until and now < 10 * NS:
                time.now = now
                r.advance(now)
                assert r.read(1, 1) == before
    assert r.keeps(0, 1) and not r.keeps(1, 1) and r.steady(0, 1) == 0
