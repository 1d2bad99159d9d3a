"""Debian's SeaBIOS from the reset vector: its boot menu, and Debian's kernel behind Debian's GRUB on a disk or a CD-ROM."""

import subprocess
import sys

import pytest

from tests.guests.boot_images import bootable_cdrom, bootable_disk, seabios
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

LONGEST = 600  # seconds; each takes about twenty
SLICE, MENU = 4_000, 12_000_000  # instructions
TYPED = "\n" * 32 + "echo $((1234*5678)); dmesg | cat\npoweroff -f\n"  # firmware and boot loader take some keys

pytestmark = pytest.mark.debian


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    return bootable_disk(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def cdrom(tmp_path_factory):
    return bootable_cdrom(tmp_path_factory.mktemp("cdrom"))


def boots(*options: str) -> str:
    """What the guest says on the serial port: it must reach its shell, answer, and power off."""
    command = [sys.executable, "-m", "vmdbg", "run", "--bios", str(seabios()), "--memory", "256M", *options]
    found = subprocess.run(command, input=TYPED.encode(), capture_output=True, timeout=LONGEST)
    out = found.stdout.decode(errors="replace")
    assert found.returncode == 0, out[-2000:] + found.stderr.decode()
    assert "Welcome to GRUB!" in out and "7006652" in [line.strip() for line in out.splitlines()]
    assert "reboot: Power down" in out and "BUG:" not in out and "WARNING: CPU" not in out
    return out


@pytest.mark.parametrize("interface", ["threaded-ide", "threaded-virtio"])
def test_linux_boots_from_a_disk(disk, interface):
    """MBR, GRUB, kernel and initramfs come from the disk, behind IDE in PIO and behind virtio-blk."""
    out = boots("--disk" if interface.endswith("ide") else "--virtio-disk", str(disk))
    assert "Booting from Hard Disk" in out
    assert "DMI: vmdbg vmdbg PC" in out  # firmware took the SMBIOS tables from fw_cfg


def test_threaded_linux_boots_from_a_cdrom(cdrom):
    """El Torito, through ATAPI."""
    assert "Booting from DVD/CD" in boots("--cdrom", str(cdrom))


@pytest.mark.parametrize("keys", ["threaded-serial", "threaded-keyboard"])
def test_the_boot_menu(keys, tmp_path):
    """ESC opens it, a digit chooses: typed at the serial port or on the keyboard; it is on the screen and on the serial port."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes.fromhex("b8690ee4f4 b069 b40e bb0700 cd10 f4").ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    out = bytearray()
    session = open_bare(load_guest(seabios(), Options(64 << 20, format="rom", disks=(str(disk),))), out.append)
    board = session.monitor.board

    def press(text: bytes, key: str) -> None:
        if keys.endswith("serial"):
            session.give("serial", text)
        else:
            session.give("key", (key, True))
            session.give("key", (key, False))

    def until(text: str) -> None:
        for _ in range(MENU // SLICE):
            if text.encode() in out and any(text in line for line in screen()):
                return
            session.run(SLICE)
        raise AssertionError("\n".join(screen()) + out[-2000:].decode(errors="replace"))

    def screen() -> tuple[str, ...]:
        return session.monitor.vga.screen(session.machine.ram).text

    until("Press ESC for boot menu")
    press(b"\x1b", "esc")
    until("Select boot device:")
    until("1. ata0-0: VMDBG DISK")
    press(b"1", "1")
    until("Booting from Hard Disk")
    assert board.console is board.uart
