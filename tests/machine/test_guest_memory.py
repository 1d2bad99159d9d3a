"""Guest memory for a debugger: what compiled code finds is what the level-by-level walk in Python finds, and nothing is touched."""

import random

import numpy as np
import pytest

from isa.lang.struct import words64
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import CR0_PE, CR0_PG, CR4_PAE, CR4_PSE, EFER_LMA, EFER_LME, Cpu

RAM = 1 << 18
MODES = {"off": (0, 0, 0), "32": (CR0_PG, CR4_PSE, 0), "pae": (CR0_PG, CR4_PAE, 0), "long": (CR0_PG, CR4_PAE, EFER_LMA | EFER_LME)}


def machine(engine: str, mode: str, seed: int) -> Machine:
    """Page tables of random entries in the first pages of RAM, random bytes behind them."""
    m, chance = Machine(RAM, engine=engine), random.Random(seed)
    m.ram[:] = np.frombuffer(chance.randbytes(RAM), np.uint8)
    cpu = m.cpus[0]
    cpu.cr0, cpu.cr4, cpu.efer = (MODES[mode][0] | CR0_PE, *MODES[mode][1:])
    cpu.cr3 = 0x1000
    size = 4 if mode == "32" else 8
    for at in range(0x1000, 0x8000, size):
        target = chance.choice([*[chance.randrange(1, 8)] * 5, chance.randrange(RAM >> 12), chance.randrange(1 << 20)]) << 12
        entry = target | chance.choice([1, 1, 1, 0x81, 0]) | chance.choice([0, 0x66, 0x100])
        m.ram[at : at + size] = np.frombuffer(entry.to_bytes(size, "little"), np.uint8)
    for n in range(4):
        cpu.pdpte[n] = chance.randrange(1, 8) << 12 | (n != 3)
    return m


def addresses(mode: str, seed: int, count: int) -> list[int]:
    chance, end = random.Random(seed), {"off": 2 * RAM, "long": 1 << 48}.get(mode, 1 << 32)
    return [chance.randrange(end) for _ in range(count)] + [0, 0xFFF, RAM - 1, (1 << 64) - 1]


def state(m: Machine) -> tuple:
    return m.ram.tobytes(), m.page_flags.array.tobytes(), m.page_dirty.array.tobytes(), m.cpu_states.tobytes()


@pytest.mark.parametrize("engine", ["plain", "threaded"])
@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_walk_is_the_one_in_python(engine, mode):
    m = machine(engine, mode, 7)
    before, found = state(m), 0
    for linear in addresses(mode, 8, 300):
        physical, _levels = m.walk(0, linear)
        assert m.physical_of(0, linear) == physical, hex(linear)
        data = None if physical is None else m.read_physical(physical, 1)
        assert m.read_linear(0, linear, 1) == data
        found += data is not None
    assert state(m) == before and found > 10


@pytest.mark.parametrize("engine", ["plain", "threaded"])
def test_a_read_ends_where_memory_does(engine):
    m = Machine(RAM, engine=engine)
    m.write_physical(RAM - 3, b"end")
    assert m.read_linear(0, RAM - 3, 3) == b"end" and m.read_linear(0, RAM - 3, 4) is None
    assert m.mapped_at(0, RAM - 3, 15) == b"end" and m.mapped_at(0, RAM, 15) == b""
    assert m.read_linear(0, 0, 0) == b""


@pytest.mark.parametrize("engine", ["plain", "threaded"])
def test_a_read_crosses_pages_and_goes_through_the_a20_gate(engine):
    m = Machine(2 << 20, engine=engine)
    m.write_physical(0xFFC, b"abcdefgh")
    assert m.read_linear(0, 0xFFC, 8) == b"abcdefgh"
    m.cpus[0].a20_mask = (1 << 64) - 1 ^ 1 << 20
    assert m.read_linear(0, 0x100FFC, 8) == b"abcdefgh" and m.physical_of(0, 0x100000) == 0


def test_arrays_of_a_struct_can_be_listed():
    m = Machine(RAM, engine="plain")
    assert len(m.cpus[0].gpr) == len(list(m.cpus[0].gpr)) == Cpu.fields["gpr"][2]
    with pytest.raises(TypeError, match="no length"):
        list(words64(m.ram.ctypes.data))
