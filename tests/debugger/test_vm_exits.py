"""VM exits of the bare machine: which instructions would leave to a monitor, where they stop, and that all of it works backwards."""

from types import SimpleNamespace

import numpy as np
import pytest

import guests
import isa
from isa import exits
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.session import Session
from vmdbg.debugger.triggers import Event
from vmdbg.debugger.vm_exits import BY_NUMBER, exit_of, forms_leaving, names, reason_named
from vmdbg.machine.machine import Machine
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

CODE = 0x7C00
PROGRAM = """
    31 c0                       xor ax,ax
    0f a2                       cpuid
    0f 31                       rdtsc
    66 b9 1b 00 00 00  0f 32    mov ecx,1bh; rdmsr
    0f 20 c0                    mov eax,cr0
    0f 22 c0                    mov cr0,eax
    0f 20 d8                    mov eax,cr3
    0f 06                       clts
    0f 01 e0                    smsw ax
    0f 01 3f                    invlpg [bx]
    0f 21 c0                    mov eax,dr0
    e6 80                       out 80h,al
    b9 00 00  f3 6e             mov cx,0; rep outsb
    f3 90                       pause
    0f 09                       wbinvd
    f4                          hlt
"""
BY_ITSELF = ["cpuid", "rdmsr", "mov cr0, eax", "mov eax, cr3", "clts", "invlpg", "mov eax, dr0", "out 0x80, al", "wbinvd", "hlt"]


def interpreter() -> Interpreter:
    code = b""
    for line in PROGRAM.strip().splitlines():
        for word in line.split():
            if len(word) != 2 or not all(c in "0123456789abcdef" for c in word):
                break
            code += bytes.fromhex(word)
    m = Machine(1 << 20, engine="plain")
    m.ram[CODE : CODE + len(code)] = np.frombuffer(code, np.uint8)
    cpu = m.cpus[0]
    cpu.seg_base[1], cpu.seg_selector[1], cpu.rip = 0, 0, CODE
    return Interpreter(Session(SimpleNamespace(machine=m)))


def stops(*commands: str) -> list:
    i = interpreter()
    for c in commands:
        i.execute(c)
    found = []
    while not found or not found[-1].ended:
        found.append(i.session.run())
    return found[:-1]


STOPS = [
    ("bp exit", BY_ITSELF),
    ("bp exit CPUID", ["cpuid"]),
    ("bp exit 10", ["cpuid"]),
    ("bp exit rdtsc", ["rdtsc"]),
    ("bp exit I/O instruction", ["out 0x80, al"]),
    ('bp exit "i/o  instruction"', ["out 0x80, al"]),
    ("bp exit IO", ["out 0x80, al"]),
    ("bp exit control-register access", ["mov cr0, eax", "mov eax, cr3", "clts"]),
    ("bp exit pause", ["pause"]),
    ("bp exit vmcall", []),
    ("bp exit if exit_reason == 30 && port == 0x80", ["out 0x80, al"]),
    ("bp exit if exit_reason == 12", ["hlt"]),
    ("bp exit in ring 3", []),
    ("bp exit cpuid in ring 0 on cpu 0", ["cpuid"]),
    ("vmexitbp HLT", ["hlt"]),
]


@pytest.mark.parametrize("command, expected", STOPS)
def test_where_it_stops(command, expected):
    found = stops(command)
    assert [s.text.split(": ", 1)[1].split(" at ")[0].split(" [")[0].split(" byte")[0] for s in found] == expected
    for s in found:
        number = s.facts["exit_reason"]
        assert f"VM exit {number} {BY_NUMBER[number].name}: " in s.text


WORDS = {"10": 10, "0x1e": 30, "hlt": 12, "HLT": 12, "mov dr": 29, "MOV_DR": 29, "1": None, "x": None, "0xz": None}


def test_words():
    assert {text: reason_named(text) for text in WORDS} == WORDS
    assert names()[0] == "task switch" and set(BY_NUMBER) >= {10, 12, 28, 30, 31, 32}
    with pytest.raises(CommandError, match=r"expected the number or the name of a VM exit .*CPUID.*, not 'frob'"):
        interpreter().execute("bp exit frob")
    with pytest.raises(CommandError, match="stops always"):
        interpreter().execute("bp triple")


def test_every_reason_has_instructions():
    assert all(forms_leaving(n) for n in BY_NUMBER) and forms_leaving(exits.HLT.number) < forms_leaving(None)
    assert not forms_leaving(None) & forms_leaving(exits.RDTSC.number)


