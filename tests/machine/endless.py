"""Random programs for a whole machine: everything that an engine could get wrong, from a seed.

    0100_0 GDT   0200_0 IDT   0300_0 TSS of each vCPU   0400_0 handlers   0500_0 counter   0800_0 two sets of page tables
    1000_0 code: 512 slots of 32 bytes    2000_0 data, with a read-only page and a hole    3100_0 stack   3400_0 handlers' stacks
    4000_0 other pages that data and code are mapped to     5000_0 a device's page    5100_0 local APICs

Linear addresses 0 .. 1 MiB are physical ones; with paging 2 MiB above lies the same again.  Every item of a program starts in a slot
of its own.  A handler repairs whatever went wrong: segments, stack, and it goes on with the next slot; so programs never end,
except by HLT or a triple fault.  Page tables can be written from every level.  With a board, PIT and local APICs interrupt it.
"""

import struct
from dataclasses import dataclass, field

import numpy as np

from vmdbg.machine.board.pc import Pc
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import (
    CR0_ET,
    CR0_MP,
    CR0_NE,
    CR0_PE,
    CR0_PG,
    CR0_WP,
    CR4_OSFXSR,
    CR4_OSXMMEXCPT,
    CR4_OSXSAVE,
    CR4_PAE,
    CR4_PSE,
    CS,
    DS,
    EFER_LMA,
    EFER_LME,
    EFER_NXE,
    ES,
    FS,
    GS,
    LDTR,
    RSP,
    SS,
    TR,
    Cpu,
)

MEMORY = 0x100000
GDT, IDT, TSS, HANDLERS, COUNTER, TABLES = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x8000
CODE, CODE_SIZE, SLOT = 0x10000, 0x4000, 32
DATA, DATA_SIZE, READ_ONLY, HOLE = 0x20000, 0x4000, 0x23000, 0x24000
STACK, INNER_STACK, OTHER, DEVICE, APIC = 0x31000, 0x34000, 0x40000, 0x50000, 0x51000
TICK, LOCAL = HANDLERS + 0x400, HANDLERS + 0x480  # handlers of interrupts: from the 8259s, from local APICs
TICK_VECTOR, LOCAL_VECTOR = 0x20, 0x40
SECOND = 0x4000  # from the first set of page tables to the second
PORT, PORTS = 0xE0, 16
PAGE = 4096
ERRORS = (8, 10, 11, 12, 13, 14, 17)  # vectors with an error code

# Selectors, and the descriptors they name: code and data of both privileges, in all sizes; based ones for 16-bit code
CODE32, DATA32, CODE64, CODE32U, DATA32U, CODE64U, CODE16U, DATA16U, STACK16U, DEVICE16U, TASK = (8 * n for n in range(1, 12))
DESCRIPTORS = {
    CODE32: 0x00CF9B000000FFFF,
    DATA32: 0x00CF93000000FFFF,
    CODE64: 0x00AF9B000000FFFF,
    CODE32U: 0x00CFFB000000FFFF,
    DATA32U: 0x00CFF3000000FFFF,
    CODE64U: 0x00AFFB000000FFFF,
    CODE16U: 0x0000FB010000FFFF,
    DATA16U: 0x0000F3020000FFFF,
    STACK16U: 0x0000F3030000FFFF,
    DEVICE16U: 0x0000F3050000FFFF,
}


@dataclass(frozen=True)
class Mode:
    """Where a program runs: code of `bits` bits at level `cpl`; paging: "", "32", "pae", "4-level"."""

    name: str
    bits: int
    cpl: int
    paging: str = ""
    real: bool = False

    @property
    def flat(self) -> bool:
        return self.bits != 16

    @property
    def long(self) -> bool:
        return self.paging == "4-level"


MODES = [
    Mode("real", 16, 0, real=True),
    Mode("protected16", 16, 3),
    Mode("protected32", 32, 0),
    Mode("paged32", 32, 0, "32"),
    Mode("paged32_user", 32, 3, "32"),
    Mode("pae_user", 32, 3, "pae"),
    Mode("compatibility", 32, 3, "4-level"),
    Mode("long", 64, 0, "4-level"),
    Mode("long_user", 64, 3, "4-level"),
]
BY_NAME = {m.name: m for m in MODES}


