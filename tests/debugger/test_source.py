"""Lines of source: by address and back, on shipped kernels and on files made for it; damaged ones answer nothing; where files are."""

import random
import re
from pathlib import Path

import pytest

import guests
from tests.debugger.dwarf_builder import program
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.dwarf.debug import Debug, Place
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past.trace_reader import lines_of, open_trace, read_trace
from vmdbg.debugger.past.trace_writer import TraceWriter
from vmdbg.debugger.source import LARGEST, Sources, linear_addresses, place_of, source_view
from vmdbg.debugger.symbols import Symbols, read_symbols
from vmdbg.monitor.guest import GuestError, Options
from vmdbg.monitor.load import load_guest

KERNELS = ("dual_mode", "triple", "long64")
# main.c: 10 lines of code at 1000h, a header's line among them; other.c at 2000h; late.c, which .debug_aranges does not know
MAIN = [[(0x1000, 1, 3), (0x1004, 1, 4), (0x1008, 2, 7), (0x100C, 1, 6), (0x1010, 1, 4), (0x1014, 1, 9), (0x1020, 1, 9)]]
OTHER = [[(0x2000, 1, 1), (0x2002, 2, 7), (0x2008, 1, 3), (0x2010, 1, 3)]]
LATE = [[(0x3000, 1, 20), (0x3010, 1, 20)]]
UNITS = [("main.c", ["main.c", "both.h"], MAIN), ("lib/other.c", ["lib/other.c", "both.h"], OTHER), ("late.c", ["late.c"], LATE)]


@pytest.fixture(params=[32, 64])
def debug(request, tmp_path) -> Debug:
    path = tmp_path / "kernel.elf"
    path.write_bytes(program(UNITS, request.param, listed=2))
    return Debug(path)


AT = [
    (0x0FFF, None),
    (0x1000, ("/src/main.c", 3)),
    (0x1003, ("/src/main.c", 3)),
    (0x1009, ("/src/both.h", 7)),
    (0x101F, ("/src/main.c", 9)),
    (0x1020, None),
    (0x2001, ("/src/lib/other.c", 1)),
    (0x3005, ("/src/late.c", 20)),
    (0x3010, None),
    (1 << 63, None),
]


def test_lines_of_addresses(debug):
    for address, expected in AT:
        assert debug.line_at(address) == (None if expected is None else Place(*expected)), hex(address)


LINES = [
    ("main.c", 3, (0x1000,)),
    ("main.c", 4, (0x1004, 0x1010)),  # its code lies in two pieces
    ("main.c", 5, (0x100C,)),  # the next line that has code
    ("main.c", 10, ()),
    ("other.c", 1, (0x2000,)),
    ("lib/other.c", 3, (0x2008,)),
    ("b/other.c", 3, ()),  # whole parts of a path only
    ("both.h", 7, (0x1008, 0x2002)),  # in two units, none of which goes by this name
    ("late.c", 1, (0x3000,)),
    ("nothing.c", 1, ()),
]


def test_addresses_of_lines(debug):
    for name, line, expected in LINES:
        assert debug.addresses(name, line) == expected, (name, line)
    assert debug.knows("both.h") and debug.knows("main.c") and not debug.knows("nothing.c")


def test_an_address_costs_one_unit(debug):
    """Nothing is read before a question, then the lines of one unit; what .debug_aranges does not know needs the heads of all."""
    assert not debug._opened
    assert debug.line_at(0x1004).line == 4
    assert (list(debug._tables), debug._units, debug._named) == ([0], None, {})
    assert debug.line_at(0x3004).line == 20
    assert len(debug._tables) == 2 and len(debug._units) == 3


def test_opening_a_guest_reads_none_of_it():
    symbols = read_symbols(guests.shipped()["dual_mode"])
    session = open_bare(load_guest(guests.shipped()["dual_mode"], Options()), engine="plain", symbols=symbols)
    session.step(3)
    assert not symbols.debug._opened
    assert place_of(session, session.rip) == ("dual_mode.asm", 57) and symbols.debug._opened


