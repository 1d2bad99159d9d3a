"""The machine: RAM, vCPUs, ports, and one engine that runs them.

    RAM, ROM | page_flags | page_code | page_head | TLBs | jump caches | blocks | uops        (derived: everything behind RAM)

`run(budget)` runs vCPUs round-robin in quanta of a fixed number of steps and returns a Stop.  What compiled code leaves
to Python (ports, devices in memory, CPUID) is done here, between two entries of the core.
"""

import ctypes
import mmap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from isa.decode_tables import TABLES
from isa.lang.word import U64
from vmdbg.machine import answers, blocks, code_pages, kinds, threaded, tlb
from vmdbg.machine.devices import ALL_ONES, Apic, Controller, Device, Leave, Map, Timer
from vmdbg.machine.paging import linear_to_physical_debug
from vmdbg.machine.physical import PAGE_CODE, PAGE_DEVICE, PAGE_ROM, PAGE_TABLE
from vmdbg.machine.reset import HALTED, reset
from vmdbg.machine.slots import store_bytes
from vmdbg.machine.state import (
    EXIT,
    F_IF,
    HALT,
    X_IN,
    X_MMIO_READ,
    X_MMIO_WRITE,
    X_OUT,
    X_SHUTDOWN,
    Block,
    CacheEntry,
    Cpu,
    Shared,
    Uop,
)

