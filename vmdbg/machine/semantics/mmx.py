"""MMX apart from what it shares with SSE (sse_integer.py, sse_move.py).

MMX registers are the significands of the physical x87 registers.  Whoever hands out their places sees to the rest
(SDM vol. 3, 12.2): the instruction clears TOP and marks all registers valid, a write sets the exponent to ones.
"""

from isa.lang.word import U16
from vmdbg.machine.state import NEXT

TOP = 0x3800  # in the x87 status word


def emms(cpu, u):
    """All x87 registers empty, TOP 0 (SDM vol. 3, table 12-1)."""
    cpu.ftw = U16(0xFFFF)
    cpu.fsw = cpu.fsw & ~U16(TOP)
    return NEXT
