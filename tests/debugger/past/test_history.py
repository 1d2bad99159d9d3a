"""Going back: any recorded position, in any order, is what it was; inputs come again; another turn is another line."""

import hashlib
import random

import pytest

import guests
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past import backwards
from vmdbg.debugger.past import history as histories
from vmdbg.debugger.past.history import HistoryError
from vmdbg.debugger.triggers import Trap
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.monitor.load_flat import load_flat

BOUND = 64 << 20
ECHO = bytes.fromhex("ba fd03 ec a8 01 74 f8 ba f803 ec 88 05 47 88 05 ee eb ec".replace(" ", ""))  # what comes goes to [di], and back


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Checkpoints at every look."""
    monkeypatch.setattr(histories, "SPACING", 0.002)
    monkeypatch.setattr(histories, "SHARE", 10.0)


def session(name: str, engine: str = "threaded", bound: int = BOUND, said: list | None = None, **options):
    guest = load_guest(guests.shipped()[name], Options(memory=4 << 20, **options))
    return open_bare(guest, said.append if said is not None else None, engine=engine, history=bound)


def echo(tmp_path, said: list | None = None, engine: str = "plain"):
    path = tmp_path / "echo.bin"
    path.write_bytes(ECHO)
    guest = load_flat(path, ECHO, Options(memory=1 << 20, bits=16))
    s = open_bare(guest, said.append if said is not None else None, engine=engine)
    s.cpu.gpr[7] = 0x8000
    s.record(BOUND)
    return s


def digest(s) -> str:
    return hashlib.sha256(s.history.keep.state() + s.machine.ram.tobytes()).hexdigest()


def straight(name: str, positions: list[int], **options) -> dict[int, str]:
    """The digests at positions of a run that goes forward only."""
    s, found = session(name, **options), {}
    for p in sorted(positions):
        s.step(p - s.position) if p > s.position else None
        found[p] = digest(s)
    return found


@pytest.mark.parametrize("cpus", [1, 2])
def test_goto_anywhere_threaded(cpus):
    """Random positions in random order are those of a straight run; the end is the end."""
    r = random.Random(cpus)
    positions = [0, 1, 20_000, *(r.randrange(20_000) for _ in range(12))]
    expected = straight("dual_mode", positions, cpus=cpus)
    s = session("dual_mode", cpus=cpus)
    s.run()
    end, last = digest(s), s.position
    for p in r.choices(positions, k=40):
        assert s.goto(p).position == s.position == p
        assert digest(s) == expected[p]
    s.goto(last)
    assert digest(s) == end


def test_steps_and_back_threaded():
    """reverse(step(x)) == x."""
    s, r = session("dual_mode"), random.Random(5)
    s.run(3000)
    for _ in range(60):
        before, count = digest(s), r.choice((1, 1, 2, 7, 100))
        s.step(count)
        s.reverse_step(count)
        assert digest(s) == before
        s.step(r.choice((1, 50, 300)))


def test_a_small_bound_reaches_everything_threaded():
    """Checkpoints are merged, and every position is still there."""
    positions = list(range(0, 20_000, 1777))
    expected = straight("dual_mode", positions)
    s = session("dual_mode", bound=1)
    while not s.stop.has("idle"):
        s.run(500)
    assert len(s.history.line.saved) <= 12
    for p in reversed(positions):
        s.goto(p)
        assert digest(s) == expected[p]


def test_backwards_through_traps_threaded():
    """Every trap that was stopped at on the way is stopped at on the way back, in the opposite order."""
    s, there = session("dual_mode"), []
    stop = s.next_trap()
    while stop.has("trap"):
        there.append((stop.position, stop.vector, stop.error_code, s.rip))
        stop = s.next_trap()
    back = []
    stop = s.previous_trap()
    while stop.has("trap"):
        back.append((stop.position, stop.vector, stop.error_code, s.rip))
        stop = s.previous_trap()
    assert stop.has("beginning") and s.position == 0
    assert len(there) > 10 and back == there[::-1]


def test_backwards_through_breakpoints_threaded():
    """An address that is often passed, with a condition; hits are not counted on the way back."""
    s = session("dual_mode")
    s.run(5000)
    busy = s.rip
    s.goto(0)
    b = s.break_at(busy)
    there = []
    while not (stop := s.run()).has("idle") and len(there) < 40:
        there.append(stop.position)
    s.goto(there[-1] + 1)
    hits, back = b.hits, []
    while (stop := s.reverse_run()).has("break"):
        back.append(stop.position)
    assert back == there[::-1] and b.hits == hits


@pytest.mark.parametrize("what", ["address", "trap"])
def test_backwards_through_many_stops_threaded(monkeypatch, what):
    """Intervals with more stops than are walked through: every one of them is come to, in the opposite order."""
    monkeypatch.setattr(backwards, "MANY", 3)
    monkeypatch.setattr(backwards, "SHORT", 10)
    monkeypatch.setattr(histories, "NEAREST", 20)
    monkeypatch.setattr(histories, "SPACING", 100.0)
    s, there = session("dual_mode"), []
    s.run(5000)
    s.break_at(s.rip) if what == "address" else s.break_on(Trap(range(256), "software"))
    s.goto(0)
    while not (stop := s.run()).has("idle") and len(there) < 40:
        there.append(stop.position)
    s.goto(there[-1] + 1)
    back = []
    while (stop := s.reverse_run()).has("break") or stop.has("trap"):
        back.append(stop.position)
    assert len(there) > 10 and back == there[::-1] and stop.has("beginning")


@pytest.mark.parametrize("engine", ["plain", "threaded"])
def test_ports_that_are_polled_end_a_run_early(tmp_path, engine):
    """After so many answers the budget is spent, between two instructions; what follows is what would have followed."""
    at_once, in_parts = echo(tmp_path, engine=engine), echo(tmp_path, engine=engine)
    at_once.machine.run(1000)
    runs = 0
    while in_parts.position < 1000:
        assert in_parts.machine.run(1000 - in_parts.position, turns=5).reason == "budget"
        assert in_parts.history.keep.possible()
        assert not in_parts.machine.cells[0].latched.value
        runs += 1
    assert 3 < runs < 500 and digest(in_parts) == digest(at_once)


def test_a_search_can_be_cancelled_threaded():
    """It says how far it is, and ends where it began."""
    s, done = session("dual_mode"), []
    s.run(6000)
    before, position = digest(s), s.position
    s.break_at(0x12345678)
    s.progress = lambda part: done.append(part) or s.interrupt()
    stop = s.reverse_run()
    assert stop.has("pause") and s.position == position and digest(s) == before
    assert len(done) == 1 and 0 <= done[0] <= 1
    s.progress = None
    assert s.reverse_run().has("beginning") and s.position == 0


@pytest.mark.parametrize("engine", ["plain", "threaded"])
def test_inputs_come_again(tmp_path, engine):
    """What was typed is typed again where it was; the host hears what the guest says once."""
    said: list[int] = []
    s = echo(tmp_path, said, engine)
    s.step(100)
    for byte in b"abc":
        s.give("serial", bytes([byte]))
        s.step(237)
    end, last = digest(s), s.position
    assert bytes(said) == b"abc" == s.monitor.log
    s.goto(50)
    assert s.monitor.log == b"" and digest(s) != end
    s.goto(150)
    assert s.monitor.log == b"a"
    s.step(last - 150)
    assert digest(s) == end and s.monitor.log == b"abc" and bytes(said) == b"abc"
    s.step(10)
    assert s.history.live and len(s.history.lines) == 1


def test_another_turn_is_another_line(tmp_path):
    said: list[int] = []
    s = echo(tmp_path, said)
    s.step(100)
    s.give("serial", b"a")
    s.step(300)
    end, last = digest(s), s.position
    s.goto(60)
    s.give("serial", b"x")
    s.step(200)
    assert s.monitor.log == b"x" and bytes(said) == b"ax"
    assert [line.end for line in s.history.lines] == [last, 260] and s.history.lines[1].fork == 60
    other = digest(s)
    s.goto(59)
    s.goto(260)
    assert digest(s) == other
    s.take_line(0)
    assert digest(s) == end and s.monitor.log == b"a" and s.position == last
    s.take_line(1)
    assert digest(s) == other and s.monitor.log == b"x"


def test_over_a_call_and_back_threaded():
    """What `over` passes, `rn` comes back through, to where it was."""
    s = session("dual_mode")
    s.run(200)
    for _ in range(40):
        before, position = digest(s), s.position
        s.step_over()
        if s.position - position > 1:
            break
        s.step(1)
    assert s.position - position > 1
    s.reverse_over()
    assert s.position == position and digest(s) == before


def test_commands():
    """They say where they are, and refuse what is not there in one sentence."""
    s = session("dual_mode", engine="plain")
    i = Interpreter(s)
    i.execute("si 50")
    assert i.execute("rsi 20") == ["30: 20 steps back"]
    assert i.execute("!tt 10") == ["10: at position 10"]
    assert i.execute("seek end") == ["50: at position 50"]
    assert i.execute("seek 50%") == ["25: at position 25"]
    assert i.execute("g-") == ["0: the beginning of what is recorded"]
    assert i.execute("rs") == ["0: the beginning of what is recorded"]
    for line, words in (("seek 51", "to 50 is"), ("seek", "expected"), ("rc 1", "nothing"), ("line 1", "no line 1"), ("rsi x", "count")):
        with pytest.raises(CommandError, match=words):
            i.execute(line)
    assert s.position == 0
    assert i.execute("history")[0].startswith("positions 0 to 50, now 0 (in the past): ")


def test_without_a_recording():
    s = session("dual_mode", engine="plain", bound=0)
    with pytest.raises(HistoryError, match="not recorded"):
        s.goto(0)
    for line in ("rsi", "seek 0", "history", "line 0"):
        with pytest.raises(CommandError, match="not recorded"):
            Interpreter(s).execute(line)


@pytest.mark.parametrize("lines", [["watch 0x8000"], ["watch 0x8000", "b 0x1004 if ax & 1"]])
def test_every_kind_of_stop_backwards(tmp_path, lines):
    """Stops before and after a step, with checkpoints at the stops themselves: the same places in the opposite order."""
    code = bytes.fromhex("40 a3 00 80 8b 1e 00 80 eb f7".replace(" ", ""))  # again: inc ax; mov [8000h], ax; mov bx, [8000h]; jmp again
    path = tmp_path / "loop.bin"
    path.write_bytes(code)
    s = open_bare(load_flat(path, code, Options(memory=1 << 20, bits=16, load_address=0x1000)), engine="plain", history=BOUND)
    i, there = Interpreter(s), []
    for line in lines:
        i.execute(line)
    while len(there) < 3:
        stop = s.run()
        there.append((stop.position, {r.kind for r in stop.reasons}, int(s.cpu.gpr[0])))
    s.step(3)
    while s.position < there[-1][0] + 3:
        s.step(1)
    back = []
    while not (stop := s.reverse_run()).has("beginning"):
        back.append((stop.position, {r.kind for r in stop.reasons}, int(s.cpu.gpr[0])))
    assert [b for b in back if b[0] <= there[-1][0]] == there[::-1]


def test_steps_one_by_one_are_steps():
    """A loop of single steps stops as a count of them does: at breakpoints set meanwhile, at the end, and in the past; it is recorded."""
    one, many = session("dual_mode"), session("dual_mode")
    for _ in range(700):
        one.step()
    many.step(700)
    assert one.position == many.position == one.history.line.end == one.stop.position
    assert one.stop.has("step") and one.registers.rip == many.registers.rip
    here = one.rip
    one.reverse_step(3)
    assert (one.step().position, one.step().position, one.step().position) == (698, 699, 700) and one.rip == here
    one.step()
    one.break_at(one.rip)
    one.reverse_step(1)
    assert one.step().has("step") and one.step().position == 702
    one.breakpoints.delete(1)
    one.step()
    one.interrupt()
    assert one.step().has("step") and one.position == 704
