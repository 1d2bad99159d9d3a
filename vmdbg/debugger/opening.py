"""Opening a guest: machine -> monitor -> session."""

from collections.abc import Callable

from vmdbg.debugger.session import Session
from vmdbg.debugger.symbols import Symbols, read_symbols
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Guest


def open_bare(
    guest: Guest,
    serial: Callable[[int], object] | None = None,
    engine: str = "threaded",
    symbols: Symbols | None = None,
    history: int = 0,
) -> Session:
    """A session over a bare PC with the guest loaded; `serial` gets every byte it sends; engine: threaded or plain.

    `symbols` are those of its file unless others are given; it is recorded in at most `history` bytes, or not at all.
    """
    from vmdbg.machine.machine import Machine  # here, so that what can be refused without it is refused first

    monitor = Bare(Machine(memory=guest.memory, cpus=guest.cpus, engine=engine), guest, serial)
    session = Session(monitor, symbols or read_symbols(guest.path))
    if history:
        session.record(history)
    return session
