"""reverse(step(x)) == x: over random guests with interrupts, devices, faults and several CPUs, and over what the user does meanwhile."""

import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.debugger.past.test_history import BOUND, digest, often  # noqa: F401
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past.history import HistoryError
from vmdbg.debugger.writing import WriteError
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load_flat import load_flat

BASE, AP_CODE, IDT, HANDLERS, IDTR, BODY = 0x100000, 0x2000, 0x3000, 0x1000, 0x1F00, 0x100
CODE_SELECTOR = 8
PIECES = [
    "40 4b 31d8 01c3 f7e3 c1c005 0fc8 0fb6c3 87d9 9c 9d f8 f9 99 60 61",  # registers, flags
    "a300500000 030500500000 ff0500500000 893d10500000 a4 aa ad f3a4 f3ab",  # memory
    "fb fa f4 cd80 cd20 cc 0f0b f390 0f31 0fa2",  # interrupts, HLT, INT, UD2, PAUSE, RDTSC, CPUID
    "b000e643 b034e643 e640 e440 e440",  # PIT
    "b011e620 b0fee621 b000e621 b020e620 e420 e421",  # PIC
    "b00ae670 e471 b00be670 b042e671",  # RTC
    "66baf803ec 66baf803ee 66bafd03ec 66baf903b00fee",  # COM1
    "e460 e464 b020e664 b0d1e664 66bac003ee 66bada03ec",  # keyboard, VGA
    "a12000e0fe a19003e0fe c7058003e0fe00040000 c7052003e0fe20000200 c705f000e0feff010000 c705b000e0fe00000000",  # APIC
]
TIMER = bytes.fromhex("b036e643 b004e640 b000e640 b011e620b020e621b004e621b001e621 b000e621".replace(" ", ""))


def instructions(dice: random.Random) -> bytes:
    """Some that mean something, some that are just bytes, a jump now and then."""
    out = bytearray()
    for _ in range(dice.randrange(5, 60)):
        kind = dice.randrange(10)
        if kind == 0:
            out += dice.randbytes(dice.randrange(1, 5))
        elif kind == 1:
            out += b"\xeb" + bytes([dice.randrange(256)])
        elif kind == 2:
            out += b"\xbf" + struct.pack("<I", dice.choice((0x5000, 0xB8000, BASE + dice.randrange(0x400))))  # EDI
        else:
            words = dice.choice(PIECES).split()
            out += bytes.fromhex(dice.choice(words))
    return bytes(out) + b"\xe9" + struct.pack("<i", -len(out) - 5)


def image(dice: random.Random, cpus: int) -> bytes:
    """Flat 32-bit code with an IDT whose handlers go on after what faulted; other CPUs are started into code of their own."""
    data = bytearray(0x4000)

    def put(at: int, piece: bytes) -> int:
        data[at : at + len(piece)] = piece
        return at + len(piece)

    plain, coded = BASE + HANDLERS, BASE + HANDLERS + 0x40
    put(HANDLERS, bytes.fromhex("50 ff0504500000 ff442404 b020e620 58 cf".replace(" ", "")))  # count, EIP + 1, end of interrupt
    put(HANDLERS + 0x40, bytes.fromhex("83c404 50 ff0508500000 ff442404 58 cf".replace(" ", "")))
    put(HANDLERS + 0x80, bytes.fromhex("50 ff050c500000 b020e620 c705b000e0fe00000000 58 cf".replace(" ", "")))
    for vector in range(256):
        to = coded if vector in (8, 10, 11, 12, 13, 14, 17) else plain if vector < 32 and vector != 3 else BASE + HANDLERS + 0x80
        put(IDT + 8 * vector, struct.pack("<HHHH", to & 0xFFFF, CODE_SELECTOR, 0x8E00, to >> 16))
    put(IDTR, struct.pack("<HI", 2047, BASE + IDT))
    at = put(0, b"\x0f\x01\x1d" + struct.pack("<I", BASE + IDTR))  # LIDT
    if cpus > 1:
        code = instructions(dice)
        put(AP_CODE, code)
        at = put(at, b"\xbe" + struct.pack("<I", BASE + AP_CODE) + b"\xbf\x00\x80\x00\x00\xb9" + struct.pack("<I", len(code)) + b"\xf3\xa4")
        for command in (0x000C4500, 0x000C4608):  # INIT, SIPI to 8000h, to all others
            at = put(at, b"\xc7\x05\x00\x03\xe0\xfe" + struct.pack("<I", command))
    if dice.random() < 0.7:
        at = put(at, TIMER + b"\xfb")
    put(at, instructions(dice))
    return bytes(data)