@dataclass
class Noise:
    """A device whose answers depend on everything that was done to it before."""

    state: int = 1
    log: list = field(default_factory=list)

    def read(self, offset: int, width: int) -> int:
        self.state = (self.state * 6364136223846793005 + offset + width) & (1 << 64) - 1
        self.log.append(("r", offset, width))
        return self.state >> 64 - 8 * width

    def write(self, offset: int, width: int, value: int) -> None:
        self.state ^= value << offset % 32
        self.log.append(("w", offset, width, value))


# ---- tables


def gdt(cpus: int) -> bytes:
    out = bytearray(8 * 32)
    for selector, descriptor in DESCRIPTORS.items():
        struct.pack_into("<Q", out, selector, descriptor)
    for n in range(cpus):
        base = TSS + 0x100 * n
        struct.pack_into("<QQ", out, TASK + 16 * n, 0x67 | base << 16 | 0x89 << 40, 0)
    return bytes(out)


def tss(long: bool, n: int) -> bytes:
    out = bytearray(0x68)
    top = INNER_STACK + PAGE * (n + 1)
    if long:
        struct.pack_into("<Q", out, 4, top)
        struct.pack_into("<Q", out, 0x24, top)
    else:
        struct.pack_into("<II", out, 4, top, DATA32)
    struct.pack_into("<H", out, 0x66, 0x68)
    return bytes(out)


def idt(mode: Mode) -> bytes:
    out = b""
    for v in range(256):
        at = HANDLERS + 16 * v if v < 32 else TICK if v & 0xF0 == TICK_VECTOR else LOCAL if v & 0xF0 == LOCAL_VECTOR else HANDLERS
        if mode.real:
            out += struct.pack("<HH", at, 0)
        elif mode.long:
            out += struct.pack("<HHBBHII", at, CODE64, 1, 0xEE, 0, 0, 0)
        else:
            out += struct.pack("<HHBBH", at, CODE32, 0, 0xEE, 0)
    return out


def page_tables(mode: Mode) -> list[tuple[int, bytes]]:
    """Two sets: root, (directory pointers, directory,) table; the second maps some pages elsewhere."""
    out = []
    for n in range(2):
        root = TABLES + SECOND * n
        if mode.paging == "32":
            entries = np.zeros(1024, "<u4")
            entries[:256], entries[512:768] = [np.arange(256) * PAGE | 7] * 2
            table, directory = root + 3 * PAGE, np.zeros(1024, "<u4")
            directory[0] = table | 7
            out.append((root, directory.tobytes()))
        else:
            entries, table = np.zeros(512, "<u8"), root + 3 * PAGE
            entries[:256] = np.arange(256) * PAGE | 7
            directory = np.zeros(512, "<u8")
            directory[:2] = table | 7
            pointers = np.zeros(512, "<u8")
            pointers[0] = (root + 2 * PAGE) | (1 if mode.paging == "pae" else 7)
            top = np.zeros(512, "<u8")
            top[0] = (root + PAGE) | 7
            out += [(root, top.tobytes()), (root + PAGE, pointers.tobytes()), (root + 2 * PAGE, directory.tobytes())]
        for base in (0, 512) if mode.paging == "32" else (0,):
            entries[base + (READ_ONLY >> 12)] &= ~np.array(2, entries.dtype)
            entries[base + (HOLE >> 12)] = 0
            if n:
                entries[base + (DATA >> 12)] = OTHER | 7
                entries[base + (CODE >> 12) + 3] = (OTHER + 3 * PAGE) | 7
        out.append((table, entries.tobytes()))
    return out


def root_of(mode: Mode, n: int) -> int:
    """CR3 for set n."""
    return TABLES + SECOND * n + (PAGE if mode.paging == "pae" else 0)


def entry_address(mode: Mode, page: int, n: int = 0) -> int:
    return TABLES + SECOND * n + 3 * PAGE + page * (4 if mode.paging == "32" else 8)


# ---- handlers


def handlers(mode: Mode) -> bytes:
    """Stubs of 16 bytes for vectors 0 to 31, then the common part, the one for #DB, and those of interrupts."""
    common, debug = _handler_bodies(mode)
    out = b""
    at = 32 * 16
    for v in range(32):
        stub = b""
        if v in ERRORS and not mode.real:
            stub = b"\x48\x83\xc4\x08" if mode.long else b"\x83\xc4\x04"
        target = at + (len(common) if v == 1 else 0)
        here = v * 16 + len(stub)
        stub += b"\xe9" + (struct.pack("<h", target - here - 3) if mode.real else struct.pack("<i", target - here - 5))
        out += stub.ljust(16, b"\x90")
    tick, local = map(bytes.fromhex, _interrupt_bodies(mode))
    return (out + common + debug).ljust(TICK - HANDLERS, b"\xcc") + tick.ljust(LOCAL - TICK, b"\xcc") + local


