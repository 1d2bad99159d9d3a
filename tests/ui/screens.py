"""Reading the screens of an app under test."""

import contextlib
from pathlib import Path

GOLDENS = Path(__file__).parent / "goldens"
LONGEST = 30.0  # seconds that a state may take to come about, on a machine that has other things to do


def screen_text(app) -> list[str]:
    """What the terminal shows, line by line."""
    return ["".join(segment.text for segment in line).rstrip() for line in app.screen._compositor.render_strips()]


async def settled(pilot, condition, seconds: float = LONGEST):
    """Wait until the app has come to a state; tests wait for states, never for times."""
    for _ in range(int(seconds / 0.02)):
        await pilot.pause(0.02)
        if condition():
            return
    raise AssertionError("\n".join(screen_text(pilot.app)))


async def steady(pilot):
    """Wait until the screen stays what it is for a second."""
    seen: list[list[str]] = []

    def same() -> bool:
        seen.append(screen_text(pilot.app))
        return len(seen) > 50 and all(text == seen[-1] for text in seen[-50:])

    await settled(pilot, same)


async def opened(pilot):
    await settled(pilot, lambda: pilot.app.snapshot is not None)


async def did(pilot, line: str):
    """Submit a line of commands and wait until it is answered and shown."""
    app = pilot.app
    answers = len(app.query_one("#output").log_rows)
    app.action_command(line)
    await settled(pilot, lambda: len(app.query_one("#output").log_rows) > answers and not app.session_thread.busy)
    await pilot.pause()


async def check_golden(request, pilot, name: str):
    """The screen comes to equal goldens/NAME.txt; pytest --update-goldens writes it anew, to be read as a diff."""
    path = GOLDENS / f"{name}.txt"
    if request.config.getoption("--update-goldens"):
        await steady(pilot)
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(screen_text(pilot.app)) + "\n", encoding="utf-8")
    expected = path.read_text(encoding="utf-8").splitlines()
    with contextlib.suppress(AssertionError):  # pytest's comparison says more
        await settled(pilot, lambda: screen_text(pilot.app) == expected)
    assert screen_text(pilot.app) == expected
