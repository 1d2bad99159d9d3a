"""The console: what the guest shows, and what is typed for it, on real machines."""

from pathlib import Path

from textual import events

from tests.ui.screens import opened, screen_text, settled
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load_flat import load_flat
from vmdbg.ui.app import Debugger
from vmdbg.ui.console import Console
from vmdbg.ui.disassembly import Disassembly
from vmdbg.ui.guest_keys import keyboard_keys, serial_bytes

# poll: mov dx, 3FD; in al, dx; test al, 1; jz poll; mov dx, 3F8; in al, dx; out dx, al; jmp poll
ECHO = bytes.fromhex("bafd03 ec a801 74f8 baf803 ec ee ebf1")
# The BIOS's timer stops; the 8259 lets IRQ 1 through; its handler puts every make code on the screen, yellow on blue; the rest is HLT
KEYS = bytes.fromhex(
    "fab030e643b011e620b008e621b004e621b001e621b0fde621c7062400307cc70626000000b800b88ec031fffbf4ebfde460a8807503b41eabb020e620cf"
)


def app_of(tmp_path: Path, code: bytes) -> Debugger:
    path = tmp_path / "guest.bin"
    path.write_bytes(code)
    guest = load_flat(path, code, Options(memory=1 << 20, bits=16))
    return Debugger("guest.bin", lambda: open_bare(guest, engine="plain"))


async def test_bytes_go_to_the_serial_port(tmp_path):
    """Typed in the console, echoed by the guest, shown by the terminal; the debugger's own keys are letters there."""
    app = app_of(tmp_path, ECHO)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("c", "o", "i", *"quit?", "space", *":s", "backspace", "enter", "up")
        await settled(pilot, lambda: "\x1b[A" in bytes(app.session_thread.interpreter.session.monitor.log).decode())
        assert bytes(app.session_thread.interpreter.session.monitor.log) == b"quit? :s\x7f\r\x1b[A"
        await settled(pilot, lambda: any("│quit? :s" in line for line in screen_text(app)))
        await settled(pilot, lambda: "control-] takes them back" in "\n".join(screen_text(app)))
        assert isinstance(app.focused, Console)
        await pilot.press("ctrl+right_square_bracket")
        await settled(pilot, lambda: isinstance(app.focused, Disassembly))
        await pilot.press("space")
        await settled(pilot, lambda: app.snapshot.stop.has("pause"))


async def test_keys_wake_an_idle_guest(tmp_path):
    """An idle machine has stopped; a key in the console lets it go on, and its interrupt handler shows the scan code."""
    app = app_of(tmp_path, KEYS)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await settled(pilot, lambda: app.snapshot.stop.has("idle") and not app.session_thread.busy)
        await pilot.press("i", "h", "I")
        await settled(pilot, lambda: app.snapshot.screen.text == "#*↨")  # 23, 2A (shift), 17
        await settled(pilot, lambda: app.snapshot.stop.has("idle") and not app.session_thread.busy)
        ((text, ink), *_) = app.snapshot.screen.rows[0]
        assert (text, ink.ink, ink.paper) == ("#*↨", "ffff55", "0000aa")
        await settled(pilot, lambda: any("#*↨" in line for line in screen_text(app)))


async def test_keys_wait_while_the_machine_is_paused(tmp_path):
    app = app_of(tmp_path, ECHO)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("o", "i", *"abc")
        await settled(pilot, lambda: "paused: keys wait" in "\n".join(screen_text(app)))
        assert app.snapshot.position == 0
        await pilot.press("ctrl+right_square_bracket", "c")
        await settled(pilot, lambda: app.snapshot.serial.text == "abc")
        await pilot.press("space")


async def test_paste_goes_to_the_guest(tmp_path):
    app = app_of(tmp_path, ECHO)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("c", "o", "i")
        app.query_one(Console).post_message(events.Paste("ls -l\n"))
        await settled(pilot, lambda: bytes(app.session_thread.interpreter.session.monitor.log) == b"ls -l\r")
        await pilot.press("ctrl+right_square_bracket", "space")


def test_what_keys_mean():
    """key, character -> bytes for a serial port, keys of a keyboard"""
    for key, character, data, keys in [
        ("a", "a", b"a", ("a",)),
        ("A", "A", b"A", ("shift", "a")),
        ("exclamation_mark", "!", b"!", ("shift", "1")),
        ("space", " ", b" ", (" ",)),
        ("enter", "\r", b"\r", ("enter",)),
        ("backspace", "\x7f", b"\x7f", ("backspace",)),
        ("escape", "\x1b", b"\x1b", ("esc",)),
        ("ctrl+c", "\x03", b"\x03", ("ctrl", "c")),
        ("ctrl+d", None, b"\x04", ("ctrl", "d")),
        ("up", None, b"\x1b[A", ("up",)),
        ("pageup", None, b"\x1b[5~", ("page_up",)),
        ("f1", None, b"\x1bOP", ("f1",)),
        ("ctrl+alt+delete", None, b"", ("ctrl", "alt", "delete")),
        ("é", "é", "é".encode(), ()),
    ]:
        assert (serial_bytes(key, character), keyboard_keys(key, character)) == (data, keys), key


# IRQ 0 at 100 Hz counts in CX; the rest is HLT
PERIODIC = bytes.fromhex(
    "fab011e620b008e621b004e621b001e621b0fee621c7062000337cc70622000000b034e643b09ce640b02ee64031c9fbf4ebfd41b020e620cf"
)


async def test_warp_is_heard_while_the_machine_waits(tmp_path):
    """A command for any time, given to a running machine: idle time is skipped from then on, and said so."""
    app = app_of(tmp_path, PERIODIC)
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await settled(pilot, lambda: app.snapshot.running)
        session = app.session_thread.interpreter.session
        await pilot.press("colon", *"warp", "space", *"on", "enter", "escape")
        await settled(pilot, lambda: any("idle time is skipped" in line for line in screen_text(app)))
        assert session.warp
        before = session.machine.clock
        await settled(pilot, lambda: session.machine.clock > before + 10**9)
        await pilot.press("space")
        await settled(pilot, lambda: app.snapshot.stop.has("pause"))


async def test_leaving_while_the_machine_runs(tmp_path):
    """q with the machine running flat out: the app ends, and whatever the session still says goes nowhere."""
    app = app_of(tmp_path, ECHO)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await settled(pilot, lambda: app.snapshot.running)
        await pilot.press("q")
    assert app.return_code == 0
    app.session_thread.join(20)
    assert not app.session_thread.is_alive()
