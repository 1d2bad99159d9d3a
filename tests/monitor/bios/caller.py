"""A guest in real mode that calls services of the BIOS: registers are set from outside, INT n is run, registers are read."""

import struct

from vmdbg.machine.flags import get_rflags
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import CS, DS, ES, RAX, RBP, RBX, RCX, RDI, RDX, RSI, SS
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

CODE, STACK, BUFFER = 0x7C00, 0x7000, 0x9000
NUMBERS = dict(ax=RAX, bx=RBX, cx=RCX, dx=RDX, si=RSI, di=RDI, bp=RBP)
CARRY, ZERO, INTERRUPTS = 0x01, 0x40, 0x200
MEMORY = 32 << 20


class Caller:
    """`path` is a guest for the BIOS, or a flat binary with bits=16."""

    def __init__(self, path, **options):
        guest = load_guest(path, Options(**{"memory": MEMORY, **options}))
        self.machine = Machine(guest.memory)
        self.bare = Bare(self.machine, guest)
        self.cpu = self.machine.cpus[0]

    def __call__(self, n: int, steps: int = 5_000_000, **registers) -> dict[str, int]:
        """INT n with these registers, the others 0; 32 bits of what it leaves, and `carry`, `zero`, `es`."""
        cpu = self.cpu
        self.machine.write_physical(CODE, bytes([0xCD, n, 0xF4]))
        for number in range(8):
            cpu.gpr[number] = 0
        for name, number in NUMBERS.items():
            cpu.gpr[number] = registers.get(name, 0)
        cpu.gpr[4] = STACK
        for s in (CS, DS, ES, SS):
            value = registers.get("es", 0) if s == ES else 0
            cpu.seg_selector[s], cpu.seg_base[s] = value, value << 4
        cpu.rip, cpu.eflags, cpu.activity = CODE, INTERRUPTS | 2, 0
        self.machine.set_breakpoints([CODE + 2])
        stop = self.machine.run(steps)
        self.machine.set_breakpoints(())
        assert stop.reason == "break", stop
        assert int(cpu.gpr[4]) == STACK and int(cpu.eflags) & INTERRUPTS
        found = {name: int(cpu.gpr[number]) & 0xFFFFFFFF for name, number in NUMBERS.items()}
        flags = int(get_rflags(cpu))
        return {**found, "es": int(cpu.seg_selector[ES]), "carry": flags & CARRY, "zero": bool(flags & ZERO)}

    def read(self, at: int, form: str):
        """Fields of memory (struct)."""
        found = struct.unpack("<" + form, self.machine.read_physical(at, struct.calcsize("<" + form)))
        return found if len(found) > 1 else found[0]

    def write(self, at: int, form: str, *values) -> None:
        self.machine.write_physical(at, struct.pack("<" + form, *values))

    def press(self, *names: str) -> None:
        """Keys go down together and up again; the guest does nothing meanwhile but take interrupts."""
        for down, ordered in ((True, names), (False, reversed(names))):
            for name in ordered:
                assert self.bare.board.keyboard.key(name, down)
                self.idle()

    def idle(self, steps: int = 3000) -> None:
        cpu = self.cpu
        self.machine.write_physical(CODE, b"\xeb\xfe")
        cpu.rip, cpu.eflags, cpu.activity = CODE, INTERRUPTS | 2, 0
        for s in (CS, DS, ES, SS):
            cpu.seg_selector[s], cpu.seg_base[s] = 0, 0
        cpu.gpr[4] = STACK
        self.machine.run(steps)

    def screen(self) -> tuple[str, ...]:
        return self.bare.vga.screen(self.machine.ram).text

    @property
    def cursor(self):
        return self.bare.vga.screen(self.machine.ram).cursor
