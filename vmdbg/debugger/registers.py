"""Registers by their names in the manual, read from a vCPU's state."""

from collections.abc import Callable
from dataclasses import dataclass

from isa.lang.struct import C_TYPE
from vmdbg.machine.state import CR0_PE, CR0_PG, CS, EFER_LMA, F_VM, Cpu

GENERAL = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
SEGMENTS = "es cs ss ds fs gs ldtr tr".split()
WIDE = "cr0 cr2 cr3 cr4 cr8 efer xcr0 gdtr_base idtr_base star lstar cstar sfmask kernel_gs_base".split()
LIMITS = "gdtr_limit idtr_limit".split()

# Single flags of RFLAGS by bit (SDM vol. 1, figure 3-8), highest first as the manual draws them
FLAGS = dict(id=21, vip=20, vif=19, ac=18, vm=17, rf=16, nt=14, of=11, df=10, tf=8, sf=7, zf=6, af=4, pf=2, cf=0)
FLAGS["if"] = 9
DRAWN = sorted(FLAGS, key=FLAGS.__getitem__, reverse=True)


@dataclass(frozen=True)
class Register:
    name: str
    bits: int
    read: Callable


def reader(name: str, n: int = 0) -> Callable:
    """What reads a field of a vCPU, or element n of it, as a plain integer: in one go, for conditions that are asked at every hit."""
    offset, word, _count = Cpu.fields[name]
    offset += n * (word.bits // 8)
    at, add = C_TYPE[word].from_address, int.__add__  # not U64's: it costs more than all the rest
    return lambda cpu: at(add(cpu.address, offset)).value


_rip, _bits, _cs_base = reader("rip"), reader("bits"), reader("seg_base", CS)
_eflags, _cf, _aux, _sr, _zr, _lt = (reader(name) for name in "eflags cf aux sr zr lt".split())


def rflags(cpu) -> int:
    """RFLAGS, as vmdbg.machine.flags.get_rflags has it."""
    sr = _sr(cpu)
    value = _eflags(cpu) | _cf(cpu) | _aux(cpu) & 0x10 | sr >> 63 << 7
    if not (sr & 0xFF).bit_count() & 1:
        value |= 0x4
    if not _zr(cpu):
        value |= 0x40
    return value | 0x800 if _lt(cpu) != sr >> 63 else value


def _general(n: int, bits: int, shift: int = 0) -> Callable:
    mask, read = (1 << bits) - 1, reader("gpr", n)
    return read if bits == 64 else lambda cpu: read(cpu) >> shift & mask


def _flags(mask: int) -> Callable:
    return lambda cpu: rflags(cpu) & mask


def _flag(n: int) -> Callable:
    return lambda cpu: rflags(cpu) >> n & 1


def _all():
    for n, name in enumerate(GENERAL):
        yield name, 64, _general(n, 64)
        if n < 8:
            short = name[1:]
            yield f"e{short}", 32, _general(n, 32)
            yield short, 16, _general(n, 16)
            yield short[0] + "l" if n < 4 else short + "l", 8, _general(n, 8)
            if n < 4:
                yield short[0] + "h", 8, _general(n, 8, 8)
        else:
            yield f"{name}d", 32, _general(n, 32)
            yield f"{name}w", 16, _general(n, 16)
            yield f"{name}b", 8, _general(n, 8)
    for name, bits in (("rip", 64), ("eip", 32), ("ip", 16)):
        yield name, bits, lambda cpu, mask=(1 << bits) - 1: _rip(cpu) & mask
    for name, bits in (("rflags", 64), ("eflags", 32), ("flags", 16)):
        yield name, bits, _flags((1 << bits) - 1)
    for n, name in enumerate(SEGMENTS):
        yield name, 16, reader("seg_selector", n)
        yield f"{name}_base", 64, reader("seg_base", n)
        yield f"{name}_limit", 32, reader("seg_limit", n)
    for name in WIDE:
        yield name, 64, reader(name)
    for name in LIMITS:
        yield name, 16, reader(name)
    for n in range(8):
        yield f"dr{n}", 64, reader("dr", n)
    yield "mxcsr", 32, reader("mxcsr")
    yield "cpl", 2, reader("cpl")
    yield "iopl", 2, lambda cpu: _eflags(cpu) >> 12 & 3
    for name, n in FLAGS.items():
        yield name, 1, _flag(n)


REGISTERS = {name: Register(name, bits, read) for name, bits, read in _all()}
WHOLE = [*GENERAL, "rip", "rflags", *(n + part for n in SEGMENTS for part in ("", "_base", "_limit")), *WIDE, *LIMITS, "mxcsr", "cpl"]


def read(cpu, name: str) -> int:
    """A register's value; KeyError if there is none of this name."""
    return REGISTERS[name].read(cpu)


def linear_rip(cpu) -> int:
    """The linear address of the next instruction."""
    return _rip(cpu) if _bits(cpu) == 64 else _cs_base(cpu) + _rip(cpu) & 0xFFFFFFFF


def mode(cpu) -> str:
    """real, virtual-8086, protected, compatibility or long (SDM vol. 3, 2.2)."""
    if not int(cpu.cr0) & CR0_PE:
        return "real"
    if int(cpu.eflags) & F_VM:
        return "virtual-8086"
    if int(cpu.efer) & EFER_LMA:
        return "long" if int(cpu.bits) == 64 else "compatibility"
    return "protected"


def paging(cpu) -> bool:
    return bool(int(cpu.cr0) & CR0_PG)


def flag_names(rflags: int) -> str:
    """The flags that are set, as the manual names them: 'ZF IF PF', and IOPL where it is not 0."""
    iopl = rflags >> 12 & 3
    names = [name.upper() for name in DRAWN if rflags >> FLAGS[name] & 1]
    return " ".join(names + ([f"IOPL={iopl}"] if iopl else []))
