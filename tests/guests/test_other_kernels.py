"""Guests of Debian's that nobody tuned vmdbg for, each as far as it says who it is: firmware, boot loaders, other kernels."""

import re

import pytest

from tests.guests.debian_packages import package_files
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.session import Session
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

pytestmark = pytest.mark.debian
TURN, MEMORY = 20_000_000, 256 << 20


def screen(session: Session) -> str:
    """What stands on the VGA text screen."""
    cells = bytes(session.machine.ram[0xB8000 : 0xB8000 + 80 * 25 * 2 : 2])
    return "\n".join(cells[at : at + 80].decode("cp437").replace("\0", " ") for at in range(0, len(cells), 80))


def run_to(session: Session, text: str, limit: int) -> str:
    """Run until a regular expression stands on the screen or came out of the serial port; what was said."""
    said = ""
    while session.instructions < limit:
        stop = session.run(TURN)
        said = screen(session) + "\n" + session.monitor.log.decode(errors="replace")
        if re.search(text, said):
            return said
        assert stop.has("limit"), f"{stop.text}\n{said}"
    pytest.fail(f"no {text!r} after {limit:,} steps\n{said}")


@pytest.mark.parametrize(
    "package, file, options, text",
    [
        pytest.param("memtest86+", "boot/memtest86+x64.bin", {}, r"Memory  :  256MB", id="memtest86+ 64-bit"),
        pytest.param("memtest86+", "boot/memtest86+ia32.bin", {}, r"Memory  :  256MB", id="memtest86+ 32-bit"),
        pytest.param("memtest86+", "boot/memtest86+x64.bin", {"bits": 16}, r"Memory  :  256MB", id="memtest86+ from real mode"),
        pytest.param(
            "memtest86+", "usr/lib/memtest86+/memtest86+x64.iso", {}, r"Memory  :  256MB", id="memtest86+ by GRUB from its CD-ROM"
        ),
        pytest.param("grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-cdrom.iso", {}, r"GNU GRUB  version", id="GRUB's rescue CD-ROM"),
        pytest.param("ipxe", "usr/lib/ipxe/ipxe.iso", {}, r"No more network devices", id="iPXE by ISOLINUX from its CD-ROM"),
        pytest.param("ipxe", "boot/ipxe.lkrn", {}, r"No more network devices", id="iPXE, which has its real-mode entry only"),
        pytest.param("u-boot-qemu", "usr/lib/u-boot/qemu-x86/u-boot.rom", {"format": "rom"}, r"stop autoboot: ", id="U-Boot"),
        pytest.param("u-boot-qemu", "usr/lib/u-boot/qemu-x86_64/u-boot.rom", {"format": "rom"}, r"stop autoboot: ", id="U-Boot, 64-bit"),
        pytest.param("ovmf", "usr/share/ovmf/OVMF.fd", {"format": "rom"}, r"UEFI Interactive Shell", id="UEFI firmware"),
        pytest.param("gnumach-image-1.8-486", "boot/gnumach-1.8-486.gz", {}, r"bootstrap_create: No bootstrap code", id="GNU Mach"),
        pytest.param(
            "xen-hypervisor-4.17-amd64",
            "boot/xen-4.17-amd64.gz",
            {"append": "console=com1"},
            r"Panic on CPU 0:\s+\(XEN\) dom0 kernel not specified",
            id="Xen without a dom0",
        ),
    ],
)
def test_it_says_who_it_is(package, file, options, text):
    path = package_files(package) / file
    session = open_bare(load_guest(path, Options(memory=MEMORY, **options)))
    run_to(session, text, 1_000_000_000)
