"""The machine: RAM, vCPUs, ports, and one engine that runs them.

    RAM, ROM | page_flags | page_code | code_bytes | page_head | TLBs | jump caches | blocks | uops        (derived: everything behind RAM)

`run(budget)` runs vCPUs round-robin in quanta of a fixed number of steps and returns a Stop.  What compiled code leaves
to Python (ports, devices in memory) is done here, between two entries of the core.
"""

import ctypes
import mmap
from collections import Counter
from collections.abc import Callable

import numpy as np

from isa import cpuid
from isa.decode_tables import TABLES
from isa.lang.word import U64
from vmdbg.machine import answers, blocks, code_pages, kinds, threaded, tlb
from vmdbg.machine.devices import ALL_ONES, Apic, Controller, Coprocessor, Device, Leave, Map, Timer
from vmdbg.machine.guest_memory import FOUR_GIB, PAGE, GuestMemory
from vmdbg.machine.physical import PAGE_DEVICE, PAGE_ROM
from vmdbg.machine.reset import HALTED, reset
from vmdbg.machine.slots import COMMITTING
from vmdbg.machine.start_up import deliver_startup
from vmdbg.machine.state import (
    CS,
    EXIT,
    F_IF,
    HALT,
    X_IN,
    X_MMIO_READ,
    X_MMIO_WRITE,
    X_OUT,
    X_RDMSR,
    X_SHUTDOWN,
    X_WRMSR,
    Block,
    CacheEntry,
    Cpu,
    Shared,
    TlbEntry,
    Uop,
)
from vmdbg.machine.stopping import Stop, Stopping, origin_of

QUANTUM = 2000  # steps a vCPU runs before the next one's turn
SLICE = 1 << 28  # the most the engine is asked for at once (below code_pages.HELD)
SKIPS = 10_000  # deadlines that may pass without waking anybody: a timer whose interrupt is masked ticks for ever
ROM_ROOM = 16 << 20  # the largest ROM
BLOCKS, UOPS = 1 << 17, 1 << 19
MESSAGES = {0x80B, 0x830, 0x83F}  # EOI, ICR and SELF IPI of an x2APIC: they change no deadline


SPENT = Stop("budget")
FOREVER = 1 << 64


class Cells:
    """Fields of one vCPU that every exit touches: a cell's `value` is a plain integer, read and written in one go."""

    __slots__ = tuple(
        "reason port width value latch latched mmio_count activity slow clock turn turn_steps yields sharing "
        "intr nmi inject startup cr8 eflags rip vector error_code fault_address instructions events "
        "watch_hit watch_linear watch_physical watch_size watch_write watch_rip mode_before mode_seen".split()
    )

    def __init__(self, cpu: Cpu):
        for name in self.__slots__:
            setattr(self, name, ctypes.c_uint64.from_address(int(cpu.address) + Cpu.fields[name][0]))


def wakes(c: Cells) -> bool:
    """Whether an interrupt ends the wait of a vCPU at HLT."""
    return bool(c.activity.value == HALTED and (c.nmi.value or (c.intr.value > c.cr8.value and c.eflags.value & F_IF)))


