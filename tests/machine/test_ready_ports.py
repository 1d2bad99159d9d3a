"""Ports that the core serves itself: the same run, and the same device, as when Python is asked for every access."""

import pytest

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.ide_disk import Disk
from vmdbg.machine.board.pc import Pc
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import CS, RCX, RDI, RDX, RSI

CODE = 0x1000
PROGRAM = bytes.fromhex(
    "bf0020 be0020"  # mov di, 2000h; mov si, 2000h
    "baf601 b0e0 ee"  # LBA, master
    "baf201 b003 ee"  # three sectors
    "42 b002 ee 42 30c0 ee 42 ee"  # from LBA 2
    "42 42 b020 ee"  # READ SECTORS
    "baf001 b90001 f36d"  # rep insw: a sector
    "b98000 66f36d"  # rep insd: the next
    "b9ff00 f36d"  # rep insw: all but the last word
    "ed ab ed ab"  # in ax, dx; stosw; and once more, when there is nothing left
    "baf201 b002 ee 42 b007 ee 42 42 42 42 b030 ee"  # WRITE SECTORS, two from LBA 7
    "baf001 b90001 f36f"  # rep outsw
    "b90002 f36e"  # rep outsb
    "ef f4"  # out dx, ax; hlt
)


POLLS = bytes.fromhex(
    "b001 e661 b0b0 e643 b000 e642 b001 e642"  # counter 2 counts from 256, mode 0
    "b92a00 e461 41 a820 74f9"  # until its output is high: in al, 61h; inc cx
    "ba0806 66ed 6689c3"  # the PM timer
    "46 66ed 6639c3 74f8"  # until it changes: inc si; in eax, dx
    "46 ed ec 66ed f4"  # other widths
)


def boot(engine: str, path, served: bool, program: bytes = PROGRAM) -> tuple[Machine, Pc]:
    m = Machine(1 << 20, engine=engine)
    pc = Pc(m, lambda byte: None, drives=(Disk(DiskImage(path)), None, None, None))
    if not served:
        m.serve_port(0, 0)
        m.ports.steady = m.ports.counts = lambda port, width: 0
    m.ram[CODE : CODE + len(program)] = bytearray(program)
    cpu = m.cpus[0]
    cpu.seg_selector[CS] = cpu.seg_base[CS] = 0
    cpu.rip, cpu.eflags = CODE, 2
    return m, pc


def state(m: Machine, pc: Pc) -> tuple:
    cpu, channel = m.cpus[0], pc.chipset.channels[0]
    registers = [int(cpu.gpr[n]) for n in range(8)] + [int(cpu.rip)]
    return m.position, m.clock, registers, m.ram.tobytes(), channel.state.tobytes(), channel.drives[0].image.read(0, 16)


@pytest.mark.parametrize("engine", ["plain", "threaded"])
def test_served_by_the_core_or_by_the_device(engine, tmp_path):
    """Runs in slices of any size, one instruction at a time too, pass through the same states, device included."""
    path = tmp_path / "disk"
    path.write_bytes(b"".join(bytes((n, k & 0xFF)) for n in range(16) for k in range(256)))
    (m, pc), (other, other_pc) = boot(engine, path, True), boot(engine, path, False)
    while m.run(1).reason == "budget":
        other.run(1)
        if m.position % 97 == 0 or m.position < 30:
            assert state(m, pc) == state(other, other_pc)
    other.run(1)
    assert state(m, pc) == state(other, other_pc)
    assert m.ram[0x2000:0x2600].tobytes() == path.read_bytes()[0x400:0xA00]
    assert m.ram[0x2600:0x2602].tobytes() == b"\0\0"
    assert [int(m.cpus[0].gpr[n]) for n in (RCX, RSI, RDI)] == [0, 0x2400, 0x2602]
    assert pc.chipset.channels[0].drives[0].image.read(7, 2) == path.read_bytes()[0x400:0x800]
    whole, whole_pc = boot(engine, path, True)
    whole.run(100_000)
    assert state(whole, whole_pc) == state(m, pc)
    short, short_pc = boot(engine, path, False)
    slices = 1
    while short.run(100_000, turns=1).reason == "budget":
        slices += 1
    assert slices > 1000  # words of the first two sectors
    assert state(short, short_pc) == state(m, pc)


def test_python_is_asked_once_a_sector(tmp_path, monkeypatch):
    path = tmp_path / "disk"
    path.write_bytes(bytes(0x2000))
    m, pc = boot("plain", path, True)
    taken = []
    drive = pc.chipset.channels[0].drives[0]
    monkeypatch.setattr(drive, "take", lambda width, take=drive.take: taken.append(width) or take(width))
    m.run(100_000)
    assert taken == [2, 4, 2, 2]


@pytest.mark.parametrize("engine", ["plain", "threaded"])
def test_polled_ports(engine, tmp_path):
    """What a polling loop sees and when it ends do not depend on who answers, nor on slices; Python is asked seldom."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(512))
    (m, pc), (other, other_pc) = boot(engine, path, True, POLLS), boot(engine, path, False, POLLS)
    asked = []
    m.ports.read, read = lambda *a: asked.append(a) or read(*a), m.ports.read
    steps = 3000 if engine == "plain" else 400_000
    m.run(steps)
    for n in (7, 1000, 1, steps - 1008):
        other.run(n)
    assert state(m, pc) == state(other, other_pc)
    seen = int(m.cpus[0].gpr[RCX]) - 0x2A
    assert seen > steps / 6 if engine == "plain" else seen > 40_000 and m.cpus[0].gpr[RSI] > 50 and int(m.cpus[0].activity)
    assert len(asked) < 30


CLOCK = bytes.fromhex(
    "31c9 31d2 31f6 30c0 e670 e471 88c3"  # the seconds
    "41 b00a e670 e471 a880 74f5"  # until UIP is set: inc cx; the index, the data
    "42 b00a e670 e471 a880 75f5"  # until it is not: inc dx
    "30c0 e670 e471 88c7"  # the seconds after the update
    "46 b00e e670 e471 40 e671 e471 3c64 75f0 f4"  # a byte that is written too
)


@pytest.mark.parametrize("engine", ["plain", "threaded"])
def test_a_register_behind_an_index_is_polled(engine, tmp_path):
    """The real-time clock's update, waited for as every kernel does: the same whoever answers, and Python is asked seldom."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(512))
    (m, pc), (other, other_pc) = boot(engine, path, True, CLOCK), boot(engine, path, False, CLOCK)
    other.ports.keeps = lambda port, width: False
    for machine, board in ((m, pc), (other, other_pc)):
        board.rtc.state["since"] = -(10**9) + 244_000 + 2_000  # the update begins soon
    asked = []
    m.ports.write, write = lambda *a: asked.append(a) or write(*a), m.ports.write
    steps = 3000 if engine == "plain" else 300_000
    m.run(steps)
    for n in (7, 1000, 1, steps - 1008):
        other.run(n)
    assert state(m, pc) == state(other, other_pc)
    assert pc.rtc.state.tobytes() == other_pc.rtc.state.tobytes()
    cpu = m.cpus[0]
    assert cpu.gpr[RCX] > 200 and (engine == "plain" or (cpu.gpr[RDX] > 20_000 and cpu.gpr[RSI] == 100 and int(cpu.activity)))
    assert len(asked) < 250
