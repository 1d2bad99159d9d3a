"""Random instruction streams on random states: nothing may crash, hang, raise, or reach host memory that is not the guest's.

    python -m tests.machine.streams FIRST COUNT [ENGINE]

A stream is a number: from it come a mode, registers, segments, system registers, tables and code: bytes at random, or instructions at
random.  All memory of the machine lies between pages that nobody may touch; behind RAM stands a ROM, which must stay as it is, and the
machine's own addresses in the vCPU must too.  `hunt` runs streams in a child process and says which one ended it.
"""

import ctypes
import mmap
import random
import struct
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

import isa
from isa.forms import FORMS
from tests.oracles.encode import encode
from vmdbg.machine import machine as machine_module
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import CS, DS, ES, FS, GS, LDTR, RSP, SS, TR, ZERO, Cpu

from . import endless

MEMORY, STEPS = 0x80000, 120
PAGE = 4096
REASONS = {"budget", "halt", "idle", "shutdown", "exit", "trap", "break"}
POOL = 3000  # instructions of each code size
EXTRA_GDT = 0x1100  # call gates, task gates, TSSs, LDTs behind the descriptors of endless.py
LDT = 0x6000
ROM = 2 * PAGE
ROM_BASE = (1 << 32) - ROM
# What no instruction may change, in the vCPU: the register that is always 0, and what the engine finds its memory by
FIXED = """tlb_none tlb_contexts page_code code_bytes page_flags shared ram ram_size rom_base rom_size cache scratch missing stop handlers
index""".split()


