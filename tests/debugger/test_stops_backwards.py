"""Every kind of breakpoint stops at the same places forwards, backwards, and where single steps of the same run say."""

from pathlib import Path

import pytest

from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.session import Session
from vmdbg.machine.machine import Machine
from vmdbg.machine.watch import MODE_CPL, mode_word
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

MEMORY, LAST = 16 << 20, 20_000


def dual_mode() -> Session:
    machine = Machine(MEMORY)
    session = Session(Bare(machine, load_guest(Path("guests/dual_mode/dual_mode.elf"), Options(memory=MEMORY))))
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
)


@pytest.mark.parametrize("command", COMMANDS)
def test_forwards_and_backwards(command):
    s = dual_mode()
    Interpreter(s).execute(command)
    forwards = []
    while not (stop := s.run(limit=LAST)).ended and s.position < LAST and not stop.has("limit") and not stop.has("idle"):
        forwards.append((s.position, stop.text))
    assert forwards, "the breakpoint was never met"
    backwards = []
    while not (stop := s.reverse_run()).has("beginning"):
        backwards.append((s.position, stop.text))
    assert backwards[::-1] == forwards


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
