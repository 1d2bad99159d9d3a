"""Real guests under a session: dialogues, the same on every engine."""

from pathlib import Path

import pytest

import guests
from vmdbg.debugger.causes import triple_fault
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.expressions import parse
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.screens.snapshot import Taker
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

ENGINES = ["plain", "threaded"]
SAID = """\
kernel: ring 0, paging on, two tasks
A: hello from ring 3, through int 0x80
B: hello from ring 3 too
kernel: first touch of 0804ffec: here is a frame
A: popf did not turn interrupts off
kernel: cli in ring 3 at 08048085: not for you
B: cli did not turn interrupts off either
kernel: first touch of 0804a000: here is a frame
A: my heap has a page now
kernel: the timer takes the CPU from A
kernel: first touch of 0804a000: here is a frame
kernel: the timer takes the CPU from B
kernel: killed task A, vector 0000000e at 08048066, cr2 deadb000
B: counted to 4000, bye
kernel: nobody left to run
"""


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def opened(name: str, engine: str):
    return open_bare(load_guest(guests.shipped()[name], Options()), engine=engine)


def flat(tmp_path: Path, code: bytes, engine: str, **options):
    path = tmp_path / "flat.bin"
    path.write_bytes(code)
    return open_bare(load_guest(path, Options(**options)), engine=engine)


def kinds(stop):
    return [r.kind for r in stop.reasons]


def test_hello16(engine):
    """It says hello on the serial port and on the screen, and is idle."""
    s = opened("hello16", engine)
    assert kinds(s.run(limit=100_000)) == ["idle"]
    assert bytes(s.monitor.log) == b"Hello from real mode: 16 bits, one ring, no walls.\r\n"
    assert s.monitor.vga.screen(s.machine.ram).text[0].startswith("Hello from real mode: 16 bits, one ring, no walls.  ")
    assert s.position == 1046


def test_dual_mode_says_what_it_says_under_qemu(engine):
    s = opened("dual_mode", engine)
    assert kinds(s.run(limit=1_000_000)) == ["idle"]
    assert bytes(s.monitor.log).decode() == SAID
    screen = s.monitor.vga.screen(s.machine.ram).text
    assert [line.rstrip() for line in screen if line.strip()] == SAID.splitlines()


def test_deliveries_are_counted_by_vector(engine):
    """Exceptions, interrupts and INT n; the last are instructions, not events."""
    s = opened("dual_mode", engine)
    s.run(limit=1_000_000)
    counted = {v: int(s.cpu.deliveries[v]) for v in range(256) if int(s.cpu.deliveries[v])}
    assert counted == {13: 1, 14: 4, 0x20: 2, 0x80: 11}
    assert int(s.cpu.events) == 7


def test_a_run_is_the_same_in_any_slices(engine):
    """Position, registers and memory do not depend on how often somebody looked."""
    whole, sliced = opened("dual_mode", engine), opened("dual_mode", engine)
    whole.run(limit=15_000)
    for n in (1, 7, 100, 1000, 4000, 2, 9890):
        sliced.run(limit=n)
    for _ in range(3):
        whole.step(), sliced.step()
    assert whole.position == sliced.position
    assert [int(r) for r in (whole.cpu.gpr[n] for n in range(16))] == [int(sliced.cpu.gpr[n]) for n in range(16)]
    assert (whole.machine.ram == sliced.machine.ram).all()


def test_the_lesson_of_dual_mode(engine):
    """Into ring 3, out through the gate, a page fault from both sides, a privileged instruction, a sensitive one."""
    s = opened("dual_mode", engine)
    i = Interpreter(s)
    i.execute("tb start_a")
    assert "start_a" in i.execute("c")[0]
    assert (int(s.cpu.cpl), i.value("cs"), len(s.breakpoints)) == (3, 0x1B, 0)

    s.run(until={s.symbols.address("trap_80")})
    assert int(s.cpu.cpl) == 0
    assert i.value("[esp+4]") == 0x1B  # cs of ring 3 on the new stack

    i.execute("bp trap PF if address == 0x804ffec")
    stop = s.run()
    assert (stop.vector, stop.error_code, stop.address) == (14, 6, 0x0804FFEC)
    assert "not present" in i.execute("info page 0x0804ffec")[-1]
    before = s.rip
    assert kinds(s.run(until={before})) == ["step"]  # the kernel returns to the same instruction
    assert "user" in i.execute("info page 0x0804ffec")[-2]

    i.execute("delete")
    i.execute("bp trap GP")
    stop = s.run()
    assert str(s.listing.decode(s.rip)) == "cli"
    assert stop.vector == 13


