"""The shipped images are what their sources say."""

import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

import guests

FOLDER = Path(guests.__file__).parent


def contents(image: Path):
    """What a loader and a debugger take from an image: for ELF the segments, symbols and lines of source (linkers differ in the rest)."""
    if image.suffix == ".bin":
        return image.read_bytes()
    with image.open("rb") as f:
        elf = ELFFile(f)
        segments = [(s["p_type"], s["p_vaddr"], s["p_paddr"], s["p_memsz"], s.data()) for s in elf.iter_segments()]
        symbols = {s.name: s["st_value"] for s in elf.get_section_by_name(".symtab").iter_symbols() if s.name}
        lines = elf.get_section_by_name(".debug_line")
        return elf["e_entry"], segments, symbols, lines.data() if lines is not None else b""


def test_every_guest_ships_an_image_and_a_lesson():
    assert set(guests.shipped()) >= {"hello16", "dual_mode", "long64", "triple"}
    for name in guests.shipped():
        assert len(guests.about(name)) > 40


@pytest.mark.debian
@pytest.mark.skipif(not (shutil.which("nasm") and shutil.which("ld") and shutil.which("make")), reason="needs nasm, ld and make")
def test_images_are_their_sources(tmp_path):
    """Rebuilding gives what is committed."""
    subprocess.run(["make", "-s", "-C", FOLDER, f"OUT={tmp_path}"], check=True, capture_output=True)
    for image in [*guests.shipped().values(), *guests.workloads().values(), guests.linux_loader()]:
        folder = image.parent.name
        assert contents(image) == contents(tmp_path / folder / image.name), f"guests/{folder} is older than its source: make -C guests"