def session(folder, seed: int, cpus: int):
    path, dice = folder / "guest", random.Random(seed)
    data = image(dice, cpus)
    path.write_bytes(data)
    return open_bare(load_flat(path, data, Options(memory=2 << 20, bits=32, cpus=cpus)), history=BOUND), dice


def user(s, dice: random.Random) -> None:
    """Somebody types, or writes."""
    kind = dice.randrange(5)
    try:
        if kind == 0:
            s.give("serial", dice.randbytes(dice.randrange(1, 4)))
        elif kind == 1:
            s.give("key", (dice.choice("abc"), True))
        elif kind == 2:
            s.write_register(dice.choice(("eax", "ecx", "zf", "esi")), dice.randrange(2))
        elif kind == 3:
            s.write_memory(BASE + dice.randrange(0x800), dice.randbytes(4), "physical")
    except WriteError:
        pass  # in the middle of an instruction


def check(folder, seed: int, cpus: int) -> int:
    """Steps forward and back again from many moments; how many moments there were."""
    s, dice = session(folder, seed, cpus)
    moments = 0
    for _ in range(12):
        if s.step(dice.choice((1, 3, 40, 700))).ended:
            break
        user(s, dice)
        before, position = digest(s), s.position
        asked = dice.choice((1, 1, 2, 9, 300, 4000))
        ended = s.step(asked).ended  # what ends a machine is no step
        after, steps = digest(s), s.position - position
        if steps == 0:
            break
        s.reverse_step(steps)
        assert s.position == position and digest(s) == before, f"seed {seed}, {cpus} CPUs: {steps} steps back to {position}"
        moments += 1
        if dice.random() < 0.5 and not ended:
            s.step(asked)  # where it waits for good, time has passed that a count of what it did would leave out
            assert s.position == position + steps and digest(s) == after, f"seed {seed}, {cpus} CPUs: {steps} steps from {position} again"
    end, last = digest(s), s.position
    for position in (0, last // 2, last):
        try:
            s.goto(position)
        except HistoryError as e:
            raise AssertionError(f"seed {seed}, {cpus} CPUs: {e}") from None
    assert digest(s) == end, f"seed {seed}, {cpus} CPUs: from the start to {last} again"
    return moments


RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=6, deadline=None, suppress_health_check=RELAXED, derandomize=True)
@given(seed=st.integers(0, 1 << 32), cpus=st.integers(1, 3))
def test_reverse_of_step_threaded(tmp_path, seed, cpus):
    check(tmp_path, seed, cpus)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=RELAXED)
@given(seed=st.integers(0, 1 << 32), cpus=st.integers(1, 3))
def test_reverse_of_step_at_length_threaded(tmp_path, seed, cpus):
    check(tmp_path, seed, cpus)


def test_the_guests_do_what_they_are_for_threaded(tmp_path):
    """Among a few guests there are interrupts, exceptions, devices and a second CPU that runs."""
    delivered, running, moments, said = set(), 0, 0, 0
    for seed in range(12):
        s, _ = session(tmp_path, seed, 2)
        s.step(20_000)
        delivered |= {v for cpu in s.machine.cpus for v in range(256) if int(cpu.deliveries[v])}
        running += int(s.machine.cpus[1].instructions) > 100
        said += len(s.monitor.log)
    moments += check(tmp_path, 1, 1)
    assert {6, 13, 0x20} <= delivered and len(delivered) > 4 and running > 6 and moments > 2 and said