# ---- privilege and tasks: what faults does not leave

GDT, TSS = 0x1000, 0x2000


def protected(cpl: int, iopl: int = 0, nt: bool = False, bitmap: bytes = b"\xff" * 64):
    """A vCPU in 32-bit protected mode with a TSS; only what the questions are about is set."""
    ram = np.zeros(1 << 16, np.uint8)
    ram[GDT + 8 : GDT + 16] = (0x67, 0, 0, 0x20, 0, 0x89, 0, 0)  # 8: a TSS
    ram[GDT + 16 : GDT + 24] = (0xFF, 0xFF, 0, 0, 0, 0x9A, 0xCF, 0)  # 10h: code
    ram[TSS + 0x66] = 0x68
    ram[TSS + 0x68 : TSS + 0x68 + len(bitmap)] = tuple(bitmap)
    m = Machine(1 << 20, engine="plain")
    m.ram[: len(ram)] = ram
    cpu = m.cpus[0]
    cpu.cr0, cpu.cpl, cpu.bits, cpu.gdtr_base, cpu.gdtr_limit = 0x11, cpl, 32, GDT, 0xFF
    cpu.seg_base[7], cpu.seg_limit[7], cpu.eflags = TSS, 0x68 + len(bitmap), 2 | iopl << 12 | nt << 14
    for n in range(6):
        cpu.seg_base[n], cpu.seg_limit[n] = 0, 0xFFFFFFFF
    cpu.rip = 0x4000
    return m


def leaves(m, code: str) -> int | None:
    data = bytes.fromhex(code)
    m.ram[0x4000 : 0x4000 + len(data)] = np.frombuffer(data, np.uint8)
    s = Session(SimpleNamespace(machine=m))
    assert isa.decode(data, bits=32) is not None
    found = exit_of(Event(s, None, "break"))
    return None if found is None else found.number


def test_privilege_comes_first():
    """SDM vol. 3, 26.1.1: what CPL, IOPL or the I/O permission bitmap refuses is a fault."""
    table = [
        ("f4", 0, {}, 12),
        ("f4", 3, {}, None),
        ("0fa2", 3, {}, 10),
        ("0f32", 3, {}, None),
        ("e680", 0, {}, 30),
        ("e680", 3, {}, None),
        ("e680", 3, dict(iopl=3), 30),
        ("66bae803ec", 3, {}, None),
        ("0f22d8", 3, {}, None),
        ("0f22d0", 0, {}, None),  # CR2 is nobody's
        ("0f31", 3, {}, 16),
        ("0f01c1", 3, {}, 18),
    ]
    for code, cpl, more, expected in table:
        assert leaves(protected(cpl, **more), code) == expected, (code, cpl, more)
    m = protected(3, bitmap=bytes(16) + b"\xfe" + b"\xff" * 15)
    assert leaves(m, "e680") == 30 and leaves(m, "e681") is None and leaves(m, "e780") is None


def test_task_switches():
    """A far call or jump leaves if its selector is a task's, IRET if NT says so."""
    assert leaves(protected(0), "ea000000000800") == leaves(protected(0), "9a000000000800") == 9
    assert leaves(protected(0), "ea000000001000") is None
    assert leaves(protected(0), "cf") is None and leaves(protected(0, nt=True), "cf") == 9
    m = protected(0)
    m.ram[0x5004] = 8
    assert leaves(m, "ff2d00500000") == 9
    m.ram[0x5004] = 0x10
    assert leaves(m, "ff2d00500000") is None


# ---- a real kernel, forwards and backwards


def test_exit_and_back():
    """`exit` goes from one to the next as a breakpoint does, `reverse-exit` the same way back."""
    i = Interpreter(open_bare(load_guest(guests.shipped()["hello16"], Options()), history=64 << 20))
    s, places = i.session, []
    while len(places) < 8:
        i.execute("exit")
        places.append((s.position, s.stop.text))
    assert all("VM exit" in text for _, text in places) and len({p for p, _ in places}) == 8
    assert not s.also and not len(s.breakpoints)
    back = []
    while not s.stop.has("beginning"):
        i.execute("reverse-exit")
        back.append((s.position, s.stop.text))
    assert back[:-1] == places[-2::-1]


def test_exit_takes_nothing():
    with pytest.raises(CommandError, match="bp exit REASON"):
        interpreter().execute("exit 3")
