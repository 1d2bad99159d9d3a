"""The README's pictures, exported by the app itself: python -m tests.ui.picture"""

import asyncio
from pathlib import Path

import guests
from tests.ui.screens import did, opened, settled, steady
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.ui.app import Debugger
from vmdbg.ui.autopsy import Autopsy

PICTURES = Path(__file__).parents[2] / ".pictures"
LINES = {"dual_mode": ["b start_a", "continue", "bp trap PF", "continue"], "triple": ["continue"]}


async def draw(name: str, size: tuple[int, int]) -> None:
    """A shipped guest after some lines of commands; triple is at its autopsy then."""
    guest = load_guest(guests.shipped()[name], Options())

    def opening():
        session = open_bare(guest, engine="plain")
        session.record()
        return session

    app = Debugger(guest.path.name, opening)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        for line in LINES[name]:
            await did(pilot, line)
        if name == "triple":
            await settled(pilot, lambda: isinstance(app.screen, Autopsy) and app.screen.pane.rows)
        await steady(pilot)
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / f"{name}.svg").write_text(app.export_screenshot(title=f"vmdbg {name}"), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(draw("dual_mode", (132, 36)))
    asyncio.run(draw("triple", (110, 28)))
