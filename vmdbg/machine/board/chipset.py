"""What hangs on PCI and around it: host bridge, PIIX3 with IDE, power management, fw_cfg, reset control.

00:00.0 440FX   00:01.0 PIIX3   00:01.1 IDE (ports 1F0, 170: compatibility mode)   00:01.3 power management (ports 600)
00:03.0 and on: cards (virtio)
"""

from collections.abc import Callable, Sequence

from vmdbg.machine.board import acpi_tables, ide, virtio
from vmdbg.machine.board.acpi import PM1_EVENT, SCI, Acpi
from vmdbg.machine.board.fw_cfg import DMA, SELECTOR, FwCfg
from vmdbg.machine.board.ide import Channel
from vmdbg.machine.board.isa_bridge import Pirqs, ide_function, power_management
from vmdbg.machine.board.pci import ADDRESS, BARS, COMMAND, DATA, IO_ENABLE, LINE, MEMORY_ENABLE, PAM, PORTS, PciBus, host_bridge
from vmdbg.machine.board.reset_ports import RESET_PORT, ResetControl
from vmdbg.machine.physical import PAGE_ROM

FIRST_CARD, CARD_MEMORY = 3, 0xFEB00000
SHADOW_FIRST, SHADOW_SIZE = 0xC0000, 0x4000  # what PAM1 to PAM6 divide, half a register each


class Chipset:
    """`irq(n)` is the line of IRQ n; `drives`: four of ide_disk.Disk, ide_cdrom.Cdrom or None, two a channel."""

    def __init__(
        self,
        machine,
        irq: Callable[[int], Callable[[bool], None]],
        power_off: Callable[[], None],
        reset: Callable[[bool], None],
        drives: tuple = (None, None, None, None),
        firmware: dict[str, bytes] | None = None,
        cards: Sequence[Callable] = (),
    ):
        """firmware: the files that fw_cfg has for it; RAM from C0000 to FFFFF is then write-protected until PAM registers say otherwise.

        None: there is no firmware, and what it would have set up is.  cards: what makes a virtio.Virtio, called with memory, the
        map of device memory and its line each; they are devices 3 and on.
        """
        ports = machine.ports
        self.machine = machine
        self.acpi = Acpi(lambda: machine.clock, power_off, irq(SCI))
        self.pci = PciBus()
        self.bridge = host_bridge(None if firmware is None else self.shadow)
        self.channels = [Channel(list(drives[2 * n : 2 * n + 2]), irq(ide.IRQ[n]), ide.FIRST[n]) for n in range(2)]
        self.fw_cfg = FwCfg(machine, len(machine.cpus), machine.memory_size, firmware)
        self.pci.plug(0, 0, self.bridge)
        self.pirqs = Pirqs(irq, None if firmware is not None else tuple(acpi_tables.interrupt_line(1, n) for n in range(4)))
        self.pci.plug(1, 0, self.pirqs.function)
        self.pci.plug(1, 1, ide_function())
        self.pci.plug(1, 3, power_management(ports, self.acpi, PM1_EVENT))
        ports.attach(ADDRESS, PORTS, self.pci.address)
        ports.attach(DATA, PORTS, self.pci.data)
        ports.attach(RESET_PORT, 1, ResetControl(reset))
        ports.attach(SELECTOR, 2, self.fw_cfg)
        ports.attach(DMA, 8, self.fw_cfg.dma)
        for n, channel in enumerate(self.channels):
            ports.attach(ide.FIRST[n], 8, channel)
            ports.attach(ide.CONTROL[n], 1, channel.control)
            machine.serve_port(n, channel.state.ctypes.data)
        self.cards = [self._plug(n, card, firmware is None) for n, card in enumerate(cards)]
        machine.timers.append(self.acpi)
        if firmware is not None:
            self.shadow(PAM, 7)

    def _plug(self, n: int, card: Callable, set_up: bool):
        """The n-th card; set_up: it has the address and the interrupt that firmware would give it."""
        number, machine = FIRST_CARD + n, self.machine
        device = card(machine, machine.device_memory, self.pirqs.line(number))
        self.pci.plug(number, 0, device.function)
        if set_up:
            device.function.write(BARS + 4 * virtio.BAR, 4, CARD_MEMORY + n * virtio.SIZE)
            device.function.write(LINE, 1, acpi_tables.interrupt_line(number, 0))
            device.function.write(COMMAND, 2, IO_ENABLE | MEMORY_ENABLE)
        return device

    def shadow(self, register: int, width: int) -> None:
        """Make the 16 KiB pieces from C0000 on, and F0000 to FFFFF, RAM or ROM as the PAM registers say."""
        if register + width <= PAM or register >= PAM + 7:
            return
        flags = self.machine.page_flags.array
        values = [self.bridge.get(PAM + n, 1) for n in range(7)]
        writable = [bool(values[1 + n // 2] >> 4 * (n & 1) & 2) for n in range(12)] + [bool(values[0] >> 4 & 2)] * 4
        for n, allowed in enumerate(writable):
            first = (SHADOW_FIRST + n * SHADOW_SIZE) >> 12
            pages = flags[first : first + (SHADOW_SIZE >> 12)]
            pages[:] = pages & (0xFF ^ PAGE_ROM) if allowed else pages | PAGE_ROM
        self.machine.shared.flush_epoch = int(self.machine.shared.flush_epoch) + 1
