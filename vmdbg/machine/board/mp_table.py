"""The MultiProcessor tables (Intel MultiProcessor Specification 1.4, chapter 4): floating pointer, then configuration table.

F0000 floating pointer    F0010 configuration table: processors, buses, I/O APIC, interrupts
"""

import struct

from vmdbg.machine.board.acpi_tables import IO_APIC, LOCAL_APIC, PCI_INTERRUPTS, checksum, interrupt_line

POINTER, TABLE = 0xF0000, 0xF0010
PCI_BUS, ISA_BUS = 0, 1
PROCESSOR, BUS, APIC, INTERRUPT, LOCAL_INTERRUPT = range(5)
INT, NMI, EXTINT = 0, 1, 3
ENABLED, BOOT = 1, 2
SIGNATURE, FEATURES, VERSION = 0x000506E3, 0x0781ABFF, 0x14


def tables(cpus: int) -> bytes:
    """Both, for `cpus` processors, to be put at POINTER."""
    entries = [
        struct.pack("<BBBBIIII", PROCESSOR, n, VERSION, ENABLED | (BOOT if n == 0 else 0), SIGNATURE, FEATURES, 0, 0) for n in range(cpus)
    ]
    entries += [struct.pack("<BB6s", BUS, PCI_BUS, b"PCI   "), struct.pack("<BB6s", BUS, ISA_BUS, b"ISA   ")]
    entries += [struct.pack("<BBBBI", APIC, cpus, 0x11, 1, IO_APIC)]
    for device in range(1, 32):
        for pin in range(4):
            line = interrupt_line(device, pin)
            entries.append(struct.pack("<BBHBBBB", INTERRUPT, INT, 0x000D, PCI_BUS, device << 2 | pin, cpus, line))
    for irq in range(16):
        if irq != 2 and irq not in PCI_INTERRUPTS:
            entries.append(struct.pack("<BBHBBBB", INTERRUPT, INT, 0, ISA_BUS, irq, cpus, 2 if irq == 0 else irq))
    entries += [struct.pack("<BBHBBBB", LOCAL_INTERRUPT, kind, 0, ISA_BUS, 0, 0xFF, pin) for kind, pin in ((EXTINT, 0), (NMI, 1))]
    body = b"".join(entries)
    header = struct.pack(
        "<4sHBB8s12sIHHIHBB", b"PCMP", 44 + len(body), 4, 0, b"VMDBG   ", b"PC          ", 0, 0, len(entries), LOCAL_APIC, 0, 0, 0
    )
    whole = header + body
    whole = whole[:7] + bytes([checksum(whole)]) + whole[8:]
    pointer = struct.pack("<4sIBBBBBBBB", b"_MP_", TABLE, 1, 4, 0, 0, 0, 0, 0, 0)
    return pointer[:10] + bytes([checksum(pointer)]) + pointer[11:] + whole
