"""Registers of a local APIC that the core reads by itself: reading them changes nothing, and only writes to the APIC change them.

A guest that asks for its APIC's ID wherever it takes a lock does so some million times a second.
"""

import numpy as np

from vmdbg.machine.board.lapic import DFR, ICR, ICR_HIGH, ID, LDR, SVR, VERSION, VERSION_VALUE, Lapic

ENTRIES, CONSTANTS = 64, 2


def quiet_registers(lapic: Lapic) -> np.ndarray:
    """64 host addresses, one for each 16 bytes of the registers: of the register's 32 bits, or 0; behind them what is constant.

    They are true as long as `lapic` and the array live.
    """
    table = np.zeros(ENTRIES + CONSTANTS, "<u8")
    table[ENTRIES:] = int(lapic.state["id"]) << 24 & 0xFFFFFFFF, VERSION_VALUE
    constant = table.ctypes.data + 8 * ENTRIES
    table[ID >> 4], table[VERSION >> 4] = constant, constant + 8
    for register, name, offset in ((LDR, "ldr", 0), (DFR, "dfr", 0), (SVR, "svr", 0), (ICR, "icr", 0), (ICR_HIGH, "icr", 4)):
        assert lapic.state.dtype.fields is not None
        table[register >> 4] = lapic.state.ctypes.data + lapic.state.dtype.fields[name][1] + offset
    return table
