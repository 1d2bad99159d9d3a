"""Strings: what is done in bulk, in slices of any size, or one iteration at a time ends in the same bytes, registers and flags."""

import random

import numpy as np
import pytest

import isa
from isa.lang.word import U64
from tests.machine import one
from tests.oracles.layout import CF, CODE_START, DF, PAGE, RAX, RCX, RDI, READ_ONLY, RSI, WINDOW, WINDOW_SIZE, empty
from vmdbg.machine import kinds
from vmdbg.machine.physical import PAGE_CODE
from vmdbg.machine.slots import begin, commit
from vmdbg.machine.state import FAULT, NEXT, REPEAT, SLOW

CODES = {"movs": 0xA4, "stos": 0xAA, "lods": 0xAC, "cmps": 0xA6, "scas": 0xAE}
SIZES = {8: b"", 16: b"\x66", 32: b"", 64: b"\x48"}


def encoded(name, bits, rep, address=b""):
    return address + bytes([rep]) + SIZES[bits][:1] + bytes([CODES[name] + (bits != 8)])


def random_state(rng):
    """Two areas in the window that often overlap, with bytes that are often equal."""
    state = empty(1)[0]
    state["rip"], state["rflags"] = CODE_START, 0x202 | CF | (DF if rng.random() < 0.2 else 0)
    state["window"] = np.frombuffer(bytes(rng.choice(b"\0\0\0\0\0\0\x80\x01") for _ in range(WINDOW_SIZE)), np.uint8)
    source = rng.randrange(64, WINDOW_SIZE - 64)
    target = source + rng.randrange(-40, 40) if rng.random() < 0.5 else rng.randrange(64, WINDOW_SIZE - 64)
    state["gpr"][[RSI, RDI, RCX, RAX]] = (
        WINDOW + source,
        WINDOW + target,
        rng.choice([0, 1, 2, 7, 40, 90, 200]),
        rng.choice([0, 0x8000000000000001]),
    )
    return state


def run(machine, state, code, budget, tracked=False):
    """(result, iterations) with this many iterations at most in one call; budget 0: one at a time through slots as well."""
    machine.mode(64)
    i = isa.decode(code, bits=64, ip=CODE_START)
    machine.load(state)
    cpu, kind, done = machine.cpu, kinds.kind_of(i.form, 0), 0
    machine.fill(i, CODE_START)
    while True:
        most = budget()
        cpu.budget = U64(most)
        cpu.slow = U64(0)
        status = machine.attempt(kind)
        if status == FAULT and cpu.vector == SLOW:
            cpu.slow = U64(1)
            begin(cpu)
            status = machine.attempt(kind)
            if status != FAULT:
                assert commit(cpu) == NEXT
            cpu.slow = U64(0)
        if status == FAULT:
            return machine.result(status, state), done
        done += most - int(cpu.budget) + 1
        if status != REPEAT:
            return machine.result(status, state), done


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("name", CODES)
def test_slices(name, bits, count):
    """Budgets are spent exactly, and never seen in the result."""
    rng, machine = random.Random(f"{name}{bits}"), one.One()
    for _ in range(count):
        state, code = random_state(rng), encoded(name, bits, rng.choice([0xF2, 0xF3]), rng.choice([b"", b"", b"\x67"]))
        want = run(machine, state, code, lambda: 0)
        for budget in (lambda: 1 << 40, lambda: rng.randrange(20)):
            got = run(machine, state, code, budget)
            assert got[0].tobytes() == want[0].tobytes()
            assert got[1] == want[1]


@pytest.mark.parametrize("bits", [8, 32])
def test_tracked_page(bits):
    """Beside translated code bulk stops at every granule, and the write into it goes through a slot."""
    rng, machine = random.Random(bits), one.One()
    state = random_state(rng)
    state["rflags"] = 0x202
    state["gpr"][[RDI, RCX, RAX]] = WINDOW + 100, 200, 0x1122334455667788
    want = run(machine, state, encoded("stos", bits, 0xF3), lambda: 0)
    machine = one.One()
    machine.flags[WINDOW >> 12] |= PAGE_CODE
    machine.code[WINDOW >> 12] = 1 << 4  # bytes 256 .. 319
    slow = []
    attempt = machine.attempt

    def watched(kind):
        epoch = machine.cpu.write_epoch
        status = attempt(kind)
        if machine.cpu.vector == SLOW and status == FAULT and machine.cpu.write_epoch == epoch:
            slow.append(int(machine.cpu.gpr[RDI]) - WINDOW)
            machine.flags[WINDOW >> 12] = PAGE_CODE
        machine.cpu.vector = machine.cpu.vector if status == FAULT else 0
        return status

    machine.attempt = watched
    state["gpr"][RCX] = (256 - 100) // (bits // 8)
    run(machine, state, encoded("stos", bits, 0xF3), lambda: 1 << 40)
    assert slow == []
    assert bytes(machine.bytes[WINDOW + 100 : WINDOW + 256]) == want[0]["window"][100:256].tobytes()


def test_fault_in_the_middle():
    """What was done before a fault stays done, and the registers point at the iteration that faulted."""
    machine = one.One()
    state = random_state(random.Random(1))
    state["rflags"] = 0x202
    state["gpr"][[RSI, RDI, RCX]] = WINDOW, WINDOW + WINDOW_SIZE - 24, 100
    result, done = run(machine, state, encoded("movs", 64, 0xF3), lambda: 1 << 40)
    assert (result["vector"], done) == (14, 3)
    assert [int(result["gpr"][n]) for n in (RSI, RDI, RCX)] == [WINDOW + 24, WINDOW + WINDOW_SIZE, 97]
    assert result["fault_address"] == WINDOW + WINDOW_SIZE


def test_read_only_target():
    machine = one.One()
    state = random_state(random.Random(2))
    state["gpr"][[RSI, RDI, RCX]] = WINDOW, READ_ONLY + 8, 2
    result, done = run(machine, state, encoded("movs", 8, 0xF3), lambda: 1 << 40)
    assert (result["vector"], result["error_code"], done) == (14, 7, 0)


def test_sixteen_bit_addresses_wrap():
    """With 16-bit addresses SI and DI wrap inside a bulk of any size, and only they and CX change."""
    machine = one.One()
    machine.mode(32)
    cpu = machine.cpu
    state = random_state(random.Random(3))
    state["rflags"] = 0x202
    high = 0xABCD0000
    state["gpr"][[RSI, RDI, RCX, RAX]] = 5, high | 0xFFF0, high | 0x20, 0x5A
    i = isa.decode(b"\x67\xf3\xaa", bits=32, ip=CODE_START)
    machine.load(state)
    machine.mode(32)
    machine.fill(i, CODE_START)
    cpu.seg_base[0] = U64(WINDOW + PAGE - 0x10000)
    entry = machine.bytes[: 6 * PAGE].view("<u8").reshape(6, 512)
    low = (WINDOW + PAGE - 0x10000) >> 12
    entry[3, low >> 9] = entry[3, low >> 9] or 0x4007
    entry[3, low >> 9] = 0x6007
    table = machine.bytes[6 * PAGE : 7 * PAGE].view("<u8")
    table[low & 511] = (WINDOW + PAGE) | 7
    kind = kinds.kind_of(i.form, 0)
    cpu.budget = U64(1 << 40)
    assert machine.step(kind) == NEXT
    assert [int(cpu.gpr[n]) for n in (RDI, RCX)] == [high | 0x10, high]
    assert bytes(machine.bytes[WINDOW + PAGE - 16 : WINDOW + PAGE + 16]) == b"\x5a" * 32
