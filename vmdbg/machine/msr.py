"""Model-specific registers, as data (SDM vol. 4, chapter 2); RDMSR and WRMSR are derived from the rows.

A number that is in no row raises #GP(0), as does a write of a bit outside `valid` or of what `check` refuses.
"""

from dataclasses import dataclass

from isa.lang.word import U64
from vmdbg.machine.clock import read_tsc, write_tsc
from vmdbg.machine.control_registers import write_efer
from vmdbg.machine.faults import fault_gp0
from vmdbg.machine.physical import PHYSICAL_MASK
from vmdbg.machine.segmentation import canonical
from vmdbg.machine.state import END, EXIT, FS, GS, LIMIT_CPUID, NX_DISABLED, X_RDMSR, X_WRMSR

ANY, WORD32 = (1 << 64) - 1, (1 << 32) - 1
PAGE_BITS = PHYSICAL_MASK & ~0xFFF
APIC_EXTENDED, APIC_ENABLED = 0x400, 0x800
X2APIC, X2APIC_END = 0x800, 0x900
MISC_WRITABLE = LIMIT_CPUID | NX_DISABLED | 1 << 0 | 1 << 3 | 1 << 16 | 1 << 18 | 1 << 23  # fast strings, power management, bus
MISC_FIXED = 1 << 11 | 1 << 12


@dataclass(frozen=True, slots=True)
class Msr:
    """One register: where it is kept (`field`: an expression in Cpu, or a constant), and what may be written to it."""

    number: int
    name: str
    field: str
    valid: int = ANY
    check: str = ""  # a function of the value that says whether it may be written
    write: str = ""  # "ignored", "never" (read-only), or a function (cpu, value) -> status instead of a store
    what: str = ""


# fmt: off
MSRS = [
    Msr(0x010, "IA32_TIME_STAMP_COUNTER", "read_tsc(cpu)", write="set_tsc"),
    Msr(0x017, "IA32_PLATFORM_ID",  "0", write="never"),
    Msr(0x01B, "IA32_APIC_BASE",    "cpu.apic_base", PAGE_BITS | 0xD00, write="set_apic_base", what="BSP 8, x2APIC 10, enable 11"),
    Msr(0x03B, "IA32_TSC_ADJUST",   "cpu.tsc_offset", write="set_tsc_adjust", what="what has been added to the time-stamp counter"),
    Msr(0x079, "IA32_BIOS_UPDT_TRIG", "0", write="ignored"),
    Msr(0x08B, "IA32_BIOS_SIGN_ID", "0xF000000000", write="ignored", what="in bits 63:32: TSC deadlines work since B2h"),
    Msr(0x0FE, "IA32_MTRRCAP",      "0x508", write="never", what="8 variable ranges, fixed ranges, write combining"),
    Msr(0x174, "IA32_SYSENTER_CS",  "cpu.sysenter_cs", WORD32),
    Msr(0x175, "IA32_SYSENTER_ESP", "cpu.sysenter_esp", check="canonical"),
    Msr(0x176, "IA32_SYSENTER_EIP", "cpu.sysenter_eip", check="canonical"),
    Msr(0x179, "IA32_MCG_CAP",      "1", write="never", what="one bank"),
    Msr(0x17A, "IA32_MCG_STATUS",   "cpu.mc_status[0]", 7),
    Msr(0x1A0, "IA32_MISC_ENABLE",  "cpu.misc_enable", MISC_WRITABLE | MISC_FIXED, write="set_misc_enable",
        what="CPUID ends with leaf 3 22, no NX 34; BTS 11 and PEBS 12 are unavailable; the others have no effect"),
    Msr(0x1D9, "IA32_DEBUGCTL",     "0", 0, write="", what="LBR and BTF are not offered"),
    *(Msr(0x200 + 2 * n, f"IA32_MTRR_PHYSBASE{n}", f"cpu.mtrr_variable[{2 * n}]", PAGE_BITS | 0xFF, check="memory_type") for n in range(8)),
    *(Msr(0x201 + 2 * n, f"IA32_MTRR_PHYSMASK{n}", f"cpu.mtrr_variable[{2 * n + 1}]", PAGE_BITS | 0x800) for n in range(8)),
    *(Msr(number, f"IA32_MTRR_{name}", f"cpu.mtrr_fixed[{n}]", check="memory_types") for n, (number, name) in enumerate([
        (0x250, "FIX64K_00000"), (0x258, "FIX16K_80000"), (0x259, "FIX16K_A0000"),
        *((0x268 + k, f"FIX4K_{0xC0000 + 0x8000 * k:X}") for k in range(8))])),
    Msr(0x277, "IA32_PAT",          "cpu.pat", check="page_attributes"),
    Msr(0x2FF, "IA32_MTRR_DEF_TYPE", "cpu.mtrr_def_type", 0xCFF, check="memory_type", what="type 7:0, fixed ranges 10, enable 11"),
    Msr(0x400, "IA32_MC0_CTL",      "cpu.mc_status[1]"),
    Msr(0x401, "IA32_MC0_STATUS",   "cpu.mc_status[2]", 0, what="only cleared by software"),
    Msr(0x402, "IA32_MC0_ADDR",     "cpu.mc_status[3]", 0),
    Msr(0x403, "IA32_MC0_MISC",     "cpu.mc_status[4]", 0),
    Msr(0x6E0, "IA32_TSC_DEADLINE", "cpu.tsc_deadline", write="set_tsc_deadline"),
    Msr(0xC0000080, "IA32_EFER",    "cpu.efer", write="write_efer"),
    Msr(0xC0000081, "IA32_STAR",    "cpu.star"),
    Msr(0xC0000082, "IA32_LSTAR",   "cpu.lstar", check="canonical"),
    Msr(0xC0000083, "IA32_CSTAR",   "cpu.cstar", check="canonical", what="stored, never used"),
    Msr(0xC0000084, "IA32_FMASK",   "cpu.sfmask", WORD32),
    Msr(0xC0000100, "IA32_FS_BASE", "cpu.seg_base[FS]", check="canonical"),
    Msr(0xC0000101, "IA32_GS_BASE", "cpu.seg_base[GS]", check="canonical"),
    Msr(0xC0000102, "IA32_KERNEL_GS_BASE", "cpu.kernel_gs_base", check="canonical"),
    Msr(0xC0000103, "IA32_TSC_AUX", "cpu.tsc_aux", WORD32),
]
# fmt: on
BY_NUMBER = {m.number: m for m in MSRS}


