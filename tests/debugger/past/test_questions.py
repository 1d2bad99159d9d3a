"""Questions about the past: the answers are what a log of the same run, taken step by step, says; the machine stays where it is."""

import random

import pytest

from tests.debugger.past.test_history import digest, echo, often, session  # noqa: F401
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.expressions import parse
from vmdbg.debugger.memory_triggers import Memory
from vmdbg.debugger.past import questions, register_questions
from vmdbg.debugger.past.backwards import Cancelled
from vmdbg.debugger.registers import read
from vmdbg.debugger.triggers import Address, Mode, Port, Ring, Trap

END = 12_000  # steps of dual_mode: both tasks run, and have trapped


@pytest.fixture(scope="module")
def log() -> list[dict[str, int]]:
    """dual_mode at each position: where it is, and some of what it holds."""
    s, found = session("dual_mode"), []
    names = "eax ecx edx ebx esp ebp esi edi cr0 cr3 zf cpl fs".split()
    while True:
        value = s.machine.read_physical(0x104404, 4)
        found.append({n: read(s.cpu, n) for n in names} | dict(rip=s.rip, position=s.position, entry=int.from_bytes(value, "little")))
        if s.position == END:
            return found
        s.machine.run(1)


def there(cpus: int = 1):
    s = session("dual_mode", cpus=cpus)
    while s.position < END:
        s.step(min(1000, END - s.position))
    return s


def stops_of(triggers) -> list[int]:
    """The positions at which breakpoints stop on the way there."""
    s, found = session("dual_mode"), []
    for t in triggers:
        s.break_on(t)
    while True:
        stop = s.step(END - s.position)
        if stop.has("step") and len(stop.reasons) == 1:
            return found
        found.append(s.position)
        if s.position >= END:
            return found


def test_who_wrote_memory_threaded():
    """The last of the writes at which a watchpoint stops on the way there: by instructions, page walks and stacks of traps."""
    r, s = random.Random(3), there()
    before, esp = digest(s), read(s.cpu, "esp")
    for at in (0x104404, esp - 8, esp + 4, 0xB8000, r.randrange(0x101000, 0x101500) & ~3):
        written = stops_of([Memory(at, at + 3, "w", physical=True)])
        answer = questions.last_write(s, [(at, at + 3)])
        late = 0 if answer is None or "page walk" not in answer.text else 20  # breakpoints stop at the end of the block then
        assert (answer is None) == (not written), hex(at)
        assert answer is None or written[-1] - late <= answer.position + 1 <= written[-1], hex(at)
        assert digest(s) == before and s.position == END


@pytest.mark.parametrize("name", "eax ebx esp cr0 cr3 zf fs".split())
def test_who_wrote_a_register_threaded(log, name):
    """Not before the last step that changed it; and the instruction there is one that writes it."""
    s = there()
    before = digest(s)
    answer = register_questions.last_register_write(s, name)
    changed = max(p for p in range(END) if log[p][name] != log[p + 1][name])
    assert answer is not None and changed <= answer.position < END and digest(s) == before
    if answer.position != changed:
        s.goto(answer.position)
        written = s.listing.decode(s.rip).writes
        assert any(w == name or w.startswith("flag:") or w[-2:] == name[-2:] for w in written) or "delivery" in answer.text


@pytest.mark.parametrize(
    "text", ["eax == 1", "esp < 0x101400", "zf == 1 && ecx > 3", "cpl == 3", "u32(0x104404) != 0", "u32(0x104404) & 0x20"]
)
def test_when_it_became_true_threaded(log, text):
    s = there()
    before = digest(s)
    answer = register_questions.became_true(s, parse(text))

    def holds(entry) -> bool:
        value = entry["entry"]
        python = text.replace("u32(0x104404)", str(value)).replace("&&", "and")
        return bool(eval(python, {}, dict(entry)))

    turned = [p for p in range(END) if holds(log[p + 1]) and not holds(log[p])]
    assert (None if answer is None else answer.position) == (turned[-1] if turned else None)
    assert digest(s) == before


def test_the_last_execution_threaded(log):
    s, r = there(), random.Random(4)
    for rip in (log[END]["rip"], log[0]["rip"], *(log[r.randrange(END)]["rip"] for _ in range(4)), 0x123):
        answer = questions.last_execution(s, rip)
        times = [p for p in range(END) if log[p]["rip"] == rip]
        assert (None if answer is None else answer.position) == (times[-1] if times else None)


@pytest.mark.parametrize(
    "kind, triggers, after",
    [
        ("traps", [Trap(range(256))], 0),
        ("io", [Port(range(0x10000), "rw")], 0),
        ("modes", [Ring(), Mode("paging"), Mode("protected")], 1),
    ],
)
def test_lists_threaded(kind, triggers, after):
    """Every place at which breakpoints stop, in order; any stretch of it is a part of the whole."""
    s = there()
    before, commands = digest(s), Interpreter(s)

    def positions(lines) -> list[int]:
        return [int(line.split(":")[0].replace(",", "")) for line in lines]

    expected = sorted({p - after for p in stops_of(triggers)} - {END})
    assert positions(commands.execute(f"list {kind}")) == expected and len(expected) > 2
    first, last = expected[1], expected[-1]
    assert positions(commands.execute(f"list {kind} {first} {last}")) == expected[1:-1]
    assert digest(s) == before and s.position == END


def test_what_the_user_wrote_is_an_answer(tmp_path):
    s = echo(tmp_path)
    s.step(50)
    s.write_memory(0x8800, b"abcd")
    s.write_register("rbp", 7)
    s.step(50)
    commands = Interpreter(s)
    assert commands.execute("who 0x8802 2 physical") == ["50: written by the user  (seek 50)"]
    assert commands.execute("who ebp") == ["50: written by the user  (seek 50)"]
    assert commands.execute("who gdtr") == ["not in what is recorded before here"]
    assert commands.execute("who r15") == ["not in what is recorded before here"]


def test_a_question_can_be_cancelled_threaded():
    """It ends soon, says so, and the machine is where it was."""
    s = there()
    before, heard = digest(s), []

    def progress(part: float) -> None:
        heard.append(part)
        s.interrupt()

    s.progress = progress
    assert Interpreter(s).execute("last 0x123") == ["cancelled"]
    assert digest(s) == before and heard and all(0 <= part <= 1 for part in heard)
    with pytest.raises(Cancelled):
        register_questions.became_true(s, parse("eax == 0x12345"))
    assert digest(s) == before


def test_breakpoints_have_no_part_in_it_threaded():
    s = there()
    b = s.break_on(Address(s.rip))
    Interpreter(s).execute("list traps")
    assert b.hits == 0 and s.position == END and s.stop.has("step")


@pytest.mark.parametrize(
    "line",
    [
        "who",
        "who 0x10 0",
        "who 0x10000000",
        "who pte",
        "who foo",
        "when",
        "when foo",
        "last",
        "list io 1",
        "who 0x100000000 8 physical",
    ],
)
def test_what_cannot_be_asked(line):
    s = session("dual_mode", engine="plain")
    s.step(10)
    with pytest.raises(CommandError):
        Interpreter(s).execute(line)
    assert s.position == 10
