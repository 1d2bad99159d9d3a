"""System instructions: what Bochs's states do not reach: MSR rows, control-register rules, UMIP, PVI, ports and their latch."""

import pytest

from isa import cpuid
from isa.lang.struct import Place8, Place16, Place32
from isa.lang.word import U64
from tests.machine.whole import shared
from tests.oracles.system import KINDS, PAGING, generate
from vmdbg.machine.control_registers import write_cr0, write_cr4, write_efer
from vmdbg.machine.machine import Machine
from vmdbg.machine.msr import ANY, MSRS, read_known, write_known
from vmdbg.machine.plain import AVAILABLE
from vmdbg.machine.semantics.io import in_, out
from vmdbg.machine.semantics.processor import cli, rdrand, sti
from vmdbg.machine.semantics.processor import cpuid as identify
from vmdbg.machine.semantics.segments import sldt, str_
from vmdbg.machine.semantics.system import smsw
from vmdbg.machine.state import (
    CR0_CD,
    CR0_NW,
    CR0_PE,
    CR0_PG,
    CR4_OSXSAVE,
    CR4_PAE,
    CR4_PCIDE,
    CR4_PVI,
    CR4_UMIP,
    CR4_VMXE,
    EFER_LMA,
    EFER_LME,
    EFER_NXE,
    EFER_SCE,
    END,
    EXIT,
    F_IF,
    F_VIF,
    F_VIP,
    F_VM,
    FAULT,
    GP,
    NEXT,
    RAX,
    RBX,
    RCX,
    RDX,
    X_IN,
    X_OUT,
    Uop,
)


def cpu_in(name: str, **fields: int):
    state = generate(name, 1, 3)
    for field, value in fields.items():
        state[field] = value
    whole = shared()
    whole.load(state[0], b"\x90", KINDS[name])
    return whole.cpu


def uop():
    return Uop(shared().machine._scratch)


def faulted(cpu, status, vector=GP, error=0):
    return status == FAULT and (int(cpu.vector), int(cpu.error_code)) == (vector, error)


@pytest.mark.parametrize("row", MSRS, ids=lambda m: m.name)
def test_msr_rows(row):
    """Every row reads; a reserved bit and a value that is not canonical are refused, and nothing is changed."""
    cpu = cpu_in("long")
    known, before = read_known(cpu, U64(row.number))
    assert known
    bad = [1 << n for n in range(64) if not row.valid >> n & 1][:3]
    if row.check == "canonical":
        bad.append(1 << 47)
    if row.write == "never":
        bad.append(0)
    for value in bad:
        if row.write != "ignored":
            assert faulted(cpu, write_known(cpu, U64(row.number), U64(value))), hex(value)
    assert read_known(cpu, U64(row.number))[1] == before
    if row.write == "" and row.valid and not row.check:
        assert write_known(cpu, U64(row.number), U64(row.valid)) == END
        assert read_known(cpu, U64(row.number))[1] == row.valid & ANY


def test_misc_enable_hides_leaves_and_nx():
    """Bit 22 ends CPUID with leaf 3; bit 34 takes NX away from CPUID and from EFER."""
    cpu = cpu_in("long", efer=EFER_SCE | EFER_LME | EFER_LMA)
    assert write_known(cpu, U64(0x1A0), U64(0x4_0040_0001)) == END
    assert read_known(cpu, U64(0x1A0))[1] == 0x4_0040_1801
    assert ask(cpu, 0) == (3, *cpuid.cpuid(0)[1:]) and ask(cpu, 7) == ask(cpu, 3)
    assert ask(cpu, 0x80000001) == (*cpuid.cpuid(0x80000001)[:3], cpuid.cpuid(0x80000001)[3] & ~(1 << 20))
    assert faulted(cpu, write_efer(cpu, U64(EFER_SCE | EFER_LME | EFER_NXE)))