def _interrupt_bodies(mode: Mode) -> tuple[str, str]:
    """Count, end the interrupt, return."""
    if mode.real:
        return "50 b020 e620 2eff060450 58 cf", "1e 680050 1f 66c706b01000000000 1f 2eff060650 cf"
    if mode.long:
        return "50 b020 e620 ff042504500000 58 48cf", "c70425b010050000000000 ff042506500000 48cf"
    return "50 b020 e620 36ff0504500000 58 cf", "36c705b010050000000000 36ff0506500000 cf"


def _handler_bodies(mode: Mode) -> tuple[bytes, bytes]:
    low = 0 if mode.bits == 16 else CODE
    cut, base, stack = struct.pack("<I", CODE_SIZE - SLOT), struct.pack("<I", low), struct.pack("<I", STACK)
    if mode.real:
        common = bytes.fromhex("50 55 89e5 8b4604 0c1f 40 25e03f 894604 c746060010 b80020 8ed8 8ec0 5d 58 cf")
        debug = bytes.fromhex("55 89e5 2eff060050 2ef606005007 7505 816606fffe 5d cf")
        return common, debug
    if mode.long:
        code, data = {64: (CODE64, DATA32), 32: (CODE32U, DATA32U)}[mode.bits] if mode.cpl == 0 or mode.bits == 32 else (CODE64U, DATA32U)
        privilege = mode.cpl
        common = (
            bytes.fromhex("50 488b442408 0c1f 48ffc0 25") + cut + b"\x05" + base
            + bytes.fromhex("4889442408 8b442420 25f80f0000 05") + stack
            + bytes.fromhex("4889442420 66c7442410") + struct.pack("<H", code | privilege)
            + bytes.fromhex("66c7442428") + struct.pack("<H", data | privilege)
            + b"\xb8" + struct.pack("<I", data | privilege) + bytes.fromhex("8ed8 8ec0 ff042500500000 58 48cf")
        )  # fmt: skip
        debug = bytes.fromhex("ff042500500000 f604250050000007 7508 81642410fffeffff 814c241000000100 48cf")
        return common, debug
    code, data = {(16, 3): (CODE16U, DATA16U), (32, 0): (CODE32, DATA32), (32, 3): (CODE32U, DATA32U)}[mode.bits, mode.cpl]
    stack_segment = STACK16U if mode.bits == 16 else data
    common = (
        b"\x50\xb8" + struct.pack("<I", data | mode.cpl) + bytes.fromhex("8ed8 8ec0 36ff0500500000 8b442404 0c1f 40 25") + cut
        + b"\x05" + base + bytes.fromhex("89442404 66c7442408") + struct.pack("<H", code | mode.cpl)
    )  # fmt: skip
    if mode.cpl:
        common += bytes.fromhex("8b442410 25f80f0000 05") + struct.pack("<I", STACK if mode.flat else STACK & 0xFFFF)
        common += bytes.fromhex("89442410 66c7442414") + struct.pack("<H", stack_segment | 3)
    common += b"\x58\xcf"
    debug = bytes.fromhex("36ff0500500000 36f6050050000007 7508 81642408fffeffff 814c240800000100 cf")
    return common, debug


# ---- programs


@dataclass(frozen=True)
class Program:
    """What is put into RAM, and where the vCPUs start."""

    seed: int
    mode: Mode
    cpus: int
    image: tuple[tuple[int, bytes], ...]
    starts: tuple[int, ...]
    registers: tuple[tuple[int, ...], ...]
    board: bool = False


def tables(mode: Mode, cpus: int) -> list[tuple[int, bytes]]:
    """GDT, IDT, TSSs, handlers and page tables."""
    image = [(GDT, gdt(cpus)), (0 if mode.real else IDT, idt(mode)), (HANDLERS, handlers(mode))]
    return image + [(TSS + 0x100 * n, tss(mode.long, n)) for n in range(cpus)] + (page_tables(mode) if mode.paging else [])


