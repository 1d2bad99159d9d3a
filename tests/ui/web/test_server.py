"""The app's server: who is refused, and a session that outlives its browsers."""

import asyncio
import contextlib
import sys
import time

import aiohttp
import pyte
import pytest
from aiohttp import WSMsgType, web

from vmdbg.ui.web.server import WebServer, listen

COMMAND = [sys.executable, "-m", "tests.ui.web.plain_app"]
LONGEST = 60  # seconds


@contextlib.asynccontextmanager
async def serving(command=COMMAND):
    server = WebServer(list(command), "test", listen(0))
    server.left = asyncio.Event()
    server.request_exit = server.left.set
    runner = web.AppRunner(await server._make_app(), shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, server.listening).start()
    try:
        yield server
    finally:
        await runner.cleanup()


class Page:
    """What a browser's page does: it shows what comes on a terminal."""

    def __init__(self, socket, columns: int, lines: int):
        self.socket = socket
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)

    async def key(self, letter: str) -> None:
        await self.socket.send_json(["stdin", letter])

    async def shows(self, words: str) -> None:
        end = time.monotonic() + LONGEST
        while not any(words in line for line in self.screen.display):
            message = await self.socket.receive(max(0.01, end - time.monotonic()))
            assert message.type in (WSMsgType.BINARY, WSMsgType.TEXT), (message, self.screen.display)
            if message.type == WSMsgType.BINARY:
                self.stream.feed(message.data)

    async def closed(self) -> None:
        while (await self.socket.receive(LONGEST)).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED):
            pass


@contextlib.asynccontextmanager
async def page(server, columns: int = 120, lines: int = 36):
    async with aiohttp.ClientSession() as client:
        address = f"{server.address}ws?width={columns}&height={lines}"
        async with client.ws_connect(address, headers={"Origin": f"http://{server.hosts[0]}"}) as socket:
            yield Page(socket, columns, lines)


async def status(address: str, **headers) -> int:
    async with aiohttp.ClientSession() as client, client.get(address, headers=headers) as answer:
        return answer.status


async def test_only_the_token_opens_the_pages():
    """Nothing below any other path is there for anybody, whether it exists or not."""
    async with serving() as server:
        here = server.address.removesuffix(f"{server.token}/")
        assert await status(server.address) == 200
        assert await status(server.address + "static/js/textual.js") == 200
        for path in ("", "ws", "static/js/textual.js", "wrong/", f"{server.token[:-1]}/", f"{server.token}x/ws", "wrong/download/key"):
            assert await status(here + path) == 403, path
        assert await status(here + "download/wrong") == 403
        assert server.service._process is None


@pytest.mark.parametrize("path", ["", "ws?width=80&height=24", "static/js/textual.js"])
async def test_other_origins_are_refused(path):
    """A page of another site, one without an address, a name of somebody else's that means this machine: even with the token."""
    async with serving() as server:
        port = server.port
        for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}", "http://localhost"):
            assert await status(server.address + path, Origin=origin) == 403, origin
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.evil.example:{port}", ""):
            assert await status(server.address + path, Host=host) == 403, host
            assert await status(server.address + path, Host=host, Origin=f"http://{host}") == 403, host
        assert server.service._process is None


async def test_a_websocket_says_where_it_comes_from():
    async with serving() as server, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await client.ws_connect(server.address + "ws")
        name = f"localhost:{server.port}"
        assert await status(server.address, Host=name, Origin=f"http://{name}") == 200


async def test_the_page_loads_nothing_from_elsewhere():
    async with serving() as server, aiohttp.ClientSession() as client, client.get(server.address) as answer:
        assert f"ws://{server.hosts[0]}/{server.token}/ws" in await answer.text()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_it_listens_on_loopback_only():
    with listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


async def test_a_session_outlives_its_browsers():
    """Steps, goes, comes again in another size: the same process at the same place; a second page takes over; q ends it all."""
    async with serving() as server:
        async with page(server) as first:
            await first.shows("not started")
            process = server.service._process
            await first.key("s")
            await first.shows("at 1 ")
        async with page(server, 80, 24) as second:
            await second.shows("at 1 ")
            await second.shows("Disassembly")
            await second.shows("registers  stack")
            assert server.service._process is process
            await second.key("s")
            await second.shows("at 2 ")
            async with page(server) as third:
                await third.shows("at 2 ")
                await second.closed()
                await third.key("q")
                await third.closed()
                await asyncio.wait_for(server.left.wait(), LONGEST)
        assert process.returncode == 0
        assert server.status == 0


async def test_the_end_of_the_server_is_the_end_of_the_app():
    async with serving() as server, page(server) as found:
        await found.shows("not started")
        process = server.service._process
    assert process.returncode == 0


async def test_an_app_without_a_server_ends():
    """However the server has gone: the app sees the end of its input."""
    async with serving() as server, page(server) as found:
        await found.shows("not started")
        process = server.service._process
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), LONGEST) == 0
