"""Debian's Chromium, without a window, driven by its DevTools protocol over aiohttp."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pyte

CHROMIUM = shutil.which("chromium")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--window-size=1400,900")
LONGEST = 60  # seconds


class Browser:
    """One page.  `screen` is what the page's terminal was sent, on a terminal of our own."""

    def __init__(self, devtools: aiohttp.ClientWebSocketResponse):
        self.devtools = devtools
        self.numbers, self.answers = itertools.count(1), {}
        self.pyte, self.stream = pyte.Screen(80, 24), None
        self.console: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.devtools:
            said = json.loads(message.data)
            if "id" in said:
                self.answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.webSocketCreated":
                self.new_terminal()
            elif said["method"] == "Network.webSocketFrameReceived" and said["params"]["response"]["opcode"] == 2:
                self.stream.feed(base64.b64decode(said["params"]["response"]["payloadData"]))
            elif said["method"] == "Network.webSocketFrameSent":
                self.sent(said["params"]["response"]["payloadData"])
            elif said["method"] == "Log.entryAdded":
                self.console.append(said["params"]["entry"]["text"])

    def new_terminal(self) -> None:
        self.pyte = pyte.Screen(200, 60)
        self.stream = pyte.ByteStream(self.pyte)

    def sent(self, text: str) -> None:
        """The page told its size."""
        kind, *rest = json.loads(text)
        if kind == "resize":
            self.pyte.resize(rest[0]["height"], rest[0]["width"])

    async def do(self, method: str, **parameters) -> dict:
        number = next(self.numbers)
        self.answers[number] = asyncio.get_running_loop().create_future()
        await self.devtools.send_json(dict(id=number, method=method, params=parameters))
        answer = await asyncio.wait_for(self.answers[number], LONGEST)
        assert "error" not in answer, answer
        return answer["result"]

    async def key(self, letter: str) -> None:
        """Press a key that is a letter."""
        for kind in ("keyDown", "keyUp"):
            await self.do("Input.dispatchKeyEvent", type=kind, key=letter, text=letter if kind == "keyDown" else "")

    async def click(self, x: int = 300, y: int = 300) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def evaluate(self, script: str):
        return (await self.do("Runtime.evaluate", expression=script, returnByValue=True))["result"].get("value")

    async def shows(self, words: str) -> list[str]:
        """Wait until the terminal shows these words; its lines."""
        await self.until(lambda: any(words in line for line in self.pyte.display), words)
        return list(self.pyte.display)

    async def reload(self) -> None:
        """Load the page anew, and wait for its terminal."""
        before = self.pyte
        await self.do("Page.reload")
        await self.until(lambda: self.pyte is not before, "another terminal")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LONGEST
        while not condition():
            assert time.monotonic() < end, f"'{what}' did not come about:\n" + "\n".join(self.pyte.display)
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def browser(folder: Path):
    """Chromium with an empty page."""
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM), *OPTIONS, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank", stderr=asyncio.subprocess.PIPE
    )
    try:
        port = await asyncio.wait_for(told(folder / "DevToolsActivePort"), LONGEST)
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                page = next(p for p in await answer.json() if p["type"] == "page")
            async with client.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=1 << 26) as devtools:
                found = Browser(devtools)
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await found.do(f"{domain}.enable")
                yield found
    finally:
        process.terminate()
        await process.communicate()


async def told(path: Path) -> int:
    """The port that a starting browser writes down."""
    while not (path.exists() and path.read_text().count("\n") >= 1):
        await asyncio.sleep(0.05)
    return int(path.read_text().splitlines()[0])
