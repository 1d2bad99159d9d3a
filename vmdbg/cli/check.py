"""vmdbg check GUEST --expect FILE: for graders and CI."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vmdbg.cli.boot import Boot, choose, names_guest, sources, symbols
from vmdbg.cli.core import ensure_core
from vmdbg.cli.values import USER_BREAK, Number, UsageError


def check(
    guest: str | None = None,
    *,
    expect: str,
    boot: Boot = Boot(),
    max_instructions: Number = None,
    input: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run a guest, and see whether it does what a file expects: exit status 0 if all of it holds, 1 if not, 2 for malformed
    input.  What does not hold is on standard output, a line each, with what was found instead.

    The file has a statement a line.  In order: stop WHERE [within N]; wait "TEXT" [within N]; type "TEXT"; expect EXPRESSION;
    expect console contains "TEXT".  Of the whole run: console (or screen) contains "TEXT", lacks "TEXT", matches /REGEX/; end
    exit, idle, halt, limit, triple fault; status N; never WHERE; count WHERE >= N; limit N.  WHERE is what stands after b or bp:
    start_a, trap PF if cr2 < 0x1000, io 0x3f8 w.  A line that begins with # is a comment.

    Parameters
    ----------
    guest
        A guest as `vmdbg run` takes it.
    expect
        The file of expectations.
    max_instructions
        Where the run ends, instead of what the file's `limit` says: 1,000,000,000 if it says nothing.
    input
        A file whose bytes go to the serial port.
    json
        Every statement as a line of JSON: line, statement, ok, found.
    """
    if not names_guest(guest, boot):
        raise UsageError("check requires an argument: a guest, or --disk, --cdrom or --bios FILE")
    if input is not None and not os.path.isfile(input):
        raise UsageError(f"--input {input[:80]!r}: not a file")
    if max_instructions is not None and max_instructions < 1:
        raise UsageError(f"--max-instructions {max_instructions}: expected 1 or more")
    from vmdbg.debugger.unattended.script import ScriptError, read

    try:
        text = read(expect)
    except ScriptError as e:
        raise UsageError(str(e)) from None
    found, names = choose(guest, boot), symbols(boot)
    ensure_core()
    from vmdbg.debugger.opening import open_bare
    from vmdbg.debugger.unattended import check as checking
    from vmdbg.debugger.unattended.expectations import ExpectationError, parse_expectations
    from vmdbg.debugger.unattended.headless import breaks

    session = open_bare(found, symbols=names, sources=sources(boot))
    keys = Path(input).read_bytes() if input is not None else b""
    try:
        statements = parse_expectations(session, expect, text)
    except ExpectationError as e:
        raise UsageError(str(e)) from None
    with breaks(session.interrupt):
        status = checking.check(session, expect, statements, keys, max_instructions, json)
    return USER_BREAK if session.interrupted or session.stop.has("pause") else status
