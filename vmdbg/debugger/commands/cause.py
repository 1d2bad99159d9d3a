"""The command that goes from a triple fault to its cause."""

from vmdbg.debugger.commands.past import journey
from vmdbg.debugger.commands.registry import CommandError, command, count_of
from vmdbg.debugger.past.culprit import before_fault, before_write


@command(
    "cause", "cause [N]", "after a triple fault: back to the instruction that raised it; cause N: to what last wrote the cause of rule N"
)
def cause(interpreter, text):
    session = interpreter.session
    found = session.autopsy
    if found is None:
        raise CommandError("there was no triple fault")
    if not text.strip():
        return journey(interpreter, before_fault, session, found)
    number, rules = count_of(text, "the number of a rule"), found.causes()
    if number > len(rules):
        raise CommandError(f"expected the number of a broken rule, 1 to {len(rules)}, not {number}" if rules else "no rule was broken")
    return journey(interpreter, before_write, session, found, rules[number - 1])
