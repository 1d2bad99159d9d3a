"""One meaning alone, without an engine: run it uncompiled on an oracle's states and compare with what the host CPU did.

Operands are given as text: `x3` XMM3, `x3.64` its low 64 bits, `m3` MM3, `r1.32` ECX (writes clear the upper half), `r1.8` CL,
`w.64` eight bytes of memory at WINDOW (the code uses [rdi], which is made to point there), `i.5` an immediate byte.
"""

import ctypes

import numpy as np

from isa.lang.struct import PLACES
from tests.oracles import native
from tests.oracles.layout import NONE, RDI, RESULT, WINDOW, WINDOW_SIZE
from tests.oracles.states import generate
from vmdbg.machine.flags import get_rflags, set_rflags
from vmdbg.machine.state import CR4_OSFXSR, CR4_OSXMMEXCPT, FAULT, Cpu, Uop

STATUS = 0x8D5


class Alone:
    """A vCPU, a uop and a window of memory that operands point into."""

    def __init__(self):
        self.memory = (ctypes.c_uint64 * ((Cpu.size + Uop.size + WINDOW_SIZE + 64) // 8))()
        base = ctypes.addressof(self.memory)
        self.cpu, self.uop = Cpu(base), Uop(base + Cpu.size)
        self.window = base + Cpu.size + Uop.size
        self.immediate = self.window + WINDOW_SIZE

    def place(self, text):
        """The place that an operand's text names."""
        kind, _, width = text.partition(".")
        if kind == "i":
            ctypes.c_uint64.from_address(self.immediate).value = int(width)
            return PLACES[8](self.immediate)
        if kind == "w":
            return PLACES[int(width)](self.window)
        number = int(kind[1:])
        if kind[0] == "r":
            return PLACES[int(width)](int(self.cpu.gpr.address) + 8 * number, width == "32")
        if kind[0] == "m":
            return PLACES[64](int(self.cpu.st.address) + 16 * number)
        return PLACES[int(width or 128)](int(self.cpu.xmm.address) + 16 * number)

    def load(self, state):
        """Put an oracle's state into the vCPU."""
        cpu = self.cpu
        for i in range(16):
            cpu.gpr[i] = int(state["gpr"][i])
        set_rflags(cpu, type(cpu.eflags)(int(state["rflags"])))
        fx = state["fx"]
        cpu.mxcsr, cpu.fsw, cpu.fcw = int(fx["mxcsr"]), int(fx["fsw"]), int(fx["fcw"])
        ctypes.memmove(int(cpu.xmm.address), fx["xmm"].tobytes(), 256)
        ctypes.memmove(int(cpu.st.address), fx["st"].tobytes(), 128)
        ctypes.memmove(self.window, state["window"].tobytes(), WINDOW_SIZE)
        cpu.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT
        cpu.vector = 0

    def result(self, status, start):
        """What an oracle would have reported, rip left out; `start` is the state it started from."""
        cpu, r = self.cpu, np.zeros((), RESULT)
        for name in ("fx", "window"):
            r[name] = start[name]
        r["gpr"] = [int(cpu.gpr[i]) for i in range(16)]
        r["rflags"] = int(get_rflags(cpu))
        r["fx"]["mxcsr"] = int(cpu.mxcsr)
        r["fx"]["xmm"] = np.frombuffer(ctypes.string_at(int(cpu.xmm.address), 256), np.uint8).reshape(16, 16)
        r["fx"]["st"] = np.frombuffer(ctypes.string_at(int(cpu.st.address), 128), np.uint8).reshape(8, 16)
        r["window"] = np.frombuffer(ctypes.string_at(self.window, WINDOW_SIZE), np.uint8)
        r["vector"] = int(cpu.vector) if status == FAULT else NONE
        return r


def states(count, seed):
    """States for instructions whose memory operand is [rdi]: WINDOW there, x87 empty of exceptions with TOP 0."""
    s = generate(count, seed)
    s["gpr"][:, RDI] = WINDOW
    s["fx"]["fsw"], s["fx"]["fcw"], s["fx"]["ftw"] = 0, 0x37F, 0xFF
    return s


def compare(code, meaning, operands, count=20, seed=1, undefined=0, constant=None, mangle=None, osize=32):
    """Run `code` (hex) natively and `meaning` on the operands from `count` states; the list of differences, as text."""
    start = states(count, seed)
    if mangle is not None:
        mangle(start)
    want = native.run(start, bytes.fromhex(code))
    alone, out = Alone(), []
    alone.uop.asize, alone.uop.osize, alone.uop.seg = 64, osize, 3
    mmx = any(text.startswith("m") for text in operands)
    for before, expected in zip(start, want):
        alone.load(before)
        arguments = [alone.place(text) for text in operands] + ([] if constant is None else [constant])
        got = alone.result(meaning(alone.cpu, alone.uop, *arguments), before)
        out += differences(before, expected, got, undefined, mmx)
    return out


def differences(before, want, got, undefined, mmx):
    """What differs between two results, flags in `undefined` and the x87 tags aside."""
    where = [name for name in ("gpr", "window", "vector") if not np.array_equal(want[name], got[name])]
    if (int(want["rflags"]) ^ int(got["rflags"])) & STATUS & ~undefined:
        where.append("rflags")
    if want["fx"]["mxcsr"] != got["fx"]["mxcsr"]:
        where.append("mxcsr")
    if not np.array_equal(want["fx"]["xmm"], got["fx"]["xmm"]):
        where.append("xmm")
    if mmx and not np.array_equal(want["fx"]["st"][:, :8], got["fx"]["st"][:, :8]):
        where.append("st")
    return [f"{w}: before {show(before, w)} want {show(want, w)} got {show(got, w)}" for w in where]


def show(r, name):
    """A part of a state, in hex."""
    if name in ("xmm", "st"):
        return " ".join(bytes(v[::-1]).hex() for v in r["fx"][name][:4])
    if name == "mxcsr":
        return hex(int(r["fx"][name]))
    if name == "vector":
        return str(int(r[name])) if name in r.dtype.names else "-"
    return " ".join(hex(int(v)) for v in np.ravel(r[name])[:8])
