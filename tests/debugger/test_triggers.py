"""Breakpoints of every kind, set as a user sets them, on a few instructions of real mode."""

from types import SimpleNamespace

import numpy as np
import pytest

from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.scope import Scope
from vmdbg.debugger.session import Session
from vmdbg.debugger.triggers import MODES, Event, Mode, Ring
from vmdbg.machine.machine import Machine
from vmdbg.machine.watch import MODE_64, MODE_CPL, MODE_LONG, MODE_PAGING, MODE_PROTECTED

CODE = 0x7C00
PROGRAM = """
    ba f803  b0 41  ee          mov dx,3f8h; mov al,41h; out dx,al
    ba fd03  ec                 mov dx,3fdh; in al,dx
    e6 80                       out 80h,al
    66 b9 80 00 00 c0  66 31 c0 66 31 d2  0f 30     mov ecx,0c0000080h; xor eax,eax; xor edx,edx; wrmsr
    0f 20 c0                    mov eax,cr0
    bb 00 05  89 07  8b 0f      mov bx,500h; mov [bx],ax; mov cx,[bx]
    9c  9d                      pushf; popf
    cd 20                       int 20h
    f4                          hlt
"""


def interpreter(engine: str = "plain") -> Interpreter:
    code = b"".join(bytes.fromhex(hexadecimal(line)) for line in PROGRAM.strip().splitlines())
    m = Machine(1 << 20, engine=engine)
    m.ram[CODE : CODE + len(code)] = np.frombuffer(code, np.uint8)
    m.ram[0x80:0x84] = (0, 0x70, 0, 0)
    m.ram[0x7000] = 0xCF  # iret
    cpu = m.cpus[0]
    cpu.seg_base[1], cpu.seg_selector[1], cpu.rip = 0, 0, CODE
    cpu.gpr[4] = CODE
    return Interpreter(Session(SimpleNamespace(machine=m)))


def hexadecimal(line: str) -> str:
    """The bytes at the start of a line of PROGRAM."""
    words = []
    for word in line.split():
        if not all(c in "0123456789abcdef" for c in word) or len(word) % 2:
            break
        words.append(word)
    return "".join(words)


def run(*commands: str) -> list:
    """The stops of the program with these breakpoints."""
    i = interpreter()
    for c in commands:
        i.execute(c)
    found = []
    while not found or not found[-1].ended:
        found.append(i.session.run())
    return found[:-1]


STOPS = [
    ("bp io 0x3f8 w", ["output of 0x41, port 0x3f8, at 0x7c05"]),
    ("bp io 0x3f8-0x3ff", ["output of 0x41, port 0x3f8, at 0x7c05", "input, port 0x3fd, at 0x7c09"]),
    ("bp io 0x3f8-0x3ff r", ["input, port 0x3fd, at 0x7c09"]),
    ("bp io 0-0xffff if port == 0x80", ["output of 0xff, port 0x80, at 0x7c0a"]),
    ("bp io 0-0xffff w if value == 0x41", ["output of 0x41, port 0x3f8, at 0x7c05"]),
    ("bp io 0x3fd if value", ["port 0x3fd, at 0x7c09, whose condition fails: 'value' has no value at this stop"]),
    ("bp msr 0xc0000080", ["write of MSR 0xc0000080 with 0x0 at 0x7c18"]),
    ("bp msr 0xc0000080 r", []),
    ("bp cr 0 r", ["mov eax, cr0 at 0x7c1a"]),
    ("bp cr 0 w", []),
    ("bp cr 3", []),
    ("bp write 0x500", ["write of 2 bytes at 0x500 by the instruction at 0x7c20"]),
    ("watch 0x501 1", ["write of 2 bytes at 0x500 by the instruction at 0x7c20"]),
    ("rwatch 0x500", ["read of 2 bytes at 0x500 by the instruction at 0x7c22"]),
    ("awatch 0x500 physical", ["write of 2 bytes at physical 0x500", "read of 2 bytes at physical 0x500"]),
    ("watch 0x502", []),
    ("bp insn sensitive", ["pushf at 0x7c24", "popf at 0x7c25", "int 0x20 at 0x7c26", "iret at 0x7000"]),
    ("bp insn HLT", ["hlt at 0x7c28"]),
    ("bp hlt", ["hlt at 0x7c28"]),
    ("bp trap 0x20", ["trap 32"]),
    ("bp trap 0x20 software", ["trap 32"]),
    ("bp trap 0x20 hardware", []),
    ("bp physical 0x7c28", ["at physical 0x7c28"]),
    ("b 0x7c09 trace", []),
    ("bp ring", []),
]


