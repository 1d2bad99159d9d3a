"""The strip of the timeline: a value, of everything that is recorded."""

import pytest

from tests.debugger.past.test_history import echo, often, session  # noqa: F401


def test_nothing_has_run():
    view = session("dual_mode", engine="plain").timeline(10)
    assert (view.start, view.end, view.now, view.checkpoints, view.stops) == (0, 0, 0, (0,), ())
    assert view.density == (0,) * 10 and view.live and len(view.branches) == 1


def test_traps_and_stops_stand_in_their_columns_threaded():
    """A checkpoint at each trap tells exactly which column it is in."""
    s, positions = session("dual_mode"), []
    while s.next_trap().has("trap"):
        positions.append(s.position)
        s.history.take()
        s.step()
        s.history.take()
    view = s.timeline(40)
    expected = [0] * 40
    for p in positions:
        expected[view.column(p)] += 1
    assert len(positions) > 10 and sum(view.density) == len(positions)
    assert sum(abs(a - b) for a, b in zip(view.density, expected)) <= 2  # a trap's step may lie over an edge
    assert view.stops == tuple(sorted({view.column(p) for p in [*positions, s.position]}))
    assert view.checkpoints[0] == 0 and set(view.stops) <= set(view.checkpoints)


@pytest.mark.parametrize("columns", [1, 7, 120])
def test_columns_and_positions_threaded(columns):
    """A click on a column goes to where that column is drawn; the first and the last are the ends."""
    s = session("dual_mode")
    s.run()
    s.goto(s.position // 3)
    view = s.timeline(columns)
    assert [view.column(view.position(c)) for c in range(columns)] == list(range(columns))
    assert view.position(columns - 1) == view.end == s.history.line.end and view.now == s.position and not view.live
    assert view.column(0) == 0 and view.column(view.end + 5) == columns - 1


def test_every_line_is_in_it(tmp_path):
    s = echo(tmp_path)
    s.step(1000)
    s.goto(400)
    s.give("serial", b"x")
    s.step(100)
    view = s.timeline(50)
    assert [(b.fork, b.end, b.current) for b in view.branches] == [(None, 1000, False), (400, 500, True)]
    assert view.end == 1000 and view.now == 500 and view.live


def test_counts_come_out_of_the_state_too_threaded():
    """What a checkpoint of a trace counts is what was counted while recording."""
    s = session("dual_mode")
    s.run(9000)
    saved = s.history.take()
    counted = saved.__dict__.pop("delivered")
    assert counted.sum() > 3 and (saved.delivered == counted).all()
