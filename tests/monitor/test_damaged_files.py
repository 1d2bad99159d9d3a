"""Damaged guests: whatever the bytes are, there is a guest or one sentence, and disassembling them is the same."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guests
from vmdbg.debugger.disassemble import disassemble
from vmdbg.debugger.symbols import read_symbols
from vmdbg.monitor.guest import GuestError, Options
from vmdbg.monitor.load import load_guest

IMAGE = guests.shipped()["dual_mode"].read_bytes()
HEADERS = 52 + 32 * 4  # bytes: where most of what a loader believes stands
TABLE = int.from_bytes(IMAGE[0x20:0x24], "little")  # of section headers, at the end
places = st.one_of(st.integers(0, HEADERS), st.integers(TABLE, len(IMAGE) - 1), st.integers(0, len(IMAGE) - 1))
values = st.one_of(
    st.sampled_from([b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\1\0\0\0"]), st.binary(min_size=1, max_size=8)
)
changes = st.lists(st.tuples(places, values), max_size=6)


def mutated(where, cut: int | None) -> bytes:
    image = bytearray(IMAGE)
    for at, data in where:
        image[at : at + len(data)] = data
    return bytes(image[:cut])


def judge(path: Path, image: bytes) -> None:
    path.write_bytes(image)
    try:
        guest = load_guest(path, Options(memory=8 << 20))
    except GuestError as e:
        assert str(e) and "\n" not in str(e)
    else:
        assert all(0 <= p.address and p.address + p.size <= guest.memory and len(p.data) <= p.size for p in guest.pieces)
        assert any(p.address <= guest.entry < p.address + p.size for p in guest.pieces)
    read_symbols(path)
    try:
        for n, _ in enumerate(disassemble(path, None, None, "intel", None)):
            if n == 8:
                break
    except GuestError as e:
        assert str(e) and "\n" not in str(e)


@given(changes, st.one_of(st.none(), st.integers(0, len(IMAGE))))
@settings(max_examples=150, deadline=None)
def test_mutated_elf_files(tmp_path_factory, where, cut):
    judge(tmp_path_factory.getbasetemp() / "mutated.elf", mutated(where, cut))


@pytest.mark.slow
@given(changes, st.one_of(st.none(), st.integers(0, len(IMAGE))))
@settings(max_examples=20_000, deadline=None)
def test_many_mutated_elf_files(tmp_path_factory, where, cut):
    judge(tmp_path_factory.getbasetemp() / "mutated.elf", mutated(where, cut))


@given(st.binary(min_size=1, max_size=600))
@settings(max_examples=50, deadline=None)
def test_any_bytes(tmp_path_factory, image):
    judge(tmp_path_factory.getbasetemp() / "any.bin", image)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_bytes_behind_an_elf_mark(tmp_path_factory, image):
    judge(tmp_path_factory.getbasetemp() / "any.elf", b"\x7fELF" + image)