def given(mode: Mode, *pieces: tuple[int, bytes], registers: dict[int, int] | None = None) -> Program:
    """A program of one vCPU that is not random: pieces of RAM; it starts at CODE."""
    values = tuple((registers or {}).get(k, 0) for k in range(16))
    return Program(0, mode, 1, (*tables(mode, 1), *pieces), (CODE if mode.flat else 0,), (values,))


def segment(cpu: Cpu, n: int, selector: int, descriptor: int) -> None:
    """Load segment register n with a descriptor's hidden part."""
    limit = descriptor & 0xFFFF | descriptor >> 32 & 0xF0000
    cpu.seg_selector[n] = selector
    cpu.seg_base[n] = descriptor >> 16 & 0xFFFFFF | descriptor >> 32 & 0xFF000000
    cpu.seg_limit[n] = limit << 12 | 0xFFF if descriptor >> 55 & 1 else limit
    cpu.seg_attr[n] = descriptor >> 40 & 0xF0FF


def start(cpu: Cpu, program: Program) -> None:
    """Put a vCPU that comes out of reset where the program starts."""
    mode, n = program.mode, int(cpu.index)
    if mode.real:
        for k, base in ((CS, CODE), (DS, DATA), (ES, DATA), (SS, 0x30000), (FS, DEVICE), (GS, CODE)):
            cpu.seg_selector[k], cpu.seg_base[k], cpu.seg_limit[k], cpu.seg_attr[k] = base >> 4, base, 0xFFFF, 0x9B if k == CS else 0x93
    else:
        code, data, stack, device, other = {
            ("protected16"): (CODE16U, DATA16U, STACK16U, DEVICE16U, CODE16U),
        }.get(mode.name) or {
            (32, 0): (CODE32, DATA32, DATA32, DATA32, DATA32),
            (32, 3): (CODE32U, DATA32U, DATA32U, DATA32U, DATA32U),
            (64, 0): (CODE64, DATA32, DATA32, DATA32, DATA32),
            (64, 3): (CODE64U, DATA32U, DATA32U, DATA32U, DATA32U),
        }[mode.bits, mode.cpl]
        for k, selector in ((CS, code), (DS, data), (ES, data), (SS, stack), (FS, device), (GS, other)):
            segment(cpu, k, selector | mode.cpl, DESCRIPTORS[selector])
        if other == CODE16U:
            segment(cpu, GS, DATA16U | 3, DESCRIPTORS[DATA16U] & ~0xFFFFFF0000 | CODE << 16)
        cpu.seg_selector[TR], cpu.seg_base[TR], cpu.seg_limit[TR], cpu.seg_attr[TR] = TASK + 16 * n, TSS + 0x100 * n, 0x67, 0x8B
        cpu.seg_selector[LDTR], cpu.seg_limit[LDTR], cpu.seg_attr[LDTR] = 0, 0, 0x10082
    cpu.gdtr_base, cpu.gdtr_limit = GDT, 8 * 32 - 1
    cpu.idtr_base, cpu.idtr_limit = (0, 0x3FF) if mode.real else (IDT, 0xFFF if mode.long else 0x7FF)
    cpu.cr0 = CR0_ET | CR0_NE | CR0_MP | (0 if mode.real else CR0_PE) | (CR0_PG | CR0_WP if mode.paging else 0)
    cpu.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PSE | (CR4_PAE if mode.paging in ("pae", "4-level") else 0)
    cpu.efer = EFER_NXE | EFER_LME | EFER_LMA if mode.long else 0
    cpu.cr3 = root_of(mode, 0) if mode.paging else 0
    if mode.paging == "pae":
        cpu.pdpte[0] = (TABLES + 2 * PAGE) | 1
    cpu.bits, cpu.stack_bits, cpu.cpl = mode.bits, mode.bits, mode.cpl
    cpu.eflags = 2 | (0x3000 if mode.cpl and program.seed % 3 else 0) | (0x200 if program.board else 0)
    for k in range(16):
        cpu.gpr[k] = program.registers[n][k]
    cpu.gpr[RSP] = (STACK if mode.flat else STACK & 0xFFFF) + 0x800 + 0x100 * n
    cpu.rip, cpu.activity = program.starts[n], 0


