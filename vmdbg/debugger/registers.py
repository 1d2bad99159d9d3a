"""Registers by their names in the manual, read from a vCPU's state."""

from collections.abc import Callable
from dataclasses import dataclass

from vmdbg.machine.flags import get_rflags
from vmdbg.machine.state import CR0_PE, CR0_PG, CS, EFER_LMA, F_VM

GENERAL = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
SEGMENTS = "es cs ss ds fs gs ldtr tr".split()

# Single flags of RFLAGS by bit (SDM vol. 1, figure 3-8), highest first as the manual draws them
FLAGS = dict(id=21, vip=20, vif=19, ac=18, vm=17, rf=16, nt=14, of=11, df=10, tf=8, sf=7, zf=6, af=4, pf=2, cf=0)
FLAGS["if"] = 9
DRAWN = sorted(FLAGS, key=FLAGS.__getitem__, reverse=True)


@dataclass(frozen=True)
class Register:
    name: str
    bits: int
    read: Callable


def _general(n: int, bits: int, shift: int = 0) -> Callable:
    mask = (1 << bits) - 1
    return lambda cpu: int(cpu.gpr[n]) >> shift & mask


def _field(name: str) -> Callable:
    return lambda cpu: int(getattr(cpu, name))


def _element(name: str, n: int) -> Callable:
    return lambda cpu: int(getattr(cpu, name)[n])


def _flags(mask: int) -> Callable:
    return lambda cpu: int(get_rflags(cpu)) & mask


def _flag(n: int) -> Callable:
    return lambda cpu: int(get_rflags(cpu)) >> n & 1


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
        yield name, bits, lambda cpu, mask=(1 << bits) - 1: int(cpu.rip) & mask
    for name, bits in (("rflags", 64), ("eflags", 32), ("flags", 16)):
        yield name, bits, _flags((1 << bits) - 1)
    for n, name in enumerate(SEGMENTS):
        yield name, 16, _element("seg_selector", n)
        yield f"{name}_base", 64, _element("seg_base", n)
        yield f"{name}_limit", 32, _element("seg_limit", n)
    for name in "cr0 cr2 cr3 cr4 cr8 efer xcr0 gdtr_base idtr_base star lstar cstar sfmask kernel_gs_base".split():
        yield name, 64, _field(name)
    for name in "gdtr_limit idtr_limit".split():
        yield name, 16, _field(name)
    for n in range(8):
        yield f"dr{n}", 64, _element("dr", n)
    yield "mxcsr", 32, _field("mxcsr")
    yield "cpl", 2, _field("cpl")
    yield "iopl", 2, lambda cpu: int(get_rflags(cpu)) >> 12 & 3
    for name, n in FLAGS.items():
        yield name, 1, _flag(n)


REGISTERS = {name: Register(name, bits, read) for name, bits, read in _all()}


def read(cpu, name: str) -> int:
    """A register's value; KeyError if there is none of this name."""
    return REGISTERS[name].read(cpu)


def linear_rip(cpu) -> int:
    """The linear address of the next instruction."""
    mask = 0xFFFFFFFFFFFFFFFF if int(cpu.bits) == 64 else 0xFFFFFFFF
    return int(cpu.seg_base[CS]) + int(cpu.rip) & mask


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
