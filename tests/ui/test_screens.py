"""Goldens of the screens, on the stub machine and on real guests (plain engine: the same run as the compiled one, without a build)."""

import pytest

import guests
from tests.debugger.stub_session import stub_session
from tests.ui.screens import check_golden, did, opened
from tests.ui.test_views import AT_A_FAULT, app_of
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.past import history
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.ui.app import PANES, Debugger

SIZES = [(120, 40), (80, 24)]
GUESTS = [
    ("hello16", ["continue"]),
    ("dual_mode", ["b start_a", "continue", "bp trap PF", "continue"]),
]


def sized(name: str, size: tuple[int, int]) -> str:
    return f"{name}_{size[0]}x{size[1]}"


@pytest.fixture(autouse=True)
def no_checkpoint_but_the_first(monkeypatch):
    """Where others would be depends on the time that running takes."""
    for name in ("SPACING", "LARGEST_SPACING"):
        monkeypatch.setattr(history, name, 1e9)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_stub(request, size):
    """A call stepped into, with a breakpoint behind it."""
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        for line in ("b 0x7c05", "si 3", "x/4xb start"):
            await did(pilot, line)
        await check_golden(request, pilot, sized("stub", size))


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("name, lines", GUESTS, ids=[g[0] for g in GUESTS])
async def test_guests(request, name, lines, size):
    """hello16 at its end; dual_mode before its first page fault is delivered."""
    guest = load_guest(guests.shipped()[name], Options(memory=16 << 20))
    app = Debugger(guest.path.name, lambda: open_bare(guest, engine="plain"))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        for line in lines:
            await did(pilot, line)
        await check_golden(request, pilot, sized(name, size))


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_help(request, size):
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("f1")
        await check_golden(request, pilot, sized("help", size))


VIEWED = {  # a golden's name -> the guest, lines of commands, and keys that lead there
    "traps": ("dual_mode", AT_A_FAULT, ["2"]),
    "paging": ("dual_mode", AT_A_FAULT, ["3"]),
    "exits": ("dual_mode", AT_A_FAULT, ["4"]),
    "trace": ("dual_mode", AT_A_FAULT, ["5", "f2"]),
    "breakpoints": ("dual_mode", AT_A_FAULT, ["6"]),
    "snapshots": ("dual_mode", [*AT_A_FAULT, "mark here", "seek 100"], ["7"]),
    "devices": ("dual_mode", AT_A_FAULT, ["8"]),
    "bits": ("dual_mode", AT_A_FAULT, ["r"]),
    "autopsy": ("triple", ["continue"], []),
    "main_long64": ("long64", ["bp ring 3->0", "continue"], []),
    "main_triple": ("triple", ["continue", "cause"], []),
    "typing": ("dual_mode", AT_A_FAULT, ["i"]),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("name", VIEWED)
async def test_views(request, name, size):
    """Every screen, of a recorded guest."""
    guest, lines, keys = VIEWED[name]
    app = app_of(guest)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        for line in lines:
            await did(pilot, line)
        if name.startswith("main"):
            app.pop_view()
        await pilot.press(*keys)
        await check_golden(request, pilot, sized(name, size))


@pytest.mark.parametrize("pane", PANES[1:])
async def test_folded_panes(request, pane):
    """The panes that a narrow terminal shows one at a time."""
    app = app_of("dual_mode")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for line in [*AT_A_FAULT, "info idt 0x80"]:
            await did(pilot, line)
        app.action_pane(pane)
        await check_golden(request, pilot, f"pane_{pane}_80x24")
