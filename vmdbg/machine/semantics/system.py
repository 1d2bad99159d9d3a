"""Control and debug registers, descriptor-table registers, the TLB (SDM vol. 2, each instruction's page)."""

from isa.lang.struct import words16, words32, words64
from isa.lang.word import U16, U32, U64, like, outlined
from vmdbg.machine.control_registers import write_cr0, write_cr3, write_cr4
from vmdbg.machine.debug import DB_GENERAL_DETECT, DR7_GENERAL_DETECT
from vmdbg.machine.faults import fault, fault_gp0, fault_ud
from vmdbg.machine.memory import READ, WRITE, access
from vmdbg.machine.segmentation import canonical
from vmdbg.machine.semantics.segments import umip
from vmdbg.machine.state import (
    CR0_EM,
    CR0_MP,
    CR0_PE,
    CR0_TS,
    CR4_DE,
    CR4_PCIDE,
    DB,
    END,
    F_AC,
    FAULT,
    NEXT,
)
from vmdbg.machine.widths import truncate

# ---- GDTR, IDTR


def store_table(cpu, u, ea, base, limit):
    """SGDT, SIDT: 16 bits of limit, then 32 or 64 of base."""
    if umip(cpu):
        return fault_gp0(cpu)
    wide = cpu.bits == 64
    first = access(cpu, u.seg, ea.value, U64(2), WRITE)
    if first == 0:
        return FAULT
    host = access(cpu, u.seg, truncate(ea.value + 2, u.asize), U64(8) if wide else U64(4), WRITE)
    if host == 0:
        return FAULT
    words16(first)[0] = U16(limit)
    if wide:
        words64(host)[0] = base
    else:
        words32(host)[0] = U32(base)
    return NEXT


@outlined
def load_table(cpu, u, ea):
    """(ok, base, limit) of LGDT, LIDT; a 16-bit operand size takes 24 bits of base."""
    if cpu.cpl != 0:
        fault_gp0(cpu)
        return False, U64(0), U64(0)
    wide = cpu.bits == 64
    host = access(cpu, u.seg, truncate(ea.value + 2, u.asize), U64(8) if wide else U64(4), READ)
    if host == 0:
        return False, U64(0), U64(0)
    first = access(cpu, u.seg, ea.value, U64(2), READ)
    if first == 0:
        return False, U64(0), U64(0)
    limit = U64(words16(first)[0])
    if wide:
        base = words64(host)[0]
        if not canonical(base):
            fault_gp0(cpu)
            return False, base, limit
    else:
        base = U64(words32(host)[0])
        if u.osize == 16:
            base = base & 0xFFFFFF
    return True, base, limit


def sgdt(cpu, u, ea):
    return store_table(cpu, u, ea, cpu.gdtr_base, cpu.gdtr_limit)


def sidt(cpu, u, ea):
    return store_table(cpu, u, ea, cpu.idtr_base, cpu.idtr_limit)


def lgdt(cpu, u, ea):
    ok, base, limit = load_table(cpu, u, ea)
    if not ok:
        return FAULT
    cpu.gdtr_base, cpu.gdtr_limit = base, limit
    return NEXT


def lidt(cpu, u, ea):
    ok, base, limit = load_table(cpu, u, ea)
    if not ok:
        return FAULT
    cpu.idtr_base, cpu.idtr_limit = base, limit
    return NEXT


# ---- control registers


def smsw(cpu, u, dst):
    dst.value = like(dst.value, cpu.cr0)
    return NEXT


def lmsw(cpu, u, src):
    """PE can be set, not cleared."""
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    low = U64(src.value) & (CR0_PE | CR0_MP | CR0_EM | CR0_TS)
    return write_cr0(cpu, (cpu.cr0 & ~U64(CR0_MP | CR0_EM | CR0_TS)) | low)


def clts(cpu, u):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    cpu.cr0 = cpu.cr0 & ~U64(CR0_TS)
    return END


