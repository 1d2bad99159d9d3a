"""Disk and CD-ROM images that boot Debian's kernel through Debian's GRUB, made with Debian's tools; skips where those are not."""

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.guests.debian_packages import linux_kernel, package_files, static_busybox
from vmdbg.bench.initramfs import APPLETS, DIRECTORY, FILE, LINK, Entry, archive, busybox_initramfs

SECTOR, FIRST, MIB = 512, 2048, 1 << 20
LONGEST = 120  # seconds for a tool
VIRTIO = ("virtio/virtio", "virtio/virtio_ring", "virtio/virtio_pci_modern_dev", "virtio/virtio_pci_legacy_dev", "virtio/virtio_pci")
DISK, CONSOLE = ("block/virtio_blk",), ("char/virtio_console",)
ATA = ("scsi/scsi_common", "scsi/scsi_mod", "ata/libata", "ata/ata_piix", "scsi/sd_mod", "cdrom/cdrom", "scsi/sr_mod")


def tool(name: str, package: str, *folders: str) -> str:
    """A program that is installed, or unpacked from its package."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        files = package_files(package)
        found = next((str(files / f / name) for f in folders if (files / f / name).is_file()), None)
    if found is None:
        pytest.skip(f"needs {name} of Debian's {package}")
    return found


def run(*command: str) -> None:
    """Run a tool; the test is skipped if it cannot be started."""
    found = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LONGEST)
    if found.returncode == 127 or "shared libraries" in found.stderr:
        pytest.skip(f"{command[0]} does not start: {found.stderr.strip()[:200]}")
    assert found.returncode == 0, found.stderr


def seabios() -> Path:
    """bios-256k.bin, with the video BIOS beside it."""
    installed = Path("/usr/share/seabios/bios-256k.bin")
    return installed if installed.is_file() else package_files("seabios") / "usr/share/seabios/bios-256k.bin"


def grub_files() -> Path:
    installed = Path("/usr/lib/grub/i386-pc")
    return installed if (installed / "boot.img").is_file() else package_files("grub-pc-bin") / "usr/lib/grub/i386-pc"


def grub_image(to: Path, form: str, prefix: str, config: str, *modules: str) -> None:
    """core.img, or a CD-ROM's boot image, with its configuration inside."""
    script = to.with_suffix(".cfg")
    script.write_text(config)
    mkimage = tool("grub-mkimage", "grub-common", "usr/bin")
    run(mkimage, "-d", str(grub_files()), "-O", form, "-o", str(to), "-p", prefix, "-c", str(script), "biosdisk", "linux", *modules)


def contents(folder: Path, initramfs: bytes | None = None) -> None:
    """Kernel and initramfs."""
    folder.mkdir(parents=True)
    shutil.copy(linux_kernel(), folder / "vmlinuz")
    (folder / "initrd").write_bytes(initramfs or busybox_initramfs(static_busybox()))


def config(root: str) -> str:
    return f"set root={root}\nlinux /vmlinuz console=ttyS0\ninitrd /initrd\nboot\n"


def bootable_disk(folder: Path) -> Path:
    """MBR, core.img behind it, one partition with a file system: what grub-install would leave."""
    contents(folder / "files")
    size = sum(p.stat().st_size for p in (folder / "files").iterdir()) // MIB + 4
    partition, core, disk = folder / "partition", folder / "core.img", folder / "disk.img"
    run(tool("mke2fs", "e2fsprogs", "sbin"), "-q", "-t", "ext2", "-d", str(folder / "files"), str(partition), f"{size}M")
    grub_image(core, "i386-pc", "(hd0,msdos1)/", config("(hd0,msdos1)"), "part_msdos", "ext2")
    boot = bytearray((grub_files() / "boot.img").read_bytes())
    boot[446:510] = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", FIRST, size * MIB // SECTOR).ljust(64, b"\0")
    head = bytes(boot) + core.read_bytes()
    assert len(head) <= FIRST * SECTOR
    disk.write_bytes(head.ljust(FIRST * SECTOR, b"\0") + partition.read_bytes())
    return disk


def bootable_cdrom(folder: Path) -> Path:
    """El Torito without emulation (xorriso makes the file system)."""
    if shutil.which("xorriso") is None:
        pytest.skip("needs xorriso")
    contents(folder / "files")
    grub_image(folder / "files/eltorito.img", "i386-pc-eltorito", "(cd)/", config("(cd)"), "iso9660")
    disc = folder / "cd.iso"
    boot = ("-b", "eltorito.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table")
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(disc), *boot, str(folder / "files"))
    return disc


def initramfs_with(modules: tuple[str, ...], script: str) -> bytes:
    """busybox, these drivers of the kernel's package (they are loaded in this order), and an /init that ends in `script`."""
    kernel = linux_kernel()
    drivers = kernel.parent.parent / "lib/modules" / kernel.name.removeprefix("vmlinuz-") / "kernel/drivers"
    if not drivers.is_dir():
        pytest.skip(f"the kernel's modules are not beside it: no {drivers}")
    modules = with_dependencies(drivers.parent, modules)
    init = "#!/bin/sh\nmount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\n"
    init += "".join(f"insmod /{os.path.basename(m)}.ko\n" for m in modules) + script
    return archive(
        [
            *(Entry(name, DIRECTORY) for name in ("bin", "dev", "proc", "sys", "mnt")),
            Entry("bin/busybox", FILE, static_busybox()),
            *(Entry(f"bin/{name}", LINK, b"busybox") for name in (*APPLETS, "insmod", "dd", "sync", "cut", "md5sum", "grep")),
            Entry("init", FILE, init.encode()),
            *(Entry(f"{os.path.basename(m)}.ko", FILE, (drivers.parent / f"{m}.ko").read_bytes()) for m in modules),
        ]
    )


def with_dependencies(folder: Path, modules: tuple[str, ...]) -> tuple[str, ...]:
    """What these drivers (paths below kernel/drivers, without .ko) need comes before them; paths are below `folder`."""
    found: dict[str, str] = {path.stem.replace("-", "_"): str(path.relative_to(folder))[:-3] for path in folder.rglob("*.ko")}
    order: list[str] = []

    def visit(name: str) -> None:
        path = found[name]
        if path in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)", (folder / f"{path}.ko").read_bytes())
        for other in (depends[1].decode() if depends else "").split(","):
            if other:
                visit(other.replace("-", "_"))
        order.append(path)

    for module in modules:
        visit(os.path.basename(module))
    return tuple(order)
