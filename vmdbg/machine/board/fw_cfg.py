"""fw_cfg: how firmware asks its machine (QEMU, docs/specs/fw_cfg.rst).

    510 selector (write, 16 bits)   511 data (read, a byte at a time)   514 DMA address, big-endian: 514 high, 518 low, which starts it

Items are bytes, chosen by number and read from their beginning; names of files are in the directory, item 19h.
"""

import struct

import numpy as np

SELECTOR, DATA, DMA = 0x510, 0x511, 0x514
SIGNATURE, ID, RAM_SIZE, CPUS, MOST_CPUS, DIRECTORY, FILE_FIRST = 0x00, 0x01, 0x03, 0x05, 0x0F, 0x19, 0x20
TRADITIONAL, WITH_DMA = 1, 2  # in ID
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16  # DMA control
DMA_SIGNATURE = int.from_bytes(b"QEMU CFG", "big")
NAME_SIZE = 56

FW_CFG = np.dtype([("item", "<u2"), ("at", "<u4"), ("dma", "<u8")])


class FwCfg:
    """`memory` has read_physical and write_physical, as the machine has; `files` are named items."""

    def __init__(self, memory, cpus: int, ram_size: int, files: dict[str, bytes] | None = None):
        self.memory = memory
        self.state = np.zeros((), FW_CFG)
        self.items = {
            SIGNATURE: b"QEMU",
            ID: struct.pack("<I", TRADITIONAL | WITH_DMA),
            RAM_SIZE: struct.pack("<Q", ram_size),
            CPUS: struct.pack("<H", cpus),
            MOST_CPUS: struct.pack("<H", cpus),
        }
        named = sorted({"etc/e820": struct.pack("<QQI", 0, ram_size, 1), **(files or {})}.items())
        directory = struct.pack(">I", len(named))
        for n, (name, content) in enumerate(named):
            self.items[FILE_FIRST + n] = content
            directory += struct.pack(f">IHH{NAME_SIZE}s", len(content), FILE_FIRST + n, 0, name.encode())
        self.items[DIRECTORY] = directory
        self.dma = DmaPort(self)

    def save(self) -> bytes:
        """Checkpoints need not hold the items, which never change."""
        return self.state.tobytes()

    def restore(self, saved: bytes) -> None:
        self.state[...] = np.frombuffer(saved, FW_CFG)[0]

    def select(self, item: int) -> None:
        self.state["item"], self.state["at"] = item, 0

    def take(self, count: int) -> bytes:
        """The next bytes of the selected item; zeros beyond its end."""
        at = int(self.state["at"])
        found = self.items.get(int(self.state["item"]), b"")[at : at + count]
        self.state["at"] = min(at + count, 0xFFFFFFFF)
        return found.ljust(count, b"\0")

    def read(self, offset: int, width: int) -> int:
        """Ports 510 and 511."""
        if offset == 0:
            return (1 << 8 * width) - 1
        return int.from_bytes(self.take(1), "little")

    def write(self, offset: int, width: int, value: int) -> None:
        if offset == 0 and width >= 2:
            self.select(value & 0xFFFF)

    def transfer(self, address: int) -> None:
        """Do what the descriptor at a physical address says: control, length, address, big-endian; control becomes the result."""
        found = self.memory.read_physical(address, 16)
        if found is None:
            return
        control, length, target = struct.unpack(">IIQ", found)
        if control & SELECT:
            self.select(control >> 16)
        good = not control & WRITE
        if control & READ:
            item = len(self.items.get(int(self.state["item"]), b""))
            good = good and length <= max(item, 1 << 20) and self.memory.write_physical(target, self.take(length))
        elif control & SKIP:
            self.state["at"] = min(int(self.state["at"]) + length, 0xFFFFFFFF)
        self.memory.write_physical(address, struct.pack(">I", 0 if good else ERROR))


class DmaPort:
    """514 to 51B: the descriptor's address; reading it gives the signature."""

    def __init__(self, config: FwCfg):
        self.config = config

    def read(self, offset: int, width: int) -> int:
        value = DMA_SIGNATURE.to_bytes(8, "big")[offset : offset + width]
        return int.from_bytes(value, "little")

    def write(self, offset: int, width: int, value: int) -> None:
        if width != 4 or offset not in (0, 4):
            return
        half = int.from_bytes(value.to_bytes(4, "little"), "big")
        s = self.config.state
        if offset == 0:
            s["dma"] = half << 32 | int(s["dma"]) & 0xFFFFFFFF
            return
        address = int(s["dma"]) & ~0xFFFFFFFF | half
        s["dma"] = 0
        self.config.transfer(address)
