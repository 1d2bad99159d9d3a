"""SMBIOS tables, walked as DMI readers do."""

import shutil
import struct
import subprocess

import pytest

from vmdbg.machine.board import smbios


def walk(data: bytes) -> list[tuple[int, bytes, list[str]]]:
    """(type, formatted area, strings) of each structure, to the end."""
    found, at = [], 0
    while at < len(data):
        kind, length = data[at], data[at + 1]
        end = data.index(b"\0\0", at + length)
        found.append((kind, data[at : at + length], data[at + length : end].decode().split("\0")))
        at = end + 2
    return found


@pytest.mark.parametrize("memory, cpus", [(1 << 20, 1), (256 << 20, 2), (3 << 30, 8)])
def test_entry_point_and_structures(memory, cpus):
    table = smbios.tables(memory, cpus)
    entry, data = table[:31], table[smbios.TABLES - smbios.ENTRY :]
    assert entry[:4] == b"_SM_" and sum(entry) & 0xFF == 0 and entry[5] == 31
    assert entry[16:21] == b"_DMI_" and sum(entry[16:31]) & 0xFF == 0
    length, at, count = struct.unpack_from("<HIH", entry, 22)
    found = walk(data)
    assert (length, at, count) == (len(data), smbios.TABLES, len(found))
    assert [kind for kind, _, _ in found] == [0, 1, 3, *[4] * cpus, 16, 17, 19, 32, 127]
    by_kind = {kind: (area, strings) for kind, area, strings in found}
    assert by_kind[1][1] == [smbios.MAKER, smbios.PRODUCT]
    assert struct.unpack_from("<I", by_kind[16][0], 7)[0] == memory >> 10
    assert struct.unpack_from("<II", by_kind[19][0], 4) == (0, (memory >> 10) - 1)
    lengths = {0: 0x18, 1: 0x1B, 3: 0x15, 4: 0x2A, 16: 0x0F, 17: 0x1C, 19: 0x0F, 32: 0x0B, 127: 4}
    assert {kind: len(area) for kind, (area, _) in by_kind.items()} == lengths
    assert smbios.ENTRY % 16 == 0 and smbios.ENTRY + len(table) < 0xF8000


@pytest.mark.debian
@pytest.mark.skipif(shutil.which("dmidecode") is None, reason="needs dmidecode")
def test_dmidecode_reads_it(tmp_path):
    """A dump as dmidecode makes one: the entry point first, the tables behind."""
    dump = smbios.entry_point(256 << 20, 2, 32).ljust(32, b"\0") + b"".join(smbios.structures(256 << 20, 2))
    path = tmp_path / "dump"
    path.write_bytes(dump)
    text = subprocess.run(["dmidecode", "--from-dump", str(path)], capture_output=True, text=True, check=True).stdout
    assert "Product Name: vmdbg PC" in text and "Size: 256 MB" in text and "BROKEN" not in text.upper()
