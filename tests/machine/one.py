"""One instruction by the plain meanings, decoder and memory included, as a stand-in for a CPU.

`run` takes the states of tests/oracles/layout.py: CPL 3 in long mode (64-bit or compatibility mode with flat segments), page tables
that map what the layout maps.  `run_system` takes those of tests/oracles/system.py: any mode, segments and all.
"""

import ctypes
import functools
import mmap

import numpy as np

import isa
from isa.lang.struct import PLACES
from isa.lang.word import U16, U32, U64
from tests.oracles.layout import (
    CODE,
    CODE_SIZE,
    INT3,
    NONE,
    PAGE,
    PF_FAULT,
    READ_ONLY,
    READ_ONLY_IMAGE,
    READ_ONLY_SIZE,
    RESULT,
    RF,
    UD,
    WINDOW,
    WINDOW_SIZE,
)
from tests.oracles.system import PAGING, PAGING_SIZE, REGISTERS, SYSTEM_RESULT, TABLES, TABLES_SIZE, paging
from vmdbg.machine import build, kinds, plain
from vmdbg.machine.blocks import register_field
from vmdbg.machine.descriptor import refresh_mode
from vmdbg.machine.flags import get_rflags, set_rflags
from vmdbg.machine.slots import begin, commit
from vmdbg.machine.state import BRANCH, FAULT, NEXT, REPEAT, SLOW, Cpu, Shared, Uop
from vmdbg.machine.threaded import effective, operand
from vmdbg.machine.tlb import SIZE as TLB_SIZE
from vmdbg.machine.tlb import flush, refresh

RAM_SIZE = PAGING + PAGING_SIZE + PAGE
FLAT_DATA, FLAT_CODE64, FLAT_CODE32 = 0xC0F3, 0xA0FB, 0xC0FB  # access rights, DPL 3
SELECTORS = (0x2B, 0x33, 0x2B, 0x2B, 0x2B, 0x2B)
SYSTEM_REGISTERS = [name for name in REGISTERS if name in Cpu.fields]


