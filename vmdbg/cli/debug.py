"""vmdbg GUEST: the debugger in a terminal."""

import sys
from typing import Annotated

from cyclopts import Parameter

import guests
from vmdbg.cli.boot import Boot, names_guest, sources, symbols
from vmdbg.cli.boot import choose as choose_guest
from vmdbg.cli.config import settings
from vmdbg.cli.core import ensure_core
from vmdbg.cli.script import Script, lines
from vmdbg.cli.values import USAGE_ERROR, Size, UsageError
from vmdbg.cli.web import check_web, serve
from vmdbg.ui.web import served


def debug(
    guest: str | None = None,
    *,
    boot: Boot = Boot(),
    script: Script = Script(),
    history: Size = 512 << 20,
    web: Annotated[bool, Parameter(negative="")] = False,
    port: int | None = None,
) -> int:
    """Open a guest in the debugger; without one, choose among the guests that ship.

    What --command, --script and --python say is done first.

    Parameters
    ----------
    guest
        A Linux bzImage, a multiboot or PVH kernel, an ELF file, a boot sector, an image of a disk, floppy or CD-ROM,
        firmware or a flat binary; or the name of a shipped guest.
    history
        How much memory the recording may take, so that one can go back in time: 512M; 0 records nothing.
    web
        Serve the same app to a browser on this machine, at the address that is printed; reloading it comes back to the session.
    port
        The port of --web, instead of any that is free.
    """
    if web or port is not None:
        check_web(names_guest(guest, boot), web, port)
    if not names_guest(guest, boot):
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return list_guests()
        guest = choose_shipped()
        if guest is None:
            return 0
    chosen, first = settings(), lines(script)
    found, names, folders = choose_guest(guest, boot), symbols(boot), sources(boot)
    if web and not served():
        ensure_core()
        return serve(found.path.name, port or 0)
    if not served() and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the debugger needs a terminal; without one: vmdbg GUEST --web, or vmdbg run GUEST")
    ensure_core()
    from vmdbg.debugger.opening import open_bare
    from vmdbg.ui.app import run as run_app

    opening = lambda: open_bare(found, symbols=names, history=history, sources=folders)
    status, text = run_app(found.path.name, opening, chosen, first)
    if text:
        print(f"vmdbg: {text}" if status == USAGE_ERROR else text, file=sys.stderr)
    return status


def choose_shipped() -> str | None:
    """The name of a shipped guest, chosen on a screen that shows the lessons."""
    from vmdbg.ui.chooser import Choice, choose

    return choose(tuple(Choice(name, guests.lesson(name)) for name in guests.shipped()))


def list_guests() -> int:
    print("Shipped guests: vmdbg NAME opens one in the debugger, vmdbg run NAME runs it.\n")
    for name in guests.shipped():
        print(f"  {name:<12} {guests.about(name)}")
    print("\nvmdbg --help says more.")
    return 0
