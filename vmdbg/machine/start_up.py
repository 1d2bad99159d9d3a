"""INIT and SIPI: sent by local APICs, delivered between two instructions; a delivered one is a step (contract.md section 5)."""

from isa.lang.word import U64
from vmdbg.machine.reset import INIT_SIGNAL, SIPI_SIGNAL, WAIT_FOR_SIPI, init, sipi


def send_init(cells) -> None:
    """To a vCPU; a SIPI sent before is forgotten."""
    cells.startup.value = INIT_SIGNAL


def send_sipi(cells, vector: int) -> None:
    """To a vCPU; an INIT that waits comes first."""
    cells.startup.value = cells.startup.value & INIT_SIGNAL | SIPI_SIGNAL | vector


def deliver_startup(machine) -> bool:
    """Deliver one INIT or SIPI that waits, whoever's turn it is.  A SIPI is lost on a vCPU that does not wait for it.

    False: nothing was delivered; an instruction that a device has answered comes first.
    """
    every = machine.cells
    if any(c.turn.value and (c.latched.value or c.mmio_count.value) for c in every):
        return False
    for cpu, c in zip(machine.cpus, every, strict=True):
        waits = c.startup.value
        if waits & INIT_SIGNAL:
            c.startup.value = waits & ~INIT_SIGNAL
            init(cpu)
            c.nmi.value = c.inject.value = c.yields.value = c.mmio_count.value = c.slow.value = 0
            machine.shared.flush_epoch = int(machine.shared.flush_epoch) + 1
        elif waits:
            c.startup.value = 0
            if c.activity.value != WAIT_FOR_SIPI:
                continue
            sipi(cpu, U64(waits & 0xFF))
        else:
            continue
        c.events.value += 1
        return True
    return False