@pytest.mark.parametrize("name", KERNELS)
def test_shipped_kernels(name):
    """A label's address belongs to the first line from the label on that has code; that line's first address is the label's."""
    image = guests.shipped()[name]
    text = image.with_suffix(".asm").read_text().splitlines()
    symbols = read_symbols(image)
    labels = {m[1]: n for n, line in enumerate(text, 1) if (m := re.match(r"([a-z_]\w+):", line)) and m[1] in symbols.table}
    checked, macros, inside = 0, set(), False
    for n, line in enumerate(text, 1):
        inside = (inside or line.startswith("%macro")) and not line.startswith("%endmacro")
        macros |= {n} if inside else set()
    for label, line in labels.items():
        place = symbols.debug.line_at(symbols.table[label])
        if place is None or place.line in macros:
            continue  # data; what a macro makes belongs to the macro's lines
        between = [n for other, n in labels.items() if line < n <= place.line and symbols.table[other] != symbols.table[label]]
        assert place.path.endswith(f"{name}.asm") and line <= place.line and not between, (label, line, place)
        assert symbols.table[label] in symbols.debug.addresses(f"{name}.asm", line), label
        checked += 1
    assert checked > 5


def test_a_slide_moves_lines(tmp_path):
    path = tmp_path / "kernel.elf"
    path.write_bytes(program(UNITS, 64))
    symbols = Symbols(debug=Debug(path)).moved(0x200000)
    session = open_bare(load_guest(guests.shipped()["hello16"], Options()), engine="plain", symbols=symbols)
    assert place_of(session, 0x201004) == ("/src/main.c", 4) and place_of(session, 0x1004) is None
    assert linear_addresses(session, "main.c", 6) == (0x20100C,)


def test_a_recording_has_the_lines_of_its_file(tmp_path):
    """As long as the file is there and is the same one."""
    path = tmp_path / "kernel.elf"
    path.write_bytes(guests.shipped()["triple"].read_bytes())
    s = open_bare(load_guest(path, Options(memory=4 << 20)), engine="plain", history=64 << 20)
    writer = TraceWriter(tmp_path / "trace", s, pytest.fail)
    s.step(5)
    writer.close("enough")
    trace = read_trace(tmp_path / "trace")
    replayed = open_trace(trace, engine="plain")
    assert place_of(replayed, s.rip).path == "triple.asm"
    path.with_name("triple.asm").write_text("; here\n")
    assert replayed.sources.text("triple.asm").lines == ("; here",)
    for content in (guests.shipped()["dual_mode"].read_bytes(), b"\x7fELF", b""):
        path.write_bytes(content)
        assert lines_of(trace) is None
    path.unlink()
    assert lines_of(trace) is None
    trace.head["guest"]["path"] = "triple.elf"
    assert lines_of(trace).line_at(s.rip) is not None


def questions(debug: Debug) -> None:
    for address in (0, 0x1004, 0x3004, 0x10000C, 0x100040, (1 << 64) - 1):
        place = debug.line_at(address)
        assert place is None or isinstance(place.path, str) and place.line > 0
        for table in debug.frames():
            table.row(address)
    for name in ("main.c", "dual_mode.asm", "both.h", ""):
        assert all(isinstance(a, int) for a in debug.addresses(name, 4))
        debug.knows(name)


def test_damaged_files_answer_nothing_and_raise_nothing(tmp_path):
    """Cut anywhere, or with bytes that are anything."""
    rng = random.Random(4)
    for n, whole in enumerate((program(UNITS, 64, listed=2), program(UNITS, 32), guests.shipped()["dual_mode"].read_bytes())):
        for turn in range(60):
            image = bytearray(whole)
            if turn % 3 == 0:
                del image[rng.randrange(len(image)) :]
            start = len(image) * 2 // 3 if n == 2 else 0
            for _ in range(rng.choice((1, 4, 40)) if len(image) > start else 0):
                image[rng.randrange(start, len(image))] = rng.choice((0, 0xFF, 0x80, rng.randrange(256)))
            path = tmp_path / f"{n}-{turn}"
            path.write_bytes(image)
            questions(Debug(path))
    questions(Debug(tmp_path / "not there"))


# ---- files


def test_where_files_are_looked_for(tmp_path):
    """Beside the guest by name and by path, where DWARF says, in the folders named, there with as much of the path as fits."""
    guest, named, built = tmp_path / "guest", tmp_path / "named", tmp_path / "built"
    for folder in (guest, named / "kernel", built):
        folder.mkdir(parents=True)
    sources = Sources((guest / "k.elf",), (named,))
    path = f"{built}/kernel/main.c"
    assert sources.text(path).problem.startswith(f"{path} is not to be found")
    for place in (named / "kernel/main.c", built / "kernel/main.c", guest / "main.c"):
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"int {place.parent.parent.name};\n\tx\x1b[0m\n")
        assert Sources((guest / "k.elf",), (named,)).text(path).lines == (f"int {place.parent.parent.name};", "        x·[0m")
    (guest / "main.c").unlink()
    (guest / "main.c").mkdir()
    assert Sources((guest / "k.elf",)).text(path).lines[0] == "int built;"


