"""Registers are read past the words of the machine: what comes out is what those say."""

import ctypes
import random

from isa.lang.struct import C_TYPE
from vmdbg.debugger.registers import REGISTERS, linear_rip, reader, rflags
from vmdbg.machine.blocks import code_linear
from vmdbg.machine.flags import get_rflags
from vmdbg.machine.state import Cpu


def random_cpus(count: int):
    """vCPUs of random bytes; CF and LT are bits, and the code size is one there is."""
    chance, memory = random.Random(5), ctypes.create_string_buffer(Cpu.size)
    for _ in range(count):
        memory.raw = chance.randbytes(Cpu.size)
        cpu = Cpu(ctypes.addressof(memory))
        cpu.cf, cpu.lt, cpu.bits = chance.randrange(2), chance.randrange(2), chance.choice([16, 32, 64])
        if chance.randrange(2):
            cpu.zr = 0
        cpu.eflags = (int(cpu.eflags) & 0x3F7000 | 2) & ~0x8D5
        yield cpu


def test_rflags_are_those_of_the_machine():
    for cpu in random_cpus(200):
        whole = int(get_rflags(cpu))
        assert rflags(cpu) == REGISTERS["rflags"].read(cpu) == whole
        assert [REGISTERS[n].read(cpu) for n in ("cf", "pf", "af", "zf", "sf", "of")] == [whole >> n & 1 for n in (0, 2, 4, 6, 7, 11)]
        assert REGISTERS["iopl"].read(cpu) == whole >> 12 & 3
        assert linear_rip(cpu) == int(code_linear(cpu, cpu.rip))


def test_fields_and_elements():
    cpu = next(random_cpus(1))
    for name, (_at, word, count) in Cpu.fields.items():
        if word in C_TYPE:
            found = [reader(name, n)(cpu) for n in range(count or 1)]
            assert found == ([int(w) for w in getattr(cpu, name)] if count else [int(getattr(cpu, name))])