def test_the_timer_takes_the_cpu_from_a_task_that_does_not_yield(engine):
    s = opened("dual_mode", engine)
    s.break_trap(range(0x20, 0x21))
    stop = s.run()
    assert (stop.vector, int(s.cpu.cpl)) == (0x20, 3)
    assert "start_a.count" in s.symbols.near(s.rip)


LONG_SAID = """\
kernel: long mode, tables of our own, the high half
user: hello from ring 3, through syscall
kernel: first touch of the heap: here is a frame
user: my heap has a page now
user: a call that goes deep
kernel: #DF, told from stack ffffffff801147a0
kernel: the stack that had run out was ffffffff80115f70, in the guard page
"""


def test_long64_says_what_it_does(engine):
    s = opened("long64", engine)
    assert kinds(s.run(limit=100_000)) == ["idle"]
    assert bytes(s.monitor.log).decode() == LONG_SAID


def test_the_lesson_of_long64(engine):
    """Own page tables, into ring 3 by SYSRET, out by SYSCALL on the user's stack, #PF on rsp0, #DF on IST 1."""
    s = opened("long64", engine)
    i = Interpreter(s)
    identity = int(s.cpu.cr3)
    s.run(until={s.symbols.address("kernel")})
    assert int(s.cpu.cr3) != identity
    s.run(until={s.symbols.address("user")})
    assert (int(s.cpu.cpl), i.value("cs"), i.value("ss")) == (3, 0x2B, 0x23)
    assert "not present" in i.execute("info page 0x100000")[-1]
    s.run(until={s.symbols.address("system_call")})
    assert int(s.cpu.cpl) == 0
    assert i.value("rsp") == 0x800000  # the user's
    assert not i.value("if")
    s.break_trap(range(14, 15))
    stop = s.run()
    assert (stop.address, int(s.cpu.cpl)) == (0x600000, 3)
    s.step()
    assert i.value("rsp") == s.symbols.address("stack_top") - 48
    stop = s.run()
    assert int(s.cpu.cpl) == 0
    assert s.symbols.near(s.rip).startswith("deep")
    s.step()
    assert s.symbols.near(s.rip) == "trap_8"
    assert i.value("rsp") == s.symbols.address("last_stack") - 48
    assert "ist 1" in i.execute("info idt 8")[-1]


def test_triple_says_why(engine):
    """The first exception cannot be delivered: the autopsy names the gate and the selector."""
    s = opened("triple", engine)
    stop = s.run(limit=100_000)
    assert kinds(stop) == ["shutdown"]
    assert str(s.listing.decode(s.rip)) == "div ecx"
    chain = triple_fault(s)
    assert "0 #DE" in chain[0] and "average" in chain[0]
    assert "gate 0 leads to selector 0x0010, which is no code segment" in chain[1]
    assert "gate 8 leads to selector 0x0010" in chain[3]


def test_a_software_interrupt_is_a_trap(engine):
    """t stops before int 0x80 is delivered; the next step delivers it."""
    s = opened("dual_mode", engine)
    s.run(until={s.symbols.address("start_a")})
    stop = s.next_trap()
    assert (stop.vector, int(s.cpu.cpl)) == (0x80, 3)
    s.step()
    assert int(s.cpu.cpl) == 0


