"""Who is to blame: back from a triple fault to the instruction that raised its first event, or to the one that last wrote what
stood in the way of a delivery."""

from vmdbg.debugger.causes import Autopsy
from vmdbg.debugger.delivery import Broken
from vmdbg.debugger.past import backwards
from vmdbg.debugger.past.history import HistoryError
from vmdbg.debugger.past.questions import last_write, physical_pieces
from vmdbg.debugger.stop import Reason, Stop


def before_fault(session, found: Autopsy) -> Stop:
    """Before the instruction that raised the first event: the CPU has not shut down yet; HistoryError if that is not recorded."""
    history, position = backwards.history_of(session), found.position
    session.begin_journey()
    if position > history.first:
        history.go(position - 1)
        history.forward(position)  # a checkpoint of this position may be of the CPU that has shut down
    else:
        history.restore(history.line.saved[0])
    return session.arrived(Stop(position, (Reason("goto", "before the instruction that ends in the triple fault"),)))


def before_write(session, found: Autopsy, broken: Broken) -> Stop:
    """Before the last instruction that wrote what decided a rule; HistoryError if none of what is recorded did."""
    if broken.at is None:
        raise HistoryError("no memory decided this: a register of the CPU did")
    before_fault(session, found)
    pieces = [(broken.at, broken.at + broken.size - 1)]
    answer = last_write(session, pieces if broken.physical else physical_pieces(session, broken.at, broken.size))
    if answer is None:
        raise HistoryError(f"nothing that is recorded wrote {place(broken)}: it was so from the beginning")
    return backwards.travel(session, answer.position, f"before the last write to {place(broken)}")


def place(broken: Broken) -> str:
    """'2 bytes at 0x101002'."""
    words = f"{broken.size} byte{'' if broken.size == 1 else 's'}"
    return f"{words} at {'physical ' if broken.physical else ''}{broken.at:#x}"
