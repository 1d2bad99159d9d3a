"""The registers of a vCPU as Python sees them: session.registers.rax, session.registers["if"]."""

from collections.abc import Iterator, MutableMapping
from typing import Any

from vmdbg.debugger.registers import REGISTERS


class RegisterFile(MutableMapping):
    """By the manual's names (registers.REGISTERS): whole registers, their parts (eax, al), single flags (zf), cs_base, cr3, idtr_base, cpl.

    Values are unsigned integers of the register's width.  Assigning writes the machine, as Session.write_register does: in the past
    another line of history begins, and WriteError says in a sentence why it cannot be.  KeyError (or AttributeError): there is no such
    register.  `session.registers` is of the current vCPU, `session.registers.of(1)` of another.
    """

    __slots__ = ("_session", "_number")
    _session: Any
    _number: int | None

    def __init__(self, session, number: int | None = None):
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_number", number)

    def of(self, number: int) -> "RegisterFile":
        """Those of vCPU `number`, from 0 on; IndexError if the machine has fewer."""
        cpus = len(self._session.machine.cpus)
        if not 0 <= number < cpus:
            raise IndexError(f"there is no vCPU {number}: expected 0 to {cpus - 1}")
        return RegisterFile(self._session, number)

    def __getitem__(self, name: str) -> int:
        if name not in REGISTERS:
            raise KeyError(f"{name!r} is no register")
        session = self._session
        return REGISTERS[name].read(session.cpu if self._number is None else session.machine.cpus[self._number])

    def __setitem__(self, name: str, value: int) -> None:
        if name not in REGISTERS:
            raise KeyError(f"{name!r} is no register")
        self._session.write_register(name, value, self._number)

    def __delitem__(self, name: str) -> None:
        raise TypeError("a register cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(REGISTERS)

    def __len__(self) -> int:
        return len(REGISTERS)

    def __getattr__(self, name: str) -> int:
        if name not in REGISTERS:
            raise AttributeError(f"{name!r} is no register")
        return self[name]

    def __setattr__(self, name: str, value: int) -> None:
        if name not in REGISTERS:
            raise AttributeError(f"{name!r} is no register")
        self[name] = value

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *REGISTERS]

    def __repr__(self) -> str:
        return f"<registers of vCPU {self._session.cpu_index if self._number is None else self._number}>"
