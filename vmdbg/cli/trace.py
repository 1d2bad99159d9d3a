"""vmdbg record, replay, trace info: recordings as files."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vmdbg.cli.boot import Boot, choose, symbols
from vmdbg.cli.config import Settings, settings
from vmdbg.cli.core import ensure_core
from vmdbg.cli.script import Batch, lines, run_lines
from vmdbg.cli.values import USAGE_ERROR, Number, UsageError

DIFFERS = 1  # exit status of replay --verify
trace = App(name="trace", help="Files that were recorded.")


def record(
    guest: str | None = None,
    *,
    output: Annotated[str, Parameter(alias="-o")],
    boot: Boot = Boot(),
    max_instructions: Number = None,
    input: str | None = None,
) -> int:
    """Run a guest as `vmdbg run` does, and record it into a file that `vmdbg replay` opens.

    The file has everything in it; what is recorded survives the end of this program at any moment.

    Parameters
    ----------
    guest
        A guest as `vmdbg run` takes it.
    output
        The file.
    max_instructions
        Stop after this many instructions.
    input
        A file whose bytes go to the serial port, instead of standard input.
    """
    if guest is None and boot.bios is None:
        raise UsageError("record requires an argument: a guest, or --bios FILE")
    found, names = choose(guest, boot), symbols(boot)
    if input is not None and not Path(input).is_file():
        raise UsageError(f"--input {input[:80]!r}: not a file")
    if max_instructions is not None and max_instructions < 1:
        raise UsageError(f"--max-instructions {max_instructions}: expected 1 or more")
    ensure_core()
    from vmdbg.debugger.past.trace import TraceError
    from vmdbg.debugger.unattended.headless import run_headless

    try:
        return run_headless(found, max_instructions, Path(input) if input is not None else None, symbols=names, trace=Path(output))
    except TraceError as e:
        raise UsageError(str(e)) from None


def replay(file: str, *, verify: bool = False, batch: Batch = Batch()) -> int:
    """Open a recorded run in the debugger, at its beginning; or see whether it still runs as it ran.

    With --command, --script or --python, what they say is done over it without a terminal, as `vmdbg run` does it.

    Parameters
    ----------
    file
        What `vmdbg record` wrote.
    verify
        Run all of it again without a terminal, and compare with every checkpoint: exit status 0 if all are equal, else 1.
    """
    from vmdbg.debugger.past.trace import TraceError

    script = lines(batch)
    if verify and script:
        raise UsageError("--verify runs all of it: expected no --command, --script or --python")
    if batch.json and not script:
        raise UsageError("--json is how commands answer: expected --command, --script or --python as well")
    if not verify and not script and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the debugger needs a terminal; without one: vmdbg replay FILE --verify, or --command")
    chosen = Settings() if script else settings()
    ensure_core()
    from vmdbg.debugger.past import trace_reader

    try:
        found = trace_reader.read_trace(Path(file))
        if found.damage is not None:
            print(f"vmdbg: {damage_of(found)}", file=sys.stderr)
        if verify:
            return compare(found)
        if script:
            return run_lines(trace_reader.open_trace(found), script, batch)
        from vmdbg.ui.app import run as run_app

        status, text = run_app(found.head["guest"]["path"], lambda: trace_reader.open_trace(found), chosen)
    except TraceError as e:
        raise UsageError(str(e)) from None
    if text:
        print(f"vmdbg: {text}" if status == USAGE_ERROR else text, file=sys.stderr)
    return status


def compare(found) -> int:
    from vmdbg.debugger.past import trace_reader
    from vmdbg.debugger.past.trace_writer import semantics

    other = found.head["semantics"] != semantics()
    difference = trace_reader.verify(trace_reader.open_trace(found))
    by = ", which another version recorded" if other else ""
    if difference is None:
        print(f"{found.path}: {len(found.checkpoints):,} checkpoints to position {found.checkpoints[-1][0]['position']:,} are equal{by}")
        return 0
    print(
        f"{found.path}{by}: equal to position {difference.good:,}; at position {difference.position:,}, or since, "
        f"it is not what was recorded: {difference.what}"
    )
    return DIFFERS


def damage_of(found) -> str:
    return (
        f"{found.path}: damaged at byte {found.damage.offset:,} of {found.size:,}: {found.damage.why}; "
        f"what was recorded up to position {found.end:,} is there"
    )


@trace.command
def info(file: str) -> int:
    """What a recording is of, how long it is, and whether the file is whole.

    Parameters
    ----------
    file
        What `vmdbg record` wrote.
    """
    from vmdbg.debugger.past.trace import TraceError
    from vmdbg.debugger.past.trace_reader import read_trace
    from vmdbg.debugger.past.trace_writer import semantics

    try:
        found = read_trace(Path(file))
    except TraceError as e:
        raise UsageError(str(e)) from None
    head, last = found.head, found.checkpoints[-1][0]
    guest = head["guest"]
    pages = sum(len(pages) for _facts, pages, _pieces in found.checkpoints)
    state = "ended: " + found.done["reason"] if found.done is not None else "not ended by itself"
    lines = [
        f"guest        {guest['path']}, {guest['format']}, {guest['memory'] >> 20} MiB, {guest['cpus']} CPU{'s' * (guest['cpus'] > 1)}",
        f"positions    {found.first:,} to {found.end:,}; virtual time {last['clock'] / 1e9:.6f} s",
        f"checkpoints  {len(found.checkpoints):,}, {pages:,} pages",
        f"inputs       {len(found.inputs):,}",
        f"said         {len(found.text):,} bytes",
        f"file         {found.size:,} bytes, version {head['version']}, {state}",
        f"semantics    {head['semantics']}{'' if head['semantics'] == semantics() else '; this program: ' + semantics()}",
    ]
    print("\n".join(lines))
    if found.damage is not None:
        print(f"damage       at byte {found.damage.offset:,}: {found.damage.why}")
    return 0
