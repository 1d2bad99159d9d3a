"""Our own machine as an oracle's counterpart: one instruction at CPL 3 in long mode, through decoder, translation, memory and faults.

    run(states, code, bits)            on the threaded engine
    run_plain(states, code, bits)      the same on the plain one

One Machine is kept, its page tables map layout.py's pages and nothing else. A state is written as the architectural half of the
Cpu struct, so derived state (TLB, translated code) lives on from state to state as it does in a real run; the code is written as
the guest would write it, and only when it changes. GDT, LDT and TSC_AUX are the host's (host_tables.py); the guest's kernel is one
SYSRET at LSTAR, so that SYSCALL does what a call that does nothing does.
"""

import ctypes
import functools

import numpy as np

from vmdbg.machine.descriptor import refresh_mode
from vmdbg.machine.events import SOFTWARE
from vmdbg.machine.machine import Machine
from vmdbg.machine.state import CS, FS, GS, LDTR, TR, Cpu

from . import host_tables, native
from .layout import (
    ARITHMETIC,
    CODE,
    CODE32,
    CODE_SIZE,
    HAS_ERROR_CODE,
    INT3,
    LOADED,
    NONE,
    PAGE,
    PF_FAULT,
    READ_ONLY,
    READ_ONLY_IMAGE,
    READ_ONLY_SIZE,
    RF,
    SELECTORS,
    WINDOW,
    WINDOW_SIZE,
)
from .native import opcode_of

PRESENT, WRITE, USER, NO_EXECUTE = 1, 2, 4, 1 << 63
ROOT = PAGE  # PML4, page-directory pointers, directory, and the tables of the window's and the code's 2 MiB: one page each
CR0 = 0x80050033  # PG AM WP NE ET MP PE
CR4 = 0x506F0  # OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR PGE MCE PAE PSE; UMIP is off: what it would change is not compared
EFER = 0xD01  # NXE LMA LME SCE
FLAT_DATA, FLAT_CODE64, FLAT_CODE32, BUSY_TSS, LDT_RIGHTS, UNUSABLE = 0xC0F3, 0xA0FB, 0xC0FB, 0x8B, 0x82, 0x10000
KEPT = range(32)  # vectors that stop the run before delivery
WHOLE = 1 << 22  # more than any repeated string instruction needs to reach the end of the mapped pages
GDT, KERNEL = WINDOW + 0x100000, WINDOW + 0x101000  # a page each
LDT = GDT + 0x800
SYSRET = bytes.fromhex("48 0f 07")
STAR, SFMASK = 0x0023_0010_0000_0000, 0x257FD5  # Linux's (arch/x86/kernel/cpu/common.c: syscall_init)
SYSCALL, STORES_TABLE = b"\x0f\x05", b"\x0f\x01"  # the second: SGDT and SIDT, LGDT and LIDT
OPEN_GATES = (3, 4)  # of Linux's IDT
STRINGS = [bytes([n]) for n in (*range(0x6C, 0x70), *range(0xA4, 0xA8), *range(0xAA, 0xB0))]  # opcodes that REP repeats

ARCHITECTURAL = Cpu.fields["architectural_end"][0]
IMAGE = np.dtype(
    {
        "names": list(Cpu.fields),
        "formats": [(f"<u{w.bits // 8}", n) if n else f"<u{w.bits // 8}" for _, w, n in Cpu.fields.values()],
        "offsets": [at for at, _, _ in Cpu.fields.values()],
        "itemsize": Cpu.size,
    }
)


def status_flags(image: np.ndarray, rflags: np.ndarray) -> None:
    """RFLAGS into Cpu's fields (vmdbg.machine.flags.set_rflags, for many states at once)."""
    one, sign = np.uint64(1), rflags >> np.uint64(7) & np.uint64(1)
    image["zr"] = rflags >> np.uint64(6) & one ^ one
    image["sr"] = sign << np.uint64(63) | (rflags >> np.uint64(2) & one ^ one)
    image["cf"], image["aux"] = rflags & one, rflags & np.uint64(0x10)
    image["lt"] = sign ^ (rflags >> np.uint64(11) & one)
    image["eflags"] = rflags & np.uint64(0x3F7FD7 & ~ARITHMETIC) | np.uint64(2)


def rflags_of(image: np.ndarray) -> np.ndarray:
    """RFLAGS from Cpu's fields (vmdbg.machine.flags.get_rflags)."""
    sign = image["sr"] >> np.uint64(63)
    even = (np.bitwise_count(image["sr"].astype(np.uint8)) & 1 == 0).astype(np.uint64)
    out = image["eflags"] | image["cf"] | image["aux"] & np.uint8(0x10)
    out |= even << np.uint64(2) | (image["zr"] == 0).astype(np.uint64) << np.uint64(6) | sign << np.uint64(7)
    return out | ((image["lt"] != 0).astype(np.uint64) ^ sign) << np.uint64(11)


