"""Delivery: chains of faults up to shutdown, EXT, NMI, IST, the redirection of virtual-8086 mode, debug registers."""

import numpy as np
import pytest

from isa.lang.word import U64
from tests.machine.whole import shared
from tests.oracles.layout import CODE, RSP
from tests.oracles.system import CS, IDT, KINDS, TABLES, TSS, generate
from vmdbg.machine.debug import data_breakpoint, instruction_breakpoint, io_breakpoint
from vmdbg.machine.events import deliver
from vmdbg.machine.gates import EXCEPTION, EXTERNAL, NMI_EVENT, SOFTWARE_INTERRUPT
from vmdbg.machine.state import (
    BRANCH,
    CR4_DE,
    CR4_VME,
    EXIT,
    F_IF,
    F_IOPL,
    F_NT,
    F_RF,
    F_TF,
    F_VIF,
    F_VIP,
    F_VM,
    FAULT,
    GP,
    PF,
    UD,
    X_SHUTDOWN,
)
from vmdbg.machine.tlb import refresh

RETURN = CODE + 0x8010
GATES = TABLES + 0x800 - TABLES


def cpu_in(name: str, **fields: int):
    """Our vCPU in a state of one kind, some fields of its record replaced."""
    state = generate(name, 1, 3)
    for field, value in fields.items():
        state[field] = value
    whole = shared()
    whole.load(state[0], b"\x90", KINDS[name])
    refresh(whole.cpu)
    return whole.cpu


def event(cpu, vector, kind, error=None):
    return deliver(cpu, U64(vector), U64(kind), U64(error or 0), U64(error is not None), U64(RETURN))


def chain(cpu):
    return [(int(cpu.chain_vector[n]), int(cpu.chain_error[n])) for n in range(int(cpu.chain_length))]


def word(address: int, size: int = 4) -> int:
    return int.from_bytes(shared().machine.ram[address : address + size].tobytes(), "little")


def poke(address: int, data: bytes) -> None:
    shared().machine.ram[address : address + len(data)] = np.frombuffer(data, np.uint8)


def test_without_an_idt_every_exception_is_a_triple_fault():
    """#UD is benign, so #GP follows it; two contributory faults make #DF, whose delivery fails too."""
    cpu = cpu_in("protected32", idtr_limit=0)
    assert event(cpu, UD, EXCEPTION) == EXIT and cpu.reason == X_SHUTDOWN and cpu.activity == 2
    assert chain(cpu) == [(6, 0), (GP, 0x33), (GP, 0x6B), (8, 0), (GP, 0x43)]


@pytest.mark.parametrize(
    ("first", "error", "missing", "expected"),
    [
        (GP, 0, [13], [13, 11, 8]),  # contributory, then contributory
        (PF, 2, [14], [14, 11, 8]),  # page fault, then contributory
        (UD, None, [6], [6, 11]),  # benign, then anything: handled one after the other
        (16, None, [16], [16, 11]),
    ],
)
def test_double_faults(first, error, missing, expected):
    """The gate of the first vector is not present: #NP."""
    cpu = cpu_in("protected32")
    for vector in missing:
        poke(IDT + 8 * vector + 5, b"\x0e")
    assert event(cpu, first, EXCEPTION, error) == BRANCH
    assert [v for v, _ in chain(cpu)] == expected
    assert int(cpu.rip) == CODE + 0x4000 + 16 * expected[-1]


def test_ext_is_set_unless_software_asked():
    cpu = cpu_in("protected32", idtr_limit=0x87)
    assert event(cpu, 0x40, SOFTWARE_INTERRUPT) == FAULT and (int(cpu.vector), int(cpu.error_code)) == (GP, 0x202)
    assert event(cpu, 0x40, EXTERNAL) == BRANCH
    assert chain(cpu) == [(0x40, 0), (GP, 0x203)]


def test_page_fault_sets_cr2_and_pushes_its_error_code():
    cpu = cpu_in("protected32_ring3")
    cpu.fault_address = 0x1234
    assert event(cpu, PF, EXCEPTION, 6) == BRANCH
    sp = int(cpu.gpr[RSP])
    assert int(cpu.cr2) == 0x1234 and word(sp) == 6 and word(sp + 4) == RETURN and int(cpu.cpl) == 0
    assert word(sp + 12) & F_RF and not int(cpu.eflags) & (F_RF | F_IF | F_TF | F_NT)


def test_nmi_is_blocked_until_iret():
    cpu = cpu_in("long")
    assert event(cpu, 2, NMI_EVENT) == BRANCH and cpu.nmi_blocked == 1
    assert int(cpu.gpr[RSP]) == TABLES + 0x1400 - 40  # IST 1
    cpu = cpu_in("long")
    assert event(cpu, 0x20, EXTERNAL) == BRANCH and cpu.nmi_blocked == 0


