"""The local APIC, its bus and the I/O APIC, register by register (SDM vol. 3, chapter 11; 82093AA data sheet)."""

import random

import pytest

from vmdbg.machine.board.apic_bus import ApicBus
from vmdbg.machine.board.ioapic import Ioapic
from vmdbg.machine.board.lapic import (
    CURRENT,
    DFR,
    DIVIDE,
    EOI,
    ESR,
    EXTERNAL,
    ICR,
    ICR_HIGH,
    ID,
    INITIAL,
    IRR,
    ISR,
    LDR,
    LVT,
    PPR,
    SVR,
    TMR,
    TPR,
    VERSION,
    X2APIC,
    Lapic,
)

TIMER, LINT0 = LVT, LVT + 0x30


class Time:
    now = 0

    def __call__(self):
        return self.now


class Core:
    def __init__(self):
        self.cr8, self.tsc_offset, self.tsc_deadline, self.announced, self.log = 0, 0, 0, 0, []

    def interrupt(self, priority):
        self.announced = priority

    def nmi(self):
        self.log.append("nmi")

    def init(self):
        self.log.append("init")

    def start_up(self, vector):
        self.log.append(f"start {vector:x}")


def board(n=1):
    """Bus with n enabled local APICs, and the time."""
    time, bus = Time(), ApicBus()
    for k in range(n):
        Lapic(k, Core(), bus, time, lambda: 0x77).write(SVR, 4, 0x1FF)
    return bus, time


def one():
    bus, time = board()
    return bus.targets[0], time


def send(lapic, low, destination=0):
    lapic.write(ICR_HIGH, 4, destination << 24)
    lapic.write(ICR, 4, low)


def vectors(lapic, base=IRR):
    return [32 * n + b for n in range(8) for b in range(32) if lapic.read(base + 16 * n, 4) >> b & 1]


def until(timer, time, end):
    """Deadline by deadline; returns when it fired."""
    seen = []
    while (due := timer.deadline()) is not None and due <= end:
        time.now = due
        seen.append(due)
        timer.advance(due)
    time.now = end
    return seen


def test_out_of_reset():
    lapic = Lapic(3, Core(), ApicBus(), Time())
    assert [lapic.read(r, 4) for r in (ID, VERSION, SVR, LDR, DFR)] == [3 << 24, 0x00050014, 0xFF, 0, 0xFFFFFFFF]
    assert [lapic.read(LVT + 16 * n, 4) for n in range(6)] == [0x10000] * 6
    lapic.write(LINT0, 4, 0x700)
    assert lapic.read(LINT0, 4) == 0x10700  # disabled by software: masks stay


def test_priorities():
    lapic, _ = one()
    core = lapic.core
    for v in (0x31, 0x52, 0x45):
        send(lapic, 0x40000 | v)
    assert core.announced == 5
    assert lapic.acknowledge() == 0x52
    assert (core.announced, lapic.read(PPR, 4), vectors(lapic), vectors(lapic, ISR)) == (0, 0x50, [0x31, 0x45], [0x52])
    lapic.write(TPR, 4, 0x3A)
    lapic.write(EOI, 4, 0)
    assert (core.cr8, core.announced, lapic.read(PPR, 4)) == (3, 4, 0x3A)
    assert lapic.acknowledge() == 0x45
    lapic.write(EOI, 4, 0)
    assert core.announced == 3  # which CR8 = 3 holds back
    assert lapic.acknowledge() == 0xFF  # the spurious vector
    core.cr8 = 0
    assert lapic.read(TPR, 4) == 0
    assert lapic.acknowledge() == 0x31


@pytest.mark.parametrize(
    "low, destination, expected",
    [
        (0x00041, 2, [[], [], [0x41], []]),  # physical
        (0x00041, 9, [[]] * 4),
        (0x00041, 0xFF, [[0x41]] * 4),  # everybody
        (0x40041, 0, [[], [0x41], [], []]),  # self (number 1 sends)
        (0x80041, 0, [[0x41]] * 4),
        (0xC0041, 0, [[0x41], [], [0x41], [0x41]]),
        (0x00841, 0x05, [[0x41], [], [0x41], []]),  # logical, flat
        (0x00941, 0x0C, [[], [], [0x41], []]),  # lowest priority
    ],
)
def test_destinations(low, destination, expected):
    bus, _ = board(4)
    for n, lapic in enumerate(bus.targets):
        lapic.write(LDR, 4, 1 << 24 + n)
    send(bus.targets[1], low, destination)
    assert [vectors(lapic) for lapic in bus.targets] == expected


def test_clusters():
    bus, _ = board(4)
    for n, lapic in enumerate(bus.targets):
        lapic.write(DFR, 4, 0x0FFFFFFF)
        lapic.write(LDR, 4, ((n >> 1) << 4 | 1 << (n & 1)) << 24)
    send(bus.targets[0], 0x841, 0x12)
    assert [vectors(lapic) for lapic in bus.targets] == [[], [], [], [0x41]]


