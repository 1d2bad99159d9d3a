"""What the command line says is to be done first, in the app."""

import pytest

from tests.debugger.stub_session import CODE, stub_session
from tests.ui.screens import opened, screen_text, settled
from vmdbg.debugger.unattended.script import ScriptLine, command
from vmdbg.ui.app import Debugger

PYTHON = ScriptLine("/dir/look.py", "print('rip is', session.rip)\nsession.step(2)\n", python=True)
BROKEN = ScriptLine("/dir/bad.py", "\nsession.registers.rxx\n", python=True)


async def test_a_script_is_done_and_its_answers_are_shown():
    """Commands and Python in order; the command line goes on with the same session."""
    app = Debugger("stub.bin", stub_session, script=[*command("si 3"), PYTHON, *command("display rax")])
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await settled(pilot, lambda: app.snapshot.position == 5 and any("1: rax = 0x4" in line for line in screen_text(app)))
        shown = "\n".join(screen_text(app))
        assert "3: 3 steps" in shown and "rip is 31776" in shown
        await pilot.press("colon", *"si", "enter")
        await settled(pilot, lambda: any("6: step" in line for line in screen_text(app)))


@pytest.mark.parametrize(
    "wrong, words", [(BROKEN, "/dir/bad.py:2: AttributeError: 'rxx' is no register"), (command("frob")[0], "'frob' is no")]
)
async def test_it_ends_at_a_line_that_cannot_be_done(wrong, words):
    app = Debugger("stub.bin", stub_session, script=[*command("si"), wrong, *command("si")])
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await settled(pilot, lambda: any(words in line for line in screen_text(app)) and not app.session_thread.busy)
        await pilot.pause(0.2)
        assert app.snapshot.position == 1 and app.snapshot.rip == CODE + 1