def fx_in(image: np.ndarray, fx: np.ndarray) -> None:
    """An FXSAVE image into Cpu's fields; ST(i) is physical register TOP + i."""
    for name in ("fcw", "fsw", "fop", "mxcsr", "fip", "fdp"):
        image[name] = fx[name]
    full = (fx["ftw"][:, None] >> np.arange(8) & 1).astype(np.uint16)
    image["ftw"] = ((1 - full) * 3 << np.arange(0, 16, 2, dtype=np.uint16)).sum(axis=1)
    registers = np.ascontiguousarray(fx["st"]).view("<u8").reshape(-1, 8, 2).copy()
    registers[:, :, 1] &= np.uint64(0xFFFF)
    rows, physical = _physical(fx["fsw"])
    image["st"].reshape(-1, 8, 2)[rows, physical] = registers
    image["xmm"] = np.ascontiguousarray(fx["xmm"]).view("<u8").reshape(-1, 32)


def fx_out(fx: np.ndarray, image: np.ndarray) -> None:
    """Cpu's fields into an FXSAVE image."""
    for name in ("fcw", "fsw", "fop", "mxcsr", "fip", "fdp"):
        fx[name] = image[name]
    full = (image["ftw"][:, None] >> np.arange(0, 16, 2) & 3) != 3
    fx["ftw"] = (full << np.arange(8)).sum(axis=1)
    rows, physical = _physical(image["fsw"])
    registers = np.ascontiguousarray(image["st"]).reshape(-1, 8, 2)[rows, physical]
    fx["st"] = np.ascontiguousarray(registers).view(np.uint8).reshape(-1, 8, 16)
    fx["xmm"] = np.ascontiguousarray(image["xmm"]).view(np.uint8).reshape(-1, 16, 16)


