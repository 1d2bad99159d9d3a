"""An initial RAM disk of one program: busybox, linked statically, and a shell on the console.

The format is cpio's "new ASCII" (Documentation/driver-api/early-userspace/buffer-format.rst of Linux), with device nodes that
nobody but root could make in a folder.
"""

import struct
from dataclasses import dataclass

DIRECTORY, FILE, LINK, CHARACTER_DEVICE = 0o040755, 0o100755, 0o120777, 0o020600
TRAILER = "TRAILER!!!"
APPLETS = ("sh", "mount", "cat", "echo", "ls", "uname", "dmesg", "ps", "free", "poweroff", "reboot", "sleep")
PT_INTERP = 3
SHELL = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
exec sh
"""


@dataclass(frozen=True)
class Entry:
    """One member of the archive; `device` is (major, minor) of a node."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def archive(entries: list[Entry]) -> bytes:
    """Entries as an initramfs, in their order; a folder comes before what is in it."""
    out = bytearray()
    for inode, e in enumerate([*entries, Entry(TRAILER, 0)], 1):
        name = e.name.encode() + b"\0"
        links = 2 if e.mode == DIRECTORY else 1
        fields = (inode, e.mode, 0, 0, links, 0, len(e.data), 0, 0, *e.device, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out += bytes(-len(out) % 4) + e.data
        out += bytes(-len(out) % 4)
    return bytes(out + bytes(-len(out) % 512))


def busybox_initramfs(busybox: bytes, init: str = SHELL, more: tuple[str, ...] = ()) -> bytes:
    """An initramfs whose /init is a script of busybox's shell; it has `more` of busybox's programs."""
    return archive(
        [
            *(Entry(name, DIRECTORY) for name in ("bin", "dev", "proc", "sys", "tmp")),
            Entry("dev/console", CHARACTER_DEVICE, device=(5, 1)),
            Entry("bin/busybox", FILE, busybox),
            *(Entry(f"bin/{name}", LINK, b"busybox") for name in (*APPLETS, *more)),
            Entry("init", FILE, init.encode()),
        ]
    )


def is_static(image: bytes) -> bool:
    """Whether an ELF64 file runs without an interpreter: an initramfs has no libraries."""
    if image[:5] != b"\x7fELF\x02" or len(image) < 64:
        return False
    at, size, count = struct.unpack_from("<Q", image, 32)[0], *struct.unpack_from("<HH", image, 54)
    kinds = [struct.unpack_from("<I", image, at + n * size)[0] for n in range(count) if at + n * size + 4 <= len(image)]
    return PT_INTERP not in kinds
