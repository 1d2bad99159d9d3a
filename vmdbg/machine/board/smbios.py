"""SMBIOS tables (DSP0134, version 2.8): what the machine says about itself where DMI is asked.

entry point, 31 bytes, on a 16-byte boundary from F0000 on -> structures 0 BIOS, 1 system, 3 chassis, 4 processors,
16 memory array, 17 its device, 19 where it is mapped, 32 boot, 127 end
"""

import struct

ENTRY, TABLES = 0xF2000, 0xF2020  # where tables() puts both, for guests that are started without firmware
VERSION, MAXIMUM = (2, 8), 0x100
MAKER, PRODUCT = "vmdbg", "vmdbg PC"
UNKNOWN, OTHER, SYSTEM_MEMORY, NO_CORRECTION, RAM, DIMM = 2, 1, 3, 3, 7, 9
CENTRAL, ENABLED_SOCKET, UPGRADE_OTHER = 3, 0x41, 1
SAFE = 3  # states of a chassis
SIGNATURE, FEATURES = 0x000506E3, 0x0781ABFF  # CPUID 1: EAX, EDX
MIB = 1 << 20


def checksum(data: bytes) -> int:
    """The byte that makes the sum of all bytes 0."""
    return -sum(data) & 0xFF


def structure(kind: int, handle: int, body: bytes, *strings: str) -> bytes:
    """A structure: header, formatted area, strings (6.1.2, 6.1.3)."""
    text = b"".join(s.encode() + b"\0" for s in strings) or b"\0"
    return struct.pack("<BBH", kind, 4 + len(body), handle) + body + text + b"\0"


def structures(memory: int, cpus: int) -> list[bytes]:
    """For `memory` bytes of RAM and `cpus` processors (chapter 7)."""
    found = [
        structure(0, 0, struct.pack("<BBHBBQBBBBBB", 1, 2, 0xF000, 3, 0, 0x08, 0, 0x04, 1, 0, 0xFF, 0xFF), MAKER, "1", "01/01/2024"),
        structure(1, 1, struct.pack("<BBBB16sBBB", 1, 2, 0, 0, bytes(16), 6, 0, 0), MAKER, PRODUCT),
        structure(3, 3, struct.pack("<BBBBBBBBBIBBBB", 1, OTHER, 0, 0, 0, SAFE, SAFE, SAFE, UNKNOWN, 0, 0, 0, 0, 0), MAKER),
    ]
    for n in range(cpus):
        body = struct.pack("<BBBBIIBBHHHBB", 1, CENTRAL, 1, 2, SIGNATURE, FEATURES, 0, 0, 0, 0, 1000, ENABLED_SOCKET, UPGRADE_OTHER)
        body += struct.pack("<HHHBBBBBBHH", 0xFFFF, 0xFFFF, 0xFFFF, 0, 0, 0, 1, 1, 1, 0x0004, 1)
        found.append(structure(4, 0x400 + n, body, f"CPU {n}", MAKER))
    found.append(structure(16, 0x1000, struct.pack("<BBBIHH", OTHER, SYSTEM_MEMORY, NO_CORRECTION, memory >> 10, 0xFFFE, 1)))
    size = min(memory // MIB, 0x7FFF)
    body = struct.pack("<HHHHHBBBBBHH", 0x1000, 0xFFFE, 64, 64, size, DIMM, 0, 1, 0, RAM, 0, 0)
    found.append(structure(17, 0x1100, body + struct.pack("<BBBBB", 2, 0, 0, 0, 0), "DIMM 0", MAKER))
    found.append(structure(19, 0x1300, struct.pack("<IIHB", 0, (memory >> 10) - 1, 0x1000, 1)))
    found.append(structure(32, 0x2000, bytes(7)))
    found.append(structure(127, 0x7F00, b""))
    return found


def entry_point(memory: int, cpus: int, at: int = TABLES) -> bytes:
    """The entry point (5.2.1) of structures at physical address `at`."""
    parts = structures(memory, cpus)
    middle = struct.pack("<5sBHIHB", b"_DMI_", 0, sum(map(len, parts)), at, len(parts), VERSION[0] << 4 | VERSION[1])
    middle = middle[:5] + bytes([checksum(middle)]) + middle[6:]
    head = struct.pack("<4sBBBBHB5s", b"_SM_", 0, 31, *VERSION, max(map(len, parts)), 0, bytes(5))
    whole = head + middle
    return whole[:4] + bytes([checksum(whole)]) + whole[5:]


def tables(memory: int, cpus: int) -> bytes:
    """Both, to be put at ENTRY."""
    return entry_point(memory, cpus).ljust(TABLES - ENTRY, b"\0") + b"".join(structures(memory, cpus))


def firmware_files(memory: int, cpus: int) -> dict[str, bytes]:
    """For fw_cfg: firmware puts them where it likes."""
    return {"etc/smbios/smbios-anchor": entry_point(memory, cpus, 0), "etc/smbios/smbios-tables": b"".join(structures(memory, cpus))}
