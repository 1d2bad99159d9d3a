"""Judging a guest by a file of expectations (expectations.py)."""

import json
from collections.abc import Iterable, Iterator

from vmdbg.debugger.session import Session
from vmdbg.debugger.unattended.expectations import LIMIT, Count, Limit, Never, Statement, Stop, Wait
from vmdbg.debugger.unattended.expected_run import Run

HOLD, FAIL = 0, 1  # exit status


def judged(session: Session, statements: Iterable[Statement], keys: bytes, limit: int | None) -> Iterator[tuple[Statement, str | None]]:
    """Each statement with None if it holds, else with what was found: those in order as the run comes to them, then the others.

    `keys` are typed first; `limit`: instead of the file's.
    """
    statements = list(statements)
    if any(isinstance(s.kind, Wait) for s in statements):
        session.record()  # the place at which something has just been said is found by going back
    limits = [s.kind.number for s in statements if isinstance(s.kind, Limit)]
    run = Run(session, limit or min(limits, default=LIMIT))
    run.dialogue.type(keys)
    for s in statements:
        if isinstance(s.kind, (Never, Count)):
            s.kind.prepare(run)
    lost: Statement | None = None
    for s in statements:
        if s.in_order:
            found = s.kind.judge(run) if lost is None else f"not come to: line {lost.line} does not hold"
            if found is not None and isinstance(s.kind, (Stop, Wait)) and lost is None:
                lost = s
            yield s, found
    others = [s for s in statements if not s.in_order and not isinstance(s.kind, Limit)]
    if others:
        run.to_the_end()
    for s in others:
        yield s, s.kind.judge(run)


def check(session: Session, file: str, statements: Iterable[Statement], keys: bytes, limit: int | None, as_json: bool) -> int:
    """Judge, and say what does not hold on standard output, a line each: 'FILE:LINE: the statement: what was found'.

    As JSON, a line for every statement: line, statement, ok, and found where it does not hold.
    """
    outcomes = []
    for s, found in judged(session, statements, keys, limit):
        outcomes.append(found)
        if as_json:
            print(json.dumps(dict(line=s.line, statement=s.text, ok=found is None, found=found)), flush=True)
        elif found is not None:
            print(f"{file}:{s.line}: {s.text}: {found}", flush=True)
    failed = sum(found is not None for found in outcomes)
    if not as_json:
        print(f"{file}: {failed} of {len(outcomes)} do not hold" if failed else f"{file}: all {len(outcomes)} hold")
    return FAIL if failed else HOLD