def mov_from_cr(cpu, u, dst, number):
    n = number.value
    if n != 0 and n != 2 and n != 3 and n != 4 and n != 8:
        return fault_ud(cpu)
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    value = cpu.cr0
    if n == 2:
        value = cpu.cr2
    elif n == 3:
        value = cpu.cr3
    elif n == 4:
        value = cpu.cr4
    elif n == 8:
        value = cpu.cr8
    dst.value = like(dst.value, value)
    return NEXT


def mov_to_cr(cpu, u, number, src):
    return load_control(cpu, U64(number.value), U64(src.value))


@outlined
def load_control(cpu, n, value):
    if n != 0 and n != 2 and n != 3 and n != 4 and n != 8:
        return fault_ud(cpu)
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    if n == 0:
        return write_cr0(cpu, value)
    if n == 3:
        return write_cr3(cpu, value)
    if n == 4:
        return write_cr4(cpu, value)
    if n == 2:
        cpu.cr2 = value
        return END
    if value > 15:
        return fault_gp0(cpu)
    cpu.cr8 = value
    return END


# ---- debug registers


@outlined
def debug_number(cpu, number):
    """(ok, number) of a debug register to access: DR4 and DR5 are DR6 and DR7 unless CR4.DE (SDM vol. 3, 17.2.2)."""
    n = number
    if n > 7 or ((n == 4 or n == 5) and (cpu.cr4 & CR4_DE) != 0):
        fault_ud(cpu)
        return False, n
    if cpu.cpl != 0:
        fault_gp0(cpu)
        return False, n
    if (cpu.dr[7] & DR7_GENERAL_DETECT) != 0:
        cpu.pending_db = cpu.pending_db | DB_GENERAL_DETECT
        fault(cpu, DB, 0)
        return False, n
    if n == 4 or n == 5:
        n = n + 2
    return True, n


def mov_from_dr(cpu, u, dst, number):
    ok, n = debug_number(cpu, U64(number.value))
    if not ok:
        return FAULT
    dst.value = like(dst.value, cpu.dr[n])
    return NEXT


def mov_to_dr(cpu, u, number, src):
    ok, n = debug_number(cpu, U64(number.value))
    if not ok:
        return FAULT
    value = U64(src.value)
    if n >= 6 and (value >> 32) != 0:
        return fault_gp0(cpu)
    if n == 6:
        value = (value & 0xE00F) | 0xFFFF0FF0
    elif n == 7:
        value = (value & 0xFFFF23FF) | 0x400
    cpu.dr[n] = value
    return END


# ---- the TLB, which is coherent: nothing to forget


def invlpg(cpu, u, ea):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    return END


def invpcid(cpu, u, kind, ea):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    host = access(cpu, u.seg, ea.value, U64(16), READ)
    if host == 0:
        return FAULT
    what = U64(kind.value)
    pcid = words64(host)[0]
    linear = words64(host)[1]
    if what > 3 or (pcid >> 12) != 0:
        return fault_gp0(cpu)
    if what <= 1 and pcid != 0 and (cpu.cr4 & CR4_PCIDE) == 0:
        return fault_gp0(cpu)
    if what == 0 and not canonical(linear):
        return fault_gp0(cpu)
    return END


def clflush(cpu, u, ea):
    """The line is only checked for being readable."""
    if access(cpu, u.seg, ea.value, U64(1), READ) == 0:
        return FAULT
    return NEXT


def invd(cpu, u):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    return NEXT


def wbinvd(cpu, u):
    if cpu.cpl != 0:
        return fault_gp0(cpu)
    return NEXT


def fence(cpu, u):
    return NEXT


# ---- SMAP


def stac(cpu, u):
    if cpu.cpl != 0:
        return fault_ud(cpu)
    cpu.eflags = cpu.eflags | F_AC
    return END


def clac(cpu, u):
    if cpu.cpl != 0:
        return fault_ud(cpu)
    cpu.eflags = cpu.eflags & ~U64(F_AC)
    return END


def rsm(cpu, u):
    """There is no system-management mode to leave."""
    return fault_ud(cpu)
