"""The timeline strip: what it draws of a value, where keys and mouse want to go, and going there on a real recording."""

import time
from pathlib import Path

from textual.app import App
from textual.events import MouseScrollDown

from tests.ui.screens import opened, screen_text, settled
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past import history
from vmdbg.debugger.screens.timeline_view import Branch, TimelineView
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load_flat import load_flat
from vmdbg.ui.app import Debugger
from vmdbg.ui.timeline import LABEL, NAME, Timeline

COLUMNS = 20
OTHER = Branch(0, None, 2000, False)
VIEW = TimelineView(
    columns=COLUMNS,
    start=0,
    end=2000,
    now=1000,
    checkpoints=(0, 4, 13),
    stops=(2, 8, 12),
    density=(0, 0, 0, 8, 0, 4, 1, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0),
    branches=(OTHER, Branch(1, 500, 1400, True)),
    live=False,
)


class Strip(App):
    def __init__(self, view: TimelineView | None = VIEW):
        super().__init__()
        self.view, self.wanted = view, []

    def compose(self):
        yield Timeline()

    def on_mount(self):
        strip = self.query_one(Timeline)
        strip.view, strip._known = self.view, True
        strip.focus()

    def on_timeline_wanted(self, message):
        self.wanted.append(message.position)


SIZE = (len(NAME) + COLUMNS + LABEL, 1)


async def test_what_it_draws():
    """Ends of the line, checkpoints under stops under here, traps by number, where a line forked, what only another line has."""
    async with Strip().run_test(size=SIZE) as pilot:
        await settled(pilot, lambda: screen_text(pilot.app) == [" Timeline ◆─●▄◆┴▁─●─┃█●◆─╌╌╌╌╌ past 50.0% · 2 lines"])


async def test_what_it_says():
    for view, done, words in [
        (None, None, "nothing is recorded"),
        (VIEW, 0.25, "going 25%: escape ends"),
        (TimelineView(COLUMNS, 0, 50, 50, (), (), (0,) * COLUMNS, (Branch(0, None, 50, True),), True), None, "now"),
        (TimelineView(COLUMNS, 50, 50, 50, (0,), (), (0,) * COLUMNS, (Branch(0, None, 50, True),), False), None, "past 0.0%"),
    ]:
        async with Strip(view).run_test(size=SIZE) as pilot:
            pilot.app.query_one(Timeline).done = done
            pilot.app.query_one(Timeline).refresh()
            await settled(pilot, lambda: screen_text(pilot.app)[0].endswith(words))


async def test_where_keys_and_mouse_want_to_go():
    """Columns add up while the machine is on its way; nothing goes beyond the end of this line."""
    async with Strip().run_test(size=SIZE) as pilot:
        app, strip = pilot.app, pilot.app.query_one(Timeline)
        await pilot.press("left", "left", "right")
        await settled(pilot, lambda: app.wanted == [900, 800, 900])
        await settled(pilot, lambda: "past" in screen_text(app)[0] and screen_text(app)[0][len(NAME) + 9] == "┃")
        strip.going(None)
        app.wanted.clear()
        for by in (1, 1, 1, -1, -1):
            strip.action_stop(by)
        await settled(pilot, lambda: app.wanted == [1200, 800, 200])
        app.wanted.clear()
        await pilot.press("end", "home", "home")
        await settled(pilot, lambda: app.wanted == [1400, 0])
        app.wanted.clear()
        await pilot.click(Timeline, offset=(len(NAME) + 7, 0))
        await pilot.click(Timeline, offset=(len(NAME) + 19, 0))
        await pilot.click(Timeline, offset=(2, 0))
        await pilot.click(Timeline, offset=(len(NAME) + COLUMNS + 3, 0))
        await settled(pilot, lambda: app.wanted == [700, 1400])