PAGE = 4096
QUANTUM = 2000  # steps a vCPU runs before the next one's turn
SLICE = 1 << 28  # the most the engine is asked for at once (below code_pages.HELD)
SKIPS = 10_000  # deadlines that may pass without waking anybody: a timer whose interrupt is masked ticks for ever
ROM_ROOM = 16 << 20  # the largest ROM
FOUR_GIB = 1 << 32
BLOCKS, UOPS = 1 << 17, 1 << 19


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended.

    reason      budget, break (an address), trap (a vector about to be delivered), halt (for ever: interrupts are off), idle
                (halted with interrupts on, nothing due), shutdown (triple fault), exit (the guest asked for it), error
    """

    reason: str
    cpu: int = 0
    vector: int | None = None
    error_code: int | None = None
    address: int | None = None
    exit_code: int | None = None
    text: str = ""


SPENT = Stop("budget")
FOREVER = 1 << 64


class Memory:
    """Host memory for a guest: page-aligned, zero, allocated when touched.  `array` sees it as bytes."""

    def __init__(self, size: int):
        self.map = mmap.mmap(-1, max(size, PAGE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
        self.array = np.frombuffer(self.map, np.uint8)[:size]
        self.address = self.array.ctypes.data


class Machine:
    """`memory` bytes of RAM (a multiple of 4096), `cpus` vCPUs in reset state, no devices.

    engine: "threaded" (compiled, the default) or "plain" (Python).  progress(done, total, text) is told while the core
    is built on first use.
    """

    def __init__(self, memory: int = 64 << 20, cpus: int = 1, engine: str = "threaded", progress: Callable | None = None):
        if memory <= 0 or memory % PAGE:
            raise ValueError(f"memory of {memory} bytes: a positive multiple of {PAGE} was expected")
        self.engine, self.memory_size = engine, memory
        self._ram = Memory(memory + ROM_ROOM)
        self.ram = self._ram.array[:memory]
        self.ports, self.device_memory = Map(), Map()
        self.timers: list[Timer] = []
        self.controller: Controller | None = None
        self.apics: list[Apic] = []  # one for each vCPU, or none
        self.breakpoints: set[int] = set()
        self._keep: list = []
        self._build_shared(memory)
        self._core = None
        if engine == "threaded":
            from vmdbg.machine import core

            self._core = core.load(progress) if progress else core.load()
            self._handlers = np.array(self._core.handlers, np.uint64)
        else:
            self._handlers = np.arange(len(kinds.tables().ends) + 2, dtype=np.uint64)
        self.shared.handlers = self._handlers.ctypes.data
        self._state = Memory(Cpu.size * cpus)
        self.cpus = [self._new_cpu(n) for n in range(cpus)]
        self.cpu_states = self._state.array.reshape(cpus, Cpu.size)
        self._lone = self._core.go if self._core is not None and cpus == 1 else None
        places = [int(cpu.address) + Cpu.fields[name][0] for cpu in self.cpus for name in ("instructions", "events")]
        self._quiet = 0  # no device wants anything before this clock; 0: not known
        self._clock = ctypes.c_uint64.from_address(int(self.cpus[0].address) + Cpu.fields["clock"][0])
        self._counted = [ctypes.c_uint64.from_address(at) for at in places]

    def _allocate(self, size: int) -> int:
        memory = Memory(size)
        self._keep.append(memory)
        return memory.address

    def _keep_array(self, array: np.ndarray) -> int:
        self._keep.append(array)
        return array.ctypes.data

    def _build_shared(self, memory: int) -> None:
        pages = (memory + ROM_ROOM) // PAGE
        self.shared = shared = Shared(self._allocate(Shared.size))
        self.page_flags = Memory(pages)
        self._page_code, self._page_head = self._allocate(8 * pages), self._allocate(4 * pages)
        shared.page_head, shared.hash = self._page_head, self._allocate(4 * code_pages.CHAINS)
        shared.blocks, shared.block_count, shared.block_limit = self._allocate(BLOCKS * Block.size), 1, BLOCKS
        shared.uops, shared.uop_count, shared.uop_limit = self._allocate(UOPS * Uop.size), 0, UOPS
        tables = kinds.tables()
        shared.kinds, shared.operands, shared.ends = map(self._keep_array, (tables.kinds, tables.operands, tables.ends))
        shared.decoder = int(TABLES.pointer.address)
        shared.buffer = self._allocate(256)
        self._missing, self._scratch = Uop(self._allocate(Uop.size)), self._allocate((blocks.LONGEST + 2) * Uop.size)
        self._missing.cost = code_pages.HELD
        self._breakpoint_array = np.zeros(0, np.uint64)
        shared.breakpoints = self._breakpoint_array.ctypes.data

    def _new_cpu(self, n: int) -> Cpu:
        cpu = Cpu(self._state.address + n * Cpu.size)
        cpu.index, cpu.ram, cpu.ram_size, cpu.a20_mask = n, self._ram.address, self.memory_size, ~U64(0)
        cpu.page_flags, cpu.page_code, cpu.shared = self.page_flags.address, self._page_code, self.shared.address
        cpu.tlb_contexts, cpu.cache = self._allocate(tlb.SIZE), self._allocate(blocks.CACHE * CacheEntry.size)
        cpu.tlb_none = self._keep_array(np.full(tlb.BANK_SIZE, 0xFF, np.uint8))
        cpu.scratch, cpu.missing = self._scratch, self._missing.address
        cpu.stop, cpu.handlers = self._handlers[blocks.STOP], self._handlers.ctypes.data
        cpu.turn = int(n == 0)
        cpu.random = 0x9E3779B97F4A7C15 * (n + 1)
        cpu.apic_base = 0xFEE00000 | 0x800 | (0x100 if n == 0 else 0)
        for context in range(tlb.CONTEXTS):
            cpu.context_key[context] = 1
        reset(cpu)
        tlb.flush(cpu) if self._core is None else self._core.flush(int(cpu.address))
        return cpu

    # ---- running

    @property
    def position(self) -> int:
        """Steps so far on all vCPUs: instructions, REP iterations, delivered events."""
        return sum([count.value for count in self._counted])

    @property
    def clock(self) -> int:
        """Virtual nanoseconds: one a step, plus what idling skips (contract.md section 5)."""
        return int(self.cpus[0].clock)

    def _enter(self, cpu: Cpu, budget: int, resume: bool) -> int:
        """steps << 8 | status of one entry of the engine."""
        if self._core is None:
            entered = int(threaded.go(cpu, U64(budget), U64(resume)))
        else:
            entered = self._core.go(int(cpu.address), budget, resume)
        if len(self.cpus) > 1:
            clock = int(cpu.clock)
            for c in self.cpus:
                c.clock = clock
        return entered

    def run(self, budget: int, resume: bool = True) -> Stop:
        """Run at most `budget` steps over all vCPUs.  resume: a breakpoint at the first instruction does not stop it."""
        left, skips, entered = budget, 0, None
        if self._lone is not None and 0 < budget <= SLICE and self._clock.value + budget <= self._quiet:  # as single steps do
            entered = self._lone(self._state.address, budget, resume)
            if entered == budget << 8 | threaded.BUDGET:
                return SPENT
            if entered == threaded.BUDGET:  # it waits
                entered = None
        while left > 0:
            if entered is None:
                due = self._wake_and_fire()
                self._quiet = FOREVER if due is None else due
                cpu = self._whose_turn()
                if cpu is None:
                    skips += 1
                    if due is None or skips > SKIPS or not self._listening():
                        return self._all_halted()
                    self._skip_to(due)
                    continue
                skips = 0
                whole = min(left, SLICE)
                if due is not None:
                    whole = min(whole, due - self.clock)
                sharing = sum(not int(c.activity) for c in self.cpus) > 1
                cpu.sharing = int(sharing)
                if sharing:
                    whole = min(whole, QUANTUM - int(cpu.turn_steps))
            else:
                cpu, whole, sharing = self.cpus[0], left, False
            stop, steps = self._run_cpu(cpu, whole, resume, entered)
            entered = None
            left -= steps
            cpu.turn_steps = int(cpu.turn_steps) + steps if sharing else 0  # alone, a turn does not end
            if stop is not None:
                return stop
            resume = resume and not steps
        return Stop("budget", int(self._current().index))

    def _wake_and_fire(self) -> int | None:
        """Let timers that are due fire, and interrupts wake halted vCPUs; returns the next deadline."""
        due = min((d for t in self.timers if (d := t.deadline()) is not None), default=None)
        if due is not None and due <= self.clock:
            for timer in self.timers:
                timer.advance(self.clock)
            due = min((d for t in self.timers if (d := t.deadline()) is not None), default=None)
        for cpu in self.cpus:
            if int(cpu.activity) == HALTED and (int(cpu.nmi) or (int(cpu.intr) > int(cpu.cr8) and int(cpu.eflags) & F_IF)):
                cpu.activity = 0
        return due

    def _skip_to(self, clock: int) -> None:
        """All vCPUs wait: time passes."""
        for cpu in self.cpus:
            cpu.clock = max(clock, int(cpu.clock))

    def _current(self) -> Cpu:
        return next(c for c in self.cpus if int(c.turn))

    def _whose_turn(self) -> Cpu | None:
        """The vCPU that runs now: the next active one if the turn of the current one is over; None if all wait."""
        current = self._current()
        over = len(self.cpus) > 1 and (int(current.turn_steps) >= QUANTUM or int(current.yields))
        if not over and not int(current.activity):
            return current
        n = int(current.index)
        for c in [*self.cpus[n + 1 :], *self.cpus[: n + 1]]:
            if not int(c.activity):
                current.turn = current.turn_steps = current.yields = 0
                c.turn, c.turn_steps = 1, 0
                return c
        return None

    def _listening(self) -> bool:
        """Whether an interrupt would wake a vCPU."""
        return any(int(c.activity) == HALTED and int(c.eflags) & F_IF for c in self.cpus)

    def _all_halted(self) -> Stop:
        if self._listening():
            return Stop("idle", int(self._current().index))
        return Stop("halt", int(self._current().index))

    def _run_cpu(self, cpu: Cpu, budget: int, resume: bool, entered: int | None) -> tuple[Stop | None, int]:
        """Run one vCPU, whose first entry of the engine gave `entered`, until its budget is spent, it halts or
        something stops the run: (stop, steps).
        """
        left, n = budget, int(cpu.index)
        while left > 0 or int(cpu.slow):  # the last instruction's write-back belongs to it
            if entered is None:
                entered = self._enter(cpu, left, resume)
            status, steps, entered = entered & 0xFF, entered >> 8, None
            left -= steps
            resume = resume and not steps
            if status == threaded.BUDGET:
                break
            if status == threaded.BREAK:
                return Stop("break", n, address=int(blocks.code_linear(cpu, cpu.rip))), budget - left
            if status == threaded.INTERCEPT:
                return Stop(
                    "trap", n, vector=int(cpu.vector) & 0xFF, error_code=int(cpu.error_code), address=int(cpu.fault_address)
                ), budget - left
            if status == HALT:
                cpu.activity = 1
                break
            if status == threaded.YIELD:
                break
            if status == threaded.PENDING:
                if self.controller is None:
                    cpu.intr = 0
                else:
                    cpu.inject = 0x100 | self.controller.acknowledge(n)
                continue
            if status == EXIT:
                try:
                    stop = self._answer(cpu)
                except Leave as leave:
                    return Stop("exit", n, exit_code=leave.code), budget - left
                if stop is not None:
                    return stop, budget - left
                if int(cpu.activity) or (self.timers and not int(cpu.slow)):
                    break  # a device may have a new deadline
                resume = True
            else:
                return Stop("error", n, text=f"the engine returned status {status}"), budget - left
        return None, budget - left

    def _answer(self, cpu: Cpu) -> Stop | None:
        """Do what an EXIT asks for; the instruction is then run again (or its write-back continued)."""
        self._quiet = 0
        reason, port, width = int(cpu.reason), int(cpu.port), int(cpu.width)
        if reason == X_IN:
            cpu.latch[0] = self.ports.read(port, width)
            cpu.latched = 1
        elif reason == X_OUT:
            cpu.latched = 1
            self.ports.write(port, width, int(cpu.value) & ALL_ONES[width])
        elif reason == X_MMIO_READ:
            n = int(cpu.mmio_count)
            cpu.mmio[n] = self.device_memory.read(port, width)
            cpu.mmio_count = n + 1
        elif reason == X_MMIO_WRITE:
            self.device_memory.write(port, width, int(cpu.value) & ALL_ONES[width])
        elif reason == X_SHUTDOWN:
            return Stop("shutdown", int(cpu.index), address=int(cpu.fault_rip))
        else:
            return answers.answer(self, cpu, reason)
        return None

    def step(self, n: int = 1) -> Stop:
        """n steps."""
        return self.run(n)

    def set_intr(self, cpu: int, level: bool | int) -> None:
        """Drive a vCPU's INTR line; with it raised and interrupts on, `controller` is asked for the vector.

        level: False; True; or the priority class of the request, 1-15, which waits until CR8 is below it.
        """
        self._quiet = 0
        self.cpus[cpu].intr = 16 if level is True else int(level)

    def devices_changed(self) -> None:
        """A device was changed from outside a run: its deadline is asked for again."""
        self._quiet = 0

    def leave(self, code: int) -> None:
        """For devices: end the run with this exit code."""
        raise Leave(code)

    # ---- stopping

    def set_breakpoints(self, addresses: Iterable[int]) -> None:
        """Stop before executing any of these linear addresses, instead of those given before."""
        self.breakpoints = {a & (1 << 64) - 1 for a in addresses}
        self._breakpoint_array = np.array(sorted(self.breakpoints), np.uint64)
        self.shared.breakpoints = self._breakpoint_array.ctypes.data
        self.shared.breakpoint_count = len(self.breakpoints)
        self.drop_code()

    def intercept(self, vectors: Iterable[int]) -> None:
        """Stop before an exception with any of these vectors is delivered, instead of those given before."""
        words = [0, 0, 0, 0]
        for v in vectors:
            words[v >> 6] |= 1 << (v & 63)
        for cpu in self.cpus:
            for i, w in enumerate(words):
                cpu.intercept[i] = w

    def drop_code(self) -> None:
        """Forget all translated code."""
        cpu = self.cpus[0]
        self._core.drop_all(int(cpu.address)) if self._core else blocks.drop_all(cpu)

    # ---- memory

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
        first, last = address // PAGE, (address + len(data) - 1) // PAGE
        if not np.any(self.page_flags.array[first : last + 1] & (PAGE_CODE | PAGE_TABLE)):
            self.ram[address : address + len(data)] = np.frombuffer(data, np.uint8)
            return True
        done = 0
        while done < len(data):
            n = min(len(data) - done, PAGE - (address + done) % PAGE)
            piece = ctypes.create_string_buffer(data[done : done + n], n)
            store_bytes(self.cpus[0], U64(address + done), U64(ctypes.addressof(piece)), U64(n))
            done += n
        return True

    def claim(self, first: int, count: int, device: Device) -> None:
        """Give physical addresses to a device; those inside RAM must be whole pages."""
        self.device_memory.attach(first, count, device)
        for page in range(first // PAGE, min((first + count + PAGE - 1) // PAGE, self.memory_size // PAGE)):
            self.page_flags.array[page] |= PAGE_DEVICE
        self._pages_changed()

    def add_rom(self, image: bytes) -> None:
        """Firmware that ends at 4 GiB, where every CPU starts after reset; its length is a multiple of 4096, at most ROM_ROOM."""
        if not image or len(image) % PAGE or len(image) > ROM_ROOM:
            raise ValueError(f"a ROM of {len(image)} bytes: a multiple of {PAGE}, at most {ROM_ROOM}, was expected")
        base = FOUR_GIB - len(image)
        if self.memory_size > base:
            raise ValueError(f"{self.memory_size} bytes of RAM reach into a ROM at {base:#x}")
        end = self.memory_size + len(image)
        self._ram.array[self.memory_size : end] = np.frombuffer(image, np.uint8)
        self.page_flags.array[self.memory_size // PAGE : end // PAGE] |= PAGE_ROM
        for cpu in self.cpus:
            cpu.rom_base, cpu.rom_size = base, len(image)
        self._pages_changed()

    def make_rom(self, first: int, count: int) -> None:
        """Let guest writes to these pages of RAM go nowhere."""
        for page in range(first // PAGE, (first + count + PAGE - 1) // PAGE):
            self.page_flags.array[page] |= PAGE_ROM
        self._pages_changed()

    def _pages_changed(self) -> None:
        self.shared.flush_epoch = int(self.shared.flush_epoch) + 1

    def walk(self, cpu_index: int, linear: int):
        """(physical address or None, [(level, entry's address, entry)]) of a linear address, without side effects."""
        return linear_to_physical_debug(self.cpus[cpu_index], linear)

    def read_linear(self, cpu_index: int, address: int, n: int) -> bytes | None:
        """n bytes at a linear address, permissions ignored; None if a page is not there."""
        out = b""
        while n > 0:
            physical, _levels = self.walk(cpu_index, address)
            count = min(n, PAGE - address % PAGE)
            piece = None if physical is None else self.read_physical(physical, count)
            if piece is None:
                return None
            out, n, address = out + piece, n - count, (address + count) & (1 << 64) - 1
        return out
