"""FXSAVE, XSAVE and their counterparts without any host: checks before them, page crossing, XCR0."""

import numpy as np
import pytest

from isa.lang.word import U64
from tests.machine.fpu import Fpu
from tests.oracles.layout import CODE_START, GP, NM, NONE, PAGE, PF_FAULT, RDI, UD, WINDOW, WINDOW_SIZE
from tests.oracles.states import generate
from vmdbg.machine.semantics import xsave
from vmdbg.machine.state import END, FAULT, RAX, RCX, RDX, Cpu

FXSAVE, FXRSTOR, XSAVE, XRSTOR = "0fae07", "0fae0f", "0fae27", "0fae2f"


class Machine(Fpu):
    """A CPU with extra control bits set or cleared after loading."""

    cr0, cr4 = 0, 0

    def load(self, state):
        super().load(state)
        self.cpu.cr0, self.cpu.cr4 = self.cpu.cr0 ^ self.cr0, self.cpu.cr4 ^ self.cr4


def run(code, offset=0, *, components=3, cr0=0, cr4=0, fill=None):
    """(state, result) of one instruction on [rdi] at this offset into the window."""
    s = generate(1, 7)
    s["rip"], s["gpr"][:, RDI], s["gpr"][:, RAX], s["gpr"][:, RDX] = CODE_START, WINDOW + offset, components, 0
    s["fx"]["fcw"], s["fx"]["fsw"], s["fx"]["ftw"], s["fx"]["mxcsr"] = 0x37F, 0x3800, 0x81, 0x1F80
    s["window"] = 0xCC
    if fill is not None:
        s["window"][0, offset : offset + len(fill)] = fill
    one = Machine()
    one.cr0, one.cr4 = cr0, cr4
    return s[0], one.run(s, bytes.fromhex(code), 64)[0]


OSXSAVE, OSFXSR, TS = 0x40000, 0x200, 8


@pytest.mark.parametrize(
    "code, offset, changes, vector",
    [
        (FXSAVE, 0, {}, NONE),
        (FXSAVE, 8, {}, GP),
        (FXSAVE, 0, dict(cr0=TS), NM),
        (FXSAVE, WINDOW_SIZE - 256, {}, PF_FAULT),
        (FXRSTOR, WINDOW_SIZE - 256, {}, PF_FAULT),
        (XSAVE, 64, {}, NONE),
        (XSAVE, 32, {}, GP),
        (XSAVE, 0, dict(cr0=TS), NM),
        (XSAVE, 0, dict(cr4=OSXSAVE), UD),
        (XSAVE, 0, dict(cr4=OSXSAVE, cr0=TS), UD),
        (XSAVE, WINDOW_SIZE - 512, {}, PF_FAULT),
        (XRSTOR, WINDOW_SIZE - 512, {}, PF_FAULT),
        (FXRSTOR, 0, {}, GP),  # reserved bits of MXCSR
        (XRSTOR, 0, {}, GP),  # reserved bits of the header
    ],
)
def test_checks(code, offset, changes, vector):
    """The fault that is due, and then nothing has changed."""
    before, r = run(code, offset, **changes)
    assert r["vector"] == vector
    if vector != NONE:
        assert np.array_equal(r["window"], before["window"]) and r["fx"]["fcw"] == 0x37F and r["fx"]["ftw"] == 0x81


@pytest.mark.parametrize("code, size, align", [(FXSAVE, 512, 16), (XSAVE, 576, 64)])
def test_page_crossing(code, size, align):
    """An area on two pages gets the same bytes as one on one page."""
    _, whole = run(code)
    offset = PAGE - 3 * align
    _, split = run(code, offset)
    assert np.array_equal(whole["window"][:size], split["window"][offset : offset + size])
    assert (split["window"][:offset] == 0xCC).all() and (split["window"][offset + size :] == 0xCC).all()
    assert (split["window"][offset + 416 : offset + 512] == 0xCC).all()


def test_without_osfxsr():
    """Without CR4.OSFXSR FXSAVE leaves the XMM registers out, and FXRSTOR does not look at MXCSR."""
    _, r = run(FXSAVE, cr4=OSFXSR)
    assert (r["window"][160:416] == 0xCC).all()
    _, r = run(FXRSTOR, cr4=OSFXSR)
    assert r["vector"] == NONE and r["fx"]["mxcsr"] == 0x1F80


def test_components():
    """XSAVE writes what EDX:EAX asks for, and updates only those bits of XSTATE_BV."""
    _, r = run(XSAVE, components=1)
    assert (r["window"][160:416] == 0xCC).all() and (r["window"][24:32] == 0xCC).all() and r["window"][512] == 0xCD
    _, r = run(XSAVE, components=2)
    assert (r["window"][:24] == 0xCC).all() and r["window"][24:28].view("<u4")[0] == 0x1F80 and r["window"][512] == 0xCE


def test_initial_configuration():
    """XRSTOR gives a component that is not in XSTATE_BV its initial configuration."""
    area = np.zeros(576, np.uint8)
    area[24:26] = 0x80, 0x1F
    _, r = run(XRSTOR, fill=area)
    assert (r["fx"]["fcw"], r["fx"]["fsw"], r["fx"]["ftw"]) == (0x37F, 0, 0)
    assert not r["fx"]["st"].any() and not r["fx"]["xmm"].any()


@pytest.mark.parametrize(
    "index, value, status", [(0, 3, END), (0, 1, END), (0, 2, FAULT), (0, 0, FAULT), (0, 7, FAULT), (0, 1 << 63 | 1, FAULT), (1, 3, FAULT)]
)
def test_xsetbv(index, value, status):
    """XCR0 keeps x87, and takes nothing but x87 and SSE."""
    memory = np.zeros(Cpu.size, np.uint8)
    cpu = Cpu(memory.ctypes.data)
    cpu.cr4, cpu.xcr0 = OSXSAVE, 1
    cpu.gpr[RAX], cpu.gpr[RDX], cpu.gpr[RCX] = U64(value & 0xFFFFFFFF), U64(value >> 32), U64(index)
    assert xsave.xsetbv(cpu, None) == status
    assert cpu.xcr0 == (value if status == END else 1)
