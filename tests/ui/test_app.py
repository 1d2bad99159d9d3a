"""The app over a session on the stub machine: keys pressed, panes read."""

import asyncio

from tests.debugger.stub_session import CODE, stub_session
from tests.ui.screens import LONGEST, opened, screen_text, settled
from vmdbg.monitor.guest import GuestError
from vmdbg.ui.app import Debugger
from vmdbg.ui.disassembly import Disassembly
from vmdbg.ui.output import Output
from vmdbg.ui.prompt import Prompt

WIDE, NARROW = (120, 36), (80, 24)


def at(app, position: int):
    return lambda: app.snapshot is not None and app.snapshot.position == position and not app.session_thread.busy


async def test_keys_step_run_and_break():
    """s steps, n steps over, b breaks at the cursor, c runs to it."""
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        await pilot.press("s")
        await settled(pilot, at(app, 1))
        await pilot.press("s")
        await settled(pilot, at(app, 2))
        await pilot.press("n")
        await settled(pilot, lambda: app.snapshot.rip == CODE + 5)
        await pilot.press("down", "down")
        await settled(pilot, lambda: app.query_one(Disassembly).address == CODE + 9)
        await pilot.press("b")
        await settled(pilot, lambda: app.snapshot.breakpoints == {CODE + 9})
        await pilot.press("c")
        await settled(pilot, lambda: app.snapshot.rip == CODE + 9 and app.snapshot.stop.has("break"))
        await settled(pilot, lambda: any("●▶" in line for line in screen_text(app)))


async def test_space_pauses_a_running_machine():
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await settled(pilot, lambda: app.snapshot.running and app.snapshot.position > 0)
        await pilot.press("s")
        await settled(pilot, lambda: any("space pauses" in n.message for n in app._notifications))
        await pilot.press("space")
        await settled(pilot, lambda: not app.snapshot.running and app.snapshot.stop.has("pause"))


async def test_the_command_line():
    """A colon opens it, an answer appears, an error is said, an empty Enter repeats, escape leaves."""
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        await pilot.press("colon", *"p", "space", *"1+2", "enter")
        await settled(pilot, lambda: any("0x3  3" in line for line in screen_text(app)))
        await pilot.press(*"frob", "enter")
        await settled(pilot, lambda: any("no command" in line for line in screen_text(app)))
        await pilot.press(*"si", "enter")
        await settled(pilot, at(app, 1))
        await pilot.press("enter")
        await settled(pilot, at(app, 2))
        await pilot.press("up", "up")
        await settled(pilot, lambda: app.query_one(Prompt).value == "frob")
        await pilot.press("escape")
        await settled(pilot, lambda: app.focused is app.query_one(Disassembly))


async def test_next_trap_and_the_stop_line():
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        await pilot.press("t")
        await settled(pilot, lambda: app.snapshot.stop.vector == 0x21)
        await settled(pilot, lambda: "trap 33 (0x21)" in screen_text(app)[0])


async def test_it_folds_at_80_columns():
    """Every pane can be reached, nothing is cut at the right."""
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        for title in ("Stack", "Console", "Output", "Interrupts", "Page walk", "Registers"):
            await pilot.press("v")
            await settled(pilot, lambda title=title: any(title in line and "╭" in line for line in screen_text(app)))
            await settled(pilot, lambda: any("Disassembly" in line for line in screen_text(app)))


async def test_help_shows_every_key_and_command():
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await settled(pilot, lambda: any("escape closes" in line for line in screen_text(app)))
        await pilot.press("escape")
        await settled(pilot, lambda: len(app.screen_stack) == 1)


async def test_a_guest_that_cannot_be_opened_ends_the_app():
    def refuse():
        raise GuestError("x.bin: an empty file")

    app = Debugger("x.bin", refuse)
    async with app.run_test(size=WIDE) as pilot:
        async with asyncio.timeout(LONGEST):
            while app.refusal is None:
                await asyncio.sleep(0.02)
        await pilot.pause()
    assert (app.return_code, app.refusal.text) == (2, "x.bin: an empty file")


async def test_snapshots_coalesce():
    """However fast the machine posts, at most one snapshot waits."""
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        thread = app.session_thread
        posted = []
        thread.post = posted.append
        for _ in range(5):
            thread._show(app.snapshot)
        assert len(posted) == 1
        thread.seen()
        thread._show(app.snapshot)
        assert len(posted) == 2


async def test_mouse_sets_a_breakpoint():
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        pane = app.query_one(Disassembly)
        y = next(n for n, a in enumerate(pane._addresses) if a == CODE + 2)
        await pilot.click(pane, offset=(1, 1 + y - int(pane.scroll_offset.y)))
        await settled(pilot, lambda: app.snapshot.breakpoints == {CODE + 2})
        await settled(pilot, lambda: app.query_one(Output).rows)
