"""The app's process: it is started for the first browser, and lives on when a browser goes."""

import asyncio
import logging
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

from aiohttp.web import WebSocketResponse
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from vmdbg.ui.web import DRIVER

LONGEST_END = 5.0  # seconds that an app may take to end


class Service(AppService):
    """One process, and at most one websocket at a time: a newer one takes its place.  `ended(status)` is called once."""

    def __init__(self, command: list[str], downloads: DownloadManager, ended: Callable[[int], None]):
        super().__init__(
            command[0],
            write_bytes=self._write_bytes,
            write_str=self._write_str,
            close=self.detach,
            download_manager=downloads,
        )
        self.arguments, self.ended = command, ended
        self.socket: WebSocketResponse | None = None

    # ---- The browser

    async def attach(self, socket: WebSocketResponse, width: int, height: int) -> None:
        """From now on this browser shows the app."""
        await self.detach()
        self.socket = socket
        if self._task is None:
            await self.start(width, height)
            assert self._task is not None
            self._task.add_done_callback(self._done)
        else:
            await self.send_meta(dict(type="attach", width=width, height=height))

    async def detach(self) -> None:
        """Nobody sees the app."""
        socket, self.socket = self.socket, None
        if socket is not None:
            await socket.close()

    async def _write_bytes(self, data: bytes) -> None:
        await self._write(WebSocketResponse.send_bytes, data)

    async def _write_str(self, data: str) -> None:
        await self._write(WebSocketResponse.send_str, data)

    async def _write(self, send: Callable, data: bytes | str) -> None:
        socket = self.socket
        try:
            if socket is not None:
                await send(socket, data)
        except (ConnectionError, RuntimeError):  # it has gone: the next one is drawn anew
            if self.socket is socket:
                self.socket = None

    # ---- The process

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        return super()._build_environment(width, height) | dict(TEXTUAL_DRIVER=DRIVER)

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        environment = self._build_environment(width, height)
        self._process = await asyncio.create_subprocess_exec(
            *self.arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
        )
        self._stdin = self._process.stdin
        return self._process

    def _done(self, task: asyncio.Task) -> None:
        if not task.cancelled() and task.exception() is not None:
            logging.getLogger("textual-serve").error("the app's process: %r", task.exception())
        waiting = asyncio.ensure_future(self._status())
        waiting.add_done_callback(lambda w: self.ended(w.result()))

    async def _status(self) -> int:
        """The exit status of a process whose output has ended."""
        assert self._process is not None
        try:
            return await asyncio.wait_for(self._process.wait(), LONGEST_END)
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    async def end(self) -> None:
        """Let the app end, or make it."""
        if self._process is None or self._process.returncode is not None:
            return
        await self.send_meta(dict(type="quit"))
        await self._status()
