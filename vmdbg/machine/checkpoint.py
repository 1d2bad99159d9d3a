"""Checkpoints of a machine: everything that decides what it does from here on, and nothing else (contract.md section 6).

    state    the architectural part of each vCPU, the A20 gate, which pages belong to devices or are write-protected, devices
    pages    RAM, then the page stores that devices have (disks): 4096 bytes each, numbered in one row

Derived state is in no checkpoint, nor are breakpoints.  What is taken is what changed since the interval began.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vmdbg.machine import ram_pages
from vmdbg.machine.board import pins
from vmdbg.machine.device_state import DeviceState, PageStore, StateError, decode, encode
from vmdbg.machine.machine import PAGE, Machine
from vmdbg.machine.physical import PAGE_DEVICE, PAGE_ROM
from vmdbg.machine.state import Cpu
from vmdbg.machine.watch import mode_word

ARCHITECTURAL = Cpu.fields["architectural_end"][0]  # bytes of a vCPU
LATCH, READS = Cpu.fields["latch"][0], Cpu.fields["mmio"][0]
READ_SIZE = 8  # bytes of each
LATCH_SIZE, READS_SIZE = (READ_SIZE * Cpu.fields[name][2] for name in ("latch", "mmio"))
KEPT_FLAGS = PAGE_DEVICE | PAGE_ROM


@dataclass(frozen=True)
class Checkpoint:
    """`pages` are the numbers of what may have changed since the interval began, `contents` what they hold, a row each."""

    position: int
    clock: int
    state: bytes
    pages: np.ndarray
    contents: np.ndarray


class RamPages:
    """RAM as a PageStore; its origin is zero."""

    def __init__(self, machine: Machine):
        self.machine, self.page_count = machine, machine.memory_size // PAGE

    def begin_interval(self) -> None:
        ram_pages.begin_interval(self.machine)

    def changed_pages(self) -> np.ndarray:
        return ram_pages.changed_pages(self.machine)

    def get_pages(self, pages: np.ndarray) -> np.ndarray:
        return ram_pages.get_pages(self.machine, pages)

    def origin_pages(self, pages: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.zeros(PAGE, np.uint8), (len(pages), PAGE))  # much memory that nobody touches

    def put_pages(self, pages: np.ndarray, contents: np.ndarray) -> None:
        ram_pages.put_pages(self.machine, pages, contents)


class Checkpoints:
    """Takes and restores checkpoints of one machine; `roots` is what its devices hang on, by name (DeviceState)."""

    def __init__(self, machine: Machine, **roots):
        self.machine = machine
        self.devices = DeviceState(**roots, ports=machine.ports, device_memory=machine.device_memory)
        self.stores: list[PageStore] = [RamPages(machine), *self.devices.stores]
        self.firsts = np.cumsum([0] + [store.page_count for store in self.stores])

    @property
    def page_count(self) -> int:
        return int(self.firsts[-1])

    def possible(self) -> bool:
        """Whether no vCPU is within an instruction: a device may end a run there."""
        return not any(int(cpu.slow) or int(cpu.latched) for cpu in self.machine.cpus)

    # ---- pages

    def begin_interval(self) -> None:
        for store in self.stores:
            store.begin_interval()

    def changed_pages(self) -> np.ndarray:
        """Numbers, ascending, of the pages that may have been written since `begin_interval`."""
        return np.concatenate([first + store.changed_pages() for first, store in zip(self.firsts, self.stores)]).astype(np.uint32)

    def first_pages(self) -> np.ndarray:
        """Numbers of the pages of RAM that are not zero now: what makes the first checkpoint complete."""
        return ram_pages.used_pages(self.machine).astype(np.uint32)

    def _parts(self, pages: np.ndarray):
        """(store, mask of the pages that are its, their numbers in it)"""
        for first, following, store in zip(self.firsts, self.firsts[1:], self.stores):
            mine = (pages >= first) & (pages < following)
            if mine.any():
                yield store, mine, pages[mine].astype(np.int64) - int(first)

    def get_pages(self, pages: np.ndarray, buffer: np.ndarray | None = None) -> np.ndarray:
        """A copy of what they hold, in a buffer of as many rows if there is one."""
        contents = np.empty((len(pages), PAGE), np.uint8) if buffer is None else buffer
        for store, mine, numbers in self._parts(pages):
            if mine.all() and isinstance(store, RamPages):
                np.take(self.machine.ram.reshape(-1, PAGE), numbers, axis=0, out=contents, mode="clip")  # without a copy between
            else:
                contents[mine] = store.get_pages(numbers)
        return contents

    def origin_pages(self, pages: np.ndarray) -> np.ndarray:
        contents = np.empty((len(pages), PAGE), np.uint8)
        for store, mine, numbers in self._parts(pages):
            if mine.all():
                return store.origin_pages(numbers)
            contents[mine] = store.origin_pages(numbers)
        return contents

    def put_pages(self, pages: np.ndarray, contents: np.ndarray) -> None:
        for store, mine, numbers in self._parts(pages):
            store.put_pages(numbers, contents if mine.all() else contents[mine])

    # ---- the rest

    def state(self) -> bytes:
        machine = self.machine
        flags = machine.page_flags.array & KEPT_FLAGS
        return encode(
            dict(
                cpus=self._cpus().tobytes(),
                a20_mask=int(machine.cpus[0].a20_mask),
                flags={int(page): int(flags[page]) for page in np.flatnonzero(flags)},
                devices=self.devices.save(),
            )
        )

    def _cpus(self) -> np.ndarray:
        """The vCPUs, without what was read for instructions that are over."""
        found = self.machine.cpu_states[:, :ARCHITECTURAL].copy()
        for n, cpu in enumerate(self.machine.cpus):
            if not int(cpu.latched):
                found[n, LATCH : LATCH + LATCH_SIZE] = 0
            found[n, READS + READ_SIZE * int(cpu.mmio_count) : READS + READS_SIZE] = 0
        return found

    def put_state(self, data: bytes) -> None:
        """StateError if it is that of another machine; then nothing has changed."""
        machine, saved = self.machine, decode(data)
        if not isinstance(saved, dict) or saved.keys() != {"cpus", "a20_mask", "flags", "devices"}:
            raise StateError("the state of a machine is damaged")
        cpus = np.frombuffer(saved["cpus"], np.uint8)
        if len(cpus) != len(machine.cpus) * ARCHITECTURAL:
            raise StateError("the state is that of a machine with other vCPUs")
        self.devices.restore(saved["devices"])
        machine.cpu_states[:, :ARCHITECTURAL] = cpus.reshape(-1, ARCHITECTURAL)
        for cpu in machine.cpus:
            cpu.slow = cpu.let_pass = cpu.stopped = cpu.origin = cpu.watch_hit = 0
            cpu.mode_seen = mode_word(cpu)
        flags = machine.page_flags.array
        kept = np.zeros_like(flags)
        kept[list(saved["flags"])] = list(saved["flags"].values())
        if (flags & KEPT_FLAGS != kept).any():
            flags[:] = flags & (0xFF ^ KEPT_FLAGS) | kept
        pins.set_a20_mask(machine, saved["a20_mask"])
        machine.pages_changed()
        machine.devices_changed()

    def take(self, pages: np.ndarray | None = None, room: Callable[[int], np.ndarray] | None = None) -> Checkpoint:
        """A checkpoint of now with what changed since the interval began (or the pages given); a new interval begins.

        room(n): a buffer of n rows for the contents, if new memory is too slow.
        """
        machine = self.machine
        pages = self.changed_pages() if pages is None else pages
        contents = self.get_pages(pages, room(len(pages)) if room is not None else None)
        checkpoint = Checkpoint(machine.position, machine.clock, self.state(), pages, contents)
        self.begin_interval()
        return checkpoint
