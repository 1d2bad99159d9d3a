"""vmdbg run GUEST: a guest without a debugger."""

import os
from pathlib import Path

from vmdbg.cli.boot import Boot, choose, names_guest, sources, symbols
from vmdbg.cli.core import ensure_core
from vmdbg.cli.script import Batch, lines, run_lines
from vmdbg.cli.values import CannotGoOn, Number, Size, UsageError, output_file


def run(
    guest: str | None = None,
    *,
    boot: Boot = Boot(),
    batch: Batch = Batch(),
    history: Size = 512 << 20,
    max_instructions: Number = None,
    input: str | None = None,
    stats: str | None = None,
) -> int:
    """Run a guest without a debugger: its serial port is standard output and input.

    In a terminal every key goes to the guest; control-] leaves.

    With --command, --script or --python, only what they say is done, from the guest's start on: `continue` runs it.  Their
    output is standard output, the guest's console is standard error, and it reads --input only.

    Exit status: what the guest wrote to port F4, times 2, plus 1; 0 powered off or idle; 2 usage, or a line of a script that
    cannot be done (the rest is left then); 70 triple fault; 72 halted for ever; 74 instruction limit; 76 interrupted; 78 the
    machine or its core cannot go on.  After a script: 0 if the guest is not at an end, or what a file of Python exits with.

    Parameters
    ----------
    guest
        A Linux bzImage, a multiboot or PVH kernel, an ELF file, a boot sector, an image of a disk, floppy or CD-ROM,
        firmware or a flat binary; or the name of a shipped guest.
    history
        How much memory the recording of a scripted run may take, so that it can go back: 512M; 0 records nothing.
    max_instructions
        Stop after this many instructions.
    input
        A file whose bytes go to the serial port, instead of standard input.
    stats
        A file for figures of the run, as JSON: instructions, events, exits, times (vmdbg/debugger/unattended/statistics.py names them).
    """
    if not names_guest(guest, boot):
        raise UsageError("run requires an argument: a guest, or --disk, --cdrom or --bios FILE")
    script = lines(batch)
    if batch.json and not script:
        raise UsageError("--json is how commands answer: expected --command, --script or --python as well")
    if stats is not None and script:
        raise UsageError("--stats is of a run without --command, --script and --python")
    found, names = choose(guest, boot), symbols(boot)
    if input is not None and not os.path.isfile(input):
        raise UsageError(f"--input {input[:80]!r}: not a file")
    if max_instructions is not None and max_instructions < 1:
        raise UsageError(f"--max-instructions {max_instructions}: expected 1 or more")
    figures = output_file("--stats", stats) if stats is not None else None
    ensure_core()
    from vmdbg.debugger.unattended.headless import OutputError, run_headless

    keys = Path(input) if input is not None else None
    if script:
        from vmdbg.debugger.opening import open_bare

        session = open_bare(found, symbols=names, history=history, sources=sources(boot))
        return run_lines(session, script, batch, max_instructions, keys)
    try:
        return run_headless(found, max_instructions, keys, stats=figures, symbols=names)
    except OutputError as e:
        raise CannotGoOn(str(e)) from None
