"""Virtio over PCI (Virtual I/O Device specification 1.2, 4.1): the modern interface, with INTx.

    BAR 4, 16 KiB of memory:   0000 common configuration   1000 ISR   2000 the device's own configuration   3000 notifications

    00 feature select   04 features   08 driver's select   0C driver's features   10 MSI-X (absent)   12 queues   14 status
    15 generation   16 queue select   18 size   1A MSI-X   1C enable   1E notify offset   20 descriptors   28 driver   30 device

The legacy interface and MSI-X are absent.  A driver that breaks the rules finds NEEDS_RESET in the status.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from vmdbg.machine.board.pci import BUS_MASTER, CAPABILITIES, COMMAND, INTERRUPT_DISABLE, PIN, STATUS, SUBSYSTEM, Function
from vmdbg.machine.board.virtio_queue import LARGEST, QUEUE, Bus, Chain, Queue, QueueError

VENDOR, FIRST_DEVICE, REVISION = 0x1AF4, 0x1040, 1
BAR, SIZE = 4, 0x4000
COMMON, ISR, OWN, NOTIFY, PART, MULTIPLIER = 0x0000, 0x1000, 0x2000, 0x3000, 0x1000, 4
COMMON_CFG, NOTIFY_CFG, ISR_CFG, DEVICE_CFG, PCI_CFG = range(1, 6)
VENDOR_CAPABILITY, HAS_CAPABILITIES = 0x09, 0x10
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 0x40, 0x80
QUEUE_INTERRUPT, CONFIG_INTERRUPT = 1, 2  # ISR
INDIRECT_DESC, VERSION_1 = 1 << 28, 1 << 32
NO_VECTOR = 0xFFFF

# offset: (name, bytes, whether the driver writes it); those after queue_select belong to the selected queue
REGISTERS = {
    0x00: ("feature_select", 4, True),
    0x04: ("device_feature", 4, False),
    0x08: ("driver_select", 4, True),
    0x0C: ("driver_feature", 4, True),
    0x10: ("msix_config", 2, False),
    0x12: ("queues", 2, False),
    0x14: ("status", 1, True),
    0x15: ("generation", 1, False),
    0x16: ("queue_select", 2, True),
    0x18: ("size", 2, True),
    0x1A: ("msix_vector", 2, False),
    0x1C: ("enable", 2, True),
    0x1E: ("notify_offset", 2, False),
    0x20: ("descriptors", 8, True),
    0x28: ("driver", 8, True),
    0x30: ("device", 8, True),
}

VIRTIO = np.dtype(
    [
        ("feature_select", "<u4"),
        ("driver_select", "<u4"),
        ("features", "<u8"),  # the driver's
        ("status", "u1"),
        ("queue_select", "<u2"),
        ("isr", "u1"),
    ]
)


class Virtio(ABC):
    """A device with `queues` virtqueues; a subclass has `kind` (its device ID), `features`, `own()` and `serve`.

    memory: as the machine has it.  line(level): INTA.  `function` is what is plugged into PCI.
    """

    kind = 0
    class_code = 0xFF0000
    features = VERSION_1 | INDIRECT_DESC

    def __init__(self, memory, space, line: Callable[[bool], None], queues: int):
        """space: machine.device_memory, where BAR 4 places the registers."""
        self.line = line
        self.state = np.zeros((), VIRTIO)
        self.rings = np.zeros(queues, QUEUE)
        bus = Bus(memory)
        self.queues = [Queue(bus, self.rings[n]) for n in range(queues)]
        self.function = VirtioFunction(self)
        self.function.bar(BAR, SIZE, space, self, io=False)

    # ---- for subclasses

    def own(self) -> bytes:
        """The device's own configuration."""
        return b""

    @abstractmethod
    def serve(self, number: int) -> None:
        """The driver has put something into a queue."""

    def chains(self, number: int):
        """The chains that wait in a queue, one by one."""
        for _ in range(LARGEST):
            if not self.active() or not self.queues[number].available():
                return
            yield self.queues[number].take()

    def done(self, number: int, chain: Chain, written: int) -> None:
        """A chain goes back to the driver."""
        if self.queues[number].give(chain.head, written):
            self.state["isr"] |= QUEUE_INTERRUPT
            self.update()

    def active(self) -> bool:
        """Whether the driver is there, and the device may reach memory."""
        status = int(self.state["status"])
        return bool(status & DRIVER_OK and not status & NEEDS_RESET and self.function.get(COMMAND, 2) & BUS_MASTER)

    def update(self) -> None:
        """Drive INTA."""
        self.line(bool(self.state["isr"]) and not self.function.get(COMMAND, 2) & INTERRUPT_DISABLE)

    def attend(self, number: int) -> None:
        """Serve a queue; a driver that breaks the rules must reset the device."""
        if number >= len(self.queues) or not self.active():
            return
        try:
            self.serve(number)
        except QueueError:
            self.state["status"] |= NEEDS_RESET
            self.state["isr"] |= CONFIG_INTERRUPT
            self.update()

    def reset(self) -> None:
        for name in ("feature_select", "driver_select", "features", "status", "queue_select", "isr"):
            self.state[name] = 0
        for queue in self.queues:
            queue.reset()
        self.update()

    # ---- registers

    def read(self, offset: int, width: int) -> int:
        part, at = offset // PART * PART, offset % PART
        if part == COMMON:
            return sum(self._common(at + i) << 8 * i for i in range(width))
        if part == ISR and at == 0:
            value = int(self.state["isr"])
            self.state["isr"] = 0
            self.update()
            return value
        if part == OWN:
            return int.from_bytes(self.own()[at : at + width], "little")
        return 0

    def write(self, offset: int, width: int, value: int) -> None:
        part, at = offset // PART * PART, offset % PART
        if part == NOTIFY:
            self.attend(at // MULTIPLIER)
        elif part == OWN:
            self.write_own(at, width, value)
        elif part == COMMON:
            for first, (name, size, writable) in REGISTERS.items():
                low, high = max(first, at), min(first + size, at + width)
                if low >= high or not writable:
                    continue
                mask = ((1 << 8 * (high - low)) - 1) << 8 * (low - first)
                given = (value >> 8 * (low - at)) << 8 * (low - first)
                self._set(name, self._get(name) & ~mask | given & mask)

    def write_own(self, at: int, width: int, value: int) -> None:
        """The driver writes the device's own configuration, which it cannot unless a subclass lets it."""

    def _common(self, at: int) -> int:
        for first, (name, size, _) in REGISTERS.items():
            if first <= at < first + size:
                return self._get(name) >> 8 * (at - first) & 0xFF
        return 0

    def _selected(self):
        """The record of the selected queue, or None."""
        n = int(self.state["queue_select"])
        return self.rings[n] if n < len(self.queues) else None

    def _get(self, name: str) -> int:
        s = self.state
        if name in ("feature_select", "driver_select", "status", "queue_select"):
            return int(s[name])
        if name in ("device_feature", "driver_feature"):
            select = int(s["feature_select" if name == "device_feature" else "driver_select"])
            value = self.features if name == "device_feature" else int(s["features"])
            return value >> 32 * select & 0xFFFFFFFF if select < 2 else 0
        if name in ("msix_config", "msix_vector"):
            return NO_VECTOR
        if name == "queues":
            return len(self.queues)
        if name == "notify_offset":
            return int(s["queue_select"])
        queue = self._selected()
        return 0 if queue is None or name == "generation" else int(queue[name])

    def _set(self, name: str, value: int) -> None:
        s = self.state
        if name == "status":
            self._set_status(value)
        elif name in ("feature_select", "driver_select", "queue_select"):
            s[name] = value
        elif name == "driver_feature":
            if int(s["driver_select"]) < 2 and not s["status"] & FEATURES_OK:
                shift = 32 * int(s["driver_select"])
                s["features"] = int(s["features"]) & ~(0xFFFFFFFF << shift) | value << shift
        else:
            queue = self._selected()
            if queue is None or queue["enable"]:  # a queue in use stays as it is until reset
                return
            if name == "size" and (not value or value > LARGEST or value & (value - 1)):
                return
            queue[name] = value & 1 if name == "enable" else value

    def _set_status(self, value: int) -> None:
        if not value:
            self.reset()
            return
        old = int(self.state["status"])
        if value & FEATURES_OK and not old & FEATURES_OK:
            features = int(self.state["features"])
            if features & ~self.features or not features & VERSION_1:
                value &= ~FEATURES_OK
        self.state["status"] = value & 0xFF | old & NEEDS_RESET
        if value & DRIVER_OK and not old & DRIVER_OK:
            for n in range(len(self.queues)):  # what was put there before
                self.attend(n)


class VirtioFunction(Function):
    """The PCI function: 1AF4:1040 + kind, with the capabilities that say where the registers are."""

    def __init__(self, device: Virtio):
        super().__init__(VENDOR, FIRST_DEVICE + device.kind, device.class_code, REVISION, self._changed)
        self.device = device
        self.set(STATUS, 2, HAS_CAPABILITIES)
        self.set(SUBSYSTEM, 4, (FIRST_DEVICE + device.kind) << 16 | VENDOR)
        self.set(PIN, 1, 1)
        at = CAPABILITIES + 0xC
        self.set(CAPABILITIES, 1, at)
        for kind, offset, size in (
            (COMMON_CFG, COMMON, PART),
            (ISR_CFG, ISR, PART),
            (DEVICE_CFG, OWN, PART),
            (NOTIFY_CFG, NOTIFY, PART),
            (PCI_CFG, 0, 0),
        ):
            length = 20 if kind in (NOTIFY_CFG, PCI_CFG) else 16
            following = 0 if kind == PCI_CFG else at + length
            self.set(at, 4, VENDOR_CAPABILITY | following << 8 | length << 16 | kind << 24)
            self.set(at + 4, 4, BAR if kind != PCI_CFG else 0)
            self.set(at + 8, 8, offset | size << 32)
            if kind == NOTIFY_CFG:
                self.set(at + 16, 4, MULTIPLIER)
            if kind == PCI_CFG:
                self.window = at
                for register, width, mask in ((4, 1, 0xFF), (8, 4, 0xFFFFFFFF), (12, 4, 7)):
                    self.allow(at + register, width, mask)
            at += length

    def _window(self) -> tuple[int, int] | None:
        """(offset, width) in BAR 4 that the window of the PCI_CFG capability is on (4.1.4.9), if it is on any."""
        offset, width = self.get(self.window + 8, 4), self.get(self.window + 12, 4)
        good = self.get(self.window + 4, 1) == BAR and width in (1, 2, 4) and offset % width == 0 and offset + width <= SIZE
        return (offset, width) if good else None

    def read(self, register: int, width: int) -> int:
        if register == self.window + 16 and (at := self._window()) is not None:
            return self.device.read(*at) & (1 << 8 * width) - 1
        return super().read(register, width)

    def write(self, register: int, width: int, value: int) -> None:
        if register == self.window + 16 and (at := self._window()) is not None:
            self.device.write(*at, value & (1 << 8 * at[1]) - 1)
            return
        super().write(register, width, value)

    def _changed(self, register: int, width: int) -> None:
        if register < COMMAND + 2 and register + width > COMMAND:
            self.device.update()
            for n in range(len(self.device.queues)):
                self.device.attend(n)
