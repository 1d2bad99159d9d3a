"""vmdbg build, and the core that other commands find built."""

import sys
from collections.abc import Callable

from vmdbg.cli.values import CannotGoOn


def build() -> int:
    """Build the core now: otherwise the first run does it.  It goes to the user's cache directory, or to VMDBG_CACHE."""
    from vmdbg.machine import core

    there = core.path().exists()
    ensure_core()
    print(f"{'the core is built' if there else 'built'}: {core.path()}")
    return 0


def ensure_core() -> None:
    """Build the core if there is none for these sources, with a progress bar where a terminal shows it.

    CannotGoOn says why it cannot be built.
    """
    from vmdbg.machine import core

    if core.path().exists():
        return
    try:
        build_core(core.build)
    except core.BuildError as e:
        raise CannotGoOn(str(e)) from None


def build_core(build: Callable) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        print("vmdbg: building the core, once (a minute or two)", file=sys.stderr, flush=True)
        build()
        return
    columns = (TextColumn("Building the core, once"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=1)
        build(lambda done, total, text: bar.update(task, completed=done, total=total, description=text))
