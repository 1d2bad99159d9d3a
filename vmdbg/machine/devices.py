"""What a device is to the machine: two entry points behind ports or in memory, perhaps a deadline, perhaps interrupts."""

from typing import Protocol

ALL_ONES = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: 0xFFFFFFFFFFFFFFFF}


class Device(Protocol):
    """What sits behind ports or in device memory."""

    def read(self, offset: int, width: int) -> int: ...

    def write(self, offset: int, width: int, value: int) -> None: ...

    # Perhaps: steady(offset, width) -> clock before which another read gives the same and changes nothing, if nobody else
    # reaches the device and nothing arrives from outside; 0: it does not know.  For registers that guests poll.
    # Perhaps: counts(offset, width) -> the frequency in Hz, below 4 GHz, if the register is the clock in its ticks; else 0.
    # Perhaps: keeps(offset, width) -> whether writing what was written last once more changes nothing, if nobody else writes to
    # the device.  For the index that guests write before they poll.


class Timer(Protocol):
    """A device that does something by itself at a time; times are virtual nanoseconds.

    A deadline changes when the guest reaches a device, in `advance`, or with an interrupt line; whoever else changes one
    says so by Machine.devices_changed.
    """

    def deadline(self) -> int | None: ...

    def advance(self, clock: int) -> None: ...


class Controller(Protocol):
    """What drives the INTR lines (Machine.set_intr) and answers the acknowledge cycle."""

    def acknowledge(self, cpu: int) -> int: ...


class Apic(Protocol):
    """A vCPU's local APIC, as far as MSRs reach it (answers.py)."""

    def read_msr(self, number: int) -> int | None: ...

    def write_msr(self, number: int, value: int) -> bool: ...


class Coprocessor(Protocol):
    """What FERR# of the vCPUs is wired to."""

    def error(self, n: int) -> None: ...


class Leave(Exception):
    """A device ends the run: the guest asked for it."""

    def __init__(self, code: int):
        self.code = code


PORTS = 1 << 16  # addresses below are remembered: there are no more ports than that


class Map:
    """Ranges of ports or of device memory, and what answers there; changed by `attach` and `detach` alone."""

    def __init__(self):
        self.ranges: list[tuple[int, int, Device]] = []
        self._found: dict[int, tuple[Device, int] | None] = {}

    def attach(self, first: int, count: int, device: Device, behind: bool = False) -> None:
        """`device` answers first .. first + count - 1; what was attached last wins.  behind: all others win."""
        self.ranges.insert(len(self.ranges) if behind else 0, (first, count, device))
        self._found.clear()

    def detach(self, device: Device) -> None:
        """`device` answers nowhere."""
        self.ranges[:] = [r for r in self.ranges if r[2] is not device]
        self._found.clear()

    def find(self, address: int) -> tuple[Device, int] | None:
        """(device, offset) of what answers at an address."""
        if address in self._found:
            return self._found[address]
        found = next(((device, address - first) for first, count, device in self.ranges if first <= address < first + count), None)
        if 0 <= address < PORTS:
            self._found[address] = found
        return found

    def _asked(self, name: str, address: int, width: int) -> int:
        """What a device says that may be asked for `name`; 0 if none may be."""
        found = self.find(address)
        ask = None if found is None else getattr(found[0], name, None)
        return 0 if ask is None or found is None else ask(found[1], width)

    def steady(self, address: int, width: int) -> int:
        """The clock before which another read of `address` gives the same; 0: not known (Device)."""
        return self._asked("steady", address, width)

    def counts(self, address: int, width: int) -> int:
        """The frequency at which a read of `address` tells the time; 0: it does not (Device)."""
        return self._asked("counts", address, width)

    def keeps(self, address: int, width: int) -> bool:
        """Whether writing the same to `address` again changes nothing (Device)."""
        return bool(self._asked("keeps", address, width))

    def read(self, address: int, width: int) -> int:
        """All ones where nothing answers, as an open bus."""
        found = self.find(address)
        if found is None:
            return ALL_ONES[width]
        return int(found[0].read(found[1], width)) & ALL_ONES[width]

    def write(self, address: int, width: int, value: int) -> None:
        found = self.find(address)
        if found is not None:
            found[0].write(found[1], width, value)
