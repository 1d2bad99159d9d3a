"""The whole board, wired: random register scripts from three vCPUs end in no traceback, no hang, no value too wide."""

import random

import pytest

from vmdbg.machine.board.pc import Pc
from vmdbg.machine.machine import Leave, Machine

# fmt: off
PORTS = [0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x60, 0x64, 0x92, 0xCF8, 0xCFC,
         0x3F8, 0x3F9, 0x3FB, 0x3FC, 0x3D4, 0x3D5, 0x80, 0x402]
# fmt: on
BASES = [0xFEE00000, 0xFEE00800, 0xFEE00900, 0xFEE00C00]  # values of IA32_APIC_BASE


def script(r: random.Random, m: Machine, pc: Pc) -> None:
    """5 to 30 accesses, MSRs and passages of time."""
    for _ in range(r.randrange(5, 30)):
        what, width = r.randrange(8), r.choice((1, 2, 4))
        port = r.choice(PORTS) if r.random() < 0.9 else r.randrange(65536)
        if what < 3:
            m.ports.write(port, width, r.getrandbits(8 * width))
        elif what < 5:
            assert 0 <= m.ports.read(port, width) < 1 << 8 * width
        elif what == 5:
            at, width = r.choice((0xFEE00000, 0xFEC00000)) + r.choice((r.randrange(64) << 4, r.randrange(4096))), r.choice((1, 2, 4, 8))
            m.device_memory.write(at, width, r.getrandbits(8 * width))
            assert 0 <= m.device_memory.read(at, width) < 1 << 8 * width
        elif what == 6:
            apic, number = r.choice(pc.lapics), r.choice((0x800 + r.randrange(64), 0x6E0, 0x10, 0x1B))
            apic.write_msr(number, r.choice(BASES) if number == 0x1B else r.getrandbits(r.choice((8, 20, 64))))
            apic.read_msr(0x800 + r.randrange(256))
        else:
            pass_time(r, m, pc)


def pass_time(r: random.Random, m: Machine, pc: Pc) -> None:
    due = min((d for t in m.timers if (d := t.deadline()) is not None), default=m.clock + r.randrange(10**6))
    for cpu in m.cpus:
        cpu.clock = max(m.clock, min(due, m.clock + 10**9))
    for timer in m.timers:
        timer.advance(m.clock)
    for n, cpu in enumerate(m.cpus):
        if int(cpu.intr) > int(cpu.cr8):
            assert 0 <= pc.acknowledge(n) < 256


def run(seed: int, count: int, monkeypatch) -> None:
    m = Machine(1 << 20, cpus=3, engine="plain")
    monkeypatch.setattr(m, "drop_code", lambda: None)  # there is none; in Python it takes long
    pc = Pc(m, lambda byte: None)
    for n in range(count):
        try:
            script(random.Random(seed + n), m, pc)
        except Leave:  # the script reset the machine
            pass


@pytest.mark.parametrize("seed", range(4))
def test_random_scripts(seed, monkeypatch):
    run(1000 * seed, 100, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_many_random_scripts(seed, monkeypatch):
    """100,000 scripts."""
    run(1_000_000 + 500 * seed, 500, monkeypatch)
