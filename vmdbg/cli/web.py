"""vmdbg GUEST --web: the debugger in a browser."""

import os
import sys

from vmdbg.cli.values import UsageError

PORTS = 1 << 16


def check_web(named: bool, web: bool, port: int | None) -> None:
    """Refuse what cannot be served, before anything is loaded."""
    if not web:
        raise UsageError("--port is where --web serves: expected --web as well")
    if not named:
        raise UsageError("--web requires an argument: a guest to open")
    if port is not None and not 0 < port < PORTS:
        raise UsageError(f"--port {port}: expected a port from 1 to {PORTS - 1}")


def serve(title: str, port: int) -> int:
    """Serve this very command's app until it ends; its exit status."""
    from vmdbg.ui.web.server import WebServer, listen

    try:
        listening = listen(port)
    except OSError as e:
        raise UsageError(f"--port {port}: {os.strerror(e.errno or 0)}") from None
    server = WebServer([sys.executable, *sys.orig_argv[1:]], title, listening)
    print(f"vmdbg: open {server.address} in a browser on this machine; control-c ends it", flush=True)
    return server.run()
