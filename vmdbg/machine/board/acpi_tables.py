"""ACPI tables (ACPI specification 6.5, chapter 5), for guests that are started without firmware.

    E0000 RSDP    E0040 FACS    E0080 RSDT, XSDT, FADT, MADT, DSDT one after the other

The DSDT has what cannot be found otherwise: the PCI root with its interrupt routing, the ISA devices, and _S5.
"""

import struct

from vmdbg.machine.board import aml
from vmdbg.machine.board.acpi import PM1_CONTROL, PM1_EVENT, PM_TIMER, S5_TYPE, SCI

RSDP, FACS, FIRST, LIMIT = 0xE0000, 0xE0040, 0xE0080, 0xF0000
IO_APIC, LOCAL_APIC = 0xFEC00000, 0xFEE00000
OEM, OEM_TABLE, CREATOR = b"VMDBG ", b"VMDBG PC", b"VMDB"
RESET_PORT, RESET_VALUE = 0xCF9, 0x06
PCI_MEMORY = (0xE0000000, 0xFEBFFFFF)
PCI_INTERRUPTS = (10, 11, 10, 11)  # where INTA to INTD of device 0 arrive; each further device is turned by one
WBINVD, PROC_C1, POWER_BUTTON, SLEEP_BUTTON, FIXED_RTC, TIMER_32, RESET_SUPPORTED = 1, 4, 0x10, 0x20, 0x40, 0x100, 0x400


def checksum(data: bytes) -> int:
    """The byte that makes the sum of all bytes 0."""
    return -sum(data) & 0xFF


def table(signature: bytes, revision: int, body: bytes) -> bytes:
    """A system description table: the header of 36 bytes (5.2.6), then `body`."""
    header = struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, OEM, OEM_TABLE, 1, CREATOR, 1)
    whole = bytearray(header + body)
    whole[9] = checksum(whole)
    return bytes(whole)


def rsdp(at: int) -> bytes:
    """The root pointer of revision 2 (5.2.5.3); `at`: where tables() puts it."""
    rsdt = at + FIRST - RSDP
    first = struct.pack("<8sB6sBI", b"RSD PTR ", 0, OEM, 2, rsdt)
    first = first[:8] + bytes([checksum(first)]) + first[9:]
    rest = struct.pack("<IQI", 36, rsdt + RSDT_SIZE, 0)
    whole = first + rest
    return whole[:32] + bytes([checksum(whole)]) + whole[33:]


RSDT_SIZE, XSDT_SIZE, FADT_SIZE = 48, 56, 244


