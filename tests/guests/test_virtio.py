"""Debian's kernel with the virtio and IDE drivers of its package, on our devices."""

import hashlib
import re
import subprocess
import sys

import pytest

from tests.guests.boot_images import ATA, CONSOLE, DISK, VIRTIO, initramfs_with
from tests.guests.debian_packages import linux_kernel

LONGEST, LIMIT = 600, "8000000000"  # seconds, instructions
pytestmark = pytest.mark.debian

DISKS = """sleep 2
for d in vda sda sr0; do echo "$d $(md5sum < /dev/$d | cut -c1-32)"; done
dd if=/dev/zero of=/dev/vda bs=4096 seek=1 count=2; dd if=/dev/zero of=/dev/sda bs=4096 seek=3 count=2
sync
poweroff -f
"""


def run(tmp_path, initramfs: bytes, *options: str, typed: bytes = b"") -> str:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(initramfs)
    command = [
        sys.executable,
        "-m",
        "vmdbg",
        "run",
        str(linux_kernel()),
        "--memory",
        "256M",
        "--initrd",
        str(initrd),
        "--max-instructions",
        LIMIT,
    ]
    found = subprocess.run([*command, *options], input=typed, capture_output=True, timeout=LONGEST)
    out = found.stdout.decode(errors="replace")
    assert found.returncode == 0, out[-3000:] + found.stderr.decode()
    return out


@pytest.mark.parametrize("write", [False, True], ids=["threaded-copy-on-write", "threaded-write-disk"])
def test_disks(tmp_path, write):
    """Linux reads every byte of a virtio disk, an IDE disk and a CD-ROM, and writes: to the files only if asked to."""
    data = b"".join(hashlib.sha256(n.to_bytes(4, "little")).digest() for n in range(1 << 15))
    files = [tmp_path / name for name in ("vda", "sda", "sr0")]
    for n, path in enumerate(files):
        path.write_bytes(data[n * 2048 :] + data[: n * 2048])
    disks = ("--virtio-disk", str(files[0]), "--disk", str(files[1]), "--cdrom", str(files[2]))
    initramfs = initramfs_with((*VIRTIO, *DISK, *ATA), DISKS)
    sums = [f"{path.name} {hashlib.md5(path.read_bytes()).hexdigest()}" for path in files]
    before = [path.read_bytes() for path in files]
    out = run(tmp_path, initramfs, "--append", "console=ttyS0 quiet", *disks, *["--write-disk"] * write)
    assert re.findall("(?:vda|sda|sr0) [0-9a-f]{32}", out) == sums, out[-3000:]
    if write:
        for n, first in ((0, 0x1000), (1, 0x3000)):
            before[n] = before[n][:first] + bytes(0x2000) + before[n][first + 0x2000 :]
    assert [path.read_bytes() for path in files] == before


def test_a_shell_on_the_virtio_console(tmp_path):
    """What is typed reaches hvc0, and what the shell says leaves through it."""
    initramfs = initramfs_with((*VIRTIO, *CONSOLE), "until [ -c /dev/hvc0 ]; do sleep 0.1; done; exec sh < /dev/hvc0 > /dev/hvc0 2>&1\n")
    options = ("--console", "virtio", "--append", "console=ttyS0 quiet")
    out = run(tmp_path, initramfs, *options, typed=b"echo $((1234*5678)); ls -l /proc/self/fd/0\npoweroff -f\n")
    assert "7006652" in out and "-> /dev/hvc0" in out
