"""What the debugger asks the machine to stop at, against what single steps of the same run show."""

from pathlib import Path

import numpy as np
import pytest

from isa.forms import FORMS
from vmdbg.machine.machine import Machine
from vmdbg.machine.watch import MODE_CPL, MODE_PAGING, MODE_PROTECTED, WATCH_PHYSICAL, WATCH_READ, WATCH_WRITE, mode_word
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

ENGINES = ("plain", "threaded")
RAM = 1 << 20


def real(code: str, engine: str, at: int = 0x7C00) -> Machine:
    """A machine that runs `code` in real mode at 0:at, with a stack below it."""
    m = Machine(RAM, engine=engine)
    data = bytes.fromhex(code)
    m.ram[at : at + len(data)] = np.frombuffer(data, np.uint8)
    cpu = m.cpus[0]
    cpu.seg_base[1], cpu.seg_selector[1], cpu.rip = 0, 0, at
    cpu.gpr[4] = at
    return m


def stops(m: Machine, limit: int = 1000) -> list:
    """Every stop until the machine ends, with the position of each."""
    found = []
    while len(found) < limit:
        s = m.run(1_000_000)
        if s.reason in ("halt", "budget", "idle", "exit", "shutdown"):
            return found
        found.append((m.position, s))
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_write_watch(engine):
    # mov bx,500h; mov [bx],ax; mov [bx+2],al; push ax; mov cx,[bx]; inc byte [bx+3]; mov [bx+40h],ax; hlt
    m = real("bb0005 8907 884702 50 8b0f fe4703 894740 f4", engine)
    m.watch([(0x502, 0x503, WATCH_WRITE)])
    found = stops(m)
    assert [(p, s.reason, s.access.rip, s.access.linear, s.access.size) for p, s in found] == [
        (3, "watch", 0x7C05, 0x502, 1),
        (6, "watch", 0x7C0B, 0x503, 1),
    ]
    assert all(s.access.write and s.access.watch == 0 for _, s in found)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("physical", (0, WATCH_PHYSICAL))
