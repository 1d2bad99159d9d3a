"""Files of Debian packages: of those that are installed, or fetched by apt into a cache that is keyed by their content.

Nothing here installs anything, and nothing fetched is kept in the repository.  Without apt, its lists, dpkg or a network the
test is skipped and says why.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import platformdirs
import pytest

from vmdbg.bench.initramfs import is_static

LONGEST = 300  # seconds that a download may take
KERNEL = "linux-image-cloud-amd64"  # depends on the newest one


class Unavailable(Exception):
    """Why a package cannot be had here."""


def folder() -> Path:
    """Where packages are kept: VMDBG_DEBIAN, else in the user's cache."""
    return Path(os.environ.get("VMDBG_DEBIAN") or platformdirs.user_cache_path("vmdbg") / "debian")


def said(*command: str) -> str:
    """What a program prints; Unavailable if it is not there or fails."""
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not installed")
    try:
        found = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{' '.join(command)}: no answer in {LONGEST} s") from None
    if found.returncode:
        raise Unavailable(f"{' '.join(command)}: {' '.join(found.stderr.split())[-200:]}")
    return found.stdout


def field(package: str, name: str) -> str:
    """A field of the newest version of a package that apt knows."""
    found = re.search(rf"^{name}: *(.*)$", said("apt-cache", "show", "--no-all-versions", package), re.M)
    if found is None:
        raise Unavailable(f"apt knows no {name} of {package}")
    return found[1]


def fetch(package: str) -> Path:
    """The folder with the unpacked files of a package."""
    digest = field(package, "SHA256")
    there = folder() / f"{package}-{digest[:16]}"
    if there.is_dir():
        return there
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder()) as scratch:
        said("sh", "-c", f"cd '{scratch}' && apt-get -q -o APT::Sandbox::User=$(id -un) download {package}")
        files = list(Path(scratch).glob("*.deb"))
        if len(files) != 1 or hashlib.sha256(files[0].read_bytes()).hexdigest() != digest:
            raise Unavailable(f"{package}: what came is not what apt's lists say")
        said("dpkg", "-x", str(files[0]), f"{scratch}/files")
        try:
            os.rename(f"{scratch}/files", there)
        except OSError:  # another run was faster
            if not there.is_dir():
                raise
    return there


@cache
def tried(package: str) -> Path | str:
    """The folder of a package, or why it cannot be had."""
    try:
        return fetch(package)
    except (Unavailable, OSError) as e:
        return str(e)


def package_files(package: str) -> Path:
    """The folder with the unpacked files of a package; the test is skipped if it cannot be had."""
    found = tried(package)
    if isinstance(found, str):
        pytest.skip(f"Debian's {package} cannot be had: {found}")
    return found


def linux_kernel() -> Path:
    """Debian's kernel for clouds: the newest that is installed, else fetched."""
    installed = sorted(Path("/boot").glob("vmlinuz-*cloud-amd64"), key=lambda path: path.stat().st_mtime)
    if installed:
        return installed[-1]
    try:
        newest = re.search(r"linux-image-\S+-cloud-amd64", field(KERNEL, "Depends"))
    except Unavailable as e:
        pytest.skip(f"Debian's {KERNEL} cannot be had: {e}")
    assert newest is not None
    return next((package_files(newest[0]) / "boot").glob("vmlinuz-*"))


def static_busybox() -> bytes:
    """The program of busybox-static, installed or fetched."""
    for path in (Path("/bin/busybox"), Path("/usr/bin/busybox")):
        if path.is_file() and is_static(image := path.read_bytes()):
            return image
    files = package_files("busybox-static")
    return next(path for path in (files / "bin/busybox", files / "usr/bin/busybox") if path.is_file()).read_bytes()