class One:
    """A vCPU, its memory, and a uop."""

    def __init__(self):
        self.ram = mmap.mmap(-1, RAM_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.bytes = np.frombuffer(self.ram, np.uint8)
        self.structs = np.zeros(Cpu.size + Shared.size + Uop.size + 256, np.uint8)
        base = self.structs.ctypes.data
        self.cpu, self.shared, self.uop = Cpu(base), Shared(base + Cpu.size), Uop(base + Cpu.size + Shared.size)
        self.spare = base + Cpu.size + Shared.size + Uop.size
        self.tlb = np.full(TLB_SIZE, 0xFF, np.uint8)
        self.flags, self.dirty = np.zeros((2, RAM_SIZE // PAGE + 1), np.uint8)
        self.code = np.zeros(RAM_SIZE // PAGE + 1, np.uint64)
        self.cpu.ram, self.cpu.ram_size = self.bytes.ctypes.data, RAM_SIZE
        self.bytes_of_code = np.zeros(RAM_SIZE // 64 + 64, np.uint64)
        self.cpu.page_flags, self.cpu.page_code = self.flags.ctypes.data, self.code.ctypes.data
        self.cpu.code_bytes = self.bytes_of_code.ctypes.data
        self.cpu.page_dirty = self.dirty.ctypes.data
        self.cpu.shared, self.cpu.tlb_contexts = self.shared.address, self.tlb.ctypes.data
        self.cpu.a20_mask = U64(~0)
        self.meanings = build.meanings()
        self.map()
        self.set_up()

    def map(self):
        entry = self.bytes[: 6 * PAGE].view("<u8").reshape(6, 512)
        entry[1, 0], entry[2, 0], entry[3, WINDOW >> 21], entry[3, CODE >> 21] = 0x2007, 0x3007, 0x4007, 0x5007
        for first, size, table, rights in ((WINDOW, WINDOW_SIZE, 4, 7), (READ_ONLY, READ_ONLY_SIZE, 4, 5), (CODE, CODE_SIZE, 5, 5)):
            for address in range(first, first + size, PAGE):
                entry[table, address >> 12 & 511] = address | rights
        self.bytes[READ_ONLY : READ_ONLY + READ_ONLY_SIZE] = READ_ONLY_IMAGE

    def set_up(self):
        cpu = self.cpu
        cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer = 0x80050033, 0x1000, 0x6B0, 0xD01
        cpu.cpl, cpu.context = 3, 0
        for n in range(8):
            cpu.context_key[n] = U64(0)
        for n, selector in enumerate(SELECTORS):
            cpu.seg_selector[n], cpu.seg_limit[n], cpu.seg_base[n] = U16(selector), U64(0xFFFFFFFF), U64(0)
            cpu.seg_attr[n] = U32(FLAT_DATA)
        flush(cpu)

    def mode(self, bits):
        """Run code of this size."""
        cpu = self.cpu
        cpu.bits = cpu.stack_bits = bits
        cpu.seg_attr[1] = U32(FLAT_CODE64 if bits == 64 else FLAT_CODE32)
        cpu.seg_selector[1] = U16(0x33 if bits == 64 else 0x23)
        refresh(cpu)

    def load(self, state):
        """Put an oracle's state into the vCPU and its memory."""
        cpu = self.cpu
        for n in range(16):
            cpu.gpr[n] = U64(int(state["gpr"][n]))
        cpu.rip = int(state["rip"])
        set_rflags(cpu, U64(int(state["rflags"])))
        cpu.seg_base[4], cpu.seg_base[5] = U64(int(state["fs_base"])), U64(int(state["gs_base"]))
        ctypes.memmove(int(cpu.ram) + WINDOW, state["window"].ctypes.data, WINDOW_SIZE)
        cpu.vector = cpu.error_code = cpu.has_error = cpu.fault_address = 0
        cpu.budget, cpu.pending, cpu.slow = 1 << 40, 0, 0
        refresh(cpu)

    def load_system(self, state, kind):
        """Put a state of a whole CPU into the vCPU and its memory."""
        cpu = self.cpu
        self.load(state)
        for n in range(8):
            segment = state["segment"][n]
            cpu.seg_selector[n], cpu.seg_attr[n] = U16(int(segment["selector"])), U32(int(segment["attributes"]))
            cpu.seg_base[n], cpu.seg_limit[n] = U64(int(segment["base"])), U64(int(segment["limit"]))
        for name in SYSTEM_REGISTERS:
            setattr(cpu, name, int(state[name]))
        for n in range(8):
            cpu.dr[n] = U64(int(state["dr"][n]))
        self.bytes[TABLES : TABLES + TABLES_SIZE] = state["tables"]
        cpu.cpl = kind.cpl
        refresh_mode(cpu)
        refresh(cpu)

    def result(self, status, state):
        """What the instruction did, as an oracle reports it."""
        cpu, r = self.cpu, np.zeros((), RESULT)
        r["fx"], r["fs_base"], r["gs_base"] = state["fx"], state["fs_base"], state["gs_base"]
        r["gpr"] = [int(cpu.gpr[n]) for n in range(16)]
        r["rflags"] = int(get_rflags(cpu)) & ~RF
        r["window"] = self.bytes[WINDOW : WINDOW + WINDOW_SIZE]
        r["vector"], r["rip"] = NONE, int(cpu.rip if status == BRANCH else self.uop.after)
        if status == FAULT:
            r["rip"] = state["rip"]
            r["vector"] = int(cpu.vector)
            r["error_code"] = int(cpu.error_code) if cpu.has_error != 0 else 0
            r["fault_address"] = int(cpu.fault_address) if cpu.vector == PF_FAULT else 0
        return r

    def fill(self, i, rip):
        """The uop of a decoded instruction."""
        u = self.uop
        how = [kinds.GPR_OFFSET if o.kind == "reg" else kinds.PLAIN_NUMBER for o in i.form.operands[:3]] + [kinds.NOT_A_REGISTER] * 3
        u.r0, u.r1, u.r2 = (int(register_field(h, n)) & 0xFF for h, n in zip(how[:3], i.numbers))
        for name in "base index scale seg length asize osize rep imm disp".split():
            setattr(u, name, getattr(i, name))
        u.after = rip + i.length & (1 << i.bits) - 1

    def place(self, spec, k):
        """The place of operand k, or None if its memory faults."""
        cpu, u = self.cpu, self.uop
        number = (u.r0, u.r1, u.r2, 0)[k]
        if spec.where == kinds.GPR:
            return PLACES[spec.bits](int(cpu.gpr.address) + int(number), spec.bits == 32)
        if spec.where == kinds.NUMBER:
            return PLACES[8](int(u.address) + Uop.fields[f"r{k}"][0])
        if spec.where == kinds.IMM:
            return PLACES[spec.bits](int(u.address) + Uop.fields["imm"][0])
        if spec.where in (kinds.EA, kinds.ONE):
            ctypes.c_uint64.from_address(self.spare + 8 * k).value = int(effective(cpu, u)) if spec.where == kinds.EA else 1
            return PLACES[spec.bits](self.spare + 8 * k)
        host = operand(cpu, u, U64(spec.bits // 8), spec.writes, spec.reads, spec.aligned)
        return PLACES[spec.bits](host) if host != 0 else None

    def attempt(self, kind):
        """Run the meaning once: its status."""
        if kind.unit and not plain.AVAILABLE[kind.unit](self.cpu):
            return FAULT
        if kind.cpl0:
            self.cpu.vector, self.cpu.error_code, self.cpu.has_error = 13, 0, 1
            return FAULT
        places = [self.place(spec, k) for k, spec in enumerate(kind.places)]
        if any(p is None for p in places):
            return FAULT
        extra = [n for n in (kind.string_bits or None, kind.cc) if n is not None]
        return self.meanings[kind.sem](self.cpu, self.uop, *places, *extra)

    def step(self, kind):
        """Run the instruction to its end, through slots where need be."""
        while True:
            status = self.attempt(kind)
            if status == FAULT and self.cpu.vector == SLOW:
                self.cpu.slow = 1
                begin(self.cpu)
                status = self.attempt(kind)
                if status != FAULT:
                    assert commit(self.cpu) == NEXT
                self.cpu.slow = 0
            if status != REPEAT:
                return status

    def run(self, states, code, bits):
        """A stand-in for a CPU."""
        out = np.zeros(len(states), RESULT)
        start = int(states["rip"][0])
        self.bytes[CODE : CODE + CODE_SIZE] = INT3
        self.bytes[start : start + len(code)] = np.frombuffer(code, np.uint8)
        self.mode(bits)
        i = isa.decode(code, bits=bits, ip=start)
        if i is not None:
            kind = kinds.kind_of(i.form, 0)
        for n, state in enumerate(states):
            self.load(state)
            if i is None:
                self.cpu.vector = UD
                out[n] = self.result(FAULT, state)
                continue
            self.fill(i, start)
            out[n] = self.result(self.step(kind), state)
        return out

    def report(self, out, status, state):
        """Fill in a result of a whole CPU: what `result` gives, segments, system registers, tables."""
        cpu, r = self.cpu, self.result(status, state)
        for name in RESULT.names:
            out[name] = r[name]
        for n in range(8):
            segment = out["segment"][0, n]
            segment["selector"], segment["attributes"] = int(cpu.seg_selector[n]), int(cpu.seg_attr[n])
            segment["base"], segment["limit"] = int(cpu.seg_base[n]), int(cpu.seg_limit[n])
            out["dr"][0, n] = int(cpu.dr[n])
        for name in SYSTEM_REGISTERS:
            out[name] = int(getattr(cpu, name))
        out["tables"] = self.bytes[TABLES : TABLES + TABLES_SIZE]

    def run_system(self, states, code, kind):
        """A stand-in for a machine: nothing is delivered, a fault is reported.  The code is the same for all states."""
        out = np.zeros(len(states), SYSTEM_RESULT)
        for name in states.dtype.names:
            out[name] = states[name]
        self.bytes[CODE : CODE + CODE_SIZE] = INT3
        self.bytes[PAGING : PAGING + PAGING_SIZE] = paging(kind)
        flush(self.cpu)
        try:
            for n, state in enumerate(states):
                start = int(state["rip"])
                at = start + (0 if kind.bits == 64 else int(state["segment"]["base"][1]))
                self.bytes[at : at + len(code)] = np.frombuffer(code, np.uint8)
                self.load_system(state, kind)
                i = isa.decode(code, bits=kind.bits, ip=start)
                if i is None:
                    self.cpu.vector = UD
                    self.report(out[n : n + 1], FAULT, state)
                    continue
                self.fill(i, start)
                self.report(out[n : n + 1], self.step(kinds.kind_of(i.form, 0)), state)
        finally:
            self.set_up()
        return out


@functools.cache
def shared():
    """The one of a test run."""
    return One()


def run(states, code, bits=64):
    """`One.run` on the shared vCPU."""
    return shared().run(states, code, bits)


def run_system(states, code, kind):
    """`One.run_system` on the shared vCPU."""
    return shared().run_system(states, code, kind)
