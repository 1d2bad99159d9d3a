"""The devices screen on a real machine: chosen by keys, live, marked where it changed."""

from pathlib import Path

from tests.ui.screens import opened, screen_text, settled
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load_flat import load_flat
from vmdbg.ui.app import Debugger
from vmdbg.ui.devices import Devices

SCRATCH = bytes.fromhex("bbcdab0000 88d8 66bafb03 ee ebfe")  # mov bx, ABCD; mov al, bl; mov dx, 3FB; out dx, al (LCR); jmp $


async def test_registers_by_name_and_bit(tmp_path: Path):
    path = tmp_path / "guest.bin"
    path.write_bytes(SCRATCH)
    guest = load_flat(path, SCRATCH, Options(memory=2 << 20, bits=32))
    app = Debugger("guest.bin", lambda: open_bare(guest, engine="plain"))
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("d")
        await settled(pilot, lambda: any("PIC master: ports 20-21" in line for line in screen_text(app)))
        names = [d.name for d in app.screen.devices]
        await pilot.press(*["down"] * names.index("COM1"))
        await settled(pilot, lambda: any("COM1: 16550A" in line for line in screen_text(app)))
        await settled(pilot, lambda: any("LCR" in line and "-DLAB" in line for line in screen_text(app)))
        for n in range(4):
            await pilot.press("s")
            await settled(pilot, lambda n=n: app.snapshot.position == n + 1)
        await settled(pilot, lambda: any("LCR" in line and "cd*" in line and " DLAB" in line for line in screen_text(app)))
        await pilot.press("escape")
        await settled(pilot, lambda: not isinstance(app.screen, Devices) and not app.session_thread.wants_devices)
