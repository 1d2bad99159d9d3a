"""One instruction by the plain meanings, the x87 and SSE states of an oracle's record included."""

import numpy as np

from isa.lang.word import U16, U32, U64
from tests.machine.one import One
from vmdbg.machine.semantics.x87_state import physical, summarize


class Fpu(One):
    """A CPU whose x87 and SSE states are loaded and reported too."""

    def load(self, state):
        super().load(state)
        cpu, fx = self.cpu, state["fx"]
        cpu.cr0, cpu.cr4, cpu.xcr0 = 0x80050033, 0x406B0, 3
        cpu.fcw, cpu.fsw, cpu.fop, cpu.mxcsr = int(fx["fcw"]), int(fx["fsw"]), int(fx["fop"]), int(fx["mxcsr"])
        cpu.fip, cpu.fdp = int(fx["fip"]), int(fx["fdp"])
        cpu.ftw = U16(sum(3 << 2 * n for n in range(8) if not int(fx["ftw"]) >> n & 1))
        for n, register in enumerate(np.ascontiguousarray(fx["st"]).view("<u8")):
            r = int(physical(cpu, U32(n)))
            cpu.st[2 * r], cpu.st[2 * r + 1] = U64(int(register[0])), U64(int(register[1]) & 0xFFFF)
        for n, half in enumerate(np.ascontiguousarray(fx["xmm"]).view("<u8").ravel()):
            cpu.xmm[n] = U64(int(half))
        summarize(cpu)

    def result(self, status, state, *dtype):
        r, cpu = super().result(status, state, *dtype), self.cpu
        fx = r["fx"]
        fx["fcw"], fx["fsw"], fx["mxcsr"] = int(cpu.fcw), int(cpu.fsw), int(cpu.mxcsr)
        fx["ftw"] = sum(1 << n for n in range(8) if int(cpu.ftw) >> 2 * n & 3 != 3)
        st = np.zeros((8, 2), np.uint64)
        for n in range(8):
            p = int(physical(cpu, U32(n)))
            st[n] = int(cpu.st[2 * p]), int(cpu.st[2 * p + 1])
        fx["st"] = st.view(np.uint8).reshape(8, 16)
        fx["xmm"] = np.array([int(cpu.xmm[n]) for n in range(32)], np.uint64).view(np.uint8).reshape(16, 16)
        return r