def tables(cpus: int) -> bytes:
    """Everything from RSDP on, for `cpus` processors."""
    fadt_at = -(-(FIRST + RSDT_SIZE + XSDT_SIZE) // 16) * 16
    madt_at = fadt_at + -(-FADT_SIZE // 16) * 16
    madt_table = madt(cpus)
    dsdt_at = madt_at + -(-len(madt_table) // 16) * 16
    memory = bytearray(dsdt_at - RSDP)
    for at, data in (
        (RSDP, rsdp(RSDP)),
        (FACS, struct.pack("<4sIIIIIQB", b"FACS", 64, 0, 0, 0, 0, 0, 2)),
        (FIRST, table(b"RSDT", 1, struct.pack("<III", fadt_at, madt_at, 0)[:8])),
        (FIRST + 48, table(b"XSDT", 1, struct.pack("<QQ", fadt_at, madt_at))),
        (fadt_at, fadt(dsdt_at)),
        (madt_at, madt_table),
    ):
        memory[at - RSDP : at - RSDP + len(data)] = data
    return bytes(memory) + dsdt(cpus)


def address(port: int, width: int) -> bytes:
    """A generic address structure in the I/O space (5.2.3.2)."""
    return struct.pack("<BBBBQ", 1, 8 * width, 0, width.bit_length() if width < 8 else 4, port) if port else bytes(12)


def fadt(dsdt_at: int) -> bytes:
    """The fixed description table, revision 4 (5.2.9).  SMI_CMD is 0: ACPI mode is always on."""
    flags = WBINVD | PROC_C1 | POWER_BUTTON | SLEEP_BUTTON | FIXED_RTC | TIMER_32 | RESET_SUPPORTED
    body = struct.pack("<IIBBHIBBBB", FACS, dsdt_at, 0, 0, SCI, 0, 0, 0, 0, 0)
    body += struct.pack("<8I", PM1_EVENT, 0, PM1_CONTROL, 0, 0, PM_TIMER, 0, 0)
    body += struct.pack("<8B", 4, 2, 0, 4, 0, 0, 0, 0)
    body += struct.pack("<HHHHBBBBBHBI", 0xFFFF, 0xFFFF, 0, 0, 0, 0, 0, 0, 0x32, 0x0003, 0, flags)
    body += address(RESET_PORT, 1) + bytes([RESET_VALUE, 0, 0, 0])
    body += struct.pack("<QQ", FACS, dsdt_at)
    for port, width in ((PM1_EVENT, 4), (0, 0), (PM1_CONTROL, 2), (0, 0), (0, 0), (PM_TIMER, 4), (0, 0), (0, 0)):
        body += address(port, width)
    return table(b"FACP", 4, body)


def madt(cpus: int) -> bytes:
    """Interrupt controllers (5.2.12): a local APIC for each CPU, one I/O APIC, IRQ 0 at its input 2, the SCI level-triggered."""
    body = struct.pack("<II", LOCAL_APIC, 1)
    for n in range(cpus):
        body += struct.pack("<BBBBI", 0, 8, n, n, 1)
    body += struct.pack("<BBBBII", 1, 12, cpus, 0, IO_APIC, 0)
    body += struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0)
    for line in sorted({SCI, *PCI_INTERRUPTS}):
        body += struct.pack("<BBBBIH", 2, 10, 0, line, line, 0x000D)  # active high, level
    body += struct.pack("<BBBHB", 4, 6, 0xFF, 0, 1)  # NMI at LINT1 of all
    return table(b"APIC", 3, body)


def dsdt(cpus: int) -> bytes:
    """The differentiated definition block (5.2.11.1)."""
    root = aml.device(
        "PCI0",
        aml.name("_HID", aml.eisa("PNP0A03")),
        aml.name("_ADR", aml.integer(0)),
        aml.name("_UID", aml.integer(0)),
        aml.name(
            "_CRS",
            aml.resources(
                aml.bus_range(0, 0xFF),
                aml.io(0xCF8, 8),
                aml.io_range(0x0000, 0x0CF7),
                aml.io_range(0x0D00, 0xFFFF),
                aml.memory_range(0xA0000, 0xBFFFF),
                aml.memory_range(*PCI_MEMORY),
            ),
        ),
        aml.name("_PRT", routing()),
        aml.device(
            "ISA_",
            aml.name("_ADR", aml.integer(0x00010000)),
            isa("RTC_", "PNP0B00", aml.io(0x70, 2), aml.irq(8)),
            isa("KBD_", "PNP0303", aml.io(0x60, 1), aml.io(0x64, 1), aml.irq(1)),
            isa("MOU_", "PNP0F13", aml.irq(12)),
            isa("COM1", "PNP0501", aml.io(0x3F8, 8), aml.irq(4), uid=1),
            isa("COM2", "PNP0501", aml.io(0x2F8, 8), aml.irq(3), uid=2),
        ),
    )
    processors = [aml.device(f"CP{n:02}", aml.name("_HID", b"\x0dACPI0007\0"), aml.name("_UID", aml.integer(n))) for n in range(cpus)]
    off = aml.name("_S5_", aml.package(aml.integer(S5_TYPE), aml.integer(S5_TYPE), aml.integer(0), aml.integer(0)))
    return table(b"DSDT", 2, aml.scope("\\_SB_", *processors, root) + off)


def isa(path: str, hardware: str, *parts: bytes, uid: int | None = None) -> bytes:
    names = [aml.name("_HID", aml.eisa(hardware))] + ([aml.name("_UID", aml.integer(uid))] if uid is not None else [])
    return aml.device(path, *names, aml.name("_CRS", aml.resources(*parts)))


def routing() -> bytes:
    """_PRT (6.2.13): where INTA to INTD of the devices on bus 0 arrive."""
    entries = []
    for number in range(1, 32):
        for pin in range(4):
            line = interrupt_line(number, pin)
            entries.append(aml.package(aml.integer(number << 16 | 0xFFFF), aml.integer(pin), aml.integer(0), aml.integer(line)))
    return aml.package(*entries)


def interrupt_line(device: int, pin: int) -> int:
    """The IRQ of pin 0 to 3 (INTA to INTD) of a device on bus 0."""
    return PCI_INTERRUPTS[(device + pin) % 4]
