"""Scripts: lines of commands and files of Python, done in order over one session.

    --command LINE, --script FILE, --python FILE -> ScriptLine ... -> perform(session, line) -> Lines, or ScriptError

A file of commands has one a line; blank lines and those that begin with # say nothing.  A file of Python finds `session` and `Session`.
"""

import functools
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from vmdbg.debugger.commands.registry import CommandError, Lines
from vmdbg.debugger.expressions import ExpressionError
from vmdbg.debugger.memory import ReadError
from vmdbg.debugger.past.history import HistoryError
from vmdbg.debugger.session import Session
from vmdbg.debugger.writing import WriteError
from vmdbg.monitor.guest import GuestError

OURS = (CommandError, ExpressionError, GuestError, HistoryError, ReadError, WriteError)  # their text is a sentence
LARGEST = 1 << 24  # bytes of a script


class ScriptError(Exception):
    """A line that cannot be done: 'FILE:LINE: what was expected'.  What stands before it has been done."""


@dataclass(frozen=True)
class ScriptLine:
    """A command, or a file of Python; `where` it was said."""

    where: str  # '--command', 'FILE:LINE', 'FILE'
    text: str  # the command; the source
    python: bool = False

    @property
    def name(self) -> str:
        """What an interface calls it."""
        return self.where if self.python else self.text


def command(text: str) -> list[ScriptLine]:
    return [ScriptLine("--command", text)]


def read_script(file: str) -> list[ScriptLine]:
    """A file of commands; ScriptError if it cannot be read."""
    lines = [(n, line.strip()) for n, line in enumerate(read(file).splitlines(), 1)]
    return [ScriptLine(f"{file}:{n}", line) for n, line in lines if line and not line.startswith("#")]


def read_python(file: str) -> list[ScriptLine]:
    """A file of Python; ScriptError if it cannot be read, or is none."""
    line = ScriptLine(file, read(file), python=True)
    compiled(line)
    return [line]


def read(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8") as f:
            text = f.read(LARGEST + 1)
    except (OSError, ValueError) as e:  # a UnicodeDecodeError is a ValueError
        raise ScriptError(f"{file[:80]}: {getattr(e, 'strerror', None) or 'not a text in UTF-8'}") from None
    if len(text) > LARGEST:
        raise ScriptError(f"{file}: more than {LARGEST >> 20} MiB are no script")
    return text


def compiled(line: ScriptLine):
    try:
        return compile(line.text, line.where, "exec")
    except SyntaxError as e:
        raise ScriptError(f"{line.where}:{e.lineno or 1}: {e.msg}") from None
    except ValueError as e:  # a NUL
        raise ScriptError(f"{line.where}: {e}") from None


def perform(session: Session, line: ScriptLine, out: TextIO | None = None) -> Lines:
    """Do one line; ScriptError says where and why it cannot be done.

    What Python prints goes to `out`; without one, it is the answer.  SystemExit is the script's own.
    """
    if line.python:
        return python(session, line, out)
    try:
        return session.execute(line.text)
    except CommandError as e:
        raise ScriptError(f"{line.where}: {e}") from None


def python(session: Session, line: ScriptLine, out: TextIO | None) -> Lines:
    said = io.StringIO() if out is None else out
    folder = str(Path(line.where).parent.resolve())
    if folder not in sys.path:  # it finds its neighbours, as under python
        sys.path.insert(0, folder)
    names = dict(__name__="__main__", __file__=line.where, session=session, Session=Session, print=functools.partial(print, file=said))
    try:
        exec(compiled(line), names)
    except Exception as e:
        what = str(e) if isinstance(e, OURS) else f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
        raise ScriptError(f"{line.where}:{line_of(e, line.where)}: {what}") from None
    return Lines(said.getvalue().splitlines() if isinstance(said, io.StringIO) else ())


def line_of(error: BaseException, file: str) -> int:
    """The last line of a file that an exception went through."""
    number, frame = 1, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == file:
            number = frame.tb_lineno
        frame = frame.tb_next
    return number