class Memory:
    """Host memory for a guest: page-aligned, zero, allocated when touched.  `array` sees it as bytes."""

    def __init__(self, size: int):
        self.map = mmap.mmap(-1, max(size, PAGE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
        self.array = np.frombuffer(self.map, np.uint8)[:size]
        self.address = self.array.ctypes.data


class Machine(Stopping, GuestMemory):
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
        self.coprocessor: Coprocessor | None = None  # None: IGNNE# answers FERR#
        self.waits = False  # idle time is not skipped: `run` returns, and somebody else lets it pass
        self.exits: Counter[tuple[int, int]] | None = None  # exits by reason and by port, MSR or page, if somebody counts them
        self._keep: list = []
        self.write_rights: list[np.ndarray] = []  # TlbEntry.write of all entries of each vCPU
        self._build_shared(memory, cpus)
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
        self.cells = [Cells(cpu) for cpu in self.cpus]
        self.stop_nowhere()
        self._settled = False  # the last answer changed no deadline and woke nobody: the vCPU may go on
        self._quiet = 0  # no device wants anything before this clock; 0: not known
        self._steady, self._same, self._counter = (
            ctypes.c_uint64.from_address(int(self.shared.address) + Shared.fields[name][0])
            for name in ("steady_until", "same_port", "counter_port")
        )
        self._clock = self.cells[0].clock
        self._counted = [cell for c in self.cells for cell in (c.instructions, c.events)]

    def _allocate(self, size: int) -> int:
        memory = Memory(size)
        self._keep.append(memory)
        return memory.address

    def _keep_array(self, array: np.ndarray) -> int:
        self._keep.append(array)
        return array.ctypes.data

    def _build_shared(self, memory: int, cpus: int) -> None:
        pages, identity = (memory + ROM_ROOM) // PAGE, cpuid.rows(cpus)
        self.shared = shared = Shared(self._allocate(Shared.size))
        self.page_flags, self.page_dirty = Memory(pages), Memory(pages)
        self.page_code, self._page_head, self._code_bytes = Memory(8 * pages), self._allocate(4 * pages), self._allocate(PAGE // 8 * pages)
        shared.page_head, shared.hash = self._page_head, self._allocate(4 * code_pages.CHAINS)
        shared.blocks, shared.block_count, shared.block_limit = self._allocate(BLOCKS * Block.size), 1, BLOCKS
        shared.uops, shared.uop_count, shared.uop_limit = self._allocate(UOPS * Uop.size), 0, UOPS
        shared.identity, shared.identity_count = self._keep_array(np.array(identity, np.uint32)), len(identity)
        tables = kinds.tables()
        shared.kinds, shared.operands, shared.ends = map(self._keep_array, (tables.kinds, tables.operands, tables.ends))
        shared.decoder = int(TABLES.pointer.address)
        shared.buffer = self._allocate(256)
        self._missing, self._scratch = Uop(self._allocate(Uop.size)), self._allocate((blocks.LONGEST + 2) * Uop.size)
        self._missing.cost = code_pages.HELD

    def _new_cpu(self, n: int) -> Cpu:
        cpu = Cpu(self._state.address + n * Cpu.size)
        cpu.index, cpu.ram, cpu.ram_size, cpu.a20_mask = n, self._ram.address, self.memory_size, ~U64(0)
        cpu.page_flags, cpu.page_dirty = self.page_flags.address, self.page_dirty.address
        cpu.page_code, cpu.code_bytes, cpu.shared = self.page_code.address, self._code_bytes, self.shared.address
        translations = Memory(tlb.SIZE)
        translations.array[:] = 0xFF  # no entry holds anything
        self.write_rights.append(translations.array.view("<u8").reshape(-1, TlbEntry.size // 8)[:, 1])
        cpu.tlb_contexts, cpu.cache = translations.address, self._allocate(blocks.CACHE * CacheEntry.size)
        cpu.tlb_none = self._keep_array(np.full(tlb.BANK_SIZE, 0xFF, np.uint8))
        cpu.scratch, cpu.missing = self._scratch, self._missing.address
        cpu.stop, cpu.handlers = self._handlers[blocks.STOP], self._handlers.ctypes.data
        cpu.turn = int(n == 0)
        cpu.random = 0x9E3779B97F4A7C15 * (n + 1)
        cpu.apic_base = 0xFEE00000 | 0x800 | (0x100 if n == 0 else 0)
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
        return self._clock.value

    def _enter(self, n: int, budget: int, resume: bool) -> int:
        """steps << 8 | status of one entry of the engine by vCPU n."""
        if self._core is None:
            entered = int(threaded.go(self.cpus[n], U64(budget), U64(resume)))
        else:
            entered = self._core.go(self._state.address + n * Cpu.size, budget, resume)
        if len(self.cells) > 1:
            clock = self.cells[n].clock.value
            for c in self.cells:
                c.clock.value = clock
        return entered

    def run(self, budget: int, resume: bool = True, turns: int = FOREVER) -> Stop:
        """Run at most `budget` steps over all vCPUs.  resume: a breakpoint at the first instruction does not stop it.

        turns: fewer steps, if so many accesses to devices come first; where each takes long, a budget of steps is no bound on time.
        """
        left, skips, entered, quiet = budget, 0, None, 0
        self._steady.value = self._same.value = self._counter.value = 0
        room = self._quiet - self._clock.value
        if room > 0 and self._lone is not None and budget > 0:  # single steps; a condition that did not hold
            quiet = budget if budget <= room and budget <= SLICE else min(room, SLICE)
            entered = self._lone(self._state.address, quiet, resume)
            if entered == budget << 8 | threaded.BUDGET:
                return SPENT
            if entered == threaded.BUDGET:  # it waits
                entered = None
        while left > 0:
            if entered is None:
                starting = any([c.startup.value for c in self.cells])
                if starting and deliver_startup(self):
                    self.skip_to(self._clock.value + 1)
                    left, resume = left - 1, False
                    continue
                due = self._wake_and_fire()
                self._quiet = FOREVER if due is None else due
                n = self._whose_turn()
                if n is None:
                    skips += 1
                    if due is None or skips > SKIPS or not self._listening():
                        return self._all_halted()
                    if self.waits:
                        return Stop("wait", self._current(), due=due)
                    self.skip_to(due)
                    continue
                skips = 0
                whole = min(left, SLICE)
                if due is not None:
                    whole = min(whole, due - self._clock.value)
                cells = self.cells[n]
                sharing = len(self.cells) > 1 and sum(not c.activity.value for c in self.cells) > 1
                cells.sharing.value = sharing
                if starting:
                    whole = 1
                if sharing:
                    whole = min(whole, QUANTUM - cells.turn_steps.value)
            else:
                n, cells, whole, sharing = 0, self.cells[0], quiet, False
            stop, steps = self._run_cpu(n, whole, resume, entered)
            entered = None
            left -= steps
            cells.turn_steps.value = cells.turn_steps.value + steps if sharing else 0  # alone, a turn does not end
            if stop is not None:
                return stop
            resume = resume and not steps
            turns -= 1
            if turns <= 0:
                left = min(left, 1)  # an instruction whose read has been answered ends first: it is no place to stop at
        return Stop("budget", self._current())

    def _due(self) -> int | None:
        """The next deadline of any timer."""
        due = None
        for timer in self.timers:
            deadline = timer.deadline()
            if deadline is not None and (due is None or deadline < due):
                due = deadline
        return due

    def _wake_and_fire(self) -> int | None:
        """Let timers that are due fire, and interrupts wake halted vCPUs; returns the next deadline."""
        due = self._due()
        if due is not None and due <= self._clock.value:
            self._steady.value = 0
            for timer in self.timers:
                timer.advance(self._clock.value)
            due = self._due()
        for c in self.cells:
            if wakes(c):
                c.activity.value = 0
        return due

    def skip_to(self, clock: int) -> None:
        """All vCPUs wait: time passes, at most to the next deadline."""
        self._quiet = 0
        for c in self.cells:
            c.clock.value = max(clock, c.clock.value)

    def idle_until(self, clock: int) -> None:
        """While all vCPUs wait, time passes up to `clock`; what is due by then has fired."""
        while all(c.activity.value for c in self.cells):
            due = self._wake_and_fire()
            if self.clock >= clock or not all(c.activity.value for c in self.cells):
                return
            self.skip_to(clock if due is None else min(due, clock))

    def next_deadline(self) -> int | None:
        """The next clock at which a device does something by itself."""
        return self._due()

    def _current(self) -> int:
        """The vCPU whose turn it is."""
        return next(n for n, c in enumerate(self.cells) if c.turn.value)

    def _whose_turn(self) -> int | None:
        """The vCPU that runs now: the next active one if the turn of the current one is over; None if all wait."""
        n = self._current()
        current = self.cells[n]
        over = len(self.cells) > 1 and (current.turn_steps.value >= QUANTUM or current.yields.value)
        if not over and not current.activity.value:
            return n
        for k in [*range(n + 1, len(self.cells)), *range(n + 1)]:
            c = self.cells[k]
            if not c.activity.value:
                current.turn.value = current.turn_steps.value = current.yields.value = 0
                c.turn.value, c.turn_steps.value = 1, 0
                return k
        return None

    def _listening(self) -> bool:
        """Whether an interrupt would wake a vCPU."""
        return any(c.activity.value == HALTED and c.eflags.value & F_IF for c in self.cells)

    def _all_halted(self) -> Stop:
        return Stop("idle" if self._listening() else "halt", self._current())

    def _run_cpu(self, n: int, budget: int, resume: bool, entered: int | None) -> tuple[Stop | None, int]:
        """Run vCPU n, whose first entry of the engine gave `entered`, until its budget is spent, it halts or
        something stops the run: (stop, steps).
        """
        left, cpu, cells = budget, self.cpus[n], self.cells[n]
        while left > 0 or cells.slow.value:  # the last instruction's write-back belongs to it
            if entered is None:
                entered = self._enter(n, 0 if cells.slow.value == COMMITTING else left, resume)
            status, steps, entered = entered & 0xFF, entered >> 8, None
            left -= steps
            resume = resume and not steps
            if status == EXIT:
                try:
                    stop = self._answer(n)
                except Leave as leave:
                    return Stop("exit", n, exit_code=leave.code), budget - left
                if stop is not None:
                    return stop, budget - left
                if cells.activity.value or not (cells.slow.value or self._settled):
                    break  # a device may have a new deadline, or want another vCPU
                resume = True
            elif status == threaded.BUDGET:
                break
            elif status == HALT:
                cells.activity.value = 1
                break
            elif status == threaded.YIELD:
                break
            elif status == threaded.PENDING:
                if self.controller is None:
                    cells.intr.value = 0
                else:
                    self._steady.value = 0
                    cells.inject.value = 0x100 | self.controller.acknowledge(n)
            elif status == threaded.BREAK:
                return Stop("break", n, address=self._linear_rip(n)), budget - left
            elif status == threaded.INTERCEPT:
                vector, error_code, address = cells.vector.value & 0xFF, cells.error_code.value, cells.fault_address.value
                return Stop("trap", n, vector, error_code, address, origin=origin_of(cpu)), budget - left
            elif status == threaded.WATCHED:
                return self.watched(n), budget - left
            elif status == threaded.MODE:
                return Stop("mode", n, before=cells.mode_before.value, after=cells.mode_seen.value), budget - left
            else:
                return Stop("error", n, text=f"the engine returned status {status}"), budget - left
        return None, budget - left

    def _linear_rip(self, n: int) -> int:
        """blocks.code_linear of where vCPU n is."""
        rip, cpu = self.cells[n].rip.value, self.cpus[n]
        return rip if int(cpu.bits) == 64 else int(cpu.seg_base[CS]) + rip & 0xFFFFFFFF

    def _answer(self, n: int) -> Stop | None:
        """Do what vCPU n's EXIT asks for; the instruction is then run again (or its write-back continued)."""
        self._quiet = self._steady.value = 0
        self._settled = False
        same, self._same.value, self._counter.value = self._same.value, 0, 0
        c = self.cells[n]
        reason, port, width = c.reason.value, c.port.value, c.width.value
        if self.exits is not None:
            self.exits[reason, port & ~0xFFF if reason in (X_MMIO_READ, X_MMIO_WRITE) else port] += 1
        if reason == X_IN:
            c.latch.value = self.ports.read(port, width)
            c.latched.value = 1
            if frequency := self.ports.counts(port, width):
                self.shared.counter_port, self.shared.counter_frequency = port | width << 16, frequency
            elif until := self.ports.steady(port, width):
                shared = self.shared
                shared.steady_port, shared.steady_value, shared.steady_until = port | width << 16, c.latch.value, until
                self._same.value = same
        elif reason == X_OUT:
            c.latched.value = 1
            self.ports.write(port, width, c.value.value & ALL_ONES[width])
            if self.ports.keeps(port, width):
                self.shared.same_port, self.shared.same_value = port | width << 16, c.value.value
        elif reason == X_MMIO_READ:
            count = c.mmio_count.value
            self.cpus[n].mmio[count] = self.device_memory.read(port, width)
            c.mmio_count.value = count + 1
        elif reason == X_MMIO_WRITE:
            self.device_memory.write(port, width, c.value.value & ALL_ONES[width])
        elif reason == X_RDMSR:
            value = self.apics[n].read_msr(port) if self.apics else 0
            c.latch.value, c.latched.value = (0, answers.REFUSED) if value is None else (value, answers.DONE)
            self._settled = True
        elif reason == X_WRMSR:
            c.latched.value = answers.DONE if answers.write_msr(self, n, port, c.value.value) else answers.REFUSED
            self._settled = port in MESSAGES and not any([c.startup.value or wakes(c) for c in self.cells])
        elif reason == X_SHUTDOWN:
            return Stop("shutdown", n, address=int(self.cpus[n].fault_rip))
        else:
            return answers.answer(self, self.cpus[n], reason)
        return None

    def step(self, n: int = 1) -> Stop:
        """n steps."""
        return self.run(n)

    def set_intr(self, cpu: int, level: bool | int) -> None:
        """Drive a vCPU's INTR line; with it raised and interrupts on, `controller` is asked for the vector.

        level: False; True; or the priority class of the request, 1-15, which waits until CR8 is below it.
        """
        self._quiet = 0
        self.cells[cpu].intr.value = 16 if level is True else int(level)

    def devices_changed(self) -> None:
        """A device was changed from outside a run: its deadline is asked for again."""
        self._quiet = 0

    def leave(self, code: int) -> None:
        """For devices: end the run with this exit code."""
        raise Leave(code)

    def drop_code(self) -> None:
        """Forget all translated code."""
        cpu = self.cpus[0]
        self._core.drop_all(int(cpu.address)) if self._core else blocks.drop_all(cpu)

    # ---- memory

    def drop_page(self, page: int) -> None:
        """Forget the code that was translated from a page of RAM."""
        cpu = self.cpus[0]
        self._core.drop_page(int(cpu.address), page) if self._core else code_pages.drop_page(cpu, U64(page))

    def claim(self, first: int, count: int, device: Device) -> None:
        """Give physical addresses to a device; those inside RAM must be whole pages."""
        self.device_memory.attach(first, count, device)
        for page in range(first // PAGE, min((first + count + PAGE - 1) // PAGE, self.memory_size // PAGE)):
            self.page_flags.array[page] |= PAGE_DEVICE
        self.pages_changed()

    def serve_port(self, n: int, buffers: int) -> None:
        """Let the core serve a data port from the record at a host address (ready_ports.py): the n-th of two; 0: none."""
        self.shared.port_buffers[n] = buffers

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
        self.pages_changed()

    def set_apic_registers(self, cpu: int, table: np.ndarray) -> None:
        """What the core may read of a local APIC by itself (board/quiet_registers.py)."""
        self.cpus[cpu].apic_table = self._keep_array(table)

    def make_rom(self, first: int, count: int) -> None:
        """Let guest writes to these pages of RAM go nowhere."""
        for page in range(first // PAGE, (first + count + PAGE - 1) // PAGE):
            self.page_flags.array[page] |= PAGE_ROM
        self.pages_changed()

    def pages_changed(self) -> None:
        """Translations in use may have changed."""
        self.shared.flush_epoch = int(self.shared.flush_epoch) + 1
