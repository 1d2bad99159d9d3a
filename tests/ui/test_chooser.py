"""Without a guest: the screen that offers those that ship."""

import pytest
from textual.widgets import Markdown
from textual.widgets._footer import FooterKey

import guests
from tests.ui.screens import check_golden, screen_text, settled
from vmdbg.ui.chooser import Choice, Chooser


def chooser() -> Chooser:
    return Chooser(tuple(Choice(name, guests.lesson(name)) for name in guests.shipped()))


async def test_keys_choose_a_guest_and_show_its_lesson():
    app = chooser()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, lambda: all(any(name in line for line in screen_text(app)) for name in guests.shipped()))
        await pilot.press("down", "down")
        third = list(guests.shipped())[2]
        await settled(pilot, lambda: app.query_one(Markdown).source == guests.lesson(third))
        await settled(pilot, lambda: any("What to look at" in line for line in screen_text(app)))
        await pilot.press("enter")
    assert app.return_value == third


@pytest.mark.parametrize("size", [(120, 40), (80, 24)], ids=lambda s: f"{s[0]}x{s[1]}")
async def test_golden(request, size):
    lesson = "# one\n\nA guest.\n\n    vmdbg one\n\n## What to look at\n\n1. Rings.\n2. Traps.\n"
    async with Chooser((Choice("one", lesson), Choice("two", "# two\n"))).run_test(size=size) as pilot:
        await check_golden(request, pilot, f"chooser_{size[0]}x{size[1]}")


async def test_keys_of_the_footer():
    """A page down and up again; what the footer offers is all of it."""
    app = chooser()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, lambda: {k.key for k in app.screen.query(FooterKey)} == {"enter", "q", "space"})
        lesson = app.query_one(Chooser.Lesson)
        await settled(pilot, lambda: lesson.max_scroll_y > 5)
        await pilot.press("space")
        await settled(pilot, lambda: lesson.scroll_y > 0)
        await pilot.press("pageup")
        await settled(pilot, lambda: lesson.scroll_y == 0)


async def test_leaving_chooses_nothing():
    app = chooser()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("q")
    assert app.return_value is None


async def test_a_click_chooses_and_a_second_opens():
    app = chooser()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click("#choices", offset=(3, 4))
        await pilot.click("#choices", offset=(3, 4))
    assert app.return_value == list(guests.shipped())[3]