def ask(cpu, leaf, subleaf=0):
    """(eax, ebx, ecx, edx) of CPUID."""
    cpu.gpr[RAX], cpu.gpr[RCX] = leaf, subleaf
    assert identify(cpu, uop()) == END
    return tuple(int(cpu.gpr[n]) for n in (RAX, RBX, RCX, RDX))


@pytest.mark.parametrize("n", [0, 2])
def test_cpuid_is_the_model_s(n):
    """Every leaf and subleaf, and those that do not exist, on two of three processors."""
    machine = Machine(1 << 20, cpus=3, engine="plain")
    cpu = machine.cpus[n]
    for leaf in [*range(0x18), 0x40000000, 0x7FFFFFFF, *range(0x80000000, 0x8000000A), 0xFFFFFFFF]:
        for subleaf in (0, 1, 2, 3, 5, 0x105, 0xFFFFFFFF):
            assert ask(cpu, leaf, subleaf) == cpuid.cpuid(leaf, subleaf, apic_id=n, cpus=3), (leaf, subleaf)
    cpu.cr4, cpu.apic_base = CR4_OSXSAVE, 0xFEE00000
    assert ask(cpu, 1)[2:] == (cpuid.cpuid(1, cpus=3)[2] | 1 << 27, cpuid.cpuid(1, cpus=3)[3] & ~(1 << 9))


def test_tsc_adjust_is_what_was_added():
    cpu = cpu_in("long")
    cpu.tsc_offset = 5
    assert read_known(cpu, U64(0x3B))[1] == 5
    before = int(read_known(cpu, U64(0x10))[1])
    assert write_known(cpu, U64(0x3B), U64(105)) == END
    assert int(read_known(cpu, U64(0x10))[1]) == before + 100


def test_unknown_msr():
    cpu = cpu_in("long")
    assert not read_known(cpu, U64(0x1234))[0] and faulted(cpu, write_known(cpu, U64(0x1234), U64(0)))


@pytest.mark.parametrize(
    ("name", "register", "change", "good"),
    [
        ("protected16", "cr0", CR0_PG | 1 << 32, False),
        ("real", "cr0", CR0_PG, False),  # without PE
        ("protected32", "cr0", CR0_NW, False),
        ("protected32", "cr0", CR0_NW | CR0_CD, True),
        ("protected32", "cr0", CR0_PG, True),
        ("long", "cr0", CR0_PG, False),  # not from 64-bit code
        ("long", "cr4", CR4_PAE, False),
        ("long", "cr4", CR4_VMXE, False),
        ("long", "cr4", CR4_PCIDE, True),
        ("protected32", "cr4", CR4_PCIDE, False),
        ("long", "efer", EFER_LME, False),  # while paging is on
        ("long", "efer", EFER_NXE | EFER_SCE, True),
        ("protected32", "efer", 1 << 12, False),
    ],
)
def test_control_registers(name, register, change, good):
    cpu = cpu_in(name)
    write = dict(cr0=write_cr0, cr4=write_cr4, efer=write_efer)[register]
    old = int(getattr(cpu, register))
    status = write(cpu, U64(old ^ change))
    if good:
        assert status == END and int(getattr(cpu, register)) == old ^ change
    else:
        assert faulted(cpu, status) and int(getattr(cpu, register)) == old


def test_entering_and_leaving_ia32e_mode():
    """LME and PAE, then PG: LMA follows; CS.L may not be set then (SDM vol. 3, 9.8.5)."""
    cpu = cpu_in("segmented32")
    cpu.cr4, cpu.cr3 = CR4_PAE, PAGING
    assert write_efer(cpu, U64(EFER_LME)) == END
    attr = int(cpu.seg_attr[1])
    cpu.seg_attr[1] = attr | 0x2000
    assert faulted(cpu, write_cr0(cpu, U64(int(cpu.cr0) | CR0_PG)))
    cpu.seg_attr[1] = attr
    assert write_cr0(cpu, U64(int(cpu.cr0) | CR0_PG)) == END and int(cpu.efer) == EFER_LME | EFER_LMA and int(cpu.bits) == 32
    assert write_cr0(cpu, U64(int(cpu.cr0) & ~CR0_PG)) == END and int(cpu.efer) == EFER_LME
    cpu.cr4 = 0
    assert faulted(cpu, write_cr0(cpu, U64(int(cpu.cr0) | CR0_PG)))


