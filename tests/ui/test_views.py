"""The screens beside the main one, on real guests (plain engine) and on the stub: what they show, and what their keys do."""

import pytest
from textual.widget import Widget
from textual.widgets import Footer

import guests
from tests.ui.screens import did, opened, screen_text, settled
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.ui.app import Debugger
from vmdbg.ui.autopsy import Autopsy
from vmdbg.ui.breakpoints import BreakpointTable
from vmdbg.ui.devices import Devices
from vmdbg.ui.keys import GDB
from vmdbg.ui.view import View
from vmdbg.ui.views import VIEWS

SIZES = [(200, 60), (120, 40), (100, 30), (80, 24)]
AT_A_FAULT = ["b start_a", "continue", "bp trap PF", "continue"]


def app_of(name: str) -> Debugger:
    guest = load_guest(guests.shipped()[name], Options(memory=16 << 20))

    def opening():
        session = open_bare(guest, engine="plain")
        if session.history is None:
            session.record()
        return session

    return Debugger(guest.path.name, opening)


def shows(app, *words: str):
    return lambda: all(any(w in line for line in screen_text(app)) for w in words)


async def test_a_triple_fault_is_explained_after_one_key_and_its_cause_after_two():
    """c: the autopsy; i: the instruction that faulted, not yet shut down; 9 and enter: before what wrote the wrong selector."""
    app = app_of("triple")
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await settled(pilot, shows(app, "before the reset", "average+0x7: div ecx", "✗ not delivered: gate 0", "2 bytes at 0x"))
        assert isinstance(app.screen, Autopsy)
        await pilot.press("i")
        await settled(pilot, lambda: app.snapshot.stop.has("goto") and not isinstance(app.screen, View))
        await settled(pilot, shows(app, "▶00100058  div ecx"))
        await pilot.press("9")
        await settled(pilot, shows(app, "who wrote that"))
        await pilot.press("enter")
        await settled(pilot, shows(app, "mov word ptr [ecx*8+"))
        await settled(pilot, lambda: app.snapshot.stop.has("goto") and not app.session_thread.busy)


async def test_breakpoints_by_keys_and_mouse():
    """Add, switch, condition, delete; a click on the mark switches."""
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("6")
        await settled(pilot, shows(app, "None yet"))
        await pilot.press("a", *"trap PF if cr2 > 1".replace(" ", "\n").split("\n")[0], "space", *"PF", "enter")
        await settled(pilot, shows(app, "●   1 trap"))
        await pilot.press("a", *"start", "enter")
        await settled(pilot, shows(app, "●   2 address"))
        await pilot.press("i", *"eax", "space", "greater_than_sign", "space", "1", "enter")
        await settled(pilot, shows(app, "if eax > 1"))
        await pilot.press("enter")
        await settled(pilot, shows(app, "○   1 trap"))
        assert isinstance(app.screen, BreakpointTable) and not app.session_thread.interpreter.session.breakpoints.vectors()
        await pilot.click("#breakpoints", offset=(2, 1))
        await settled(pilot, shows(app, "●   1 trap"))
        await pilot.press("down", "g")
        await settled(pilot, lambda: not isinstance(app.screen, View))
        await pilot.press("6")
        await settled(pilot, shows(app, "●   2 address"))
        await pilot.press("x")
        await settled(pilot, lambda: len(app.screen.value or ()) == 1)
        await pilot.press("s")
        await settled(pilot, lambda: app.snapshot.position == 1)


async def test_paging_takes_an_address_and_refuses_nonsense():
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        for line in AT_A_FAULT:
            await did(pilot, line)
        await pilot.press("3")
        await settled(pilot, shows(app, "this write by ring 3 faults: P of the PTE is 0"))
        await pilot.press("slash", *"0x8048000", "enter")
        await settled(pilot, shows(app, "08048000, 0x8048000", "maps 4 KiB", "R/W of the PTE is 0: read-only (error 7)"))
        await pilot.press("slash", *"frob", "enter")
        await settled(pilot, shows(app, "✗ ", "frob"))
        await pilot.press("f4")
        await settled(pilot, shows(app, "0804fff0, rsp"))


async def test_traps_explain_a_vector_and_remember_the_last_delivery():
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for line in AT_A_FAULT:
            await did(pilot, line)
        await pilot.press("2")
        await settled(pilot, shows(app, "waits to be delivered", "00000006 error code", "0000001b cs"))
        await pilot.press("s")
        await settled(pilot, shows(app, "delivered at 7,307", "00000006 error code"))
        await pilot.press("enter")
        await settled(pilot, shows(app, "if vector 00 came now"))
        await pilot.press("full_stop")
        await settled(pilot, shows(app, "delivered at 7,307"))


