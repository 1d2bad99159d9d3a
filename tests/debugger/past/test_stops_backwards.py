"""Every kind of breakpoint stops at the same places forwards, backwards, and where single steps of the same run say."""

from pathlib import Path

import pytest

from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.past.reverse_finish import reverse_finish
from vmdbg.debugger.session import Session
from vmdbg.debugger.symbols import read_symbols
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import RSP
from vmdbg.machine.watch import MODE_CPL, mode_word
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

MEMORY, LAST = 16 << 20, 20_000


def dual_mode() -> Session:
    machine = Machine(MEMORY)
    image = Path("guests/dual_mode/dual_mode.elf")
    session = Session(Bare(machine, load_guest(image, Options(memory=MEMORY))), read_symbols(image))
    session.record()
    return session


COMMANDS = (
    "bp ring 3->0",
    "bp ring ->3",
    "bp mode paging",
    "bp io 0x20-0x21 w",
    "bp insn iret",
    "bp insn sensitive",
    "bp trap 14 if cr2 < 0x9000000",
    "bp cr 3 w",
    "watch 0x1014e8 16",
    "bp io 0x3f8 w if value == 0x65",
    "bp exit CR_ACCESS",
    "bp execute start_a 16 in ring 3 on cpu 0",
    "bp trap 0x80 in cr3 cr3_of_a",
    "b dual_mode.asm:478",
    "bp trap 14 in ring 3",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_forwards_and_backwards(command):
    s = dual_mode()
    if "cr3_of_a" in command:  # the address space of the first page fault
        s.run(traps={14})
        command = command.replace("cr3_of_a", hex(s.registers.cr3))
        s.goto(0)
    Interpreter(s).execute(command)
    forwards = []
    while not (stop := s.run(limit=LAST)).ended and s.position < LAST and not stop.has("limit") and not stop.has("idle"):
        forwards.append((s.position, stop.text))
    assert forwards, "the breakpoint was never met"
    backwards = []
    while not (stop := s.reverse_run()).has("beginning"):
        backwards.append((s.position, stop.text))
    assert backwards[::-1] == forwards


def test_limits_are_what_they_say():
    """A breakpoint of any kind in a ring, an address space, on a vCPU: the stops of the one without that are there."""
    for kind in ("bp trap 0-255", "bp io 0x3f8 w", "bp insn sensitive", "bp ring", "watch 0x1014e8 16", "bp exit"):
        s, everywhere, limited = dual_mode(), [], []
        Interpreter(s).execute(kind)
        while s.run(limit=LAST).has("limit") is False and s.position < LAST and not s.stop.ended and not s.stop.has("idle"):
            everywhere.append((s.position, int(s.cpu.cpl), s.registers.cr3))
        for ring in (0, 3):
            for root in {cr3 for _, _, cr3 in everywhere}:
                s = dual_mode()
                Interpreter(s).execute(f"{kind} in ring {ring} in cr3 {root:#x} + 0x18 on cpu 0")
                while s.run(limit=LAST).has("limit") is False and s.position < LAST and not s.stop.ended and not s.stop.has("idle"):
                    limited.append((s.position, ring, root))
        assert sorted(limited) == everywhere and everywhere, kind


def test_single_steps_agree():
    s, log = dual_mode(), []
    seen = int(mode_word(s.cpu)) & MODE_CPL
    while s.position < LAST and not s.step().ended:
        now = int(mode_word(s.cpu)) & MODE_CPL
        if (seen, now) == (3, 0):
            log.append(s.position)
        seen = now
        if s.stop.has("idle"):
            break
    last = s.position
    s = dual_mode()
    Interpreter(s).execute("bp ring 3->0")
    found = []
    while s.run().has("mode") and s.position <= last:
        found.append(s.position)
    assert found == log and found


def test_back_to_the_call():
    """From anywhere in a function: where it was entered, as a log of calls, returns and traps with their stack says."""
    s, open_calls, places = dual_mode(), [], []
    s.run(limit=5_000)
    start = s.position
    for _ in range(4_000):
        position, stack, decoded = s.position, int(s.cpu.gpr[RSP]), s.listing.decode(s.rip)
        events = int(s.cpu.events)
        s.step()
        while open_calls and int(s.cpu.gpr[RSP]) >= open_calls[-1][1]:
            open_calls.pop()  # returned
        entered = int(s.cpu.events) != events or (decoded is not None and decoded.mnemonic in ("CALL", "INT"))
        if entered and int(s.cpu.gpr[RSP]) < stack:
            open_calls.append((position, stack))
        if open_calls and not s.position % 97:
            places.append((s.position, open_calls[-1][0]))
    assert len(places) > 10 and len({entry for _, entry in places}) > 3 and places[0][0] > start
    for position, entry in places:
        s.goto(position)
        assert reverse_finish(s).position == entry == s.position


def test_counts_count_backwards():
    """A breakpoint that stops from its third hit on stops at the third one back, and at each after that."""
    s = dual_mode()
    commands = Interpreter(s)
    commands.execute("bp trap 0-255")
    there = []
    while s.run(limit=LAST).has("trap"):
        there.append(s.position)
    s.breakpoints.table.clear()
    commands.execute("bp trap 0-255 count 3")
    assert s.reverse_run().position == there[-3]
    s.breakpoints.table.clear()
    commands.execute("bp trap 14 count 100")
    assert s.reverse_run().has("beginning")
