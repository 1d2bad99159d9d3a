"""Our decoder against iced-x86: validity, length and text.  The long form: `pytest -m slow tests/oracles/test_decoder_iced.py`."""

import os

import pytest

pytest.importorskip("iced_x86", reason="needs iced-x86 (the `oracle` extra)")
pytestmark = pytest.mark.oracle

from isa import compiled  # noqa: E402
from tests.oracles import decoder_compare as dc  # noqa: E402

SAMPLE, LONG = 12_000, 1_000_000


@pytest.fixture(scope="module", autouse=True)
def native():
    compiled.compile_decoder()


def clean(report):
    assert not report.lengths and not report.texts, str(report)
    return report


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_random_bytes(bits):
    """Random byte strings decode to the same length and the same text."""
    assert clean(dc.compare(dc.uniform(20 + bits, SAMPLE), bits)).valid > SAMPLE // 2


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_aimed_bytes(bits):
    """So do strings that reach prefixes, escapes, VEX and EVEX more often."""
    clean(dc.compare(dc.aimed(40 + bits, SAMPLE, bits), bits))


@pytest.mark.parametrize("bits", [32, 64])
def test_every_vector_row(bits):
    """Every VEX and EVEX row has the same lengths and texts, Intel's and AT&T's."""
    codes = dc.vectors(11)
    clean(dc.compare(codes[bits // 64 :: 2], bits))
    clean(dc.compare_att(codes[bits // 64 :: 4], bits))


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_att(bits):
    """The AT&T text is that of iced's GAS formatter after the rules listed beside the Intel ones."""
    clean(dc.compare_att(dc.uniform(60 + bits, SAMPLE // 4) + dc.aimed(80 + bits, SAMPLE // 4, bits), bits))


def test_differences_are_few():
    assert len(dc.DIFFERENCES) <= 40
    assert all({"form", "right", "manual"} <= set(row) for row in dc.DIFFERENCES)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [16, 32, 64])
def test_a_million(bits):
    """The long form: 1,000,000 uniform and 1,000,000 aimed strings in each mode."""
    for chunk in range(LONG // 100_000):
        clean(dc.compare(dc.uniform(1000 + chunk, 100_000), bits))
        clean(dc.compare(dc.aimed(2000 + chunk, 100_000, bits), bits))


def executable_sections(path):
    """(name, bits, address, bytes) of the executable sections of an ELF file."""
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile

    with open(path, "rb") as f:
        elf = ELFFile(f)
        for section in elf.iter_sections():
            if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR and section["sh_type"] == "SHT_PROGBITS":
                yield section.name, elf.elfclass, section["sh_addr"], section.data()


LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


@pytest.mark.skipif(not os.path.exists(LIBC), reason=f"no {LIBC}")
def test_part_of_libc():
    """A stretch of a real library, in a row: same length and same text."""
    _, bits, address, data = max(executable_sections(LIBC), key=lambda s: len(s[3]))
    clean(dc.compare_section(data[: 1 << 16], bits, address))


@pytest.mark.slow
@pytest.mark.parametrize("path", os.environ.get("DECODER_FILES", LIBC).split(":"))
def test_whole_files(path):
    """Every executable section of the files named in DECODER_FILES (ELF, `path` or `path@64` where the class misleads)."""
    path, _, given = path.partition("@")
    for name, bits, address, data in executable_sections(path):
        print(path, name, clean(dc.compare_section(data, int(given or bits), address)))
