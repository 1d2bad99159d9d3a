"""The Python API: `from vmdbg import Session`."""

import dataclasses
import json

import pytest

from tests.debugger.stub_session import CODE, stub_session
from vmdbg import Session
from vmdbg.cli.boot import NAMES, Boot
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.expressions import ExpressionError
from vmdbg.debugger.memory import ReadError
from vmdbg.debugger.opening import WORDS
from vmdbg.debugger.past.history import HistoryError
from vmdbg.debugger.past.mark import Mark
from vmdbg.debugger.plain import plain
from vmdbg.debugger.writing import WriteError
from vmdbg.monitor.guest import GuestError


@pytest.fixture(params=["threaded"])
def dual_mode(request):
    with Session.open("dual_mode", engine=request.param) as session:
        yield session


def test_forward_and_back(dual_mode):
    """Steps, runs and marks; every way of going says where it ended and why."""
    s = dual_mode
    start = s.mark()
    assert start == Mark(0, 0) and s.step(100).position == s.position == 100
    s.breakpoints.add("start_a")
    stop = s.run()
    assert stop.has("break") and s.rip == s.symbols.address("start_a") and s.registers.cpl == 3
    there = s.mark()
    assert start < there and {start: 1, there: 2}[there] == 2
    assert s.reverse_step(5).position == there.position - 5
    assert s.reverse_run().has("beginning") and s.position == 0
    assert s.goto(there).position == there.position == s.goto(there.position).position
    assert s.registers.rip == s.evaluate("start_a")


def test_breakpoints_take_the_words_of_the_commands(dual_mode):
    table = dual_mode.breakpoints
    fault = table.add("trap PF if cr2 >= 0xdead0000 once")
    table.add("io 0x3f8 w", trace=True)
    write = table.add("write start_a 4")
    assert [b.describe() for b in table][0] == "1    trap 14 #PF  if cr2 >= 0xdead0000  once"
    assert fault.once and not fault.trace and len(table) == 3 and table.delete(write.number)
    stop = dual_mode.run()
    assert (stop.vector, stop.address, [r.breakpoint for r in stop.reasons]) == (14, 0xDEADB000, [1])
    assert fault not in table and dual_mode.traced
    for words in ("trap PFF", "nowhere", "ring 5->0", "start_a if"):
        with pytest.raises(CommandError):
            table.add(words)


def test_registers_are_a_mapping_and_attributes(dual_mode):
    r = dual_mode.registers
    dual_mode.step(10)
    assert r.eax == r["eax"] == r.rax & 0xFFFFFFFF and r["if"] == 0 and set(r) > {"rax", "al", "cs_base", "zf"}
    r.rax = 0x1122334455667788
    r["bl"] = 5
    assert (r.rax, r.eax, r.ah, r.bl) == (0x1122334455667788, 0x55667788, 0x77, 5)
    assert r.of(0).ax == 0x7788
    for wrong, error in ((lambda: r["rxx"], KeyError), (lambda: r.rxx, AttributeError), (lambda: r.of(1), IndexError)):
        with pytest.raises(error, match=r"is no register|no vCPU 1: expected 0 to 0"):
            wrong()
    with pytest.raises(AttributeError):
        r.rxx = 1
    with pytest.raises(WriteError, match="does not fit"):
        r.al = 256


def test_memory_is_bytes_and_integers(dual_mode):
    m = dual_mode.memory
    m[0x500:0x504] = b"\x01\x02\x03\xff"
    assert m[0x500:0x504] == b"\x01\x02\x03\xff" and m[0x503] == 255 and m.u32[0x500] == 0xFF030201 and m.u16[0x501] == 0x0302
    m.u64[0x500] = 1 << 63
    m[0x500] = 7
    m.u8[0x501] = -1
    assert m.physical[0x500:0x508] == b"\x07\xff\0\0\0\0\0\x80" == m.physical.u64[0x500].to_bytes(8, "little")
    with pytest.raises(ReadError, match="no memory at physical 0xf0000000"):
        m.physical.u32[0xF0000000]
    with pytest.raises(WriteError, match="is not RAM"):
        m.physical[0xF0000000] = 1
    for wrong in (slice(None, 5), slice(5, 1), slice(0, 8, 2)):
        with pytest.raises(ValueError, match="expected memory"):
            m[wrong]
    with pytest.raises(ValueError, match="2 bytes do not fill"):
        m[0:3] = b"ab"
    with pytest.raises(OverflowError):
        m.u16[0x500] = 1 << 16


def test_writing_in_the_past_begins_another_line(dual_mode):
    s = dual_mode
    s.step(300)
    end = s.mark()
    s.goto(100)
    s.registers.edx = 0x1234
    s.step(10)
    other = s.mark()
    assert (end.line, other.line) == (0, 1) and end < other
    s.goto(end)
    assert s.mark() == end
    s.goto(Mark(1, 105))
    assert s.mark() == Mark(1, 105)
    with pytest.raises(HistoryError, match="no line 7"):
        s.goto(Mark(7, 0))
    with pytest.raises(HistoryError, match="position 5,000 is not recorded"):
        s.goto(5000)


def test_console_and_screen():
    with Session.open("hello16", engine="plain") as s:
        assert s.console == ""
        stop = s.run()
        assert stop.has("idle") and s.console == "Hello from real mode: 16 bits, one ring, no walls.\r\n"
        s.memory.physical[0xB8000:0xB8004] = b"H\x07i\x07"
        assert s.screen.splitlines()[0].startswith("Hi")
        s.goto(0)
        assert s.console == ""


