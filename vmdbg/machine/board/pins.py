"""What reaches vCPUs by wire: INTR, NMI, INIT, start-up, reset, A20 (SDM vol. 3, 9.1 and 9.4)."""

from vmdbg.machine.start_up import send_init, send_sipi

A20 = 1 << 20
ALL = (1 << 64) - 1


class Core:
    """The pins of one vCPU, for its local APIC (`lapic.Core`)."""

    def __init__(self, machine, n: int):
        self.machine, self.n, self.cpu = machine, n, machine.cpus[n]

    @property
    def cr8(self) -> int:
        return self.machine.cells[self.n].cr8.value

    @cr8.setter
    def cr8(self, value: int) -> None:
        self.machine.cells[self.n].cr8.value = value

    @property
    def tsc_offset(self) -> int:
        return int(self.cpu.tsc_offset)

    @tsc_offset.setter
    def tsc_offset(self, value: int) -> None:
        self.cpu.tsc_offset = value

    @property
    def tsc_deadline(self) -> int:
        return int(self.cpu.tsc_deadline)

    @tsc_deadline.setter
    def tsc_deadline(self, value: int) -> None:
        self.cpu.tsc_deadline = value

    def interrupt(self, priority: int) -> None:
        self.machine.set_intr(self.n, priority)

    def nmi(self) -> None:
        self.machine.cells[self.n].nmi.value = 1

    def init(self) -> None:
        self.machine.devices_changed()
        send_init(self.machine.cells[self.n])

    def start_up(self, vector: int) -> None:
        self.machine.devices_changed()
        send_sipi(self.machine.cells[self.n], vector)


def set_a20(machine, on: bool) -> None:
    """The A20 gate of all vCPUs."""
    set_a20_mask(machine, ALL if on else ALL & ~A20)


def set_a20_mask(machine, mask: int) -> None:
    """The gate by what it lets through."""
    if int(machine.cpus[0].a20_mask) == mask:
        return
    for cpu in machine.cpus:
        cpu.a20_mask = mask
    machine.shared.flush_epoch = int(machine.shared.flush_epoch) + 1
    machine.drop_code()
