"""Raising a fault: what a meaning leaves behind for the driver to deliver."""

from isa.lang.word import U64
from vmdbg.machine.state import FAULT, GP, UD

HAS_ERROR = 0x227D00  # vectors that push an error code: DF TS NP SS GP PF AC CP (SDM vol. 3, table 6-1)


def fault(cpu, vector, error):
    """Record exception `vector` with its error code (ignored by vectors that push none) and return FAULT."""
    cpu.vector = U64(vector)
    cpu.error_code = U64(error)
    cpu.has_error = (U64(HAS_ERROR) >> U64(vector)) & 1
    return FAULT


def fault_gp0(cpu):
    return fault(cpu, GP, 0)


def fault_ud(cpu):
    return fault(cpu, UD, 0)