def test_reads_and_writes_are_told_apart(engine, physical):
    m = real("bb0005 8b07 8907 ff07 f4", engine)  # mov bx,500h; mov ax,[bx]; mov [bx],ax; inc word [bx]; hlt
    m.watch([(0x501, 0x501, WATCH_READ | physical), (0x500, 0x500, WATCH_WRITE | physical)])
    assert [(p, s.access.watch, s.access.write) for p, s in stops(m)] == [(2, 0, False), (3, 1, True), (4, 0, False)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("first", (0x1000, 0x103F, 0x1040, 0x1FFE, 0x2000, 0x20FF))
def test_repeated_strings(engine, first):
    # cld; mov di,1000h; mov cx,1100h; mov al,7; rep stosb; mov si,1000h; mov di,5000h; mov cx,1100h; rep movsb; hlt
    m = real("fc bf0010 b90011 b007 f3aa be0010 bf0050 b90011 f3a4 f4", engine)
    m.watch([(first, first, WATCH_WRITE), (first, first, WATCH_READ)])
    before = 4 + (first - 0x1000 + 1)
    found = stops(m)
    assert [(p, s.access.write) for p, s in found] == [(before, True), (4 + 0x1100 + 3 + (first - 0x1000 + 1), False)]
    assert m.ram[0x60FF] == 7


@pytest.mark.parametrize("engine", ENGINES)
def test_a_busy_page_is_not_a_hit(engine):
    m = real("b90010 50 58 e2fc f4", engine)  # mov cx,1000h; again: push ax; pop ax; loop again; hlt
    m.watch([(0x7000, 0x7007, WATCH_WRITE | WATCH_READ)])
    assert stops(m) == [] and m.position == 1 + 3 * 0x1000 + 1


@pytest.mark.parametrize("engine", ENGINES)
def test_crossing_a_page(engine):
    m = real("bbff0f 8907 f4", engine)  # mov bx,0FFFh; mov [bx],ax; hlt
    m.watch([(0x1000, 0x1000, WATCH_WRITE)])
    [(position, stop)] = stops(m)
    assert position == 2 and stop.access.linear == 0x1000 and stop.access.size == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_pushes_of_a_delivery(engine):
    m = real("cd20 f4", engine)  # int 20h; hlt
    m.ram[0x80:0x84] = (0x02, 0x7C, 0, 0)
    m.watch([(0x7BFC, 0x7BFD, WATCH_WRITE)])
    [(position, stop)] = stops(m)
    assert position == 1 and stop.access.write and stop.access.linear == 0x7BFC


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_device_writes(engine):
    m = real("e680 f4", engine)  # out 80h, al; hlt

    class Writer:
        def write(self, offset, width, value):
            m.write_physical(0x600, b"abcd")

    m.ports.attach(0x80, 1, Writer())
    m.watch([(0x602, 0x602, WATCH_WRITE | WATCH_PHYSICAL)])
    [(position, stop)] = stops(m)
    assert position == 1 and stop.access.linear is None and stop.access.rip is None and stop.access.physical == 0x600


def test_only_memory_can_be_watched():
    with pytest.raises(ValueError, match="0xfee00000 is neither RAM nor ROM"):
        Machine(RAM, engine="plain").watch([(0xFEE00000, 0xFEE00003, WATCH_WRITE | WATCH_PHYSICAL)])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_watch_that_is_taken_away(engine):
    m = real("bb0005 8907 8907 8907 f4", engine)
    m.watch([(0x500, 0x500, WATCH_WRITE)])
    assert m.run(100).reason == "watch" and m.position == 2
    m.watch([])
    assert stops(m) == [] and not (m.page_flags.array & 4).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_armed_forms(engine):
    m = real("fa 90 fb e680 ec f4", engine)  # cli; nop; sti; out 80h,al; in al,dx; hlt
    m.arm(n for n, f in enumerate(FORMS) if f.mnemonic in ("CLI", "IN", "OUT"))
    assert [(p, s.reason, s.address) for p, s in stops(m)] == [(3, "break", 0x7C03), (4, "break", 0x7C05)]
    m = real("fa 90 f4", engine)
    m.arm(n for n, f in enumerate(FORMS) if f.mnemonic == "CLI")
    assert m.run(10, resume=False).reason == "break" and m.position == 0
    m.arm(())
    assert stops(m) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_physical_breakpoints(engine):
    m = real("90 90 f4", engine)
    cpu = m.cpus[0]
    cpu.seg_base[1], cpu.seg_selector[1], cpu.rip = 0x7C00, 0x7C0, 0
    m.break_physical([0x7C01])
    assert m.run(100).reason == "break" and m.position == 1 and int(cpu.rip) == 1
    assert stops(m) == []


def dual_mode(engine: str = "threaded") -> Machine:
    m = Machine(16 << 20, engine=engine)
    Bare(m, load_guest(Path("guests/dual_mode/dual_mode.elf"), Options(memory=16 << 20)))
    return m


def test_changes_of_mode_are_those_that_single_steps_show():
    m, log = dual_mode(), []
    seen = mode_word(m.cpus[0])
    while m.position < 60_000:
        if m.run(1).reason != "budget":
            break
        now = mode_word(m.cpus[0])
        if now != seen:
            log.append((m.position, int(seen), int(now)))
            seen = now
    last = m.position
    m, found = dual_mode(), []
    m.watch_modes(True)
    while m.position < last:
        s = m.run(last - m.position)
        if s.reason == "mode":
            found.append((m.position, s.before, s.after))
        elif s.reason != "budget":
            break
    assert found == log and len(log) > 20
    assert any(a & MODE_CPL == 3 and not b & MODE_CPL for _, a, b in log)
    assert any(not a & MODE_PAGING and b & MODE_PAGING and b & MODE_PROTECTED for _, a, b in log)


@pytest.mark.parametrize("engine", ENGINES)
def test_where_traps_come_from(engine):
    m = real("fb 90 cd20 0f0b f4", engine)  # sti; nop; int 20h; ud2; hlt

    class Controller:
        def acknowledge(self, cpu):
            m.set_intr(0, False)
            return 0x21

    m.controller = Controller()
    m.set_intr(0, True)
    for vector in (2, 6, 0x20, 0x21):
        m.ram[4 * vector : 4 * vector + 4] = (0, 0x70, 0, 0)
    m.ram[0x7000:0x7001] = (0xCF,)  # iret
    m.intercept(range(256))
    found = []
    for _ in range(4):
        s = m.run(100)
        if s.reason == "trap":
            found.append((s.origin, s.vector))
            if len(found) == 1:
                m.cpus[0].nmi = 1
    assert found == [("interrupt", 0x21), ("nmi", 2), ("software", 0x20), ("exception", 6)]
