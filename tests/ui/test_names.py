"""Names on the screen give the manual's words, under the mouse and by keys."""

import pytest
from textual.events import MouseMove
from textual.widgets import Tooltip

from tests.ui.screens import did, opened, settled
from tests.ui.test_views import AT_A_FAULT, app_of
from vmdbg.debugger.screens.bit_view import NOTATIONS
from vmdbg.debugger.screens.glossary import SCOPES, entries, names
from vmdbg.debugger.screens.paging_view import LARGE, PAGE, POINTER
from vmdbg.debugger.screens.snapshot import SHOWN
from vmdbg.debugger.traps import TRAPS
from vmdbg.ui.pane import Pane


def test_every_name_that_is_shown_has_words():
    """Registers of the panes, bits of control registers, flags, paging entries, exceptions."""
    wanted = [name for shown in SHOWN.values() for name in shown]
    wanted += [f"{r}.{bit.partition(':')[0]}" for r, bits in NOTATIONS.items() for bit in bits.split()]
    wanted += [f"entry.{bit.partition(':')[0]}" for bits in (LARGE, PAGE, POINTER) for bit in bits.split()]
    wanted += [f"#{t.name}" if t.kind != "interrupt" else t.name for t in TRAPS.values()]
    assert not [name for name in wanted if name not in entries()]
    assert all(len(e.text) < 200 and e.where.startswith(("SDM vol. ", "8259A")) for e in entries().values())
    assert set(SCOPES.values()) <= {name.partition(".")[0] for name in entries() if "." in name}


@pytest.mark.parametrize(
    "rows, scope, expected",
    [
        (["cr0 80010011  PG -CD TS"], "", ["cr0", "cr0.PG", "cr0.CD", "cr0.TS"]),
        (["cr4        00000000 -VME", "           -TSD -DE"], "", ["cr4", "cr4.VME", "cr4.TSD", "cr4.DE"]),
        (["eip 08048018*    efl 00000202 IF  cs  001b r3"], "", ["eip", "efl", "rflags.IF", "cs"]),
        (["08 #DF int dpl 0 0008:00100"], "gate", ["#DF", "gate.int", "gate.dpl"]),
        (["PTE  [04f] 00000000 P -R/W"], "", ["PTE", "entry.P", "entry.R/W"]),
        (["IF 1 IOPL 0"], "rflags", ["rflags.IF", "rflags.IOPL"]),
        (["start_a: mov eax, 0xcf"], "", ["eax"]),
        (["xcs rip_y ffcs PF"], "", []),
    ],
)
def test_names_where_they_stand(rows, scope, expected):
    assert [f.entry.name for f in names(rows, scope)] == expected


def test_the_same_letters_mean_what_their_register_says():
    texts = {f.entry.text for f in names(["cr0 TS", "#TS"])}
    assert len(texts) == 3 and any(t.startswith("TS: Task switched") for t in texts)


async def test_hover_and_keys():
    """The mouse over a name changes the pane's tooltip and back; → goes from name to name, with the words beside; a key ends it."""
    app = app_of("dual_mode")
    async with app.run_test(size=(120, 36), tooltips=True) as pilot:
        await opened(pilot)
        for line in AT_A_FAULT:
            await did(pilot, line)
        pane = app.query_one("#registers", Pane)
        cr2 = next(f for f in pane.found() if f.entry.name == "cr2")
        place = (cr2.start + 1, cr2.row + 1)
        await pilot._post_mouse_events([MouseMove], pane, offset=place)
        await settled(pilot, lambda: "the last page fault was about" in str(pane.tooltip))
        await pilot._post_mouse_events([MouseMove], pane, offset=(cr2.end + 2, cr2.row + 1))
        await settled(pilot, lambda: pane.tooltip == pane.help)
        pane.focus()
        await pilot.press("right")
        bubble = app.screen.get_child_by_type(Tooltip)
        await settled(pilot, lambda: bubble.display and "Accumulator" in str(bubble.render()))
        await pilot.press("right", "left", "left")
        await settled(pilot, lambda: "Control register 4" in str(bubble.render()) and pane.named.entry.name == "cr4")
        await pilot.press("down")
        await settled(pilot, lambda: not bubble.display and pane.named is None)
