"""Our decoder against iced-x86: validity, length and text.  The long form: `pytest -m slow tests/oracles/test_decoder_iced.py`."""

import pytest

pytest.importorskip("iced_x86", reason="needs iced-x86 (the `oracle` extra)")
pytestmark = pytest.mark.oracle

from isa import compiled  # noqa: E402
from tests.oracles import decoder_compare as dc  # noqa: E402

SAMPLE, LONG = 20_000, 1_000_000


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


@pytest.mark.debian
@pytest.mark.parametrize("path", ["/lib/x86_64-linux-gnu/libc.so.6"])
def test_text_section(path):
    """The .text of a real library, in a row: every instruction has the same length and text."""
    import os

    from elftools.elf.elffile import ELFFile

    from isa.instruction import records

    if not os.path.exists(path):
        pytest.skip(f"no {path}")
    with open(path, "rb") as f:
        section = ELFFile(f).get_section_by_name(".text")
        data, address = section.data(), section["sh_addr"]
    found = records(data, bits=64, ip=address)
    assert not found["reason"].any()
    starts = found["length"].astype("u8").cumsum() - found["length"]
    step = 23  # the sample: every 23rd instruction with its text
    for start in starts[::step]:
        clean(dc.compare([data[int(start) : int(start) + 15]], 64, address + int(start)))
