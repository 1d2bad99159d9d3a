"""The command line: errors are one sentence and status 2."""

import errno
import os
import re
import struct
from pathlib import Path

import pytest

import guests
from vmdbg.cli import main
from vmdbg.debugger import disassemble


def elf(machine=3, kind=2, entry=0x100000, segments=((0x100000, b"\xf4", 16),), phoff=52) -> bytes:
    """A small ELF32: (physical address, bytes, size in memory) a segment."""
    at = 52 + 32 * len(segments)
    header = struct.pack(
        "<4s5B7xHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1, 0, 0, kind, machine, 1, entry, phoff, 0, 0, 52, 32, len(segments), 40, 0, 0
    )
    headers, body = b"", b""
    for address, data, size in segments:
        headers += struct.pack("<8I", 1, at + len(body), address, address, len(data), size, 7, 4096)
        body += data
    return header + headers + body


@pytest.fixture
def file(tmp_path):
    def write(content: bytes, name: str = "guest.img"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


def check(capsys, arguments, words, status=2):
    """One sentence on standard error that has these words, nothing on standard output."""
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("vmdbg: ")
    assert words in err, err


USAGE = [
    (["--frobnicate"], "Unknown option"),
    (["run"], "requires an argument"),
    (["run", "no-such-guest"], "no such file, and no shipped guest"),
    (["run", "hello16", "--memory", "7q"], "is no size"),
    (["run", "hello16", "--memory", "4K"], "from 1 MiB to 3 GiB"),
    (["run", "hello16", "--memory", "99999G"], "from 1 MiB to 3 GiB"),
    (["run", "hello16", "--bits", "17"], "16, 32, 64"),
    (["run", "hello16", "--entry", "x"], "is no number"),
    (["run", "hello16", "--entry", "-1"], "expected an address from 0 to"),
    (["run", "hello16", "--max-instructions", "0"], "expected 1 or more"),
    (["run", "hello16", "--stats", "/nonexistent/x"], "--stats '/nonexistent/x': No such file or directory"),
    (["run", "hello16", "--stats", "/"], "--stats '/': Is a directory"),
    (["run", "hello16", "--symbols", "/nonexistent/x"], "/nonexistent/x"),
    (["run", "hello16", "--symbols", "/"], "a directory"),
    (["run", "hello16", "--symbols", __file__], "no symbols"),
    (["run", "hello16", "--slide", "0x1000"], "expected --symbols FILE as well"),
    (["run", "hello16", "extra"], "extra"),
    (["run", "/"], "a directory"),
    (["run", "/dev/null"], "not a regular file"),
    (["hello16"], "needs a terminal"),
    (["no-such-guest"], "no such file"),
    (["disasm", "/"], "a directory"),
    (["disasm", "dual_mode", "--section", ".nothing"], "no section '.nothing'"),
    (["disasm", "hello16", "--section", ".text"], "no ELF file"),
    (["disasm", "hello16", "--address", "-5"], "expected an address from 0 to"),
    (["disasm", "hello16", "--address", "0xg"], "is no number"),
    (["isa"], "expected one of"),
    (["isa", "ADD", "--cpuid"], "expected one of"),
    (["isa", "POPFF"], "no instruction 'POPFF'; perhaps POPF"),
    (["isa", ""], "no instruction ''"),
]


@pytest.mark.parametrize("arguments, words", USAGE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_usage(capsys, arguments, words):
    check(capsys, arguments, words)


GUESTS = [
    (b"", [], "an empty file"),
    (b"\x7fELF", [], "a damaged ELF file"),
    (elf()[:60], [], "a damaged ELF file"),
    (elf(segments=((0x100000, b"\xf4" * 64, 64),))[:-32], [], "truncated"),
    (elf(machine=40), [], "not for x86"),
    (elf(kind=1), [], "type ET_REL"),
    (elf(segments=()), [], "without loadable segments"),
    (elf(entry=0x5000), [], "in none of the loaded segments"),
    (elf(segments=((0x7FFFF000, b"\xf4", 0x1000),), entry=0x7FFFF000), [], "does not fit into 256 MiB"),
    (elf(segments=((0x100000, b"\xf4", 0xFFFFFFF0),)), [], "does not fit into 256 MiB"),
    (elf(segments=((0x100000, b"\xf4" * 32, 16),)), [], "larger in the file than in memory"),
    (elf(), ["--bits", "64"], "are for flat binaries"),
    (b"\xf4", ["--load-address", "0x20000000"], "do not fit into 256 MiB"),
    (b"\xf4", ["--entry", "0x20000000"], "outside the 256 MiB"),
    (b"\xf4", ["--bits", "16", "--entry", "0x200000"], "out of reach in real mode"),
    (b"\xf4" * (2 << 20), ["--memory", "2M"], "do not fit into 2 MiB"),
    (b"\xf4" * 16, ["--load-address", "0xfffff00"], "hold the first GDT and page tables"),
]


@pytest.mark.parametrize("content, options, words", GUESTS, ids=[g[2] for g in GUESTS])
def test_guests_that_cannot_be_loaded(capsys, file, content, options, words):
    check(capsys, ["run", file(content), *options], words)


def test_files_that_are_no_guests(capsys, tmp_path):
    """Devices, sockets' kin, names with a NUL, files larger than any memory, files that may not be read."""
    sparse = tmp_path / "sparse.img"
    with sparse.open("wb") as f:
        f.truncate((3 << 30) + 1)
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for command in ("run", "disasm"):
        check(capsys, [command, "/dev/zero"], "not a regular file")
        check(capsys, [command, str(tmp_path / "pipe")], "not a regular file")
        check(capsys, [command, str(sparse)], "more than this PC can have memory")
        check(capsys, [command, str(tmp_path / "loop")], "too many levels of symbolic links")
        for name in ("x" * 5000, "a\0b", ""):
            check(capsys, [command, name], "no such file")


def test_a_file_that_may_not_be_read(capsys, file, monkeypatch):
    """As root nothing is refused, so the refusal is made."""

    name, really = file(b"\xf4"), Path.open

    def refuse(self, *mode):
        if str(self) == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return really(self, *mode)

    monkeypatch.setattr(Path, "open", refuse)
    check(capsys, ["run", name], "permission denied")


def test_a_core_that_cannot_be_built(capsys, monkeypatch, tmp_path):
    """One sentence and status 78, whatever wanted it."""
    monkeypatch.setenv("VMDBG_CACHE", "/dev/null/cache")
    assert main(["run", "hello16"]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("vmdbg: the core cannot be kept in /dev/null/cache: Not a directory")
    assert "Traceback" not in err


def test_long_code_is_decoded_in_pieces(monkeypatch):
    """Instructions that cross from one piece into the next are whole."""
    code = bytes.fromhex("48 b8 0102030405060708  90  0f0b  48 81 84 24 00000000 78563412  06") * 40
    whole = list(disassemble.lines(code, 64, 0x1000, "intel", {}))
    for size in (16, 17, 23, 64):
        monkeypatch.setattr(disassemble, "PIECE", size)
        assert list(disassemble.lines(code, 64, 0x1000, "intel", {})) == whole


def test_without_a_guest_it_offers_those_that_ship(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    for name in guests.shipped():
        assert re.search(rf"^  {name} +\w", out, re.M)


def test_disassembly_of_a_boot_sector(capsys):
    assert main(["disasm", "hello16"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["00007c00", "ea057c0000", "jmp", "0:0x7c05"]
    assert any("lodsb" in line for line in out)


def test_disassembly_of_an_elf_file_has_its_symbols(capsys):
    assert main(["disasm", "dual_mode", "--section", ".user"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["section .user", "start_a:"]
    assert any(line.endswith("int 0x80") for line in out)
