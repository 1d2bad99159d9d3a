"""What the next step does, the gates, the page walk: check(code, remark), and dual_mode's first page fault."""

import pytest

from tests.debugger.test_guests import flat, opened
from vmdbg.debugger import vectors
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.expressions import parse
from vmdbg.debugger.outlook import memory_operand, outlook
from vmdbg.debugger.screens.snapshot import Taker
from vmdbg.debugger.walk import walk

REMARKS = [
    ("taken", 32, "31c0 74 00", 1, "taken"),
    ("not taken", 32, "31c0 75 00", 1, "not taken"),
    ("long form", 32, "31c0 0f8f 00000000", 1, "not taken"),
    ("signed", 32, "83e801 7c 00", 1, "taken"),
    ("absolute", 32, "8b0500001000", 0, "[00100000] = 0000058b"),
    ("moffs", 32, "a100001000", 0, "[00100000] = 100000a1"),
    ("byte", 32, "803d 00001000 00", 0, "[00100000] = 80"),
    ("base and index", 32, "bb00001000 b902000000 668b044b", 2, "[00100004] = b900"),
    ("through a segment", 16, "b8c007 8ed8 8a060100", 2, "[00007c01] = c0"),
    ("rip-relative", 64, "488b05 f9ffffff", 0, "[0000000000100000] = 00fffffff9058b48"),
    ("address only", 32, "8d83 00100000", 0, "[00001000]"),
    ("not mapped", 64, "48b80000000000010000 8a00", 1, "[0000010000000000] is not mapped"),
    ("no gate", 32, "cd80", 0, "no gate: #GP"),
    ("real mode", 16, "cd60", 0, "to f000:ff53"),
    ("nothing to say", 32, "90", 0, ""),
]


@pytest.mark.parametrize("name, bits, code, steps, remark", REMARKS, ids=[r[0] for r in REMARKS])
def test_remark(tmp_path, name, bits, code, steps, remark):
    s = flat(tmp_path, bytes.fromhex(code) + bytes(8), "plain", bits=bits)
    if steps:
        s.step(steps)
    assert outlook(s) == remark


@pytest.fixture(scope="module")
def dual():
    """dual_mode where its first task starts."""
    s = opened("dual_mode", "plain")
    s.run(until={s.symbols.address("start_a")})
    return s


def test_gates(dual):
    """Every gate is there; only 80 may be called from ring 3, and it leads to ring 0."""
    rows = vectors.table(dual)
    assert [g.first for g in rows] == [*range(0x21), 0x80]
    assert [g.first for g in rows if g.dpl == 3] == [0x80]
    assert vectors.ring(dual, rows[-1]) == 0
    assert dual.symbols.near(rows[-1].offset) == "trap_80"


def test_gates_that_are_alike_are_one_row(tmp_path):
    s = flat(tmp_path, b"\xf4", "plain", bits=16)
    found = [(g.first, g.last, g.place) for g in vectors.table(s)]
    assert found[0] == (0, 7, "f000:ff53") and found[-1] == (0x78, 0xFF, "f000:ff53")


def test_an_interrupt_and_a_fault_before_they_are_delivered(dual):
    """The remark says where it leads, the vector waits, the walk is that of the address that faults; cr2 is what it will be."""
    s = dual
    stop = s.next_trap()
    assert (stop.vector, outlook(s)) == (0x80, "to ring 0, trap_80")
    s.break_trap(range(14, 15), once=True)
    assert s.run().vector == 14
    assert outlook(s) == "#PF write, page not present"
    snapshot = Taker(s).take()
    assert [v.span for v in snapshot.vector_table.vectors if v.waiting] == ["0e"]
    assert snapshot.walk is not None and snapshot.walk.linear == 0x0804FFEC
    assert [level.present for level in snapshot.walk.levels] == [True, False]
    assert snapshot.walk.physical is None
    assert int(s.cpu.cr2) == 0
    assert parse("cr2").value(s.context()) == 0x0804FFEC
    s.step()
    assert int(s.cpu.cr2) == parse("cr2").value(s.context()) == 0x0804FFEC


def test_the_gdt(tmp_path):
    """The limit has 20 bits, in pages where G is set."""
    said = Interpreter(flat(tmp_path, b"\xf4", "plain", bits=32)).execute("info gdt")
    assert said[1] == "0008 base 00000000  limit ffffffff  code readable 32-bit dpl 0"


def test_a_walk_has_indices(tmp_path):
    s = flat(tmp_path, b"\x90", "plain", bits=64)
    w = walk(s, 0x40200123)
    assert [(level.name, level.index) for level in w.levels] == [("PML4E", 0), ("PDPTE", 1), ("PDE", 1)]
    assert w.physical == 0x40200123
    assert memory_operand(s) is None
