"""The options that say what is done over a session: commands, files of commands, files of Python, in the order in which they stand."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vmdbg.cli.values import CannotGoOn, UsageError

if TYPE_CHECKING:
    from vmdbg.debugger.session import Session
    from vmdbg.debugger.unattended.script import ScriptLine

Said = tuple[str, str]  # the option, what it says


def said(type_, tokens) -> tuple[Said, ...]:
    """Each with the option that it was said by."""
    return tuple((token.keyword, token.value) for token in tokens)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Script:
    """What is done over the session."""

    script: Annotated[
        tuple[Said, ...], Parameter(name=["--command", "--script", "--python"], converter=said, negative="", n_tokens=1, accepts_keys=False)
    ] = ()
    "A command of the debugger, a file of them (one a line, # begins a comment), a file of Python (it finds `session`): done in order."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Batch(Script):
    """The same without an interface."""

    json: Annotated[bool, Parameter(negative="")] = False
    "What commands answer as JSON: an object a line, with command, ok, lines, value and console, or error."


def lines(script: Script) -> "list[ScriptLine]":
    """The lines of all of them; a file that cannot be read is refused before anything is loaded."""
    from vmdbg.debugger.unattended import script as scripts

    read = {"--command": scripts.command, "--script": scripts.read_script, "--python": scripts.read_python}
    try:
        return [line for option, text in script.script for line in read[option](text)]
    except scripts.ScriptError as e:
        raise UsageError(str(e)) from None


def run_lines(
    session: "Session", script: "list[ScriptLine]", batch: Batch, limit: int | None = None, input_file: Path | None = None
) -> int:
    """Do them without an interface; the exit status."""
    from vmdbg.debugger.unattended.batch import run_batch

    try:
        return run_batch(session, script, limit, input_file, batch.json)
    except BrokenPipeError:
        raise
    except OSError as e:
        raise CannotGoOn(f"standard output: {e.strerror}") from None