def test_init_start_up_and_nmi():
    bus, _ = board(2)
    a, b = bus.targets
    send(a, 0x4500, 1)
    send(a, 0x8500, 1)  # level de-assert does nothing
    send(a, 0x4609, 1)
    send(a, 0x0400, 1)
    assert (a.core.log, b.core.log) == ([], ["init", "start 9", "nmi"])
    assert b.read(SVR, 4) == 0xFF


def test_errors():
    lapic, _ = one()
    send(lapic, 0x4000F)
    assert lapic.read(ESR, 4) == 0
    lapic.write(ESR, 4, 0)
    assert lapic.read(ESR, 4) == 0x20
    lapic.read(0x40, 4)
    lapic.write(LVT + 0x50, 4, 0xFE)
    lapic.write(0x3D0, 4, 1)
    lapic.write(ESR, 4, 0)
    assert (lapic.read(ESR, 4), vectors(lapic)) == (0x80, [0xFE])


@pytest.mark.parametrize("divide, by", [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)])
def test_one_shot(divide, by):
    lapic, time = one()
    lapic.write(DIVIDE, 4, divide)
    lapic.write(TIMER, 4, 0x40)
    time.now = 7
    lapic.write(INITIAL, 4, 100)
    time.now = 7 + 30 * by + by - 1
    assert lapic.read(CURRENT, 4) == 70
    assert until(lapic, time, 10**6) == [7 + 100 * by]
    assert (vectors(lapic), lapic.read(CURRENT, 4)) == ([0x40], 0)


def test_a_count_that_has_ended_stays_so():
    """One-shot mode at 0, made periodic: the timer waits for a new count."""
    lapic, time = one()
    lapic.write(DIVIDE, 4, 11)
    lapic.write(TIMER, 4, 0x40)
    lapic.write(INITIAL, 4, 100)
    assert until(lapic, time, 150) == [100]
    lapic.write(TIMER, 4, 0x20040)
    time.now = 170
    assert (lapic.read(CURRENT, 4), lapic.deadline()) == (0, None)
    lapic.write(INITIAL, 4, 100)
    assert (lapic.read(CURRENT, 4), lapic.deadline()) == (100, 270)


def test_periodic_does_not_drift():
    lapic, time = one()
    lapic.write(DIVIDE, 4, 11)
    lapic.write(TIMER, 4, 0x20040)
    lapic.write(INITIAL, 4, 333)
    time.now = 100
    lapic.read(CURRENT, 4)
    assert until(lapic, time, 5000) == [333 * k for k in range(1, 16)]
    lapic.write(INITIAL, 4, 0)
    assert lapic.deadline() is None


def test_masked_then_unmasked():
    lapic, time = one()
    lapic.write(DIVIDE, 4, 11)
    lapic.write(TIMER, 4, 0x10040)
    lapic.write(INITIAL, 4, 100)
    assert lapic.deadline() is None
    time.now = 50
    lapic.write(TIMER, 4, 0x40)
    assert lapic.deadline() == 100
    lapic.write(TIMER, 4, 0x10040)
    time.now = 150
    lapic.write(TIMER, 4, 0x40)
    assert lapic.deadline() is None


def test_tsc_deadline():
    lapic, time = one()
    lapic.core.tsc_offset = 1000
    lapic.write_msr(0x6E0, 5000)
    assert lapic.core.tsc_deadline == 0  # another mode: ignored
    lapic.write(TIMER, 4, 0x40040)
    lapic.write_msr(0x6E0, 5000)
    assert lapic.deadline() == 4000
    lapic.write_msr(0x10, 3000)  # the TSC jumps
    assert lapic.deadline() == 2000
    assert until(lapic, time, 10**6) == [2000]
    assert (lapic.core.tsc_deadline, vectors(lapic)) == (0, [0x40])
    lapic.write_msr(0x6E0, 1)  # long past: at once
    assert lapic.deadline() == time.now


def test_virtual_wire():
    lapic, _ = one()
    lapic.virtual_wire()
    lapic.core.cr8 = 15
    lapic.lint(0)(True)
    assert lapic.core.announced == EXTERNAL
    assert lapic.acknowledge() == 0x77
    lapic.write(LINT0, 4, 0x10700)
    assert lapic.core.announced == 0
    lapic.lint(1)(True)
    assert lapic.core.log == ["nmi"]
    lapic.set_mode(0)  # without an APIC the pin is INTR
    assert lapic.core.announced == EXTERNAL
    assert lapic.read(ID, 4) == 0xFFFFFFFF


@pytest.mark.parametrize(
    "number, value, good",
    [(0x808, 0xFF, True), (0x808, 0x100, False), (0x80B, 0, True), (0x80B, 1, False), (0x802, 0, False), (0x80D, 0, False),
     (0x80E, 0, False), (0x830, 0x1_0000_0041, True), (0x831, 0, False), (0x83F, 0x41, True), (0x83F, 0x141, False),
     (0x832, 0x60040, True), (0x832, 0x80000, False), (0x828, 0, True), (0x828, 1, False), (0x8FF, 0, False)],
)  # fmt: skip
def test_x2apic_writes(number, value, good):
    lapic, _ = one()
    lapic.set_mode(X2APIC)
    assert lapic.write_msr(number, value) is good


