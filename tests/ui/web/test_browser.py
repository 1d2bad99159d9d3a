"""The real program in a real browser."""

import asyncio
import sys

import pytest

from tests.ui.web.browser import CHROMIUM, browser

pytestmark = [pytest.mark.debian, pytest.mark.core, pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")]
LONGEST = 60  # seconds


async def test_step_reload_step(tmp_path):
    """vmdbg hello16 --web: a step shows the new ip; a reload comes back to it; a step goes on from there; q ends the program."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vmdbg", "hello16", "--web", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        line = (await asyncio.wait_for(program.stdout.readline(), LONGEST)).decode()
        address = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
        async with browser(tmp_path) as b:
            await b.do("Page.navigate", url=address)
            await b.shows("not started")
            assert any("ip  7c00 " in line for line in b.pyte.display)
            await b.key("s")
            await b.shows("▶0000:7c05")
            assert any("ip  7c05*" in line for line in await b.shows("step  at 1"))
            await b.reload()
            assert any("▶0000:7c05" in line for line in await b.shows("step  at 1"))
            await b.key("s")
            await b.shows("▶0000:7c07")
            assert any("ax  0000" in line for line in await b.shows("step  at 2"))
            await b.key("q")
            assert await asyncio.wait_for(program.wait(), LONGEST) == 0
            for _ in range(100):
                if closed := await b.evaluate("document.body.classList.contains('-closed')"):
                    break
                await asyncio.sleep(0.1)
            assert closed
    finally:
        if program.returncode is None:
            program.kill()
        said = await program.communicate()
    assert said == (b"", b"")