def _physical(fsw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top = (fsw >> 11 & 7).astype(np.intp)
    return np.arange(len(fsw))[:, None], (top[:, None] + np.arange(8)) & 7


class Ours:
    """A machine that runs one instruction from each of many states."""

    def __init__(self, engine: str = "threaded"):
        self.machine = Machine(CODE + CODE_SIZE, engine=engine)
        self.cpu = self.machine.cpus[0]
        self.tables = host_tables.read(native.run)
        self._map()
        self._code: tuple[int, bytes] = (CODE, b"")
        self._templates = {bits: self._template(bits) for bits in (32, 64)}
        self.machine.intercept(KEPT)

    def _map(self) -> None:
        ram = self.machine.ram
        entries = ram[: 6 * PAGE].view("<u8").reshape(6, 512)
        entries[1, 0], entries[2, 0] = (2 * PAGE | 7, 3 * PAGE | 7)
        entries[3, WINDOW >> 21], entries[3, CODE >> 21] = (4 * PAGE | 7, 5 * PAGE | 7)
        pages = (
            (WINDOW, WINDOW_SIZE, 4, PRESENT | WRITE | USER | NO_EXECUTE),
            (READ_ONLY, READ_ONLY_SIZE, 4, PRESENT | USER | NO_EXECUTE),
            (CODE, CODE_SIZE, 5, PRESENT | USER),
            (GDT, PAGE, 4, PRESENT | WRITE | NO_EXECUTE),
            (KERNEL, PAGE, 4, PRESENT),
        )
        for first, size, table, rights in pages:
            for address in range(first, first + size, PAGE):
                entries[table, address >> 12 & 511] = address | rights
        ram[READ_ONLY : READ_ONLY + READ_ONLY_SIZE] = READ_ONLY_IMAGE
        ram[CODE : CODE + CODE_SIZE] = INT3
        for at, table in ((GDT, self.tables.gdt), (LDT, self.tables.ldt)):
            ram[at : at + table.nbytes] = table.view(np.uint8)
        ram[KERNEL : KERNEL + len(SYSRET)] = np.frombuffer(SYSRET, np.uint8)

    def _template(self, bits: int) -> np.ndarray:
        """The architectural half of a vCPU at CPL 3 in 64-bit or compatibility mode."""
        cpu, tables = self.cpu, self.tables
        cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer, cpu.xcr0, cpu.cpl = CR0, ROOT, CR4, EFER, 3, 3
        for n, selector in enumerate(SELECTORS):
            cpu.seg_selector[n], cpu.seg_limit[n], cpu.seg_base[n], cpu.seg_attr[n] = selector, 0xFFFFFFFF, 0, FLAT_DATA
        cpu.seg_selector[CS] = SELECTORS[CS] if bits == 64 else CODE32
        cpu.seg_attr[CS] = FLAT_CODE64 if bits == 64 else FLAT_CODE32
        cpu.seg_selector[LDTR], cpu.seg_attr[LDTR] = tables.ldtr, LDT_RIGHTS if tables.ldt.any() else UNUSABLE
        cpu.seg_base[LDTR], cpu.seg_limit[LDTR] = LDT, tables.ldt.nbytes - 1
        cpu.seg_selector[TR], cpu.seg_attr[TR] = tables.tr, BUSY_TSS
        cpu.seg_limit[TR] = 0x66  # too short for a permission bitmap: no port is allowed
        cpu.idtr_limit, cpu.gdtr_base, cpu.gdtr_limit = 0, GDT, tables.gdt.nbytes - 1  # no gate is open to CPL 3
        cpu.star, cpu.lstar, cpu.sfmask, cpu.tsc_aux = STAR, KERNEL, SFMASK, tables.tsc_aux
        refresh_mode(cpu)
        return self.machine.cpu_states[0].view(IMAGE).copy()

    def _write_code(self, start: int, code: bytes) -> None:
        if self._code != (start, code):
            before, length = self._code[0], len(self._code[1])
            self.machine.write_physical(before, bytes([INT3]) * length)
            self.machine.write_physical(start, code)
            self._code = start, code

    def run(self, states: np.ndarray, code: bytes, bits: int = 64) -> np.ndarray:
        """Run `code` once from each of `states` (layout.STATE, one common rip); an array of layout.LOADED. As Native.run."""
        start, count = int(states["rip"][0]), len(states)
        self._write_code(start, code)
        images = np.repeat(self._templates[bits], count)
        images["gpr"][:, :16], images["rip"] = states["gpr"], states["rip"]
        images["seg_base"][:, FS], images["seg_base"][:, GS] = states["fs_base"], states["gs_base"]
        status_flags(images, states["rflags"])
        fx_in(images, states["fx"])
        results = np.zeros(count, LOADED)
        windows = np.ascontiguousarray(states["window"])
        opcode = opcode_of(code, bits)
        if opcode[:2] == STORES_TABLE:
            (images["gdtr_base"], images["gdtr_limit"]), (images["idtr_base"], images["idtr_limit"]) = self.tables.gdtr, self.tables.idtr
        repeated = opcode[:1] in STRINGS and any(p in code[: code.index(opcode)] for p in b"\xf2\xf3")
        faults = self._each(images, windows, opcode, repeated, start + len(code))
        results["gpr"], results["rip"] = images["gpr"][:, :16], images["rip"]
        results["fs_base"], results["gs_base"] = images["seg_base"][:, FS], images["seg_base"][:, GS]
        results["rflags"] = rflags_of(images) & np.uint64(~RF & (1 << 64) - 1)
        results["selectors"] = images["seg_selector"][:, : GS + 1]
        fx_out(results["fx"], images)
        results["window"] = windows
        self._report(results, faults, start + len(code))
        return results

    def _each(self, images: np.ndarray, windows: np.ndarray, opcode: bytes, repeated: bool, end: int) -> np.ndarray:
        """Run from every image and window, which are overwritten with what came out; (vector or NONE, error code, address) of each."""
        machine, cpu = self.machine, self.cpu
        state, memory = int(cpu.address), machine.ram.ctypes.data + WINDOW
        image, window = images.ctypes.data, windows.ctypes.data
        let_pass = opcode[:1] == b"\xcd" and opcode[1] not in OPEN_GATES
        budget = WHOLE if repeated else 2 if opcode[:2] == SYSCALL else 1
        faults = np.zeros((len(images), 3), object)
        faults[:, 0] = NONE
        for n in range(len(images)):
            ctypes.memmove(state, image, ARCHITECTURAL)
            ctypes.memmove(memory, window, WINDOW_SIZE)
            cpu.let_pass = int(let_pass)
            stop = machine.run(budget, resume=False)
            if stop.reason == "trap":
                faults[n] = int(cpu.vector), stop.error_code, stop.address
            elif stop.reason != "budget":
                raise AssertionError(f"{opcode.hex(' ')}: the machine stopped for {stop}")
            ctypes.memmove(image, state, ARCHITECTURAL)
            ctypes.memmove(window, memory, WINDOW_SIZE)
            image += Cpu.size
            window += WINDOW_SIZE
        if repeated:  # the run went on to the INT3 behind the instruction
            faults[(faults[:, 0] == SOFTWARE | 3) & (images["rip"] == end), 0] = NONE
        return faults

    @staticmethod
    def _report(results: np.ndarray, faults: np.ndarray, end: int) -> None:
        """What stopped each run; a software interrupt is reported at the instruction's end, as a debugger sees it."""
        vector = faults[:, 0].astype(np.int64)
        faulted = vector != NONE
        results["rip"][faulted & (vector & SOFTWARE != 0)] = end
        vector[faulted] &= 0xFF
        results["vector"] = vector
        results["error_code"] = np.where(np.isin(vector, HAS_ERROR_CODE), faults[:, 1], 0).astype(np.uint32)
        results["fault_address"] = np.where(vector == PF_FAULT, faults[:, 2], 0).astype(np.uint64)


@functools.cache
def shared(engine: str = "threaded") -> Ours:
    """The one of a test run."""
    return Ours(engine)


def run(states: np.ndarray, code: bytes, bits: int = 64) -> np.ndarray:
    """`Ours.run` on the threaded engine."""
    return shared().run(states, code, bits)


def run_plain(states: np.ndarray, code: bytes, bits: int = 64) -> np.ndarray:
    """`Ours.run` on the plain engine."""
    return shared("plain").run(states, code, bits)
