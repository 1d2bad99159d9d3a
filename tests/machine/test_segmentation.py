"""The check that every access with a segment passes (SDM vol. 3, 5.3 to 5.5), and the state after reset (table 9-1)."""

import numpy as np
import pytest

from isa.lang.word import U64
from vmdbg.machine.descriptor import refresh_mode
from vmdbg.machine.flags import get_rflags
from vmdbg.machine.reset import init, reset, sipi
from vmdbg.machine.segmentation import segment_check
from vmdbg.machine.state import A_UNUSABLE, CR0_PE, CS, DS, ES, FS, GP, RDX, SS, SS_FAULT, TR, Cpu

DATA, READ_ONLY, DOWN, CODE, EXECUTE_ONLY, BIG = 0x93, 0x91, 0x97, 0x9B, 0x99, 0x4000
EDGE = 0x0000_7FFF_FFFF_FFF8


@pytest.fixture
def cpu():
    memory = np.zeros(Cpu.size, np.uint8)
    cpu = Cpu(memory.ctypes.data)
    cpu.memory = memory  # kept alive
    cpu.bits, cpu.cr0 = 32, CR0_PE
    return cpu


@pytest.mark.parametrize(
    ("attr", "limit", "offset", "size", "write", "ok"),
    [
        (DATA, 0xFFF, 0xFFF, 1, False, True),
        (DATA, 0xFFF, 0xFFF, 2, False, False),
        (DATA, 0xFFF, 0x1000, 1, False, False),
        (DATA, 0xFFFFFFFF, 0xFFFFFFFE, 4, True, True),  # left to the processor; ours wraps
        (READ_ONLY, 0xFFF, 0, 4, False, True),
        (READ_ONLY, 0xFFF, 0, 4, True, False),
        (CODE, 0xFFF, 0, 4, False, True),
        (CODE, 0xFFF, 0, 4, True, False),
        (EXECUTE_ONLY, 0xFFF, 0, 4, False, False),
        (DOWN, 0xFFF, 0x1000, 4, True, True),
        (DOWN, 0xFFF, 0xFFF, 1, True, False),
        (DOWN, 0xFFF, 0xFFFC, 4, True, True),
        (DOWN, 0xFFF, 0xFFFD, 4, True, False),  # a small one ends at 64 KiB
        (DOWN | BIG, 0xFFF, 0xFFFFFFFC, 4, True, True),
        (DOWN | BIG, 0xFFF, 0xFFFFFFFD, 4, True, False),
        (A_UNUSABLE, 0xFFFFFFFF, 0, 1, False, False),
    ],
)
@pytest.mark.parametrize("seg", [DS, SS])
def test_protected(cpu, seg, attr, limit, offset, size, write, ok):
    cpu.seg_base[seg], cpu.seg_limit[seg], cpu.seg_attr[seg] = 0x10000, limit, attr
    good, linear = segment_check(cpu, U64(seg), U64(offset), U64(size), write)
    assert good == ok
    if ok:
        assert linear == (0x10000 + offset) & 0xFFFFFFFF
    else:
        assert (int(cpu.vector), int(cpu.error_code)) == (SS_FAULT if seg == SS else GP, 0)


def test_real_mode(cpu):
    """Limits are checked, types are not; the limit survives from protected mode."""
    cpu.cr0, cpu.bits = 0, 16
    cpu.seg_base[CS], cpu.seg_limit[CS], cpu.seg_attr[CS] = 0xFFFF0, 0xFFFF, CODE
    assert segment_check(cpu, U64(CS), U64(0xFFFF), U64(1), True) == (True, 0x10FFEF)
    assert not segment_check(cpu, U64(CS), U64(0xFFFF), U64(2), True)[0]
    cpu.seg_limit[CS] = 0xFFFFFFFF
    assert segment_check(cpu, U64(CS), U64(0x12345678), U64(4), False)[0]


@pytest.mark.parametrize(
    ("seg", "base", "offset", "size", "expected"),
    [
        (DS, 0x5000, 0x1234, 8, 0x1234),  # bases of ES CS SS DS do not count
        (FS, 0x5000, 0x1234, 8, 0x6234),
        (ES, 0, EDGE, 8, EDGE),
        (ES, 0, EDGE + 1, 8, GP),
        (SS, 0, EDGE + 1, 8, SS_FAULT),
        (FS, 0x8000_0000_0000, 0, 1, GP),
        (FS, (1 << 64) - 0x1000, 0x1000, 1, 0),
        (ES, 0, 0xFFFF_8000_0000_0000, 1, 0xFFFF_8000_0000_0000),
        (ES, 0, 0xFFFF_7FFF_FFFF_FFFF, 1, GP),
    ],
)
def test_64_bit(cpu, seg, base, offset, size, expected):
    cpu.bits = 64
    cpu.seg_base[seg], cpu.seg_attr[seg] = base, A_UNUSABLE
    good, linear = segment_check(cpu, U64(seg), U64(offset), U64(size), True)
    assert (int(linear) if good else int(cpu.vector)) == expected
    assert good == (expected not in (GP, SS_FAULT))


def test_reset(cpu):
    reset(cpu)
    assert (int(cpu.rip), int(cpu.seg_selector[CS]), int(cpu.seg_base[CS])) == (0xFFF0, 0xF000, 0xFFFF0000)
    assert int(get_rflags(cpu)) == 2 and int(cpu.cr0) == 0x60000010 and int(cpu.gpr[RDX]) >> 8 & 0xF == 6
    assert [int(cpu.seg_limit[n]) for n in range(8)] == [0xFFFF] * 8 and int(cpu.seg_attr[TR]) == 0x8B
    assert (int(cpu.dr[6]), int(cpu.dr[7]), int(cpu.mxcsr), int(cpu.fcw)) == (0xFFFF0FF0, 0x400, 0x1F80, 0x40)
    assert (int(cpu.bits), int(cpu.stack_bits), int(cpu.cpl), int(cpu.activity)) == (16, 16, 0, 0)


def test_init_and_sipi(cpu):
    """INIT keeps MSRs, x87 and the cache bits of CR0; an application processor then waits for SIPI."""
    cpu.index = 1
    reset(cpu)
    assert cpu.activity == 3
    sipi(cpu, U64(0x9A))
    assert (int(cpu.activity), int(cpu.seg_base[CS]), int(cpu.seg_selector[CS]), int(cpu.rip)) == (0, 0x9A000, 0x9A00, 0)
    cpu.fcw, cpu.lstar, cpu.cr0 = 0x37F, 5, 0x11
    init(cpu)
    assert (int(cpu.fcw), int(cpu.lstar), int(cpu.cr0), int(cpu.activity)) == (0x37F, 5, 0x10, 3)


def test_modes(cpu):
    cpu.seg_attr[CS], cpu.seg_attr[SS] = CODE | BIG, DATA
    refresh_mode(cpu)
    assert (int(cpu.bits), int(cpu.stack_bits)) == (32, 16)
    cpu.efer, cpu.seg_attr[CS] = 0x400, CODE | 0x2000
    refresh_mode(cpu)
    assert (int(cpu.bits), int(cpu.stack_bits)) == (64, 64)