@dataclass
class Run:
    """A machine that runs a program."""

    machine: Machine
    ports: Noise
    memory: Noise
    pc: Pc | None = None

    def state(self) -> tuple:
        """Everything architectural: vCPUs, RAM, what the devices saw, and the board's."""
        end = Cpu.fields["architectural_end"][0]
        states = self.machine.cpu_states[:, :end].copy()
        for one in states:
            if not one[LATCHED].any():  # nothing is in flight: what was read last means nothing
                one[LATCH] = 0
        cpus = states.tobytes()
        return cpus, self.machine.ram.tobytes(), tuple(self.ports.log), tuple(self.memory.log), self.devices()

    def devices(self) -> tuple[tuple[str, bytes], ...]:
        """The states of the board's devices, by name."""
        if self.pc is None:
            return ()
        named = [(name, d) for name, d in vars(self.pc).items() if hasattr(d, "state")]
        named += [(f"lapic{n}", lapic) for n, lapic in enumerate(self.pc.lapics)]
        return tuple((name, device.state.tobytes()) for name, device in named)

    def go(self, steps: int) -> int:
        """Run `steps` steps, through breakpoints and traps; returns how many were left when the machine could not go on."""
        end = self.machine.position + steps
        while (left := end - self.machine.position) > 0:
            stop = self.machine.run(left)
            assert stop.reason != "error", stop
            if stop.reason not in ("budget", "break", "trap"):
                break
        return left


def bytes_of(name: str) -> slice:
    """Where a field of cpu stands in its state."""
    at = Cpu.fields[name][0]
    return slice(at, min(offset for offset, *_ in Cpu.fields.values() if offset > at))


LATCH, LATCHED = bytes_of("latch"), bytes_of("latched")


def load(program: Program, engine: str) -> Run:
    """A machine of its own with the program in it."""
    machine = Machine(MEMORY, program.cpus, engine)
    for at, data in program.image:
        machine.ram[at : at + len(data)] = np.frombuffer(data, np.uint8)
    ports, memory = Noise(), Noise()
    machine.ports.attach(PORT, PORTS, ports)
    machine.claim(DEVICE, PAGE, memory)
    pc = board(machine, program) if program.board else None
    for cpu in machine.cpus:
        start(cpu, program)
    return Run(machine, ports, memory, pc)


def board(machine: Machine, program: Program) -> Pc:
    """A PC's devices: the PIT ticks, every local APIC's timer runs, at times that follow from the program's seed."""
    for cpu in machine.cpus:
        cpu.clock = 1 + program.seed * 97 % 900
    pc = Pc(machine, lambda byte: None)
    for port, value in ((0x20, 0x11), (0x21, TICK_VECTOR), (0x21, 4), (0x21, 1), (0x21, 0xFE), (0x43, 0x34), (0x40, 2), (0x40, 0)):
        machine.ports.write(port, 1, value)
    pc.place_apic(APIC)
    for n, (cpu, lapic) in enumerate(zip(machine.cpus, pc.lapics, strict=True)):
        cpu.apic_base = int(cpu.apic_base) & 0xFFF | APIC
        for register, value in ((0xF0, 0x1FF), (0x3E0, 0xB), (0x320, LOCAL_VECTOR | (program.seed & 1) << 17)):
            lapic.write(register, 4, value)
        lapic.write(0x380, 4, 20 + (program.seed * 31 + n * 57) % 400)
    return pc


def explain(a: tuple, b: tuple) -> str:
    """Where two states differ."""
    end, size = Cpu.fields["architectural_end"][0], len(a[0])
    out = []
    for n in range(size // end):
        for name, (at, word, count) in Cpu.fields.items():
            if at >= end:
                break
            width = word.bits // 8
            for k in range(count or 1):
                lo = n * end + at + k * width
                x, y = a[0][lo : lo + width], b[0][lo : lo + width]
                if x != y:
                    out.append(f"cpu{n}.{name}[{k}]: {int.from_bytes(x, 'little'):x} {int.from_bytes(y, 'little'):x}")
    different = np.flatnonzero(np.frombuffer(a[1], np.uint8) != np.frombuffer(b[1], np.uint8))
    out += [f"ram[{at:x}]: {a[1][at]:02x} {b[1][at]:02x}" for at in different[:8]]
    out += [f"{x[0]}: {x[1].hex()} {y[1].hex()}" for x, y in zip(a[4], b[4], strict=True) if x != y]
    out += [f"{name} log: {x[-3:]} {y[-3:]}" for name, x, y in (("port", a[2], b[2]), ("device", a[3], b[3])) if x != y]
    return "\n".join(out[:20])