async def test_a_column_is_at_least_a_step():
    """Where there are more columns than steps."""
    view = TimelineView(COLUMNS, 10, 13, 12, (0,), (), (0,) * COLUMNS, (Branch(0, None, 13, True),), False)
    async with Strip(view).run_test(size=SIZE) as pilot:
        await pilot.press("left", "left", "left", "right")
        await settled(pilot, lambda: pilot.app.wanted == [11, 10, 11])


COUNT = bytes.fromhex("40 ebfd")  # inc ax; jmp


def counting(tmp_path: Path, steps: int) -> Debugger:
    """An app whose machine has counted so far, all of it recorded."""
    path = tmp_path / "count.bin"
    path.write_bytes(COUNT)
    guest = load_flat(path, COUNT, Options(memory=1 << 20, bits=16))

    def opening():
        session = open_bare(guest, engine="plain", history=64 << 20)
        session.step(steps)
        return session

    return Debugger("count.bin", opening)


def at(app, position: int):
    return lambda: app.snapshot.position == position and not app.session_thread.on_its_way


async def test_scrubbing_a_recording(tmp_path):
    """By keys from anywhere, wheel and click: the machine is there, the status says so, and the output is not filled with it."""
    app = counting(tmp_path, 1000)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        strip = app.query_one(Timeline)
        await settled(pilot, lambda: app.snapshot.timeline is not None and app.snapshot.timeline.columns == strip.columns)
        await settled(pilot, lambda: screen_text(app)[-3].endswith(" now"))
        said = len(app.query_one("#output").log_rows)
        await pilot.press("<")
        await settled(pilot, at(app, 0))
        await settled(pilot, lambda: " past 0.0%" in screen_text(app)[-3])
        await pilot.press(*"]]]")
        third = strip.view.position(3)
        await settled(pilot, at(app, third))
        assert app.session_thread.interpreter.session.machine.position == third
        await pilot.press("[")
        await settled(pilot, at(app, strip.view.position(2)))
        await pilot._post_mouse_events([MouseScrollDown], Timeline, offset=(20, 0))
        await settled(pilot, at(app, third))
        await pilot.click(Timeline, offset=(len(NAME) + 40, 0))
        await settled(pilot, at(app, strip.view.position(40)))
        await pilot.press(">")
        await settled(pilot, at(app, 1000))
        assert len(app.query_one("#output").log_rows) == said


async def test_a_journey_shows_its_progress_and_can_be_ended(tmp_path, monkeypatch):
    """Escape brings it back to where it was; keys are answered meanwhile."""
    for name, value in dict(LARGEST=10, SPACING=1e9, LARGEST_SPACING=1e9).items():  # a long way, in short stretches
        monkeypatch.setattr(history, name, value)
    app = counting(tmp_path, 10_000)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await settled(pilot, lambda: app.snapshot.timeline is not None)
        await pilot.press("<")
        await settled(pilot, at(app, 0))
        past = app.session_thread.interpreter.session.history
        runs = past.run

        def slowly(budget: int, resume: bool):
            time.sleep(0.05)
            return runs(budget, resume)

        past.run = slowly
        app.action_command("seek 9000")
        await settled(pilot, lambda: "going " in screen_text(app)[-3] and "escape ends" in screen_text(app)[-3])
        await pilot.press("question_mark")
        await settled(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("escape")
        await settled(pilot, lambda: len(app.screen_stack) == 1)
        assert app.session_thread.travelling
        await pilot.press("escape")
        await settled(pilot, lambda: at(app, 0)() and "cancelled" in screen_text(app)[0])


async def test_a_running_machine_goes_nowhere(tmp_path):
    app = counting(tmp_path, 100)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await settled(pilot, lambda: app.snapshot.timeline is not None)
        await pilot.press("c")
        await settled(pilot, lambda: app.snapshot.running)
        await pilot.press("<")
        await settled(pilot, lambda: any("space pauses" in n.message for n in app._notifications))
        assert app.query_one(Timeline).aim is None
        await pilot.press("space")
        await settled(pilot, lambda: app.snapshot.stop.has("pause"))
        assert app.snapshot.position > 100
