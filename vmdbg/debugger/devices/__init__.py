"""The devices of the board as a user reads them: registers by name, and every register by its bits.

Nothing here reads a port or a register as the guest does: looking changes nothing.
"""

from collections.abc import Iterable

from vmdbg.debugger.devices import chipset, interrupts, ports, timers
from vmdbg.debugger.devices.registers import Device


def devices(board) -> tuple[Device, ...]:
    """Every device of a board (vmdbg.machine.board.pc.Pc), in the order in which a lesson would take them."""
    return tuple(all_of(board))


def all_of(board) -> Iterable[Device]:
    yield from interrupts.devices(board)
    yield from timers.devices(board)
    yield from ports.devices(board)
    yield from chipset.devices(board)
