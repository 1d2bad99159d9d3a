"""Goldens of the screens, on the stub machine and on real guests (plain engine: the same run as the compiled one, without a build)."""

import pytest

import guests
from tests.debugger.stub_session import stub_session
from tests.ui.screens import check_golden, did, opened
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.ui.app import Debugger

SIZES = [(120, 40), (80, 24)]
GUESTS = [
    ("hello16", ["continue"]),
    ("dual_mode", ["b start_a", "continue", "bp trap PF", "continue"]),
]


def sized(name: str, size: tuple[int, int]) -> str:
    return f"{name}_{size[0]}x{size[1]}"


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
    guest = load_guest(guests.shipped()[name], Options())
    app = Debugger(guest.path.name, lambda: open_bare(guest, engine="plain"))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        for line in lines:
            await did(pilot, line)
        await check_golden(request, pilot, sized(name, size))


async def test_help(request):
    app = Debugger("stub.bin", stub_session)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("f1")
        await check_golden(request, pilot, "help_120x40")