def test_long_mode_aligns_the_stack():
    cpu = cpu_in("long")
    cpu.gpr[RSP] = 0x1000_1007
    assert event(cpu, 0x20, EXTERNAL) == BRANCH and int(cpu.gpr[RSP]) == 0x1000_1000 - 40
    assert word(0x1000_1000 - 16, 8) == 0x1000_1007


@pytest.mark.parametrize("vif", [False, True])
@pytest.mark.parametrize("iopl", [0, 3])
def test_virtual_8086_redirection(iopl, vif):
    """With a clear bit in the redirection bitmap INT n goes through the vectors at 0; below IOPL 3 IF is played by VIF."""
    cpu = cpu_in("v86", rflags=2 | F_VM | F_IF | iopl << 12 | (F_VIF if vif else 0))
    cpu.cr4 = CR4_VME
    poke(TSS + 102, (0x90).to_bytes(2, "little"))
    poke(TSS + 0x70, bytes(32))
    cpu.seg_limit[7] = 0x1FF
    poke(0x21 * 4, (0x3456_0012).to_bytes(4, "little"))
    cpu.gpr[RSP] = 0x800
    assert deliver(cpu, U64(0x21), U64(SOFTWARE_INTERRUPT), U64(0), U64(0), U64(0x8002)) == BRANCH
    flags = word(int(cpu.seg_base[2]) + 0x7FE, 2)
    assert (int(cpu.seg_selector[CS]), int(cpu.rip), int(cpu.gpr[RSP])) == (0x3456, 0x12, 0x7FA)
    assert flags & F_IOPL == F_IOPL
    if iopl == 3:
        assert flags & F_IF and not cpu.eflags & F_IF != 0 and bool(int(cpu.eflags) & F_VIF) == vif
    else:
        assert bool(flags & F_IF) == vif and int(cpu.eflags) & F_IF and not int(cpu.eflags) & (F_VIF | F_VIP)


def test_virtual_8086_without_vme():
    cpu = cpu_in("v86", rflags=2 | F_VM)
    assert event(cpu, 0x21, SOFTWARE_INTERRUPT) == FAULT and (int(cpu.vector), int(cpu.error_code)) == (GP, 0)
    assert event(cpu, 3, 6) == BRANCH  # INT3 does not look at IOPL


def test_a_fault_of_the_new_task_is_reported_there():
    """JMP to a task whose LDT selector is bad: the switch has happened, #TS is delivered in the new task."""
    state = generate("segmented32", 1, 3)
    whole = shared()
    whole.load(state[0], b"\xea" + bytes(4) + (0x78).to_bytes(2, "little"), KINDS["segmented32"])
    poke(TABLES + 0x400 + 0x60, (0x10).to_bytes(2, "little"))
    result = np.zeros(1, whole_result())[0]
    whole.one(result, 1)
    assert result["rip"] == CODE + 0x4000 + 16 * 10 and result["segment"]["selector"][7] == 0x78
    assert word(int(result["gpr"][RSP]), 4) == 0x10 and word(int(result["gpr"][RSP]) + 4, 4) == CODE + 0x4000 + 0x1200


def whole_result():
    from tests.oracles.system import SYSTEM_RESULT

    return SYSTEM_RESULT


@pytest.mark.parametrize(
    ("control", "address", "size", "write", "expected"),
    [
        (0x00010001, 0x1000, 1, True, 1),  # writes, one byte
        (0x00010001, 0x1000, 1, False, 0),
        (0x00030001, 0x1000, 1, False, 1),  # reads or writes
        (0x00010000, 0x1000, 1, True, 0),  # not enabled
        (0x000D0001, 0xFFE, 4, True, 1),  # four bytes, overlapping
        (0x000D0001, 0x1003, 1, True, 1),
        (0x000D0001, 0x1004, 1, True, 0),
        (0x00090001, 0x1007, 1, True, 1),  # eight bytes
        (0x00110001, 0x1000, 1, True, 3),  # the second one matches as well, though not enabled
    ],
)
def test_data_breakpoints(control, address, size, write, expected):
    cpu = cpu_in("protected32")
    cpu.dr[7] = control
    cpu.dr[0] = cpu.dr[1] = 0x1000
    assert data_breakpoint(cpu, U64(address), U64(size), write) == expected


def test_instruction_and_port_breakpoints():
    cpu = cpu_in("protected32")
    cpu.dr[0], cpu.dr[7] = 0x1000, 2
    assert instruction_breakpoint(cpu, U64(0x1000)) == 1 and instruction_breakpoint(cpu, U64(0x1001)) == 0
    cpu.dr[0], cpu.dr[7] = 0x60, 0x20001
    assert io_breakpoint(cpu, U64(0x60), U64(1)) == 0
    cpu.cr4 = CR4_DE
    assert io_breakpoint(cpu, U64(0x60), U64(1)) == 1
