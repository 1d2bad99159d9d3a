"""The BIOS image is what its source says, and stands where programs look for it."""

import shutil
import subprocess

import pytest

from vmdbg.monitor.bios import BOOTSTRAP, IMAGE, SEGMENT


@pytest.mark.debian
@pytest.mark.skipif(not (shutil.which("nasm") and shutil.which("make")), reason="needs nasm and make")
def test_image_is_its_source(tmp_path):
    """Rebuilding gives what is committed."""
    subprocess.run(["make", "-s", "-C", IMAGE.parent, f"OUT={tmp_path}"], check=True, capture_output=True)
    assert (tmp_path / "bios.bin").read_bytes() == IMAGE.read_bytes(), "bios.bin is older than its source: make -C vmdbg/monitor/bios"


def test_places():
    image = IMAGE.read_bytes()
    assert len(image) == 0x4000
    first = SEGMENT + 0x10000 - len(image)
    assert image[0xFFFF0 - first :][:5] == bytes.fromhex("ea 5b e0 00 f0")
    assert image[0xFFFFE - first] == 0xFC
    assert image[0xFFF53 - first] == 0xCF
    assert image[BOOTSTRAP - first] in (0xE9, 0xEB)
