"""From a triple fault back to its cause, on the triple guest and on broken ones."""

import pytest

import guests
from tests.debugger.broken_guests import BASE, Broken
from tests.debugger.test_guests import flat
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest


@pytest.fixture(params=["plain", "threaded"])
def triple(request):
    session = open_bare(load_guest(guests.shipped()["triple"], Options()), engine=request.param)
    session.record()
    return session


def next_text(session) -> str:
    return session.listing.from_address(session.rip, 1)[0].text


def test_the_instruction_and_what_wrote_the_gate(triple):
    """`cause` undoes the shutdown; `cause 1` is before the one wrong line of triple.asm; from there the same end comes again."""
    i = Interpreter(triple)
    assert "triple fault" in i.execute("continue")[0]
    end, found = triple.position, triple.autopsy
    assert [link.vector for link in found.links] == [0, 13, 8, 13]
    assert found.links[0].gate.startswith("gate 0: int gate dpl 0, 0010:") and "data writable" in found.links[0].descriptor
    i.execute("cause")
    assert (triple.position, next_text(triple), int(triple.cpu.activity)) == (end, "div ecx", 0)
    assert "triple fault" in i.execute("stepi")[0]
    i.execute("cause 1")
    assert next_text(triple).startswith("mov word ptr [ecx*8+") and next_text(triple).endswith(", 0x10")
    assert int(triple.cpu.gpr[1]) == 0  # ecx: gate 0
    i.execute("cause 2")
    assert int(triple.cpu.gpr[1]) == 8
    again = i.execute("continue")
    assert "triple fault" in again[0] and triple.position == end and triple.autopsy == found
    assert not list(triple.breakpoints)


def test_breakpoints_do_not_disturb_the_search(triple):
    i = Interpreter(triple)
    i.execute("b average")
    for _ in range(3):
        i.execute("continue")
    assert triple.stop.has("shutdown")
    i.execute("cause 1")
    assert next_text(triple).endswith(", 0x10")
    assert [b.number for b in triple.breakpoints] == [1]


def test_what_it_refuses(tmp_path, triple):
    """No triple fault; no such rule; a rule that a register decided; memory that nothing has written since the start."""
    i = Interpreter(triple)
    with pytest.raises(CommandError, match="there was no triple fault"):
        i.execute("cause")
    i.execute("continue")
    with pytest.raises(CommandError, match="1 to 2, not 3"):
        i.execute("cause 3")
    for guest, words in [
        (Broken(64, gates={6: 0, 8: 0, 13: 0}), "from the beginning"),
        (Broken(32, idt_limit=0, code="0f 0b"), "a register"),
    ]:
        s = flat(tmp_path, guest.image(), "plain", bits=guest.bits, load_address=BASE)
        s.record()
        assert s.run(limit=1000).has("shutdown")
        with pytest.raises(CommandError, match=words):
            Interpreter(s).execute("cause 1")
        Interpreter(s).execute("cause")
        assert int(s.cpu.activity) == 0 and s.step().has("shutdown")