def test_x2apic_reads_and_ids():
    bus, _ = board(20)
    for lapic in bus.targets:
        lapic.set_mode(X2APIC)
    last = bus.targets[19]
    assert [last.read_msr(n) for n in (0x802, 0x80D, 0x80B, 0x83F, 0x80E, 0x831)] == [19, 1 << 16 | 1 << 3, None, None, None, None]
    bus.targets[0].write_msr(0x830, (1 << 16 | 0x0A) << 32 | 0x850)
    assert [n for n, lapic in enumerate(bus.targets) if lapic.read_msr(0x822)] == [17, 19]
    bus.targets[0].write_msr(0x830, 0xFFFFFFFF << 32 | 0x60)
    assert all(lapic.read_msr(0x823) == 1 for lapic in bus.targets)


# ---- the I/O APIC


def entry(ioapic, n, low, high=0):
    for register, value in ((0x11 + 2 * n, high), (0x10 + 2 * n, low)):
        ioapic.write(0, 4, register)
        ioapic.write(0x10, 4, value)


def get(ioapic, register):
    ioapic.write(0, 4, register)
    return ioapic.read(0x10, 4)


def test_ioapic_registers():
    ioapic = Ioapic(ApicBus(), 1)
    assert [get(ioapic, n) for n in (0, 1, 2, 0x10, 0x11, 0x40, 0xFF)] == [1 << 24, 0x170020, 1 << 24, 0x10000, 0, 0, 0]
    entry(ioapic, 5, 0xFFFFFFFF, 0xFFFFFFFF)
    assert (get(ioapic, 0x1A), get(ioapic, 0x1B)) == (0x1AFFF, 0xFF000000)


def test_edges():
    bus, _ = board()
    lapic, ioapic = bus.targets[0], Ioapic(bus)
    line = ioapic.irq(4)
    entry(ioapic, 4, 0x10034)
    line(True)
    entry(ioapic, 4, 0x34)
    assert vectors(lapic) == []  # an edge at a masked input is lost
    line(False)
    line(True)
    line(True)
    assert lapic.acknowledge() == 0x34
    lapic.write(EOI, 4, 0)
    assert vectors(lapic) == []


def test_levels():
    bus, _ = board()
    lapic, ioapic = bus.targets[0], Ioapic(bus)
    line = ioapic.irq(9)
    line(True)
    entry(ioapic, 9, 0x8045)
    assert (vectors(lapic), vectors(lapic, TMR), get(ioapic, 0x22)) == ([0x45], [0x45], 0xC045)
    assert lapic.acknowledge() == 0x45
    lapic.write(EOI, 4, 0)
    assert vectors(lapic) == [0x45]  # still there: again
    lapic.acknowledge()
    line(False)
    lapic.write(EOI, 4, 0)
    assert (vectors(lapic), get(ioapic, 0x22)) == ([], 0x8045)


def test_message_in_memory():
    bus, _ = board(2)
    assert bus.message_in_memory(0xFEE01000, 0x61)
    assert [vectors(lapic) for lapic in bus.targets] == [[], [0x61]]


@pytest.mark.parametrize("seed", range(20))
def test_random_scripts(seed):
    r = random.Random(seed)
    bus, time = board(3)
    ioapic = Ioapic(bus)
    for _ in range(150):
        lapic = r.choice(bus.targets)
        width, what = r.choice((1, 2, 4, 8)), r.randrange(9)
        value = r.choice((r.getrandbits(8 * width), r.getrandbits(20)))
        offset = r.choice((r.randrange(0x40) << 4, r.randrange(0x1000)))
        if what < 2:
            assert 0 <= lapic.read(offset, width) < 1 << 8 * width
        elif what < 4:
            lapic.write(offset, width, value & (1 << 8 * width) - 1)
        elif what == 4:
            lapic.write_msr(r.choice((0x800 + r.randrange(64), 0x6E0, 0x10)), r.getrandbits(r.choice((8, 20, 64))))
            value = lapic.read_msr(0x800 + r.randrange(256))
            assert value is None or 0 <= value < 1 << 64
        elif what == 5:
            ioapic.write(r.choice((0, 0x10, 0x40, 7)), width, r.choice((value, r.randrange(64))) & (1 << 8 * width) - 1)
            assert 0 <= ioapic.read(r.choice((0, 0x10, 0x40, 7)), width) < 1 << 8 * width
        elif what == 6:
            ioapic.set_line(r.randrange(24), r.random() < 0.5)
            lapic.lint(r.randrange(2))(r.random() < 0.5)
        elif what == 7 and lapic.core.announced:
            assert 0 <= lapic.acknowledge() < 256
        else:
            if r.random() < 0.05:
                lapic.set_mode(r.choice((0, 2, 3)))
            due = lapic.deadline()
            if due is not None and due - time.now < 10**6:
                time.now = max(due, time.now)
                lapic.advance(time.now)
            time.now += r.choice((0, 1, 1000))
