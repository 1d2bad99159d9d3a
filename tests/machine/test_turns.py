"""Several vCPUs: turns are a function of steps alone, so slicing the budget changes nothing (contract.md section 5)."""

import pytest

from vmdbg.machine import machine as machines
from vmdbg.machine.machine import Machine
from vmdbg.monitor.guest import Guest, Piece
from vmdbg.monitor.start import start

BASE = 0x1000
QUANTUM = 100
SPIN = bytes.fromhex("f0 ff 05 f3 90 eb f9")  # again: lock inc word [di]; pause; jmp again
COUNT = bytes.fromhex("ff 05 eb fc")  # again: inc word [di]; jmp again


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(machines, "QUANTUM", QUANTUM)


def machine(*codes: bytes) -> Machine:
    """One plain vCPU in real mode for each code, all in one RAM; DI is 8000h, 8010h ..."""
    m = Machine(1 << 20, cpus=len(codes), engine="plain")
    for n, (cpu, code) in enumerate(zip(m.cpus, codes, strict=True)):
        at = BASE + 0x100 * n
        guest = Guest("code", "flat", 16, at, (Piece(at, code, len(code)),), 1 << 20)
        guest.place(m.ram)
        start(cpu, m.ram, guest)
        cpu.activity = 0
        cpu.gpr[7] = 0x8000 + 0x10 * n
    return m


def state(m: Machine) -> tuple:
    return m.position, m.clock, m.cpu_states[:, :1024].tobytes(), m.ram.tobytes()


def counts(m: Machine) -> list[int]:
    return [int(m.ram[0x8000 + 0x10 * n : 0x8002 + 0x10 * n].view("<u2")[0]) for n in range(len(m.cpus))]


@pytest.mark.parametrize("codes", [(COUNT, COUNT), (SPIN, COUNT), (SPIN, SPIN)])
def test_slices_change_nothing(codes):
    whole, sliced = machine(*codes), machine(*codes)
    total = QUANTUM * 2 + 77
    whole.run(total)
    done = 0
    for n in (1, 2, 3, 50, 1, QUANTUM, 7, total):
        n = min(n, total - done)
        sliced.run(n)
        done += n
    assert state(whole) == state(sliced)


def test_turns_are_quanta():
    m = machine(COUNT, COUNT)
    m.run(QUANTUM)
    assert [int(c.instructions) for c in m.cpus] == [QUANTUM, 0]
    m.run(QUANTUM + 1)
    assert [int(c.instructions) for c in m.cpus] == [QUANTUM + 1, QUANTUM]


def test_pause_gives_way():
    """A vCPU that spins on PAUSE leaves most of the time to one that works."""
    m = machine(SPIN, COUNT)
    m.run(QUANTUM * 3)
    spun, counted = counts(m)
    assert spun < 10 and counted > QUANTUM / 2


def test_one_clock():
    m = machine(COUNT, COUNT)
    m.run(QUANTUM + 5)
    assert {int(c.clock) for c in m.cpus} == {QUANTUM + 5} == {m.clock}
