"""Reading the screens of an app under test."""

from pathlib import Path

GOLDENS = Path(__file__).parent / "goldens"


def screen_text(app) -> list[str]:
    """What the terminal shows, line by line."""
    return ["".join(segment.text for segment in line).rstrip() for line in app.screen._compositor.render_strips()]


async def settled(pilot, condition, seconds: float = 20.0):
    """Wait until the app has come to a state."""
    for _ in range(int(seconds / 0.02)):
        await pilot.pause(0.02)
        if condition():
            return
    raise AssertionError("\n".join(screen_text(pilot.app)))


async def opened(pilot):
    await settled(pilot, lambda: pilot.app.snapshot is not None)


async def did(pilot, line: str):
    """Submit a line of commands and wait until it is answered and shown."""
    app = pilot.app
    answers = len(app.query_one("#output").log_rows)
    app.action_command(line)
    await settled(pilot, lambda: len(app.query_one("#output").log_rows) > answers and not app.session_thread.busy)
    await pilot.pause()


def check_golden(request, app, name: str):
    """The screen equals goldens/NAME.txt; pytest --update-goldens writes it anew, to be read as a diff."""
    path = GOLDENS / f"{name}.txt"
    text = "\n".join(screen_text(app)) + "\n"
    if request.config.getoption("--update-goldens"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
