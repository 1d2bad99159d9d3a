"""The memory of a machine, read and written from outside: by physical address, and by linear address as a vCPU maps it."""

import ctypes

import numpy as np

from isa.lang.word import U64
from vmdbg.machine import looking
from vmdbg.machine.paging import linear_to_physical_debug
from vmdbg.machine.physical import ABSENT, PAGE_CODE, PAGE_TABLE
from vmdbg.machine.slots import store_bytes
from vmdbg.machine.state import Cpu

PAGE = 4096
FOUR_GIB = 1 << 32
LARGEST_LINEAR = (1 << 64) - 1


class GuestMemory:
    """The part of Machine that reads and writes for others; RAM, vCPUs and the core are the machine's."""

    def read_physical(self, address: int, n: int) -> bytes | None:
        """n bytes of RAM or ROM; None if any of them is outside."""
        if address < 0 or n < 0:
            return None
        if address >= self.memory_size:  # the ROM's bytes stand behind RAM
            if not int(self.cpus[0].rom_size) or not int(self.cpus[0].rom_base) <= address <= address + n <= FOUR_GIB:
                return None
            address += self.memory_size - int(self.cpus[0].rom_base)
        elif address + n > self.memory_size:
            return None
        return self._ram.array[address : address + n].tobytes()

    def write_physical(self, address: int, data: bytes) -> bool:
        """Write RAM as the guest would: translated code and translations that depend on it are dropped.  False: outside RAM."""
        if address < 0 or address + len(data) > self.memory_size:
            return False
        if not data:
            return True
        self.note_write(address, len(data))
        first, last = address // PAGE, (address + len(data) - 1) // PAGE
        if not np.any(self.page_flags.array[first : last + 1] & (PAGE_CODE | PAGE_TABLE)):
            self.ram[address : address + len(data)] = np.frombuffer(data, np.uint8)
            self.page_dirty.array[first : last + 1] = 1
            return True
        done = 0
        while done < len(data):
            n = min(len(data) - done, PAGE - (address + done) % PAGE)
            piece = ctypes.create_string_buffer(data[done : done + n], n)
            store_bytes(self.cpus[0], U64(address + done), U64(ctypes.addressof(piece)), U64(n))
            done += n
        return True

    def walk(self, cpu_index: int, linear: int):
        """(physical address or None, [(level, entry's address, entry)]) of a linear address, without side effects."""
        return linear_to_physical_debug(self.cpus[cpu_index], linear)

    def physical_of(self, cpu_index: int, linear: int) -> int | None:
        """The physical address of a linear one, after the A20 gate, without side effects; None if it is not mapped."""
        cpu, linear = self.cpus[cpu_index], linear & LARGEST_LINEAR
        found = int(looking.look(cpu, U64(linear))) if self._core is None else self._core.look(int(cpu.address), linear)
        return None if found == ABSENT else found

    def read_linear(self, cpu_index: int, address: int, n: int) -> bytes | None:
        """n bytes at a linear address, permissions ignored and without side effects; None if any of them is not there."""
        data = self.mapped_at(cpu_index, address, n)
        return data if len(data) == n else None

    def mapped_at(self, cpu_index: int, address: int, most: int) -> bytes:
        """Up to `most` bytes at a linear address, as many as there are before one that is not mapped to RAM or ROM."""
        if most <= 0:
            return b""
        buffer = (ctypes.c_char * most)()
        to, address = ctypes.addressof(buffer), address & LARGEST_LINEAR
        if self._core is None:
            count = int(looking.copy_linear(self.cpus[cpu_index], U64(address), U64(most), U64(to)))
        else:
            count = self._core.copy_linear(self._state.address + cpu_index * Cpu.size, address, most, to)
        return buffer.raw[:count]
