"""Every key that a footer shows does what it says."""

import asyncio

import pytest
from textual.widgets import Input
from textual.widgets._footer import FooterKey

from tests.debugger.stub_session import stub_session
from tests.ui.screens import LONGEST, did, opened, screen_text, settled
from tests.ui.test_views import AT_A_FAULT, app_of
from vmdbg.ui.app import Debugger
from vmdbg.ui.console import Console
from vmdbg.ui.devices import Devices
from vmdbg.ui.disassembly import Disassembly
from vmdbg.ui.help import Help
from vmdbg.ui.prompt import Prompt
from vmdbg.ui.view import View
from vmdbg.ui.views import VIEWS

START = 7307  # the position of the first page fault of dual_mode


def shown(screen) -> dict[str, str]:
    """Key -> label, of all that the footer offers now."""
    return {k.key: k.description for k in screen.query(FooterKey)}


MAIN = {  # key -> what is so after it, at the first page fault of dual_mode
    "s": lambda app: app.snapshot.position == START + 1 and app.snapshot.cpl == 0,
    "n": lambda app: app.snapshot.position > START and app.snapshot.cpl == 0,
    "c": lambda app: app.snapshot.position > START and app.snapshot.stop.has("idle"),
    "space": lambda app: app.snapshot.position > START,
    "t": lambda app: app.snapshot.position > START and app.snapshot.stop.has("trap"),
    "b": lambda app: app.snapshot.rip in app.snapshot.breakpoints,
    "colon": lambda app: isinstance(app.focused, Prompt),
    "i": lambda app: isinstance(app.focused, Console),
    "question_mark": lambda app: isinstance(app.screen, Help),
    "q": lambda app: app._exit,
}


@pytest.mark.parametrize("key", MAIN)
async def test_main_screen(key):
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for line in [*AT_A_FAULT, "delete"]:
            await did(pilot, line)
        await settled(pilot, lambda: set(shown(app.screen)) == set(MAIN))
        assert not MAIN[key](app)
        await pilot.press(key)
        if key == "q":
            async with asyncio.timeout(LONGEST):
                while not MAIN[key](app):
                    await asyncio.sleep(0.02)
        else:
            await settled(pilot, lambda: MAIN[key](app))


async def test_console_and_help():
    """Of the guest's console the footer shows the one key that is not the guest's; of the help what closes it."""
    app = app_of("hello16")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("i")
        await settled(pilot, lambda: set(shown(app.screen)) == {"ctrl+right_square_bracket"})
        await pilot.press("ctrl+right_square_bracket")
        await settled(pilot, lambda: isinstance(app.focused, Disassembly))
        for key in ("escape", "q", "question_mark", "f1"):
            await pilot.press("f1")
            await settled(pilot, lambda: isinstance(app.screen, Help))
            await pilot.press(key)
            await settled(pilot, lambda: len(app.screen_stack) == 1)


async def test_devices():
    app = app_of("hello16")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("8")
        await settled(pilot, lambda: isinstance(app.screen, Devices) and app.screen.devices)
        await settled(pilot, lambda: {"escape", "up", "down"} <= set(shown(app.screen)))
        for key, row in (("down", 1), ("down", 2), ("up", 1)):
            await pilot.press(key)
            await settled(pilot, lambda row=row: app.screen.list.cursor == row)
        await pilot.press("s")
        await settled(pilot, lambda: app.snapshot.position == 1)
        await pilot.press("escape")
        await settled(pilot, lambda: len(app.screen_stack) == 1)


def seen(app) -> tuple:
    """All that a key can change."""
    words = [n.message for n in app._notifications]
    return type(app.screen), app.focused, screen_text(app), app.snapshot.position, app.snapshot.breakpoints, words


@pytest.mark.parametrize("opening", ["stub", "triple"])
async def test_every_key_of_every_view(opening):
    """Each shown binding of each screen changes something, or has nothing to do there and leaves all as it was; escape comes back."""
    app = Debugger("stub.bin", stub_session) if opening == "stub" else app_of(opening)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        if opening != "stub":
            await did(pilot, "continue")
        for name, kind in VIEWS.items():
            app.action_view(name)
            await settled(pilot, lambda: isinstance(app.screen, kind) and app.screen.snapshot is not None)
            own = [b.binding for b in app.screen.active_bindings.values() if b.node is app.screen and b.binding.show and b.enabled]
            assert any(b.description == "Back" for b in own)
            for b in own:
                app.action_view(name)
                await settled(pilot, lambda: isinstance(app.screen, kind))
                await pilot.press(b.key)
                if isinstance(app.focused, Input) and isinstance(app.screen, View):
                    await pilot.press("escape")
                    await settled(pilot, lambda: not isinstance(app.focused, Input))
                    assert isinstance(app.screen, kind)
                await settled(pilot, lambda: not app.session_thread.busy)
                assert app.is_running
            if isinstance(app.screen, View):
                await pilot.press("escape")
            await settled(pilot, lambda: len(app.screen_stack) == 1 and app.session_thread.wanted is None)