def test_clearing_pe_is_level_0():
    cpu = cpu_in("protected16")
    assert write_cr0(cpu, U64(int(cpu.cr0) & ~CR0_PE)) == END and int(cpu.cpl) == 0


@pytest.mark.parametrize(("unit", "meaning"), [("protected_umip", sldt), ("protected_umip", str_), ("umip", smsw)])
def test_umip(unit, meaning):
    """UMIP is asked before the operand is reached, by the glue; the meaning itself stores."""
    cpu = cpu_in("long_ring3")
    assert AVAILABLE[unit](cpu)
    assert meaning(cpu, uop(), Place32(int(cpu.gpr.address), True)) == NEXT
    cpu.cr4 = CR4_UMIP
    assert not AVAILABLE[unit](cpu)
    assert faulted(cpu, FAULT)


@pytest.mark.parametrize(
    ("name", "cr4", "flags", "meaning", "status", "changed"),
    [
        ("protected32", 0, 0, sti, END, F_IF),
        ("protected32", 0, F_IF, cli, END, F_IF),
        ("protected32_ring3", 0, 0, sti, FAULT, 0),
        ("protected32_ring3", 0, 0x3000, sti, END, F_IF),
        ("protected32_ring3", CR4_PVI, 0, sti, END, F_VIF),
        ("protected32_ring3", CR4_PVI, F_VIP, sti, FAULT, 0),
        ("protected32_ring3", CR4_PVI, F_VIP | F_VIF, cli, END, F_VIF),
        ("v86", 0, F_VM, cli, FAULT, 0),
        ("v86", 1, F_VM | F_VIF, cli, END, F_VIF),
        ("v86", 1, F_VM | F_VIP, sti, FAULT, 0),
    ],
)
def test_interrupt_flags(name, cr4, flags, meaning, status, changed):
    cpu = cpu_in(name, rflags=2 | flags)
    cpu.cr4 = cr4
    before = int(cpu.eflags)
    assert meaning(cpu, uop()) == status and int(cpu.eflags) ^ before == changed
    assert int(cpu.shadow) == (meaning is sti and changed == F_IF)


def test_ports_are_asked_once():
    """EXIT with the question; with the answer in the latch the instruction is completed."""
    cpu = cpu_in("protected32")
    number, al = U64(0x60), Place8(int(cpu.gpr.address))
    cpu.gpr[1] = number
    port = Place8(int(cpu.gpr.address) + 8)
    assert in_(cpu, uop(), al, port) == EXIT and (int(cpu.reason), int(cpu.port), int(cpu.width)) == (X_IN, 0x60, 1)
    cpu.latch[0], cpu.latched = 0xA5, 1
    assert in_(cpu, uop(), al, port) == END and int(cpu.gpr[RAX]) & 0xFF == 0xA5
    cpu.latched = 0
    assert out(cpu, uop(), port, Place16(int(cpu.gpr.address))) == EXIT
    assert (int(cpu.reason), int(cpu.width), int(cpu.value)) == (X_OUT, 2, int(cpu.gpr[RAX]) & 0xFFFF)


def test_random_numbers_are_a_function_of_the_seed():
    cpu = cpu_in("long")
    seen = []
    for _ in range(2):
        cpu.random = 1
        place = Place32(int(cpu.gpr.address), True)
        assert rdrand(cpu, uop(), place) == END and cpu.cf == 1
        seen.append(int(cpu.gpr[RAX]))
    assert seen == [0x47E4CE4B, 0x47E4CE4B]