def test_a_trap_is_found_wherever_the_run_began(engine):
    """Some instructions before it, or right at it; and it is delivered when the run goes on."""
    s = opened("dual_mode", engine)
    s.run(until={s.symbols.address("start_a")})
    assert s.next_trap().vector == 0x80
    s.break_trap(range(14, 15), once=True)
    stop = s.run()
    assert (stop.vector, str(s.listing.decode(s.rip))) == (14, "pushfd")
    assert kinds(s.step()) == ["step"]
    assert int(s.cpu.cpl) == 0
    assert s.next_trap().vector == 0x80  # the system call behind popf
    s.break_trap(range(13, 14))
    assert s.run().vector == 13


def test_sensitive_and_privileged_instructions_are_marked(engine):
    """popf is sensitive and does not trap, cli needs a privilege, mov is neither."""
    s = opened("dual_mode", engine)
    s.run(until={s.symbols.address("start_a")})
    notes = {line.text.split()[0]: line.note for line in s.listing.from_address(s.rip, 60)}
    assert notes["popfd"] == "sensitive, no trap"
    assert notes["cli"].startswith("needs CPL")
    assert notes["mov"] == ""


def test_conditions_on_registers_and_memory(engine):
    s = opened("dual_mode", engine)
    address = s.symbols.address("put")
    s.break_at(address, condition=parse("al == 0x42 && cpl == 0"))  # 'B'
    s.run()
    assert (s.rip, int(s.cpu.gpr[0]) & 0xFF) == (address, 0x42)


def test_step_over_in_the_kernel(engine):
    s = opened("dual_mode", engine)
    s.run(until={s.symbols.address("start") + 7})  # cli, cld, mov esp
    assert str(s.listing.decode(s.rip)).startswith("call")
    after = s.rip + 5
    s.step_over()
    assert s.rip == after


ENDS = [
    ("real mode, halted", "fa f4", {"bits": 16}, "halt"),
    ("real mode, idle", "b030 e643 f4", {"bits": 16}, "idle"),
    ("protected mode, halted", "f4", {"bits": 32}, "halt"),
    ("long mode, idle", "fb f4", {"bits": 64}, "idle"),
    ("no IDT, so a triple fault", "0f 0b", {"bits": 32}, "shutdown"),
    ("the same in long mode", "0f 0b", {"bits": 64}, "shutdown"),
    ("the exit port", "b0 10 e6 f4", {"bits": 32}, "exit"),
]


@pytest.mark.parametrize("name, code, options, kind", ENDS, ids=[e[0] for e in ENDS])
def test_flat_binaries_end(tmp_path, engine, name, code, options, kind):
    s = flat(tmp_path, bytes.fromhex(code), engine, **options)
    stop = s.run(limit=1000)
    assert kinds(stop) == [kind], stop
    assert stop.exit_code == (0x21 if kind == "exit" else None)


def test_long_mode_starts_on_an_identity_map(tmp_path, engine):
    """mov rax, [0x100000]: the first bytes of the guest itself, through the page tables."""
    s = flat(tmp_path, bytes.fromhex("48 8b 04 25 00 00 10 00 90"), engine, bits=64)
    s.step()
    assert int(s.cpu.gpr[0]) == int.from_bytes(bytes.fromhex("48 8b 04 25 00 00 10 00"), "little")
    assert s.machine.walk(0, 0x100000)[0] == 0x100000


def test_the_interrupt_vector_says_what_was_entered(engine):
    """Counts since the start, and which of them are new since the last stop."""
    s = opened("dual_mode", engine)
    taker = Taker(s)
    s.run(until={s.symbols.address("start_a")})
    taker.take()
    s.break_trap(range(13, 14))
    s.run()
    taker.take()
    s.step()
    rows = {v.span: v for v in taker.take().vector_table.vectors}
    assert (rows["0d"].count, rows["0d"].changed, rows["0d"].name) == (1, True, "#GP")
    assert rows["0e"].count > 0 and not rows["0e"].changed
    assert rows["80"].gate == "int dpl 3"
    assert (rows["20"].name, rows["20"].count) == ("IRQ0", 0)
