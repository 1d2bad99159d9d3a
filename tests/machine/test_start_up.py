"""INIT, SIPI and what a store to a local APIC starts: delivered events are steps, at the same position in any slicing."""

import struct

import pytest

from vmdbg.machine.board.pc import Pc
from vmdbg.machine.machine import Machine
from vmdbg.machine.reset import ACTIVE, WAIT_FOR_SIPI
from vmdbg.machine.state import CS, DS, RAX, RBX, RCX, RDX

ENGINES = ("plain", "threaded")
CODE, OTHER, HANDLER = 0x1000, 0x9000, 0x2000
APIC = 0xFEE00000
INIT, SIPI, TIMER = 0x4500, 0x600 | OTHER >> 12, 0x40
NOPS = b"\x90" * 200


def store(register: int, value: int) -> bytes:
    """MOV dword [APIC + register], value, in 16-bit code with a DS of 4 GiB."""
    return b"\x67\x66\xc7\x05" + struct.pack("<II", APIC + register, value)


def machine(engine: str, code: bytes, cpus: int = 2) -> Machine:
    """vCPU 0 executes `code` in real mode, with interrupts on; where a SIPI leads: INC AX for ever; the timer's handler counts in CX."""
    m = Machine(1 << 20, cpus, engine)
    m.pc = Pc(m, lambda byte: None)
    m.write_physical(CODE, code + NOPS)
    m.write_physical(OTHER, b"\x40\xeb\xfd")
    m.write_physical(4 * TIMER, struct.pack("<HH", HANDLER, 0))
    m.write_physical(HANDLER, b"\x41\xcf")
    cpu = m.cpus[0]
    cpu.seg_selector[CS], cpu.seg_base[CS], cpu.rip, cpu.eflags = 0, 0, CODE, 0x202
    cpu.seg_limit[DS] = 0xFFFFFFFF
    cpu.gpr[4] = 0x8000
    return m


def whole(m: Machine) -> tuple:
    return m.position, m.clock, [(int(c.rip), int(c.gpr[RAX]), int(c.gpr[RCX]), int(c.events), int(c.activity)) for c in m.cpus]


STARTS = store(0x310, 1 << 24) + store(0x300, INIT) + store(0x300, SIPI)