class Guarded:
    """Memory that ends at a page that nobody may touch, and begins after one."""

    def __init__(self, size: int):
        whole = (max(size, PAGE) + PAGE - 1) // PAGE * PAGE
        self.map = mmap.mmap(-1, whole + 2 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        for page in (base, base + PAGE + whole):
            assert libc.mprotect(ctypes.c_void_p(page), PAGE, 0) == 0
        start = PAGE + (whole - size) // 64 * 64
        self.array = np.frombuffer(self.map, np.uint8)[start : start + size]
        self.address = self.array.ctypes.data


@cache
def pool(bits: int) -> list[bytes]:
    """Instructions of all forms."""
    dice, found = random.Random(bits), []
    candidates = [f for f in FORMS if f.encoding.space in ("legacy", "vex")]
    while len(found) < POOL:
        i = encode(dice.choice(candidates), bits, dice.getrandbits(32))
        if i is not None:
            found.append(i.code)
    return found


def template() -> np.ndarray:
    """RAM before a stream: tables of all kinds, page tables in three formats, random bytes."""
    rng = np.random.default_rng(386)
    ram = np.frombuffer(rng.bytes(MEMORY), np.uint8).copy()

    def put(at, data):
        ram[at : at + len(data)] = np.frombuffer(data, np.uint8)

    put(endless.GDT, endless.gdt(1))
    for n in range(64):  # every system type, at every privilege, with selectors and bases that may make sense
        kind, dpl = n % 16, n // 16
        base, selector = 0x3000 + 0x100 * (n % 8), 8 * (1 + n % 10) | n % 4
        if kind in (4, 5, 6, 7, 12, 14, 15):
            descriptor = 0x4000 + 16 * n | selector << 16 | (n % 32) << 32 | (0x80 | dpl << 5 | kind) << 40
        else:
            descriptor = 0x67 | base << 16 | (0x80 | dpl << 5 | kind) << 40
        put(EXTRA_GDT + 8 * n, struct.pack("<Q", descriptor))
        put(LDT + 8 * n, struct.pack("<Q", descriptor if n % 3 else endless.DESCRIPTORS[8 * (1 + n % 10)]))
    for n in range(1, 8):  # the first is the current one
        put(endless.TSS + 0x100 * n, endless.tss(False, 0))
        put(endless.TSS + 0x100 * n + 0x1C, struct.pack("<3I", 0x8000, endless.CODE, 2))
        put(endless.TSS + 0x100 * n + 0x48, struct.pack("<7I", *[endless.DATA32, endless.CODE32] + [endless.DATA32] * 4, 0))
    put(endless.HANDLERS, b"\x90" * 0x1000)
    return ram


def tables(mode: endless.Mode) -> list[tuple[int, bytes]]:
    """What depends on the mode: page tables, the IDT, the vector table of real and virtual-8086 mode."""
    out = [(0, endless.idt(endless.BY_NAME["real"])), (endless.IDT, endless.idt(mode) if not mode.real else b"")]
    out.append((endless.TSS, endless.tss(mode.long, 0)))
    return out + (endless.page_tables(mode) if mode.paging else []) + [(endless.HANDLERS, endless.handlers(mode))]


V86 = endless.Mode("v86", 16, 3, "32")
MODES = [*endless.MODES, V86, endless.Mode("protected16_paged", 16, 3, "pae"), endless.Mode("compatibility16", 16, 3, "4-level")]
FLAGS = (0x100, 0x200, 0x400, 0x1000, 0x2000, 0x3000, 0x4000, 0x10000, 0x40000, 0x80000, 0x100000, 0x200000)
CR0 = (1, 2, 3, 5, 16, 18)  # numbers of the bits MP EM TS NE WP AM
CR4 = (0, 1, 2, 3, 7, 8, 9, 10, 11, 16, 17, 18, 20, 21)


class Streams:
    """One machine, used for one stream after the other."""

    def __init__(self, engine: str):
        saved = machine_module.Memory, machine_module.ROM_ROOM
        machine_module.Memory, machine_module.ROM_ROOM = Guarded, ROM  # the ROM ends at a guard page, too
        try:
            self.machine = Machine(MEMORY, 1, engine)
            self.rom = random.Random(486).randbytes(ROM)
            self.machine.add_rom(self.rom)
        finally:
            machine_module.Memory, machine_module.ROM_ROOM = saved
        self.cpu = self.machine.cpus[0]
        words = self.machine.cpu_states[0].view("<u8")
        at = {name: Cpu.fields[name][0] // 8 for name in (*FIXED, "gpr", "xmm", "st")}
        self.gpr, self.xmm, self.st = (words[at[name] : at[name] + count] for name, count in (("gpr", 16), ("xmm", 32), ("st", 16)))
        self.words, self.fixed_at = words, [at["gpr"] + ZERO, *(at[name] for name in FIXED)]
        self.fixed = self.fixed_now()
        self.starts: dict[tuple, np.ndarray] = {}  # states of the vCPU by mode
        self.instructions = self.events = 0  # of all streams
        self.end = Cpu.fields["architectural_end"][0]
        self.reset = self.machine.cpu_states[0, : self.end].copy()
        self.template = template()
        self.tables = {m.name: tables(m) for m in MODES}
        self.devices = endless.Noise(), endless.Noise()
        self.machine.ports.attach(0, 0x10000, self.devices[0])
        self.machine.claim(endless.DEVICE, PAGE, self.devices[1])

    def fixed_now(self) -> list[int]:
        """What must never change."""
        return self.words[self.fixed_at].tolist()

    def prepare(self, n: int) -> tuple[endless.Mode, bytes]:
        """Put the machine into the state that stream n starts in."""
        machine, cpu, dice = self.machine, self.cpu, random.Random(n)
        mode = dice.choice(MODES)
        machine.ram[:] = self.template
        for at, data in self.tables[mode.name]:
            machine.ram[at : at + len(data)] = np.frombuffer(data, np.uint8)
        self._mode(mode, dice)
        self._registers(dice)
        if dice.random() < 0.7:
            self._system(mode, dice)
        code = self.code(mode.bits, dice)
        where = endless.CODE + dice.choice((0, PAGE - 8, PAGE - 1, 0x100))
        machine.ram[where : where + len(code)] = np.frombuffer(code, np.uint8)
        cpu.rip = where - int(cpu.seg_base[CS]) if mode.bits != 64 else where
        cpu.slow = cpu.pending = 0
        for device in self.devices:
            device.state = n
            device.log.clear()
        machine.drop_code()
        machine.shared.flush_epoch = int(machine.shared.flush_epoch) + 1
        return mode, code

    def code(self, bits: int, dice: random.Random) -> bytes:
        if dice.random() < 0.35:
            return dice.randbytes(128)
        out = b""
        while len(out) < 160:
            out += dice.choice(pool(bits)) if dice.random() < 0.93 else dice.randbytes(dice.randrange(1, 5))
        return out

    def _mode(self, mode: endless.Mode, dice: random.Random) -> None:
        cpu, key = self.cpu, (mode.name, dice.randrange(3))
        if key not in self.starts:
            self._start(mode, key[1])
            self.starts[key] = self.machine.cpu_states[0, : self.end].copy()
        self.machine.cpu_states[0, : self.end] = self.starts[key]
        if mode.name in endless.BY_NAME and not mode.real and mode.cpl == 3 and dice.random() < 0.2:  # rings 1 and 2
            ring = dice.choice((1, 2))
            for k in (CS, SS):
                cpu.seg_attr[k] = int(cpu.seg_attr[k]) & ~0x60 | ring << 5
                cpu.seg_selector[k] = int(cpu.seg_selector[k]) & ~3 | ring
            cpu.cpl = ring

    def _start(self, mode: endless.Mode, n: int) -> None:
        """The state that streams of a mode start from; n: one of three."""
        cpu = self.cpu
        self.machine.cpu_states[0, : self.end] = self.reset
        base = endless.BY_NAME.get(mode.name) or endless.BY_NAME["real" if mode is V86 else "protected16"]
        endless.start(cpu, endless.Program(n, base, 1, (), (0,), ((0,) * 16,)))
        if mode.name in endless.BY_NAME:
            return
        like = endless.BY_NAME[{"32": "paged32_user", "pae": "pae_user", "4-level": "compatibility"}[mode.paging]]
        kept = [(int(cpu.seg_selector[k]), int(cpu.seg_base[k]), int(cpu.seg_limit[k]), int(cpu.seg_attr[k])) for k in range(6)]
        endless.start(cpu, endless.Program(n, like, 1, (), (0,), ((0,) * 16,)))
        for k, (selector, segment_base, limit, attr) in enumerate(kept):
            cpu.seg_selector[k], cpu.seg_base[k], cpu.seg_limit[k] = selector, segment_base, limit
            cpu.seg_attr[k] = 0xF3 if mode is V86 else attr
        cpu.bits, cpu.stack_bits, cpu.cpl = 16, 16, 3
        if mode is V86:
            cpu.eflags = int(cpu.eflags) | 0x20000

    def _registers(self, dice: random.Random) -> None:
        cpu = self.cpu
        edges = (0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 47, (1 << 64) - 1, (1 << 64) - 4096, endless.DEVICE + 0xFFC)
        edges += (MEMORY - 2, ROM_BASE, ROM_BASE + PAGE - 2)
        values = []
        for kind in [dice.random() for _ in range(16)]:
            if kind < 0.5:
                values.append(dice.choice((endless.DATA, endless.CODE, endless.STACK, 0, endless.TABLES)) + dice.randrange(0x2000))
            elif kind < 0.7:
                values.append(dice.choice(edges))
            elif kind < 0.9:
                values.append(dice.randrange(0x400))
            else:
                values.append(dice.getrandbits(64))
        self.gpr[:] = np.array(values, np.uint64)
        if dice.random() < 0.8:
            cpu.gpr[RSP] = (endless.STACK if int(cpu.stack_bits) != 16 else endless.STACK & 0xFFFF) + 0x800
        cpu.eflags = int(cpu.eflags) | sum(flag for flag in FLAGS if dice.random() < 0.12)
        cpu.cf, cpu.lt, cpu.aux = dice.getrandbits(1), dice.getrandbits(1), dice.getrandbits(8)
        cpu.zr, cpu.sr = dice.getrandbits(1), dice.getrandbits(64)
        if dice.random() < 0.5:
            cpu.fcw, cpu.fsw, cpu.ftw = dice.getrandbits(16), dice.getrandbits(16), dice.choice((0, 0xFFFF, dice.getrandbits(16)))
            cpu.mxcsr = dice.getrandbits(16)
            self.st[:] = np.frombuffer(dice.randbytes(128), "<u8")
            self.st[1::2] &= np.uint64(0xFFFF)
            self.xmm[:] = np.frombuffer(dice.randbytes(256), "<u8")

    def _system(self, mode: endless.Mode, dice: random.Random) -> None:
        cpu = self.cpu

        def some(p):
            return dice.random() < p

        def address():
            return dice.choice(
                (endless.DATA, endless.GDT, endless.IDT, endless.TSS, LDT, endless.DEVICE, 0, ROM_BASE, dice.getrandbits(32))
            ) + dice.choice((0, 1, 0xFF0, 0xFFC, 0x1000))

        for k in (DS, ES, SS, FS, GS, CS):
            if some(0.15):
                cpu.seg_limit[k] = dice.choice((0, 1, 0xFF, 0xFFFF, 0xFFFFF, 0xFFFFFFFF, dice.getrandbits(32)))
            if some(0.1) and k != CS:
                cpu.seg_base[k] = address()
            if some(0.1) and k != CS and mode is not V86:
                cpu.seg_attr[k] = dice.getrandbits(16) & 0xF0FF | dice.choice((0, 0, 0, 0x10000))
        for bits, name in ((CR0, "cr0"), (CR4, "cr4")):
            for bit in bits:
                if some(0.1):
                    setattr(cpu, name, int(getattr(cpu, name)) ^ 1 << bit)
        for table in ("gdtr", "idtr"):
            if some(0.15):
                setattr(cpu, f"{table}_base", address())
            if some(0.1):
                setattr(cpu, f"{table}_limit", dice.getrandbits(16))
        if some(0.3):
            cpu.seg_base[LDTR], cpu.seg_limit[LDTR], cpu.seg_attr[LDTR] = dice.choice((LDT, address())), 0x1FF, 0x82
            cpu.seg_selector[LDTR] = 0x108
        if some(0.15):
            cpu.seg_base[TR] = address()
        if some(0.15):
            cpu.seg_limit[TR], cpu.seg_attr[TR] = dice.choice((0x67, 0x68, 0x2B, 0x2068, 0xFFFF)), dice.choice((0x8B, 0x83))
        if some(0.2):
            for k in range(4):
                cpu.dr[k] = dice.choice((endless.CODE + dice.randrange(64), endless.DATA + dice.randrange(64), dice.getrandbits(64)))
            cpu.dr[7] = 0x400 | dice.getrandbits(32) & 0xFFFF23FF
        if mode.paging and some(0.1):
            cpu.cr3 = dice.choice((endless.CODE, endless.DATA, dice.getrandbits(40) & ~0xFFF, endless.DEVICE, MEMORY - PAGE, ROM_BASE))
            for k in range(4):
                cpu.pdpte[k] = dice.choice((endless.CODE | 1, dice.getrandbits(40) & ~0xFFF | 1, 0))
        for name in ("star", "lstar", "cstar", "sfmask", "kernel_gs_base", "sysenter_esp", "sysenter_eip"):
            if some(0.3):
                setattr(cpu, name, dice.choice((endless.CODE, 0x0008001000000000, dice.getrandbits(47))))
        if some(0.3):
            cpu.sysenter_cs, cpu.efer = endless.CODE32, int(cpu.efer) | 1
        if some(0.05):
            cpu.a20_mask = ~0x100000 & (1 << 64) - 1
        if some(0.2):
            cpu.misc_enable, cpu.apic_base, cpu.xcr0 = 1, dice.choice((0xFEE00900, 0xFEE00D00)), dice.choice((1, 3))
        if some(0.1):
            cpu.shadow = dice.choice((1, 2))

    def run(self, n: int) -> str:
        """Run stream n; the reason why it ended.  AssertionError: something that must not be."""
        self.prepare(n)
        before = self.machine.position
        stop = self.machine.run(STEPS)
        steps = self.machine.position - before
        assert stop.reason in REASONS, f"stream {n}: {stop}"
        assert steps <= STEPS and (stop.reason != "budget" or steps == STEPS), f"stream {n}: {stop} after {steps} steps"
        cpu = self.cpu
        self.instructions, self.events = self.instructions + int(cpu.instructions), self.events + int(cpu.events)
        assert self.machine._ram.array[MEMORY:].tobytes() == self.rom, f"stream {n}: the ROM was written"
        assert self.fixed_now() == self.fixed, f"stream {n}: {self.fixed_now()}"
        assert int(cpu.bits) in (16, 32, 64) and int(cpu.cpl) <= 3 and int(cpu.slow) == 0, f"stream {n}"
        return stop.reason

    def describe(self, n: int) -> str:
        """The state and the code that stream n starts with."""
        mode, code = self.prepare(n)
        text, at = [f"stream {n}: {mode.name}, {code.hex()}"], 0
        while at < len(code) and (i := isa.decode(code[at:], bits=mode.bits, ip=int(self.cpu.rip) + at)) is not None:
            text.append(f"  {int(self.cpu.rip) + at:x}  {i}")
            at += i.length
        return "\n".join(text[:40])


def hunt(first: int, count: int, engine: str, patience: float = 60.0) -> list[str]:
    """Run streams in child processes; what went wrong with which.  patience: seconds without any progress that count as a hang."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "stream"
        while count > 0 and len(found) < 20:
            note.write_bytes(struct.pack("<Q", first))
            command = [sys.executable, "-m", __name__, str(first), str(count), engine, str(note)]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            last, since = first, time.monotonic()
            while child.poll() is None:
                try:
                    child.wait(1.0)
                except subprocess.TimeoutExpired:
                    at = struct.unpack("<Q", note.read_bytes())[0]
                    if at != last:
                        last, since = at, time.monotonic()
                    elif time.monotonic() - since > patience:
                        child.kill()
            _out, errors = child.communicate()
            if child.returncode == 0:
                break
            at = struct.unpack("<Q", note.read_bytes())[0]
            found.append(f"stream {at}: status {child.returncode}: {' | '.join(errors.strip().splitlines()[-3:])}")
            count -= at + 1 - first
            first = at + 1
    return found


def main(first: int, count: int, engine: str = "threaded", note: str = "") -> None:
    streams, reasons = Streams(engine), {}
    shared = np.memmap(note, "<u8", "r+", shape=1) if note else np.zeros(1, "<u8")
    for n in range(first, first + count):
        shared[0] = n
        reason = streams.run(n)
        reasons[reason] = reasons.get(reason, 0) + 1
    print(f"{count:,} streams, {streams.instructions:,} instructions, {streams.events:,} events; ends: {reasons}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