def memory_type(value):
    """Whether bits 7:0 are a memory type that MTRRs know: UC, WC, WT, WP, WB."""
    t = value & 0xFF
    return (t == 0) | (t == 1) | ((t >= 4) & (t <= 6))


def memory_types(value):
    """memory_type of all eight bytes."""
    good = True
    n = U64(0)
    while n < 64:
        good = good & memory_type(value >> n)
        n = n + 8
    return good


def page_attributes(value):
    """Whether all eight bytes are types of the PAT: memory types and UC-."""
    good = True
    n = U64(0)
    while n < 64:
        good = good & (memory_type(value >> n) | (((value >> n) & 0xFF) == 7))
        n = n + 8
    return good


def set_tsc(cpu, value):
    """An armed TSC deadline comes at another time then: Python does it."""
    if cpu.tsc_deadline != 0:
        return ask(cpu, X_WRMSR, U64(0x10), value)
    write_tsc(cpu, value)
    return END


def set_tsc_adjust(cpu, value):
    """As set_tsc."""
    if cpu.tsc_deadline != 0:
        return ask(cpu, X_WRMSR, U64(0x3B), value)
    cpu.tsc_offset = value
    return END


def set_misc_enable(cpu, value):
    cpu.misc_enable = (value & MISC_WRITABLE) | MISC_FIXED
    return END


def ask(cpu, reason, n, value):
    """Let Python perform an access that the APIC takes part in.

    EXIT first, with cpu.port the number and cpu.value what is written; Python sets cpu.latched to 1 (done, cpu.latch[0] is
    what was read) or 2 (#GP(0)) and runs the instruction again.  END: done.
    """
    if cpu.latched == 0:
        cpu.reason, cpu.port, cpu.value, cpu.width = U64(reason), n, value, U64(8)
        return EXIT
    if cpu.latched == 2:
        return fault_gp0(cpu)
    return END


def set_apic_base(cpu, value):
    """x2APIC mode needs the APIC enabled, and is left only by disabling it (SDM vol. 3, 11.12.5)."""
    mode, old = value & (APIC_EXTENDED | APIC_ENABLED), cpu.apic_base & (APIC_EXTENDED | APIC_ENABLED)
    if mode == APIC_EXTENDED or (mode == APIC_ENABLED and (old & APIC_EXTENDED) != 0) or (mode == 0xC00 and old == 0):
        return fault_gp0(cpu)
    status = ask(cpu, X_WRMSR, U64(0x1B), value)
    if status == END:
        cpu.apic_base = value
    return status


def set_tsc_deadline(cpu, value):
    return ask(cpu, X_WRMSR, U64(0x6E0), value)


def in_x2apic(cpu, n):
    """Whether n is a register of the APIC in x2APIC mode."""
    return n >= X2APIC and n < X2APIC_END and (cpu.apic_base & (APIC_EXTENDED | APIC_ENABLED)) == (APIC_EXTENDED | APIC_ENABLED)


def read_apic(cpu, n):
    """(status, value) of an x2APIC register."""
    return ask(cpu, X_RDMSR, n, U64(0)), cpu.latch[0]


def write_apic(cpu, n, value):
    return ask(cpu, X_WRMSR, n, value)


def _source() -> str:
    """The text of read_known and write_known: (known, value), and a status."""
    read, write = ["def read_known(cpu, n):"], ["def write_known(cpu, n, value):"]
    for m in MSRS:
        read += [f"    if n == {m.number:#x}:", f"        return True, U64({m.field})"]
        if m.write == "never":
            continue
        write.append(f"    if n == {m.number:#x}:")
        refused = ([f"(value & {ANY & ~m.valid:#x}) != 0"] if m.valid != ANY else []) + ([f"not {m.check}(value)"] if m.check else [])
        if refused:
            write += [f"        if {' or '.join(refused)}:", "            return fault_gp0(cpu)"]
        if m.write not in ("", "ignored"):
            write.append(f"        return {m.write}(cpu, value)")
            continue
        if not m.write and m.valid:
            write.append(f"        {m.field} = value")
        elif m.valid == 0 and m.field.startswith("cpu"):
            write.append(f"        {m.field} = U64(0)")
        write.append("        return END")
    return "\n".join([*read, "    return False, U64(0)", "", *write, "    return fault_gp0(cpu)", ""])


exec(compile(_source(), "<rows of vmdbg.machine.msr>", "exec"), globals())
__all__ = ["BY_NUMBER", "FS", "GS", "MSRS", "Msr", "canonical", "in_x2apic", "read_apic", "read_tsc", "write_apic", "write_efer"]
