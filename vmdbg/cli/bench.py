"""vmdbg bench."""

import os
from pathlib import Path
from typing import Literal

from vmdbg.cli.core import ensure_core
from vmdbg.cli.values import UsageError


def bench(
    *,
    json: bool = False,
    build: bool = False,
    kernel: str | None = None,
    initrd: str | None = None,
    only: Literal["workloads", "boot", "latency", "debugger"] | None = None,
) -> int:
    """Measure the engine: alu, memory, fib, sys, a boot of Linux, single steps, start, the debugger; Bochs and QEMU too, where they are
    installed.

    Parameters
    ----------
    json
        Figures as JSON.
    build
        Measure also how long the core takes to build from nothing (a minute or more).
    kernel
        A Linux bzImage to boot: otherwise the newest /boot/vmlinuz-*cloud*.
    initrd
        Its initial RAM disk, which has to switch the machine off: otherwise one is made of Debian's busybox-static.
    only
        One part: workloads, boot, latency (steps and start), or debugger (recording a boot, going back in it, breakpoints).
    """
    for option, name in (("--kernel", kernel), ("--initrd", initrd)):
        if name is not None and not os.path.isfile(name):
            raise UsageError(f"{option} {name[:80]!r}: not a file")
    ensure_core()
    from importlib import import_module

    return import_module("vmdbg.bench").main(
        json=json, build=build, kernel=Path(kernel) if kernel else None, initrd=Path(initrd) if initrd else None, only=only
    )
