"""Where a breakpoint counts: in one ring, in one address space, on one vCPU; for every kind of breakpoint, forwards and backwards."""

from dataclasses import dataclass

from vmdbg.debugger.registers import reader

ROOT = (1 << 52) - 1 & ~0xFFF  # bits of CR3 that are the address space's: neither PCID, PWT and PCD nor the bit that keeps the TLB
_cr3, _cpl = reader("cr3"), reader("cpl")


@dataclass(frozen=True)
class Scope:
    """None: anywhere.  The ring is that at the stop: before a delivery the old one, after a change the new one."""

    ring: int | None = None
    cr3: int | None = None
    cpu: int | None = None

    def holds(self, session) -> bool:
        cpu = session.cpu
        if self.cpu is not None and session.cpu_index != self.cpu or self.ring is not None and _cpl(cpu) != self.ring:
            return False
        return self.cr3 is None or not (_cr3(cpu) ^ self.cr3) & ROOT

    def words(self) -> str:
        """As it is written."""
        parts = [f"in ring {self.ring}"] if self.ring is not None else []
        parts += [f"in cr3 {self.cr3:#x}"] if self.cr3 is not None else []
        return " ".join(parts + ([f"on cpu {self.cpu}"] if self.cpu is not None else []))