@pytest.mark.parametrize("engine", ENGINES)
def test_init_and_sipi_are_steps(engine):
    """Three stores and two events: each event comes right after the store that asked for it."""
    m = machine(engine, STARTS)
    assert int(m.cpus[1].activity) == WAIT_FOR_SIPI
    m.cpus[1].gpr[RBX] = 5
    seen = []
    for _ in range(5):
        assert m.run(1).reason == "budget"
        seen.append((int(m.cpus[0].instructions), int(m.cpus[1].events), int(m.cpus[1].gpr[RBX]), int(m.cpus[1].activity)))
    waiting, started = WAIT_FOR_SIPI, ACTIVE
    assert seen == [(1, 0, 5, waiting), (2, 0, 5, waiting), (2, 1, 0, waiting), (3, 1, 0, waiting), (3, 2, 0, started)]
    assert m.position == 5 and {int(c.clock) for c in m.cpus} == {5}
    assert (int(m.cpus[1].seg_base[CS]), int(m.cpus[1].rip)) == (OTHER, 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sipi_that_nobody_waits_for_is_no_step(engine):
    m = machine(engine, STARTS + store(0x300, SIPI))
    m.run(5)
    m.run(2)
    assert [int(c.events) for c in m.cpus] == [0, 2] and m.position == 7 and int(m.cpus[1].startup) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_an_init_to_oneself_ends_the_store_first(engine):
    m = machine(engine, store(0x310, 0) + store(0x300, INIT), cpus=1)
    m.run(2)
    assert int(m.cpus[0].instructions) == 2 and int(m.cpus[0].rip) == CODE + 24
    m.run(1)
    assert (int(m.cpus[0].instructions), int(m.cpus[0].events), int(m.cpus[0].rip)) == (2, 1, 0xFFF0)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_init_through_an_msr_waits_for_its_wrmsr(engine):
    m = machine(engine, b"\x0f\x30" + NOPS)
    cpu = m.cpus[0]
    cpu.apic_base = int(cpu.apic_base) | 0xC00
    m.pc.lapics[0].set_mode(3)
    cpu.gpr[RAX], cpu.gpr[RCX], cpu.gpr[RDX] = INIT, 0x830, 1
    m.cpus[1].gpr[RBX] = 5
    m.run(1)
    assert (int(cpu.instructions), int(m.cpus[1].gpr[RBX])) == (1, 5)
    m.run(1)
    assert (int(cpu.instructions), int(m.cpus[1].gpr[RBX]), int(m.cpus[1].events)) == (1, 0, 1)


IPIS = b"".join(
    b"\x66\xb8" + struct.pack("<I", low) + b"\x66\xba" + struct.pack("<I", to) + b"\x66\xb9" + struct.pack("<I", msr) + b"\x0f\x30\xf3\x90"
    for low, to, msr in (
        (0x400, 0, 0x830),
        (0x4000 | TIMER, 1, 0x830),
        (TIMER, 0, 0x83F),
        (0x400, 1, 0x830),
        (TIMER, 0, 0x830),
        (0, 0, 0x80B),
    )
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("halted", [False, True])
def test_slices_change_no_message(engine, halted):
    """A vCPU goes on after ICR, SELF IPI and EOI of its x2APIC unless the message woke somebody; what comes when is the same."""
    runs = []
    for slices in ([150], [1] * 150, [7] * 21 + [3]):
        m = machine(engine, IPIS)
        m.write_physical(4 * 2, struct.pack("<HH", HANDLER + 0x80, 0))  # NMI: INC BX
        m.write_physical(HANDLER + 0x80, b"\x43\xcf")
        m.write_physical(OTHER, b"\xf4\x40\xeb\xfc" if halted else b"\x40\xf3\x90\xeb\xfb")
        for cpu, lapic in zip(m.cpus, m.pc.lapics, strict=True):
            cpu.apic_base = int(cpu.apic_base) | 0xC00
            lapic.write_msr(0x1B, int(cpu.apic_base))
            lapic.write_msr(0x80F, 0x1FF)
        other = m.cpus[1]
        other.seg_selector[CS], other.seg_base[CS], other.rip, other.eflags, other.activity = OTHER >> 4, OTHER, 0, 0x202, ACTIVE
        other.gpr[4] = 0x7000
        for n in slices:
            m.run(n)
        runs.append((*whole(m), [int(c.gpr[RBX]) for c in m.cpus]))
    assert runs[0] == runs[1] == runs[2]
    assert runs[0][-1] == [1, 1] and all(int(c.deliveries[TIMER]) for c in m.cpus)


@pytest.mark.parametrize("engine", ENGINES)
def test_reading_the_count_changes_nothing(engine):
    """The timer's interrupt comes where it is due, however often the count is polled before; each read is of its own time."""
    poll = b"\x66\xb9\x39\x08\x00\x00\x0f\x32\x66\x89\xc3\xeb\xf3"  # again: mov ecx, 839h; rdmsr; mov ebx, eax; jmp again
    runs = []
    for slices in ([103], [1] * 103):
        m = machine(engine, poll, cpus=1)
        cpu, lapic = m.cpus[0], m.pc.lapics[0]
        cpu.apic_base = int(cpu.apic_base) | 0xC00
        for number, value in ((0x1B, int(cpu.apic_base)), (0x80F, 0x1FF), (0x83E, 0xB), (0x832, TIMER), (0x838, 90)):
            lapic.write_msr(number, value)
        m.devices_changed()
        counts = []
        for n in slices:
            m.run(n)
            counts.append((int(cpu.gpr[RBX]), int(cpu.deliveries[TIMER])))
        runs.append(whole(m))
    assert runs[0] == runs[1]
    assert [count for count, _ in counts[2:88:4]] == list(range(89, 3, -4))
    assert [delivered for _, delivered in counts[89:92]] == [0, 1, 1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "code",
    [
        STARTS,
        store(0xF0, 0x1FF) + store(0x3E0, 0xB) + store(0x320, TIMER) + store(0x380, 20),
        STARTS + store(0xF0, 0x1FF) + store(0x3E0, 0xB) + store(0x320, TIMER | 0x20000) + store(0x380, 30),
    ],
    ids=["start-up", "timer", "both"],
)
def test_slices_change_nothing(engine, code):
    """What a store to the APIC starts is heard at once, not when the slice is over."""
    runs = []
    for slices in ([150], [1] * 150, [7] * 21 + [3]):
        m = machine(engine, code)
        for n in slices:
            m.run(n)
        runs.append(whole(m))
    assert runs[0] == runs[1] == runs[2]
    assert runs[0][0] == 150 and sum(events for *_, events, _ in runs[0][2]) >= 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_timer_that_a_store_sets_comes_at_its_step(engine):
    """Four stores, 20 ns from the end of the last one: the interrupt is delivered after 24 steps, within one long run, too."""
    m = machine(engine, store(0xF0, 0x1FF) + store(0x3E0, 0xB) + store(0x320, TIMER) + store(0x380, 20), cpus=1)
    m.run(100)
    assert int(m.cpus[0].gpr[RCX]) == 1
    m = machine(engine, store(0xF0, 0x1FF) + store(0x3E0, 0xB) + store(0x320, TIMER) + store(0x380, 20), cpus=1)
    m.run(24)
    assert int(m.cpus[0].events) == 0
    m.run(1)
    assert int(m.cpus[0].events) == 1 and int(m.cpus[0].rip) == HANDLER
