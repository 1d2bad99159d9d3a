"""The app in a browser, by textual-serve: on loopback, behind a token, one session that outlives a reload.

driver    the app's side: what textual-serve's driver does not do, attaching another browser
service   the app's process, and the browser that sees it
server    the pages: who may have them
"""

import os

DRIVER = "vmdbg.ui.web.driver:Driver"  # TEXTUAL_DRIVER of the app's process


def served() -> bool:
    """Whether this process is the app of such a server."""
    return os.environ.get("TEXTUAL_DRIVER") == DRIVER
