"""One step of a whole machine of ours from a state of tests/oracles/system.py, as `bochs_oracle.run` does it.

`run` and `run_threaded` are what `python -m tests.oracles.compare_system --ours tests.machine.whole:run_threaded` takes.
"""

import ctypes
import functools

import numpy as np

import isa
from isa.lang.word import U64
from tests.oracles.bochs_library import DELIVER, REPORT
from tests.oracles.layout import (
    CODE,
    CODE_SIZE,
    HAS_ERROR_CODE,
    INT3,
    NONE,
    PAGE,
    PF_FAULT,
    READ_ONLY,
    READ_ONLY_IMAGE,
    WINDOW,
    WINDOW_SIZE,
)
from tests.oracles.system import (
    CS,
    FS,
    GS,
    HALTED,
    KINDS,
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
from vmdbg.machine.physical import PAGE_CODE, PAGE_TABLE
from vmdbg.machine.semantics.x87_state import summarize
from vmdbg.machine.state import EXIT, HALT, X_IN, X_OUT, X_SHUTDOWN, Cpu

MEMORY = PAGING + PAGING_SIZE
# The fields of a Cpu as a record that numpy copies at once.
RECORD = np.dtype(
    {
        "names": list(Cpu.fields),
        "formats": [(f"<u{word.bits // 8}", count) if count else f"<u{word.bits // 8}" for _at, word, count in Cpu.fields.values()],
        "offsets": [at for at, _word, _count in Cpu.fields.values()],
        "itemsize": Cpu.size,
    }
)
STRINGS = frozenset("movs stos lods cmps scas ins outs".split())
SEGMENT_PARTS = {"seg_selector": "selector", "seg_attr": "attributes", "seg_limit": "limit", "seg_base": "base"}


@functools.cache
def page_tables(kind: str) -> np.ndarray:
    """The image of PAGING for a kind of state."""
    return paging(KINDS[kind])


class Whole:
    """A machine, loaded anew for each state."""

    def __init__(self, engine: str = "plain"):
        self.machine = Machine(MEMORY, engine=engine)
        self.cpu = self.machine.cpus[0]
        self.record = self.machine.cpu_states.view(RECORD)[0, 0]
        self.parts = {"window": (WINDOW, WINDOW_SIZE), "tables": (TABLES, TABLES_SIZE)}

    def load(self, s: np.ndarray, code: bytes, kind: Kind, image: np.ndarray | int = INT3) -> None:
        m, cpu = self.machine, self.cpu
        self.forget()
        for name, (at, size) in self.parts.items():
            m.ram[at : at + size] = s[name]
        m.ram[PAGING : PAGING + PAGING_SIZE] = page_tables(kind.name)
        m.ram[READ_ONLY : READ_ONLY + len(READ_ONLY_IMAGE)] = READ_ONLY_IMAGE
        m.ram[CODE : CODE + CODE_SIZE] = image
        start = int(s["rip"]) + int(s["segment"]["base"][CS]) * (kind.bits != 64)
        m.ram[start : start + len(code)] = np.frombuffer(code, np.uint8)
        record = self.record
        record["gpr"][:16], record["rip"] = s["gpr"], s["rip"]
        for name in REGISTERS:
            record[name] = s[name]
        for ours, theirs in SEGMENT_PARTS.items():
            record[ours] = s["segment"][theirs]
        record["dr"] = s["dr"]
        set_rflags(cpu, U64(int(s["rflags"])))
        cpu.cpl = kind.cpl
        self.load_fx(s["fx"])
        for name in "shadow nmi_blocked pending_db latched mmio_count late_fault slow activity events fault_address".split():
            setattr(cpu, name, 0)
        refresh_mode(cpu)
        cpu.context, cpu.context_key[0] = 0, tlb.address_space(cpu)

    def load_fx(self, fx: np.ndarray) -> None:
        """x87 and SSE registers from an FXSAVE image."""
        record, top = self.record, int(fx["fsw"]) >> 11 & 7
        for name in ("fcw", "fsw", "fop", "fip", "fdp", "mxcsr"):
            record[name] = fx[name]
        record["fcs"] = record["fds"] = 0
        record["ftw"] = sum(3 << 2 * n for n in range(8) if not int(fx["ftw"]) >> n & 1)
        st = np.zeros((8, 16), np.uint8)
        st[(np.arange(8) + top) & 7, :10] = fx["st"][:, :10]
        record["st"], record["xmm"] = st.view("<u8").ravel(), np.ascontiguousarray(fx["xmm"]).view("<u8").ravel()
        summarize(self.cpu)

    def store_fx(self, fx: np.ndarray) -> None:
        """x87 and SSE registers into an FXSAVE image."""
        record, top = self.record, int(self.record["fsw"]) >> 11 & 7
        for name in ("fcw", "fsw", "fop", "fip", "fdp", "mxcsr"):
            fx[name] = record[name]
        fx["ftw"] = sum(1 << n for n in range(8) if int(record["ftw"]) >> 2 * n & 3 != 3)
        st = np.ascontiguousarray(record["st"]).view(np.uint8).reshape(8, 16)
        fx["st"][:, :10] = st[(np.arange(8) + top) & 7, :10]
        fx["xmm"] = np.ascontiguousarray(record["xmm"]).view(np.uint8).reshape(16, 16)

    def forget(self) -> None:
        """Drop translated code and translations, as Machine.drop_code and tlb.flush do, but quickly."""
        cpu, shared, pages = self.cpu, self.machine.shared, MEMORY // 4096
        for page in np.flatnonzero(self.machine.page_code.array.view("<u8")[:pages]):
            ctypes.memset(int(cpu.code_bytes) + int(page) * 512, 0, 512)
        for address, size in ((shared.hash, 4 * blocks.CHAINS), (shared.page_head, 4 * pages), (cpu.page_code, 8 * pages)):
            ctypes.memset(int(address), 0, size)
        ctypes.memset(int(cpu.tlb_contexts), 0xFF, tlb.SIZE)
        shared.block_count, shared.uop_count, cpu.origin = 1, 0, 0
        for n in range(tlb.CONTEXTS):
            cpu.context_key[n] = 0
        cpu.stamp = cpu.context_stamp[0] = int(cpu.stamp) + 1  # what the jump cache knows is out of date
        flags = self.machine.page_flags.array
        flags[:] = 0
        if self.machine.engine == "plain":  # what will be noted anyway, and costs a walk through the TLB then
            flags[CODE // PAGE : (CODE + CODE_SIZE) // PAGE] = PAGE_CODE
            flags[PAGING // PAGE : (PAGING + PAGING_SIZE) // PAGE] = PAGE_TABLE

    def store(self, r: np.ndarray) -> None:
        record = self.record
        r["gpr"], r["rip"], r["rflags"] = record["gpr"][:16], record["rip"], int(get_rflags(self.cpu))
        for name in REGISTERS:
            r[name] = record[name]
        for ours, theirs in SEGMENT_PARTS.items():
            r["segment"][theirs] = record[ours]
        r["dr"] = record["dr"]
        self.store_fx(r["fx"])
        r["fs_base"], r["gs_base"] = r["segment"]["base"][FS], r["segment"]["base"][GS]
        for name, (at, size) in self.parts.items():
            r[name] = self.machine.ram[at : at + size]

    def run(self, states: np.ndarray, code: bytes, kind: Kind, mode: int = REPORT) -> np.ndarray:
        """As bochs_oracle.Bochs.run: one instruction, all iterations of a REP; in DELIVER mode with the event that follows it."""
        results = np.zeros(len(states), SYSTEM_RESULT)
        instruction = isa.decode(code, bits=kind.bits)
        sem = instruction.row.sem if instruction else ""
        for s, r in zip(states, results):
            self.load(s, code, kind)
            self.machine.intercept(range(32) if mode == REPORT else ())
            r["fx"] = s["fx"]
            self.one(r, mode, sem in STRINGS and instruction.rep != 0)
            if r["vector"] >= SOFTWARE_INTERRUPT:
                r["rip"] += np.uint64(instruction.length)  # that oracle's is past the instruction
        return results

    def program(self, state: np.ndarray, image: np.ndarray, kind: Kind, steps: int) -> np.ndarray:
        """Run what stands in the CODE region from `state` to an exception, a software interrupt, HLT or a port: at most `steps` steps."""
        result = np.zeros(1, SYSTEM_RESULT)[0]
        self.load(state, b"", kind, image)
        self.machine.intercept(range(32))
        result["fx"] = state["fx"]
        self.one(result, REPORT, budget=steps)
        return result

    def one(self, r: np.ndarray, mode: int, repeated: bool = False, budget: int = 1) -> None:
        m, cpu = self.machine, self.cpu
        answered, start = 0, int(cpu.rip)
        while True:
            before = int(cpu.events)
            cpu.budget = cpu.slice = budget
            cpu.resume = 0
            status = int(m._core.run(int(cpu.address)) if m._core else threaded.run(cpu))
            reason = int(cpu.reason)
            if status == EXIT and reason not in (X_IN, X_OUT, X_SHUTDOWN) and answered < 4:
                m._answer(cpu)
                answered += 1
                continue
            if repeated and status == threaded.BUDGET and int(cpu.rip) == start and int(cpu.events) == before:
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


def run(states: np.ndarray, code: bytes, kind: Kind, mode: int = REPORT) -> np.ndarray:
    """`Whole.run` by the plain engine."""
    return shared().run(states, code, kind, mode)


def run_threaded(states: np.ndarray, code: bytes, kind: Kind, mode: int = REPORT) -> np.ndarray:
    """`Whole.run` by the threaded engine."""
    return shared("threaded").run(states, code, kind, mode)


__all__ = ["DELIVER", "REPORT", "SOFTWARE_INTERRUPT", "Cpu", "shared"]
