"""One step of a whole machine of ours from a state of tests/oracles/system.py, as `bochs_oracle.run` does it."""

import ctypes
import functools

import numpy as np

from isa.lang.word import U64
from tests.oracles.bochs_library import DELIVER, REPORT
from tests.oracles.layout import CODE, CODE_SIZE, HAS_ERROR_CODE, INT3, NONE, PF_FAULT, READ_ONLY, READ_ONLY_IMAGE, WINDOW, WINDOW_SIZE
from tests.oracles.system import (
    CS,
    FS,
    GS,
    HALTED,
    PAGING,
    PAGING_SIZE,
    PORT,
    REGISTERS,
    SOFTWARE_INTERRUPT,
    SYSTEM_RESULT,
    TABLES,
    TABLES_SIZE,
    TRIPLE_FAULT,
    Kind,
    paging,
)
from vmdbg.machine import blocks, threaded, tlb
from vmdbg.machine.descriptor import refresh_mode
from vmdbg.machine.flags import get_rflags, set_rflags
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import EXIT, HALT, X_IN, X_OUT, X_SHUTDOWN, Cpu

MEMORY = PAGING + PAGING_SIZE
SOFTWARE = {0xCC: 3, 0xCE: 4, 0xF1: 1}


class Whole:
    """A machine, loaded anew for each state."""

    def __init__(self, engine: str = "plain"):
        self.machine = Machine(MEMORY, engine=engine)
        self.cpu = self.machine.cpus[0]
        self.parts = {"window": (WINDOW, WINDOW_SIZE), "tables": (TABLES, TABLES_SIZE)}

    def load(self, s: np.ndarray, code: bytes, kind: Kind) -> None:
        m, cpu = self.machine, self.cpu
        self.forget()
        for name, (at, size) in self.parts.items():
            m.ram[at : at + size] = s[name]
        m.ram[PAGING : PAGING + PAGING_SIZE] = paging(kind)
        m.ram[READ_ONLY : READ_ONLY + len(READ_ONLY_IMAGE)] = READ_ONLY_IMAGE
        m.ram[CODE : CODE + CODE_SIZE] = INT3
        start = int(s["rip"]) + int(s["segment"]["base"][CS]) * (kind.bits != 64)
        m.ram[start : start + len(code)] = np.frombuffer(code, np.uint8)
        for n in range(16):
            cpu.gpr[n] = int(s["gpr"][n])
        cpu.rip = int(s["rip"])
        for name in REGISTERS:
            setattr(cpu, name, int(s[name]))
        for n in range(8):
            selector, attributes, limit, base = s["segment"][n].tolist()
            cpu.seg_selector[n], cpu.seg_attr[n], cpu.seg_limit[n], cpu.seg_base[n] = selector, attributes, limit, base
            cpu.dr[n] = int(s["dr"][n])
        set_rflags(cpu, U64(int(s["rflags"])))
        cpu.cpl = kind.cpl
        fx = s["fx"]
        cpu.fcw, cpu.fsw, cpu.mxcsr = int(fx["fcw"]), int(fx["fsw"]), int(fx["mxcsr"])
        for name in "shadow nmi_blocked pending_db latched mmio_count late_fault slow activity events fault_address".split():
            setattr(cpu, name, 0)
        refresh_mode(cpu)

    def forget(self) -> None:
        """Drop translated code and translations, as Machine.drop_code and tlb.flush do, but quickly."""
        cpu, shared, pages = self.cpu, self.machine.shared, MEMORY // 4096
        for address, size in ((shared.hash, 4 * blocks.CHAINS), (shared.page_head, 4 * pages), (cpu.page_code, 8 * pages)):
            ctypes.memset(int(address), 0, size)
        ctypes.memset(int(cpu.tlb_contexts), 0xFF, tlb.SIZE)
        shared.block_count, shared.uop_count, cpu.origin = 1, 0, 0
        for n in range(tlb.CONTEXTS):
            cpu.context_key[n] = 0
        cpu.stamp = int(cpu.stamp) + 1  # what the jump cache knows is out of date
        self.machine.page_flags.array[:] = 0

    def store(self, r: np.ndarray) -> None:
        cpu = self.cpu
        r["gpr"] = [int(cpu.gpr[n]) for n in range(16)]
        r["rip"], r["rflags"] = int(cpu.rip), int(get_rflags(cpu))
        for name in REGISTERS:
            r[name] = int(getattr(cpu, name))
        for n in range(8):
            r["segment"][n] = int(cpu.seg_selector[n]), int(cpu.seg_attr[n]), int(cpu.seg_limit[n]), int(cpu.seg_base[n])
            r["dr"][n] = int(cpu.dr[n])
        r["fs_base"], r["gs_base"] = r["segment"]["base"][FS], r["segment"]["base"][GS]
        for name, (at, size) in self.parts.items():
            r[name] = self.machine.ram[at : at + size]

    def run(self, states: np.ndarray, code: bytes, kind: Kind, mode: int = REPORT) -> np.ndarray:
        """As bochs_oracle.Bochs.run; x87 and SSE registers are not looked at."""
        results = np.zeros(len(states), SYSTEM_RESULT)
        for s, r in zip(states, results):
            self.load(s, code, kind)
            self.machine.intercept(range(32) if mode == REPORT else ())
            r["fx"] = s["fx"]
            self.one(r, mode)
        return results

    def one(self, r: np.ndarray, mode: int) -> None:
        m, cpu = self.machine, self.cpu
        answered = 0
        while True:
            before = int(cpu.events)
            cpu.budget = cpu.slice = 1
            cpu.resume = 0
            status = int(m._core.run(int(cpu.address)) if m._core else threaded.run(cpu))
            reason = int(cpu.reason)
            if status == EXIT and reason not in (X_IN, X_OUT, X_SHUTDOWN) and answered < 4:
                m._answer(cpu)
                answered += 1
                continue
            break
        self.store(r)
        r["vector"] = NONE
        if status == threaded.INTERCEPT:
            r["vector"] = int(cpu.vector)
            r["error_code"] = int(cpu.error_code) if int(cpu.vector) in HAS_ERROR_CODE else 0
            r["fault_address"] = int(cpu.fault_address) if int(cpu.vector) == PF_FAULT else 0
        elif status == EXIT and reason == X_SHUTDOWN:
            r["vector"] = TRIPLE_FAULT
        elif status == EXIT and reason in (X_IN, X_OUT):
            r["vector"] = PORT
        elif status == HALT:
            r["vector"] = HALTED
        elif status not in (threaded.BUDGET, threaded.CHECK):
            raise AssertionError(f"status {status}, reason {reason}, events {int(cpu.events) - before}")


@functools.cache
def shared(engine: str = "plain") -> Whole:
    """The one machine of a process."""
    return Whole(engine)


__all__ = ["DELIVER", "REPORT", "SOFTWARE_INTERRUPT", "Cpu", "shared"]