def test_commands_answer_with_lines_and_a_value(dual_mode):
    s = dual_mode
    answer = s.execute("b start_a")
    assert answer == ["breakpoint 1    0x8048000 start_a"] and answer.value is s.breakpoints.table[1]
    assert s.execute("c").value is s.stop
    assert s.execute("p 6*7").value == 42 and s.execute("display eax").value is None
    assert s.execute("info registers eax cs").value == {"eax": s.registers.eax, "cs": s.registers.cs}
    with pytest.raises(CommandError):
        s.execute("frob")
    with pytest.raises(CommandError):
        s.evaluate("1 +")


VALUES = [
    ("b start_a", lambda v: (v["kind"], v["place"], v["condition"]) == ("Address", "0x8048000 start_a", None)),
    ("bp trap PF if cr2 < 0x1000", lambda v: (v["kind"], v["condition"]) == ("Trap", "cr2 < 0x1000")),
    ("info break", lambda v: [b["number"] for b in v] == [1, 2]),
    ("c", lambda v: v["reasons"][0]["breakpoint"] == 1 and v["position"] > 0),
    ("info registers", lambda v: v["rip"] == 0x8048000 and v["cs"] == 0x1B and "eax" not in v and "zf" not in v),
    ("x/2xw eip", lambda v: v["size"] == 4 and len(v["values"]) == 2),
    ("x/2i eip", lambda v: [bool(i["text"]) for i in v] == [True, True] and v[0]["address"] == 0x8048000),
    ("info idt", lambda v: [g["dpl"] for g in v if g["first"] == 0x80] == [3]),
    ("info idt 0x80", lambda v: v["kind"] == "trap gate" or v["kind"] == "int gate"),
    ("info gdt", lambda v: v[0]["selector"] == 8 and "code" in v[0]["type"]),
    ("info page 0x8048000", lambda v: v["physical"] is not None and v["levels"][0]["name"] == "PDE"),
    ("info symbols start", lambda v: v["start_a"] == 0x8048000),
    ("info traps", lambda v: v[0]["name"] == "DE"),
    ("mark here", lambda v: v["here"]["line"] == 0),
    ("history", lambda v: v["first"] == 0 and v["here"]["position"] == v["end"]),
    ("who eip", lambda v: v["position"] > 0),
    ("list modes", lambda v: v[-1]["what"].startswith("ring 0->3")),
    ("si", lambda v: v["reasons"][0]["kind"] == "step"),
    ("help", lambda v: v is None),
]


def test_every_value_is_json_threaded():
    with Session.open("dual_mode") as s:
        for line, holds in VALUES:
            value = json.loads(json.dumps(plain(s.execute(line).value)))
            assert holds(value), (line, value)


def test_refusals_are_one_sentence():
    for wrong, words in (
        (dict(guest="no-such-guest"), "no shipped guest"),
        (dict(guest="hello16", engine="fast"), "expected one of threaded, plain"),
        (dict(guest="hello16", memory=1), "from 1 MiB"),
        (dict(guest="hello16", memory="64M"), "--memory '64M': expected a number"),
        (dict(guest="hello16", bits=17), "expected one of 16, 32, 64"),
        (dict(guest="hello16", console="tty"), "expected one of serial, virtio"),
        (dict(guest=None), "nothing to start"),
        (dict(guest="hello16", slide=5), "expected --symbols"),
    ):
        with pytest.raises(GuestError, match=words):
            Session.open(**wrong)
    with pytest.raises(TypeError, match="'mem' says nothing about a machine: expected memory, cpus"):
        Session.open("hello16", mem=5)
    s = stub_session()
    s.close()
    with pytest.raises(ValueError, match="the session is closed"):
        s.step()


def test_words_of_the_api_are_the_options_of_the_command_line():
    assert {f.name for f in dataclasses.fields(Boot)} - set(NAMES) == set(WORDS)


def test_a_session_that_records_nothing():
    s = stub_session()
    s.step(3)
    assert s.mark() == Mark(0, 3) and s.rip != CODE
    with pytest.raises(HistoryError, match="not recorded"):
        s.goto(0)
    with pytest.raises((CommandError, ExpressionError)):
        s.evaluate("nowhere")


# mov dx, 3fd; in al, dx; test al, 1; jz; mov dx, 3f8; in al, dx; out dx, al; inc ebx; jmp start
ECHO = bytes.fromhex("66ba fd03 ec a801 74fb 66ba f803 ec ee 43 ebee")


@pytest.mark.parametrize("history", [64 << 20, 0])
def test_a_dialogue_threaded(tmp_path, history):
    """It stops with the byte that is waited for; what is typed arrives at the same positions whenever it is run."""
    (tmp_path / "echo").write_bytes(ECHO)
    positions = []
    for _ in range(2):
        with Session.open(tmp_path / "echo", memory=2 << 20, bits=32, history=history) as s:
            s.dialogue.type("login root\n")
            stop = s.dialogue.wait_for("gin ", within=2_000_000)
            assert stop.has("said") and s.stop is stop and s.console.startswith("login ")
            if history:
                assert s.console == "login " and s.registers.ebx == 5  # before INC
            assert s.dialogue.wait_for("root\n", 2_000_000).has("said") and s.console == "login root\n"
            assert s.dialogue.wait_for("more", 20_000).has("limit")
            s.breakpoints.add("io 0x3f8 w")
            s.dialogue.type(b"x")
            assert s.dialogue.wait_for("x", 2_000_000).has("break")
            positions.append(s.position)
    assert positions[0] == positions[1]
