"""A machine without an engine, for what stands above it: a few instructions, interpreted byte by byte.

NOP and everything it does not know: RAX + 1.  HLT: idle, or halted for ever with IF off.  INT n: a trap, delivered as a
step that changes nothing else.  OUT imm8, AL.  CALL, RET, JMP rel8.  UD2: triple fault.
"""

import ctypes
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

import isa
from isa.lang.word import U64
from vmdbg.debugger.registers import linear_rip
from vmdbg.machine.machine import Leave, Map
from vmdbg.machine.state import CS, RAX, RSP, Cpu


@dataclass(frozen=True)
class Stop:
    reason: str
    cpu: int = 0
    vector: int | None = None
    error_code: int | None = None
    address: int | None = None
    exit_code: int | None = None
    text: str = ""


class StubMachine:
    def __init__(self, memory=1 << 20, cpus=1):
        self._state = ctypes.create_string_buffer(Cpu.size)
        self.cpus = [Cpu(ctypes.addressof(self._state))]
        self.ram = np.zeros(memory, np.uint8)
        self.ports, self.device_memory = Map(), Map()
        self.timers: list = []
        self.memory_size, self.clock = memory, 0
        self.position = 0
        self.power_on = False
        self.cells = [SimpleNamespace(cr8=ctypes.c_uint64(0))]
        self.shared = SimpleNamespace(port_buffers=[0] * 16, flush_epoch=0)
        self.breakpoints: set[int] = set()
        self.intercepted: set[int] = set()
        self._pending: int | None = None  # a vector that was reported and is to be delivered

    def claim(self, first, count, device):
        pass

    def serve_port(self, n, buffers):
        pass

    def add_rom(self, image):
        self.power_on = True

    def make_rom(self, first, count):
        pass

    def set_apic_registers(self, cpu, table):
        pass

    def set_intr(self, cpu, level):
        pass

    def set_breakpoints(self, addresses):
        self.breakpoints = set(addresses)

    def intercept(self, vectors):
        self.intercepted = set(vectors)

    def read_physical(self, address, n):
        return self.ram[address : address + n].tobytes() if address + n <= len(self.ram) else None

    def write_physical(self, address, data):
        self.ram[address : address + len(data)] = bytearray(data)

    def read_linear(self, cpu_index, address, n):
        return self.read_physical(address, n)

    def walk(self, cpu_index, linear):
        return linear, []

    def step(self):
        return self._one() or Stop("budget")

    def run(self, budget, resume=True, turns=None):
        if self.power_on:  # what a BIOS does first is not played
            self.power_on = False
            return Stop("break")
        for n in range(min(budget, 2000)):
            if (n or not resume) and linear_rip(self.cpus[0]) in self.breakpoints:
                return Stop("break", address=linear_rip(self.cpus[0]))
            stop = self._one()
            if stop is not None:
                return stop
        return Stop("budget")

    def _one(self):
        cpu = self.cpus[0]
        at = linear_rip(cpu)
        code = self.ram[at : at + 15].tobytes()
        found = isa.decode(code, bits=int(cpu.bits), ip=int(cpu.rip))
        length = found.length if found is not None else 1
        target = int(cpu.rip) + length
        if code[0] == 0xF4:
            return Stop("idle" if int(cpu.eflags) & 0x200 else "halt")
        if code[:2] == b"\x0f\x0b":
            return Stop("shutdown")
        if code[0] == 0xCD and self._pending is None and code[1] in self.intercepted:
            self._pending = code[1]
            return Stop("trap", vector=code[1], error_code=0)
        self._pending = None
        if code[0] == 0xE6:
            try:
                self.ports.write(code[1], 1, int(cpu.gpr[RAX]) & 0xFF)
            except Leave as e:
                return Stop("exit", exit_code=e.code)
        elif code[0] == 0xE8:
            self._stack().__setitem__(0, target & 0xFFFF)
            target = found.imm
        elif code[0] == 0xC3:
            target = int.from_bytes(self.ram[int(cpu.gpr[RSP]) :][:2].tobytes(), "little")
            cpu.gpr[RSP] = cpu.gpr[RSP] + 2
        elif code[0] == 0xEB:
            target = found.imm
        else:
            cpu.gpr[RAX] = cpu.gpr[RAX] + 1
        cpu.rip = U64(target & 0xFFFF if int(cpu.bits) == 16 else target)
        cpu.instructions = cpu.instructions + 1
        self.position += 1
        return None

    def _stack(self):
        cpu = self.cpus[0]
        cpu.gpr[RSP] = cpu.gpr[RSP] - 2
        assert int(cpu.seg_base[CS]) == 0
        return self.ram[int(cpu.gpr[RSP]) : int(cpu.gpr[RSP]) + 2].view("<u2")
