"""Which pages of RAM may have changed, and putting back what they held.

begin_interval ... the machine runs ... changed_pages      the right to write that a TLB entry has sets a page's byte
"""

from pathlib import Path

import numpy as np

from vmdbg.machine.machine import PAGE, Machine

PRESENT = 1 << 63 | 1 << 62  # in an entry of Linux's pagemap: in memory, or swapped out
PAGEMAP = Path("/proc/self/pagemap")
NO_PAGE = (1 << 64) - 1
PART = 256  # pages that are looked at together


def begin_interval(machine: Machine) -> None:
    """From here on `changed_pages` counts anew: no TLB entry keeps the right to write that it had."""
    machine.page_dirty.array[:] = 0
    for rights in machine.write_rights:
        rights[:] = NO_PAGE


def changed_pages(machine: Machine) -> np.ndarray:
    """Numbers of the pages of RAM that may have been written since `begin_interval`, or since they were first run."""
    return np.flatnonzero(machine.page_dirty.array[: machine.memory_size // PAGE])


def get_pages(machine: Machine, pages: np.ndarray) -> np.ndarray:
    """A copy of pages of RAM, a row of 4096 bytes each."""
    return machine.ram.reshape(-1, PAGE)[pages]


def put_pages(machine: Machine, pages: np.ndarray, contents: np.ndarray) -> None:
    """Replace pages of RAM, a row each.  Code and translations that came from other contents are forgotten."""
    ram = machine.ram.reshape(-1, PAGE)
    translated = np.flatnonzero(machine.page_code.array.view("<u8")[pages])
    for n in translated.tolist():  # page by page: new memory for copies of them all costs more
        page = int(pages[n])
        if (ram[page] != contents[n]).any():
            machine.drop_page(page)
    ram[pages] = contents
    machine.page_dirty.array[pages] = 1
    machine.pages_changed()


def used_pages(machine: Machine) -> np.ndarray:
    """Numbers of the pages of RAM that hold anything but zeros; those that were never touched are not looked at."""
    count, address = machine.memory_size // PAGE, int(machine.cpus[0].ram)
    pages = np.arange(count)
    try:
        with PAGEMAP.open("rb") as f:
            f.seek(address // PAGE * 8)
            entries = np.frombuffer(f.read(count * 8), "<u8")
        if len(entries) == count:
            pages = np.flatnonzero(entries & PRESENT)
    except OSError:  # another system: all are looked at
        pass
    ram = machine.ram.reshape(-1, PAGE).view(np.uint64)
    parts = [pages[at : at + PART] for at in range(0, len(pages), PART)]
    return np.concatenate([part[ram[part].any(axis=1)] for part in parts]) if parts else pages