EFFECTS = [  # screen, keys before, key, what it does, at the first page fault of dual_mode
    ("traps", [], "enter", lambda app: "if vector 00 came now" in "\n".join(screen_text(app))),
    ("traps", ["enter"], "full_stop", lambda app: "waits to be delivered" in "\n".join(screen_text(app))),
    ("traps", [], "b", lambda app: len(app.session_thread.interpreter.session.breakpoints) == 3),
    ("paging", [], "slash", lambda app: isinstance(app.focused, Input)),
    ("paging", [], "f2", lambda app: ", cr2" in screen_text(app)[0]),
    ("paging", [], "f3", lambda app: "08048018, rip" in screen_text(app)[0]),
    ("paging", [], "f4", lambda app: "0804fff0, rsp" in screen_text(app)[0]),
    ("paging", ["f4"], "full_stop", lambda app: "the address that faults" in screen_text(app)[0]),
    ("paging", [], "enter", lambda app: "00000000" in screen_text(app)[0]),
    ("exits", [], "enter", lambda app: len({r.reason for r in app.screen.value.rows}) == 1),
    ("exits", ["enter"], "full_stop", lambda app: len({r.reason for r in app.screen.value.rows}) > 1),
    ("trace", [], "f2", lambda app: "Trace: traps: 4" in screen_text(app)[0]),
    ("trace", [], "f3", lambda app: "Trace: accesses to ports" in screen_text(app)[0]),
    ("trace", [], "f4", lambda app: "Trace: changes of ring and mode" in screen_text(app)[0]),
    ("trace", [], "i", lambda app: "Trace: inputs" in screen_text(app)[0]),
    ("trace", [], "l", lambda app: "Trace: logged" in screen_text(app)[0]),
    ("trace", [], "slash", lambda app: isinstance(app.focused, Input)),
    ("trace", ["f2"], "enter", lambda app: app.snapshot.position == 5608),
    ("breakpoints", [], "a", lambda app: isinstance(app.focused, Input)),
    ("breakpoints", [], "i", lambda app: isinstance(app.focused, Input)),
    ("breakpoints", [], "enter", lambda app: "○" in "\n".join(screen_text(app))),
    ("breakpoints", [], "g", lambda app: app.snapshot.focus == 0x8048000),
    ("breakpoints", [], "x", lambda app: len(app.session_thread.interpreter.session.breakpoints) == 1),
    ("snapshots", [], "m", lambda app: isinstance(app.focused, Input)),
    ("snapshots", ["home", "down"], "enter", lambda app: app.snapshot.position == 0),
]


@pytest.mark.parametrize("name", dict.fromkeys(e[0] for e in EFFECTS))
async def test_views(name):
    """What each key of a view does, in the order of EFFECTS, each time on the view as it opens."""
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for line in AT_A_FAULT:
            await did(pilot, line)
        for before, key, effect in (e[1:] for e in EFFECTS if e[0] == name):
            app.action_main()
            await settled(pilot, lambda: len(app.screen_stack) == 1 and not app.session_thread.busy)
            app.action_view(name)
            await settled(pilot, lambda: isinstance(app.screen, VIEWS[name]) and (app.screen.value is not None or name == "trace"))
            for each in before:
                was = seen(app)
                await pilot.press(each)
                await settled(pilot, lambda: (seen(app) != was or each in ("home", "down")) and not getattr(app.screen, "waits", ""))
            await settled(pilot, lambda: key in shown(app.screen))
            assert not effect(app), key
            await pilot.press(key)
            await settled(pilot, lambda: effect(app))


def test_every_shown_key_of_every_view_has_an_effect_here():
    """But for those of the autopsy, which tests of its own have."""
    for name, kind in VIEWS.items():
        keys = {b.key.split(",")[0] for b in kind.BINDINGS if b.show and b.description != "Back"}
        missing = keys - {e[2] for e in EFFECTS if e[0] == name}
        assert name == "autopsy" or not missing - {"b" if name == "exits" else "", "x" if name == "snapshots" else ""}, (name, missing)
