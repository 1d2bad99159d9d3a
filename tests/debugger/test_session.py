"""Sessions over the stub machine: a dialogue each."""

import threading

from tests.debugger.stub_session import CODE, stub_session
from vmdbg.debugger.expressions import parse
from vmdbg.debugger.session import FIRST_SLICE

RET_TO = CODE + 5  # behind the call
LOOP = CODE + 0xC


def kinds(stop):
    return [r.kind for r in stop.reasons]


def test_a_new_session_has_not_started():
    s = stub_session()
    assert kinds(s.stop) == ["start"]
    assert (s.position, s.rip) == (0, CODE)


def test_steps_are_counted():
    s = stub_session()
    assert kinds(s.step()) == ["step"]
    assert (s.position, s.rip) == (1, CODE + 1)
    s.step(2)
    assert (s.position, s.rip) == (3, CODE + 0x20)


def test_step_over_takes_a_call_as_a_whole():
    s = stub_session()
    s.step(2)
    stop = s.step_over()
    assert kinds(stop) == ["step"]
    assert s.rip == RET_TO


def test_a_breakpoint_inside_a_call_stops_a_step_over():
    s = stub_session()
    s.step(2)
    s.break_at(CODE + 0x21)
    assert kinds(s.step_over()) == ["break"]
    assert s.rip == CODE + 0x21


def test_continue_leaves_the_breakpoint_it_stands_on():
    s = stub_session()
    b = s.break_at(LOOP)
    first = s.run()
    assert kinds(first) == ["break"]
    assert first.reasons[0].breakpoint == b.number
    position = s.position
    s.run()
    assert s.rip == LOOP
    assert s.position == position + 2  # once round the loop of two
    assert b.hits == 2


def test_conditions_counts_and_once():
    s = stub_session()
    s.break_at(LOOP, condition=parse("position > 100"), once=True)
    s.run()
    assert s.position > 100
    assert len(s.breakpoints) == 0
    s.break_at(LOOP, count=3)
    before = s.position
    s.run()
    assert s.position == before + 6  # three times round the loop of two


def test_a_condition_that_cannot_be_evaluated_stops_and_says_so():
    s = stub_session()
    s.break_at(LOOP, condition=parse("[0xfffffff0] == 1"))
    stop = s.run()
    assert kinds(stop) == ["break"]
    assert "no memory at 0xfffffff0" in stop.text


def test_next_trap_stops_before_delivery_and_goes_on():
    s = stub_session()
    stop = s.next_trap()
    assert (kinds(stop), stop.vector, s.rip) == (["trap"], 0x21, CODE + 5)
    stop = s.next_trap()
    assert (kinds(stop), stop.vector) == (["trap"], 0x22)


def test_trap_breakpoints_have_facts():
    s = stub_session()
    s.break_trap(range(0x20, 0x30), condition=parse("vector == 0x22"))
    stop = s.run()
    assert (kinds(stop), stop.vector) == (["trap"], 0x22)
    assert s.context().facts["vector"] == 0x22


def test_the_limit_counts_instructions():
    s = stub_session()
    assert kinds(s.run(limit=1000)) == ["limit"]
    assert s.position == 1000


def test_an_interrupt_from_another_thread_pauses():
    s = stub_session()
    s.between = lambda: threading.Thread(target=s.interrupt).start()
    assert kinds(s.run()) == ["pause"]
    assert not s.stop.ended


def test_ends():
    assert kinds(stub_session(b"\xf4").run()) == ["idle"]
    s = stub_session(b"\x0f\x0b")
    assert kinds(s.run()) == ["shutdown"]
    assert s.stop.ended
    s = stub_session(b"\xe6\xf4")
    stop = s.run()
    assert (kinds(stop), stop.exit_code) == (["exit"], 1)


def test_two_reasons_at_once():
    s = stub_session()
    s.break_at(LOOP)
    s.break_at(LOOP)
    assert kinds(s.run()) == ["break", "break"]


def test_many_steps_stop_at_a_breakpoint_between():
    s = stub_session()
    s.break_at(LOOP)
    stop = s.step(1000)
    assert (kinds(stop), s.rip) == (["break"], LOOP)
    assert kinds(s.step(5)) == ["break"]  # once round the loop
    s.breakpoints.table.clear()
    position = s.position
    assert (kinds(s.step(5000)), s.position) == (["step"], position + 5000)


def test_slices_grow_only_when_they_are_used_up():
    """A condition that fails, or a step, ends a slice early: the next long run must still look up in time."""
    s = stub_session()
    s.break_at(LOOP, condition=parse("rax == 0 && position > 400"))
    s.run(limit=500)
    for _ in range(50):
        s.step()
    assert s._slice == FIRST_SLICE


def test_no_slice_is_left_out_of_a_pause():
    """An interrupt that comes during the last slice of a limited run is not lost, nor kept for the next."""
    s = stub_session()
    s.interrupt()
    assert kinds(s.run(limit=10)) == ["limit"]
    assert kinds(s.run(limit=10)) == ["limit"]
