"""Lines of source in the place of the disassembly: one key shows them, the next line is marked, keys and clicks set breakpoints."""

import guests
from tests.debugger.stub_session import stub_session
from tests.ui.screens import opened, screen_text, settled
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.ui.app import Debugger
from vmdbg.ui.config import Settings
from vmdbg.ui.disassembly import Disassembly
from vmdbg.ui.source import Source

START = 54  # the line of dual_mode.asm at which execution begins: cli, cld, mov, call make_gdt


def dual_mode():
    return open_bare(load_guest(guests.shipped()["dual_mode"], Options()), engine="plain")


def shows(app, words: str):
    return lambda: any(words in line for line in screen_text(app))


async def test_source_and_back():
    """It follows execution; a breakpoint at the cursor, by key and by click; the same key shows instructions again."""
    app = Debugger("dual_mode.elf", dual_mode)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        assert app.snapshot.source is None  # nobody has looked
        await pilot.press("l")
        await settled(pilot, shows(app, f"▶ {START} start:  cli"))
        assert any("Source: dual_mode.asm" in line for line in screen_text(app)) and isinstance(app.focused, Source)
        await pilot.press("s", "s", "s")
        await settled(pilot, shows(app, f"▶ {START + 3} "))
        await pilot.press("down", "down", "down", "b")
        await settled(pilot, shows(app, f"●  {START + 6} "))
        pane = app.query_one(Source)
        y = START + 3 - int(pane.scroll_offset.y)
        await pilot.click(Source, offset=(1, y + 1))
        await settled(pilot, shows(app, f"●  {START + 4} "))
        assert len(app.snapshot.breakpoints) == 2 == len(app.snapshot.source.breakpoints)
        await pilot.press("c")
        await settled(pilot, shows(app, f"●▶ {START + 4} "))
        await pilot.press("colon", "escape")
        assert isinstance(app.focused, Source)
        await pilot.press("up", "up", "up", "up", "up", "up", "b")
        await settled(pilot, lambda: any("no code" in n.message for n in app._notifications))
        await pilot.press("l")
        await settled(pilot, lambda: isinstance(app.focused, Disassembly) and app.focused.display)
        assert not pane.display and not app.session_thread.wants_source


async def test_another_place():
    """`goto` shows its lines, marked otherwise than execution."""
    app = Debugger("dual_mode.elf", dual_mode)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("l", "g", *"make_gdt", "enter")
        await settled(pilot, shows(app, "▷"))
        await settled(pilot, shows(app, "make_gdt:"))
        await pilot.press("escape")
        await pilot.press("s")
        await settled(pilot, shows(app, f"▶ {START + 1} "))


async def test_no_lines():
    """A sentence stands there, and in every key map the key is free."""
    app = Debugger("stub.bin", stub_session, Settings(keymap="windbg"))
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("l")
        await settled(pilot, shows(app, "no debugging information"))
        await pilot.press("b", "t")
        await settled(pilot, lambda: app.snapshot.position == 1)
        assert not app.snapshot.breakpoints
