"""Who may have the pages: whoever knows the token, from this machine, from a page of this server.

A page of another site could reach a server on loopback by its address, by a name of its own that means this machine
(DNS rebinding), or by a websocket: so the Host and the Origin of every request are looked at, and all that is not below the
token is refused.  The pages may load nothing from elsewhere, and tell nobody their address.
"""

import asyncio
import secrets
import socket
from typing import Any

from aiohttp import web
from textual_serve.server import Server, to_int

from vmdbg.ui.web.service import Service

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "img-src 'self' data:; connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
FOCUS = """<script>
new MutationObserver((_, observer) => {
  const keys = document.querySelector(".xterm-helper-textarea");
  if (keys) { observer.disconnect(); keys.focus(); }
}).observe(document.body, {childList: true, subtree: true});
</script>"""  # what is typed belongs to the terminal, as soon as there is one
SMALLEST, LARGEST = 2, 1000  # columns or lines of a browser's terminal


class WebServer(Server):
    """One app, on a socket that listens already."""

    def __init__(self, command: list[str], title: str, listening: socket.socket):
        port = listening.getsockname()[1]
        super().__init__(command[0], LOOPBACK, port, title)
        self.listening = listening
        self.token = secrets.token_urlsafe(24)
        self.hosts = (f"{LOOPBACK}:{port}", f"localhost:{port}")
        self.service = Service(command, self.download_manager, self._ended)
        self.status = 0  # of the app

    @property
    def address(self) -> str:
        return f"{self.public_url}/{self.token}/"

    def run(self) -> int:
        """Serve until the app ends or the user interrupts; the app's exit status."""
        web.run_app(self._make_app(), sock=self.listening, print=None, access_log=None, shutdown_timeout=1)
        return self.status

    async def _make_app(self) -> web.Application:
        """textual-serve's pages below the token."""
        outer = web.Application(middlewares=[self._guard])
        outer.router.add_get("/download/{key}", self.handle_download)  # the page asks for it there; the key is a secret itself
        outer.add_subapp(f"/{self.token}/", await super()._make_app())
        return outer

    @web.middleware
    async def _guard(self, request: web.Request, handler) -> web.StreamResponse:
        if not self.permits(request):
            return refusal()
        try:
            response = await handler(request)
        except web.HTTPNotFound:
            return refusal()
        if not response.prepared:
            host = request.headers["Host"]
            response.headers.update({name: value.replace("{host}", host) for name, value in HEADERS.items()})
        return response

    def permits(self, request: web.BaseRequest) -> bool:
        """Whether it is to this machine, knows the token, and comes from nowhere else; a websocket has to say where from."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        first, _, rest = request.path.removeprefix("/").partition("/")
        known = secrets.compare_digest(first.encode(), self.token.encode())
        if host not in self.hosts or not (known or first == "download"):
            return False
        return origin == f"http://{host}" or (origin is None and rest != "ws")

    async def handle_index(self, request: web.Request) -> Any:
        """The page: its addresses have the host that it was asked from."""
        self.public_url = f"http://{request.headers['Host']}"
        page: Any = await super().handle_index(request)
        page.text = page.text.replace("</body>", f"{FOCUS}</body>")
        return page

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A browser: it shows the app until it goes, or another one comes."""
        found = web.WebSocketResponse(heartbeat=15)
        await found.prepare(request)
        width, height = (max(SMALLEST, min(LARGEST, to_int(request.query.get(k, ""), d))) for k, d in (("width", 80), ("height", 24)))
        await self.service.attach(found, width, height)
        try:
            await self._process_messages(found, self.service)
        finally:
            if self.service.socket is found:
                await self.service.detach()
        return found

    async def on_startup(self, app: web.Application) -> None:
        """Says nothing: the address was said already."""

    async def on_shutdown(self, app: web.Application) -> None:
        await self.service.detach()
        await self.service.end()

    def _ended(self, status: int) -> None:
        self.status = status
        asyncio.get_running_loop().call_later(0.1, self.request_exit)


def refusal() -> web.Response:
    return web.Response(status=403, text="vmdbg: expected the address that vmdbg said, from this machine\n")


def listen(port: int) -> socket.socket:
    """A socket that listens on loopback; 0 is any free port.  OSError if it is taken, or not ours to take."""
    return socket.create_server((LOOPBACK, port))
