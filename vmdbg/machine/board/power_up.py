"""The reset line of a machine with firmware (PIIX3 data sheet, 2.3.4.3; SDM vol. 3, 9.1): vCPUs and devices as at power-up.

What stays: RAM, but for the firmware's copy below 1 MiB, which is read from its ROM again; the battery's clock and memory; disks.
"""

from vmdbg.machine import reset
from vmdbg.machine.board import pins
from vmdbg.machine.board.pci import PAM
from vmdbg.machine.device_state import DeviceState

FOUR_GIB, MIB, LOW_COPY = 1 << 32, 1 << 20, 0x20000


class PowerUp:
    """A reset goes back to what `pc` was when it was asked to `remember`."""

    def __init__(self, pc):
        self.pc = pc

    def remember(self) -> None:
        self.devices = DeviceState(board=self.pc, ports=self.pc.machine.ports, device_memory=self.pc.machine.device_memory)
        self.state = self.devices.save()

    def save(self) -> None:
        """It has no state of its own (device_state.py)."""

    def restore(self, nothing: None) -> None:
        pass

    def reset(self) -> None:
        """All of it."""
        pc, machine = self.pc, self.pc.machine
        battery = pc.rtc.state.copy()
        self.devices.restore(self.state)
        pc.rtc.state[...] = battery
        for cpu in machine.cpus:
            reset.reset(cpu)
            cpu.nmi = cpu.inject = cpu.yields = cpu.startup = 0
            cpu.mmio_count = cpu.latched = cpu.slow = cpu.slots = 0
        machine.shared.flush_epoch = int(machine.shared.flush_epoch) + 1
        pins.set_a20(machine, True)
        rom = min(int(machine.cpus[0].rom_size), LOW_COPY)
        machine.write_physical(MIB - rom, machine.read_physical(FOUR_GIB - rom, rom) or b"")
        pc.chipset.shadow(PAM, 7)
        for lapic in pc.lapics:
            lapic.retime()

    def reset_cpus(self) -> None:
        """The keyboard controller, port 92, CF9 without bit 1: INIT, and nothing else."""
        for n in range(len(self.pc.machine.cpus)):
            pins.Core(self.pc.machine, n).init()