@pytest.mark.parametrize("command, expected", STOPS)
def test_where_it_stops(command, expected):
    found = run(command)
    texts = [s.text for s in found]
    assert len(texts) == len(expected), texts
    for words in expected:
        assert any(words in t for t in texts), texts


def test_reasons_that_meet():
    stops = run("watch 0x500", "b 0x7c22", "bp insn MOV if 0")
    assert [[r.kind for r in s.reasons] for s in stops] == [["watch", "break"]]


def test_tracing_goes_on():
    i = interpreter()
    i.execute("bp io 0-0xffff trace")
    assert i.session.run().ended
    assert [(n, words.split(",")[1]) for _, n, words in i.session.traced] == [(1, " port 0x3f8"), (1, " port 0x3fd"), (1, " port 0x80")]


def test_a_condition_that_is_false_loses_no_neighbour():
    assert [s.reasons[0].breakpoint for s in run("watch 0x500 if 0", "b 0x7c22")] == [2]


def event(before: int, after: int) -> Event:
    e = Event.__new__(Event)
    e.kind, e.found = "mode", SimpleNamespace(before=before, after=after)
    return e


def said(trigger, e: Event) -> str | None:
    return trigger.words(e) if trigger.match(e) else None


def test_rings_and_modes():
    assert said(Ring(3, 0), event(3, 0)) == "ring 3->0"
    assert Ring(None, 0).match(event(3, 0)) and Ring().match(event(0, 3)) and not Ring(0, 3).match(event(3, 0))
    assert not Ring().match(event(MODE_PAGING, 0)) and MODE_CPL == 3
    long = MODE_PROTECTED | MODE_PAGING | MODE_LONG
    assert said(Mode("long"), event(MODE_PROTECTED, long)) == "mode long"
    assert Mode("compatibility").match(event(MODE_PROTECTED, long)) and not Mode("64").match(event(MODE_PROTECTED, long))
    assert Mode("64").match(event(long, long | MODE_64)) and said(Mode("long", False), event(long, MODE_PROTECTED)) == "mode long off"
    assert MODES["real"](0) and MODES["protected"](MODE_PROTECTED) and not MODES["protected"](long)


def test_limits():
    """The address space is CR3's root alone: neither its PCID nor its cache bits; the vCPU is the one that stopped."""
    m = Machine(1 << 20, cpus=2, engine="plain")
    s = Session(SimpleNamespace(machine=m))
    m.cpus[1].cr3, m.cpus[1].cpl = 0x1018, 3
    for scope, first, second in [
        (Scope(), True, True),
        (Scope(cpu=1), False, True),
        (Scope(ring=0), True, False),
        (Scope(ring=3, cr3=0x1000), False, True),
        (Scope(cr3=1 << 63 | 0x1001), False, True),
        (Scope(cr3=0x2000, cpu=1), False, False),
    ]:
        s.cpu_index = 0
        assert scope.holds(s) == first
        s.cpu_index = 1
        assert scope.holds(s) == second, scope
    assert Interpreter(s).execute("b 0x500 on cpu 1 in cr3 cr3")[0].endswith("in cr3 0x1018 on cpu 1")