def test_files_that_are_not_text(tmp_path):
    (tmp_path / "big.c").touch()
    with (tmp_path / "big.c").open("r+b") as f:
        f.truncate(LARGEST + 1)
    (tmp_path / "raw.c").write_bytes(b"\xff\xfe\0a\r\nb")
    sources = Sources((tmp_path / "k.elf",))
    assert "too large" in sources.text("/src/big.c").problem
    assert sources.text("raw.c").lines == ("\N{REPLACEMENT CHARACTER}" * 2 + "·a", "b")
    assert "not to be found" in sources.text("/dev/zero").problem and "not to be found" in sources.text("a\0b").problem


# ---- commands


def dual_mode(**options):
    return Interpreter(open_bare(load_guest(guests.shipped()["dual_mode"], Options()), engine="plain", **options))


def test_list_goes_on():
    i = dual_mode()
    first = i.execute("list")
    assert first[0] == "dual_mode.asm" and first[6] == "=>    54  start:  cli" and len(first) == 12
    assert i.execute("list")[1].split()[0] == "60"
    assert i.execute("list dual_mode.asm:60")[6].split() == ["60", "call", "start_timer"]
    assert "make_gdt:" in "\n".join(i.execute("list make_gdt"))
    i.execute("si 3")
    assert "=>    57          call    make_gdt" in i.execute("l")


def test_breakpoints_at_lines():
    i = dual_mode()
    assert i.execute("b dual_mode.asm:60") == ["breakpoint 1    0x100022 dual_mode.asm:60"]
    assert i.execute("tb dual_mode.asm:59 in ring 0")[0].startswith("breakpoint 2    0x10001d dual_mode.asm:59  in ring 0  once")
    assert "dual_mode.asm:59" in i.execute("c")[0]
    assert i.execute("until dual_mode.asm:60")[0].endswith("breakpoint 1 at 0x100022 dual_mode.asm:60")
    assert i.execute("info line") == ["dual_mode.asm:60 is at 00100022 <start+0x16>"]
    assert i.execute("b 42") == ["breakpoint 3    0x2a"]
    assert source_view(i.session).breakpoints == {60}


REFUSED = [
    ("b nothing.c:3", "no file 'nothing.c'"),
    ("b dual_mode.asm:99999", "no code at dual_mode.asm:99999"),
    ("list 0x10", "nothing is known of the source at 0x10"),
    ("info line 0x10", "nothing is known"),
]


@pytest.mark.parametrize("line, words", REFUSED)
def test_what_is_not_there(line, words):
    i = dual_mode()
    with pytest.raises(CommandError, match=words):
        i.execute(line)
    assert not len(i.session.breakpoints)


def test_a_guest_without_lines():
    i = Interpreter(open_bare(load_guest(guests.shipped()["hello16"], Options()), engine="plain"))
    for line in ("list", "b hello16.asm:3", "info line", "info source"):
        with pytest.raises(CommandError, match="no debugging information"):
            i.execute(line)
    assert "no debugging information" in source_view(i.session).text.problem


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "kernel.elf"
    path.write_bytes(guests.shipped()["dual_mode"].read_bytes())
    i = Interpreter(open_bare(load_guest(path, Options()), engine="plain"))
    assert (
        i.execute("list") == ["dual_mode.asm:54 (line 54): dual_mode.asm is not to be found: beside the guest or in a folder of --source"]
        and len(i.execute("info source")) > 2
    )
    i = Interpreter(open_bare(load_guest(path, Options()), engine="plain", sources=(guests.shipped()["dual_mode"].parent,)))
    assert "start:  cli" in i.execute("list")[6]


def test_folders_are_checked(tmp_path):
    from vmdbg.debugger.opening import folders

    assert folders(str(tmp_path)) == (tmp_path,) and folders(()) == ()
    with pytest.raises(GuestError, match="expected a folder"):
        folders([str(tmp_path / "no")])
    assert isinstance(folders(tmp_path)[0], Path)
