"""Scripts without an interface: what commands answer on standard output, the guest's console on standard error; or all of it as JSON.

As JSON, every line done is one object on a line of its own: `command` (or `python`: the file) and `ok`; `lines` of text and their
`value` as data, which is null where there is none; `console`, what the guest said meanwhile; and `error` where `ok` is false.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from vmdbg.debugger.commands.registry import Lines
from vmdbg.debugger.plain import plain
from vmdbg.debugger.session import Session
from vmdbg.debugger.unattended.headless import LIMIT, USER_BREAK, breaks, complain, status
from vmdbg.debugger.unattended.script import ScriptError, ScriptLine, perform

FAILED = 2  # exit status of a line that cannot be done


class Said:
    """What a guest says on its console, as it is lived through: again, if that moment comes again."""

    def __init__(self, session: Session):
        self.transcript = session.monitor.transcript
        self.seen = self.transcript.said

    def news(self) -> bytes:
        """What came since the last call."""
        count, self.seen = self.transcript.said - self.seen, self.transcript.said
        return self.transcript.tail(count) if count > 0 else b""


def run_batch(
    session: Session, script: Iterable[ScriptLine], limit: int | None = None, input_file: Path | None = None, as_json: bool = False
) -> int:
    """Do all lines of a script, up to one that cannot be done; the exit status.

    That is FAILED if one cannot be done, that of `limit` instructions or of the user's break if they ended it, what a file of Python
    exits with; else that of the guest's end, if the session stands there after the last line, and 0 if it does not.  The guest
    reads `input_file`.
    """
    said = Said(session)
    session.ends_after = limit
    session.dialogue.type(b"" if input_file is None else input_file.read_bytes())
    if not as_json:
        session.between = lambda: tell(said.news())
    with breaks(session.interrupt):
        for line in script:
            found = USER_BREAK if session.interrupted else done(session, line, said, as_json)
            if found is not None:
                return found
    return status(session.stop) if session.stop.ended else 0


def done(session: Session, line: ScriptLine, said: Said, as_json: bool) -> int | None:
    """Do one line and say what there is to say; an exit status if it is the last."""
    before, answer = session.stop, Lines()
    error: str | None = None
    leave: int | None = None
    try:
        if line.python:
            with breaks(stop_python):
                answer = perform(session, line, None if as_json else sys.stdout)
        else:
            answer = perform(session, line)
    except ScriptError as e:
        error, leave = str(e), FAILED
    except SystemExit as e:
        leave = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
        error = e.code if isinstance(e.code, str) else None
    if as_json:
        name = {"python" if line.python else "command": line.name}
        outcome = {"ok": False, "error": error} if error else {"ok": True, "lines": answer, "value": plain(answer.value)}
        print(json.dumps({**name, **outcome, "console": said.news().decode(errors="replace")}), flush=True)
    else:
        tell(said.news())
        for each in answer:
            print(each)
        if sys.stdout is not None:
            sys.stdout.flush()
    if error is not None:
        complain(error)
    if leave is None and session.stop is not before:
        if session.stop.has("pause"):
            leave = USER_BREAK
        elif session.ends_after is not None and session.instructions >= session.ends_after and session.stop.has("limit"):
            complain(f"{session.stop.text}: {session.ends_after:,}")
            leave = LIMIT
    return leave


def stop_python() -> None:
    raise KeyboardInterrupt


def tell(text: bytes) -> None:
    """The guest's words."""
    if text and sys.stderr is not None:
        sys.stderr.write(text.decode(errors="replace").replace("\r\n", "\n"))
        sys.stderr.flush()
