"""The README's picture, exported by the app itself: python -m tests.ui.picture"""

import asyncio
from pathlib import Path

import guests
from tests.ui.screens import did, opened
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.ui.app import Debugger

PICTURE = Path(__file__).parents[2] / ".pictures" / "dual_mode.svg"
LINES = ["b start_a", "continue", "bp trap PF", "continue"]


async def draw() -> None:
    guest = load_guest(guests.shipped()["dual_mode"], Options())
    app = Debugger(guest.path.name, lambda: open_bare(guest, engine="plain"))
    async with app.run_test(size=(132, 36)) as pilot:
        await opened(pilot)
        for line in LINES:
            await did(pilot, line)
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(app.export_screenshot(title="vmdbg dual_mode"), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(draw())
