"""The app on hello16 and the plain engine, which needs no build: python -m tests.ui.web.plain_app"""

import sys

import guests
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest
from vmdbg.ui.app import run

if __name__ == "__main__":
    guest = load_guest(guests.shipped()["hello16"], Options())
    sys.exit(run(guest.path.name, lambda: open_bare(guest, engine="plain"))[0])
