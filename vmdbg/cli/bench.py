"""vmdbg bench."""

from vmdbg.cli.core import ensure_core


def bench(*, json: bool = False, build: bool = False) -> int:
    """Measure the engine: alu, memory, fib, sys, single steps, start; Bochs and QEMU too, where they are installed.

    Parameters
    ----------
    json
        Figures as JSON.
    build
        Measure also how long the core takes to build from nothing (a minute or more).
    """
    ensure_core()
    from importlib import import_module

    return import_module("vmdbg.bench").main(json=json, build=build)
