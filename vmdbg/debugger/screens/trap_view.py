"""What the traps screen shows beside the vectors, which every snapshot has: one delivery, step by step."""

from dataclasses import dataclass

from vmdbg.debugger import vectors
from vmdbg.debugger.delivery_steps import Delivery, delivery, waiting


@dataclass(frozen=True)
class TrapView:
    """`of`: why this delivery: it waits, it was the last that the session stood before, or its vector was asked for."""

    table: str  # 'IDT at 00101000, limit 7ff: 256 gates of 8 bytes'
    of: str
    delivery: Delivery | None


def trap_view(session, argument: str, running: bool) -> TrapView | None:
    """`argument`: a vector in hexadecimal; '': what waits, else what was last delivered."""
    if running:
        return None
    cpu = session.cpu
    is_real, _, size = vectors.shape(cpu)
    base, limit = int(cpu.idtr_base), int(cpu.idtr_limit)
    count, unit = min((limit + 1) // size, vectors.VECTORS), "entries" if is_real else "gates"
    table = f"{'IVT' if is_real else 'IDT'} at {base:08x}, limit {limit:x}: {count} {unit} of {size} bytes"
    if argument:
        vector = int(argument, 16)
        return TrapView(table, f"if vector {vector:02x} came now", delivery(session, vector))
    now = waiting(session)
    if now is not None:
        return TrapView(table, "waits to be delivered", now)
    last = session.delivered
    return TrapView(table, f"delivered at {last.position:,}" if last is not None else "", last)
