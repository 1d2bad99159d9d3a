"""What the traps screen says will be pushed, against what the machine pushes: every trap of the shipped guests' first steps."""

import pytest

import guests
from tests.debugger.test_guests import flat
from vmdbg.debugger.delivery_steps import waiting
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest


@pytest.mark.parametrize("name, rings", [("dual_mode", {"cs", "esp"}), ("long64", {"cs", "rsp"})])
@pytest.mark.parametrize("engine", ["threaded"])
def test_the_frame_is_what_is_pushed(name, rings, engine):
    session = open_bare(load_guest(guests.shipped()[name], Options()), engine=engine)
    names, seen = set(), 0
    while seen < 12:
        stop = session.run(limit=3_000_000, traps=range(256))
        if not stop.has("trap"):
            break
        said = waiting(session)
        assert said is not None
        count = int(session.cpu.deliveries[stop.vector])
        session.step()
        assert (int(session.cpu.deliveries[stop.vector]) == count) == said.fails, said
        for p in said.frame:
            data = session.read(p.address, p.digits // 2)
            assert data is not None and int.from_bytes(data, "little") == p.value, (stop.text, p)
        assert session.delivered == said
        names |= {p.name for p in said.frame}
        seen += 1
    assert seen and rings <= names, (seen, names)


def test_in_real_mode(tmp_path):
    """INT 20h, whose entry is 0000:0000: flags, cs and ip of the next instruction."""
    session = flat(tmp_path, bytes.fromhex("cd20"), "plain", bits=16)
    session.run(limit=10, traps=range(256))
    said = waiting(session)
    assert said is not None and [p.name for p in said.frame] == ["ip", "cs", "flags"]
    after = session.rip + 2
    session.step()
    for p in said.frame:
        assert int.from_bytes(session.read(p.address, 2), "little") == p.value
    assert said.frame[0].value == after & 0xFFFF