@pytest.mark.parametrize("name", ["main", "devices", *VIEWS])
async def test_sizes_from_200x60_to_80x24_and_back(name):
    """No widget without room, none over another, at every size that the terminal goes through."""
    app = app_of("triple")
    async with app.run_test(size=SIZES[0]) as pilot:
        await opened(pilot)
        await did(pilot, "continue")
        app.pop_view()
        await settled(pilot, lambda: len(app.screen_stack) == 1)
        if name != "main":
            await pilot.press(next(k.keys for k in GDB if k.id == name).partition(",")[0])
            await settled(pilot, lambda: isinstance(app.screen, VIEWS.get(name, Devices)))
        before = screen_text(app)
        for size in SIZES + SIZES[-2::-1]:
            await pilot.resize_terminal(*size)
            await settled(pilot, lambda: app.screen.size == size and not layout_faults(app.screen))
        await settled(pilot, lambda: name == "main" or screen_text(app) == before)


def layout_faults(screen) -> list[tuple]:
    """Widgets that have no room, are not on the screen, or are over another; of those that hold others, and of what is hidden, nothing."""
    seen = [w for w in screen.walk_children() if all(a.display for a in w.ancestors_with_self if isinstance(a, Widget))]
    placed = [(w, w.region) for w in seen if isinstance(w, Footer) or not w.children and not isinstance(w.parent, Footer)]
    return [
        (widget, region)
        for n, (widget, region) in enumerate(placed)
        if not region.area or not screen.region.contains_region(region) or any(region.overlaps(other) for _, other in placed[n + 1 :])
    ]


async def test_trace_lists_traps_and_goes_to_one():
    """f2 asks `list traps`; a filter leaves those that have its words; enter stands before the trap."""
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        for line in AT_A_FAULT:
            await did(pilot, line)
        await pilot.press("5", "f2")
        await settled(pilot, shows(app, "Trace: traps: 4", "5,608  128 (0x80) interrupt"))
        await pilot.press("slash", *"0x80", "enter")
        await settled(pilot, shows(app, "4 of 4, with 0x80"))
        await pilot.press("down", "enter")
        await settled(pilot, lambda: app.snapshot.position == 6581 and not app.session_thread.busy)
        await settled(pilot, shows(app, "▶6,581"))


async def test_snapshots_mark_and_go_back():
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await did(pilot, "si 100")
        await pilot.press("7")
        await settled(pilot, shows(app, "─ line 0: from the start, to 100", "▶             100"))
        await pilot.press("m", *"here", "enter")
        await settled(pilot, shows(app, "⚑             100  here"))
        app.action_command("si 50")
        await settled(pilot, lambda: app.snapshot.position == 150)
        await settled(pilot, shows(app, "▶             150"))
        y = next(n for n, node in enumerate(app.screen.nodes) if node.kind == "mark")
        app.screen.tree_.put(y)
        await pilot.press("enter")
        await settled(pilot, lambda: app.snapshot.position == 100)
        await pilot.press("x")
        await settled(pilot, lambda: not app.session_thread.interpreter.session.marks)


async def test_exits_by_reason_and_place():
    """hello16 prints through a port; enter leaves one reason, b stops at the port."""
    app = app_of("hello16")
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await did(pilot, "si 400")
        await pilot.press("4")
        await settled(pilot, shows(app, "Exits by reason", "port 3f8", "uart"))
        total = app.screen.value.total
        assert total == sum(r.count for r in app.screen.value.rows) == sum(count for _, count in app.screen.value.reasons) > 0
        await pilot.press("enter")
        await settled(pilot, lambda: len(app.screen.value.reasons) > 0 and len({r.reason for r in app.screen.value.rows}) == 1)
        await pilot.press("b")
        await settled(pilot, lambda: len(app.session_thread.interpreter.session.breakpoints) == 1)


async def test_registers_by_their_bits():
    """r opens them; at a page fault the error code is among them, and CR0 has PG."""
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for line in AT_A_FAULT:
            await did(pilot, line)
        await pilot.press("r")
        await settled(pilot, shows(app, "error code 0006", "cr0        80010011", "PG -CD -NW -AM WP", "cs         001b"))
        await pilot.press("s")
        await settled(pilot, shows(app, "cs         0008*", "RPL=0"))
        await pilot.press("1")
        await settled(pilot, lambda: not isinstance(app.screen, View))
