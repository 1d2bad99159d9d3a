"""What the user writes is an input: it is there at once, comes again where it came, and begins another line of the past."""

import pytest

from tests.debugger.past.test_history import digest, echo, often, session  # noqa: F401
from tests.debugger.past.test_trace import record
from vmdbg.debugger.past.trace_reader import open_trace, read_trace, verify
from vmdbg.debugger.registers import REGISTERS, read
from vmdbg.debugger.writing import WriteError


def test_a_write_in_the_past_is_another_line_threaded():
    """The old future stays; going back to before the write and forward again gives the same as the first time."""
    s = session("dual_mode")
    s.step(3000)
    old = digest(s)
    s.goto(1000)
    s.write_register("ebx", 0x1234)
    s.write_memory(0x7000, b"abc", "physical")
    assert read(s.cpu, "ebx") == 0x1234 and s.machine.read_physical(0x7000, 3) == b"abc" and s.position == 1000
    s.step(500)
    new = digest(s)
    assert len(s.history.lines) == 2 and s.history.line.fork == 1000
    s.goto(900)
    assert s.machine.read_physical(0x7000, 3) != b"abc"
    s.goto(1500)
    assert digest(s) == new and s.machine.read_physical(0x7000, 3) == b"abc"
    s.take_line(0)
    assert digest(s) == old


def test_writes_are_in_a_trace_threaded(tmp_path):
    s = session("dual_mode")
    writer = record(s, tmp_path / "trace")
    s.run(7000)
    s.write_register("esi", 77)
    s.write_memory(s.rip, b"\x90")
    s.write_register("cr2", 0xABC)
    s.run(1000)
    end = digest(s)
    writer.close("enough")
    replayed = open_trace(read_trace(tmp_path / "trace"))
    assert [i.what for i in replayed.history.line.inputs] == ["register", "memory", "register"]
    assert verify(replayed) is None
    replayed.goto(s.position)
    assert digest(replayed) == end


def test_code_that_is_written_runs_threaded(tmp_path):
    """The loop reads the line status until something came; two NOPs over its jump let it go on."""
    s = echo(tmp_path, engine="threaded")
    s.run(300)
    place = 0x7C06
    assert s.read(place, 2) == bytes.fromhex("74f8")
    s.write_memory(place, b"\x90\x90")
    s.run(12)
    assert int(s.cpu.gpr[7]) == 0x8001


def test_every_register_reads_as_it_was_written(tmp_path):
    """In real mode; those that cannot be written say so and stay."""
    s = echo(tmp_path)
    for name in REGISTERS:
        if name.startswith(("cr", "efer", "rflags", "eflags", "flags", "vm")):
            continue
        value = 1 if REGISTERS[name].bits < 8 else 0x5A
        before = digest(s)
        try:
            s.write_register(name, value)
        except WriteError as e:
            assert name in str(e) and digest(s) == before and name in ("cpl", "xcr0", "ldtr", "tr", "dr4", "dr5")
            continue
        assert read(s.cpu, name) == {"dr6": value & 0xF | 0xFFFF0FF0, "dr7": value | 0x400}.get(name, value), name


REFUSED = (
    ("rax", 1 << 64, "does not fit"),
    ("al", 256, "does not fit"),
    ("cr8", 16, "4 bits"),
    ("cr0", 0x80000000, "#GP"),
    ("cr4", 1 << 40, "#GP"),
    ("efer", 2, "#GP"),
    ("rflags", 1 << 40, "RFLAGS"),
    ("vm", 1, "IRET"),
    ("mxcsr", 1 << 20, "MXCSR"),
    ("nothing", 1, "no register"),
)


def test_what_a_cpu_refuses_changes_nothing(tmp_path):
    s = echo(tmp_path)
    s.step(10)
    s.goto(5)
    before = digest(s)
    for name, value, words in REFUSED:
        with pytest.raises(WriteError, match=words):
            s.write_register(name, value)
        assert digest(s) == before and len(s.history.lines) == 1


def test_segments_of_protected_mode_threaded():
    """A selector brings its descriptor; one that is not there is refused, and so is CS."""
    s = session("dual_mode")
    s.run(9000)
    assert int(s.cpu.cr0) & 1
    data = read(s.cpu, "ss")
    s.write_register("fs", data)
    assert read(s.cpu, "fs") == data and read(s.cpu, "fs_limit") == read(s.cpu, "ss_limit")
    s.write_register("fs", 0)
    for name, value in (("fs", 0xFFF8), ("cs", 8), ("ss", read(s.cpu, "cs"))):
        with pytest.raises(WriteError):
            s.write_register(name, value)


def test_memory_that_is_not_there():
    s = session("dual_mode", engine="plain")
    for address, space, words in ((4 << 20, "physical", "not RAM"), ((4 << 20) - 1, "linear", "not RAM"), (0, "port", "expected")):
        with pytest.raises(WriteError, match=words):
            s.write_memory(address, b"ab", space)
    assert s.history.line.inputs == []


def test_a_trap_that_was_repaired_does_not_happen_threaded():
    """Stopped before a trap, written over its cause: the run goes on without it."""
    s = session("dual_mode")
    stop = s.next_trap()
    while stop.vector not in (6, 13, 14, 0x80, 0x21):
        stop = s.next_trap()
    where, rip = s.position, s.rip
    s.write_memory(rip, b"\x90" * 2)
    s.step()
    assert s.position == where + 1 and s.rip == rip + 1
