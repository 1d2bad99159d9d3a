"""Without a guest: the screen that offers those that ship."""

from textual.widgets import Markdown

import guests
from tests.ui.screens import screen_text, settled
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
