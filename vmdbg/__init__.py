"""vmdbg: a terminal debugger for whole x86 virtual machines.  `from vmdbg import Session` is its Python API."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmdbg.debugger.session import Session as Session


def __getattr__(name: str):
    """Session is imported by whoever asks for it."""
    if name != "Session":
        raise AttributeError(f"module 'vmdbg' has no attribute '{name}'")
    from vmdbg.debugger.session import Session

    return Session
