"""Descriptors: from selector to the hidden part of a segment register (SDM vol. 3, 3.4 and 5.2 to 5.8).

    fetch_descriptor -> checks by the caller -> touch (the accessed bit) -> put_segment

A descriptor is a U64 as it lies in memory:

    63..56 base 31:24 | 55 G 54 D/B 53 L 52 AVL | 51..48 limit 19:16 | 47 P 46:45 DPL 44 S 43:40 type | 39..16 base 23:0 | 15..0 limit 15:0
"""

from isa.lang.struct import words8, words64
from isa.lang.word import U8, U16, U32, U64, outlined
from vmdbg.machine.faults import fault
from vmdbg.machine.memory import access_system
from vmdbg.machine.segmentation import LOW32, canonical, protected
from vmdbg.machine.state import (
    A_DB,
    A_L,
    A_UNUSABLE,
    CR0_PE,
    CS,
    EFER_LMA,
    F_VM,
    FAULT,
    GP,
    LDTR,
    NEXT,
    NP,
    SS,
    SS_FAULT,
    TR,
)

# System descriptor types (SDM vol. 3, table 3-2)
TSS16, LDT, TSS16_BUSY, CALL16, TASK_GATE, INT16, TRAP16 = 1, 2, 3, 4, 5, 6, 7
TSS32, TSS32_BUSY, CALL32, INT32, TRAP32 = 9, 11, 12, 14, 15
RPL, TI, INDEX = 3, 4, 0xFFFC  # parts of a selector; INDEX is what an error code has of it
A_ACCESSED, A_CONFORMING = 1, 4


def long_mode(cpu):
    """IA-32e mode: 64-bit or compatibility."""
    return (cpu.efer & EFER_LMA) != 0


def linear_of(cpu, linear):
    """A linear address of a system structure: 64 bits in IA-32e mode, else 32."""
    if long_mode(cpu):
        return linear
    return linear & LOW32


def descriptor_attr(d):
    """Access rights as seg_attr has them."""
    return U32(d >> 40) & 0xF0FF


def descriptor_base(d):
    return ((d >> 16) & 0xFFFFFF) | ((d >> 32) & 0xFF000000)


def descriptor_limit(d):
    """Offset of the last byte, granularity applied."""
    limit = (d & 0xFFFF) | ((d >> 32) & 0xF0000)
    if ((d >> 55) & 1) != 0:
        limit = (limit << 12) | 0xFFF
    return limit


def descriptor_type(d):
    """Type and S: 0..15 system, 16..31 code and data."""
    return (d >> 40) & 0x1F


def descriptor_dpl(d):
    return (d >> 45) & 3


def descriptor_present(d):
    return ((d >> 47) & 1) != 0


def is_code(d):
    return (descriptor_type(d) & 0x18) == 0x18


def is_conforming(d):
    """Of a code descriptor."""
    return (descriptor_type(d) & 4) != 0


def is_writable_data(d):
    return (descriptor_type(d) & 0x1A) == 0x12


@outlined
def system_read64(cpu, linear):
    """(ok, the 8 bytes of a system structure at a linear address)."""
    host = access_system(cpu, linear_of(cpu, linear), U64(8), False)
    if host == 0:
        return False, U64(0)
    return True, words64(host)[0]


@outlined
def fetch_descriptor(cpu, selector, vector):
    """(ok, descriptor, its linear address) of a selector (U64); beyond its table: exception `vector` with the selector."""
    index = selector & 0xFFF8
    base = cpu.gdtr_base
    inside = index + 7 <= cpu.gdtr_limit
    if (selector & TI) != 0:
        base = cpu.seg_base[LDTR]
        inside = index + 7 <= cpu.seg_limit[LDTR] and (cpu.seg_attr[LDTR] & A_UNUSABLE) == 0
    if not inside:
        fault(cpu, vector, selector & INDEX)
        return False, U64(0), U64(0)
    ok, d = system_read64(cpu, base + index)
    return ok, d, base + index


@outlined
def fetch_high(cpu, selector, vector):
    """(ok, upper 8 bytes of a 16-byte system descriptor); its type field, bits 44:40, must be 0."""
    base = cpu.gdtr_base
    limit = cpu.gdtr_limit
    if (selector & TI) != 0:
        base = cpu.seg_base[LDTR]
        limit = cpu.seg_limit[LDTR]
    index = selector & 0xFFF8
    if index + 15 > limit:
        fault(cpu, vector, selector & INDEX)
        return False, U64(0)
    ok, high = system_read64(cpu, base + index + 8)
    if ok and ((high >> 40) & 0x1F) != 0:
        fault(cpu, vector, selector & INDEX)
        return False, U64(0)
    return ok, high


@outlined
def touch(cpu, d, linear):
    """(ok, host address of the access byte of descriptor d if its accessed bit is to be set, else 0)."""
    if ((d >> 40) & 1) != 0:
        return True, U64(0)
    host = access_system(cpu, linear_of(cpu, linear + 5), U64(1), True)
    return host != 0, host


def set_accessed(host):
    """Set the accessed bit that `touch` found clear."""
    if host != 0:
        access = words8(host)
        access[0] = access[0] | 1


def put_segment(cpu, seg, selector, d):
    """Load visible and hidden part from a code or data descriptor, which has been checked."""
    cpu.seg_selector[seg] = U16(selector)
    cpu.seg_base[seg] = descriptor_base(d)
    cpu.seg_limit[seg] = descriptor_limit(d)
    cpu.seg_attr[seg] = descriptor_attr(d) | A_ACCESSED


def put_null(cpu, seg, selector):
    """Load a null selector."""
    cpu.seg_selector[seg] = U16(selector)
    cpu.seg_base[seg] = U64(0)
    cpu.seg_limit[seg] = U64(0)
    cpu.seg_attr[seg] = U32(A_UNUSABLE)


@outlined
def drop_segments(cpu):
    """On a return to an outer level, segments that are too privileged for it become null (SDM vol. 3, 5.8.6).

    They become unusable; their bases, which 64-bit code sees in FS and GS, stay.
    """
    n = U64(0)
    while n < 6:
        if n != CS and n != SS:
            attr = cpu.seg_attr[n]
            conforming = (attr & 0xC) == 0xC
            if not conforming and ((attr >> 5) & 3) < U32(cpu.cpl) and (attr & 0x10000) == 0:
                cpu.seg_selector[n], cpu.seg_attr[n] = U16(0), U32(A_UNUSABLE)
        n = n + 1


def put_null_ss(cpu, selector, cpl):
    """Load SS with a null selector: 64-bit mode; its DPL is CPL."""
    put_null(cpu, SS, selector)
    cpu.seg_attr[SS] = U32(A_UNUSABLE) | (U32(cpl) << 5)


def put_real(cpu, seg, selector):
    """Load a segment register in real-address or virtual-8086 mode: real mode keeps limit and size (SDM vol. 3, 20.1.1)."""
    cpu.seg_selector[seg] = U16(selector)
    cpu.seg_base[seg] = selector << 4
    if (cpu.eflags & F_VM) != 0:
        cpu.seg_limit[seg] = U64(0xFFFF)
        cpu.seg_attr[seg] = U32(0xF3)
    else:
        cpu.seg_attr[seg] = (cpu.seg_attr[seg] & 0xD000) | 0x93


def refresh_mode(cpu):
    """Recompute bits, stack_bits and, where the mode decides it, cpl after changes of CS, SS, CR0, EFER or RFLAGS.VM.

    In protected mode CPL is whatever the last far transfer made it.
    """
    attr = cpu.seg_attr[CS]
    if (cpu.cr0 & CR0_PE) == 0:
        cpu.cpl = U8(0)
    elif (cpu.eflags & F_VM) != 0:
        cpu.cpl = U8(3)
    if long_mode(cpu) and (attr & A_L) != 0:
        cpu.bits = U8(64)
        cpu.stack_bits = U8(64)
    else:
        cpu.bits = U8(32) if (attr & A_DB) != 0 else U8(16)
        cpu.stack_bits = U8(32) if (cpu.seg_attr[SS] & A_DB) != 0 else U8(16)


def put_cs(cpu, selector, d, cpl):
    """Load CS from a checked code descriptor and enter privilege level cpl (U64)."""
    put_segment(cpu, U64(CS), (selector & INDEX) | cpl, d)
    cpu.cpl = U8(cpl)
    refresh_mode(cpu)


def check_stack_descriptor(cpu, selector, d, cpl, vector):
    """Whether d may become SS at privilege level cpl; else #`vector`(selector), or #SS(selector) if it is not present."""
    if (selector & RPL) != cpl or not is_writable_data(d) or descriptor_dpl(d) != cpl:
        fault(cpu, vector, selector & INDEX)
        return False
    if not descriptor_present(d):
        fault(cpu, SS_FAULT, selector & INDEX)
        return False
    return True


def check_data_descriptor(cpu, selector, d, cpl, vector):
    """Whether d may become DS, ES, FS or GS at cpl; else #`vector`(selector), or #NP(selector) if it is not present."""
    kind = descriptor_type(d)
    code = (kind & 8) != 0
    if (kind & 16) == 0 or (code and (kind & 2) == 0):
        fault(cpu, vector, selector & INDEX)
        return False
    if not (code and (kind & 4) != 0):
        dpl = descriptor_dpl(d)
        if (selector & RPL) > dpl or cpl > dpl:
            fault(cpu, vector, selector & INDEX)
            return False
    if not descriptor_present(d):
        fault(cpu, NP, selector & INDEX)
        return False
    return True


@outlined
def load_protected(cpu, seg, selector):
    """load_segment in protected mode (SDM vol. 2, MOV)."""
    cpl = U64(cpu.cpl)
    if (selector & INDEX) == 0:
        if seg == SS:
            if cpu.bits != 64 or cpl == 3 or (selector & RPL) != cpl:
                return fault(cpu, GP, 0)
            put_null_ss(cpu, selector, cpl)
        else:
            put_null(cpu, seg, selector)
        return NEXT
    ok, d, linear = fetch_descriptor(cpu, selector, U64(GP))
    if not ok:
        return FAULT
    if seg == SS:
        good = check_stack_descriptor(cpu, selector, d, cpl, U64(GP))
    else:
        good = check_data_descriptor(cpu, selector, d, cpl, U64(GP))
    if not good:
        return FAULT
    ok, host = touch(cpu, d, linear)
    if not ok:
        return FAULT
    set_accessed(host)
    put_segment(cpu, seg, selector, d)
    return NEXT


def load_segment(cpu, seg, selector):
    """Load ES, SS, DS, FS or GS (any word or int) with a selector (any word): MOV, POP, LxS.  NEXT, or FAULT and nothing has happened.

    The interrupt shadow of MOV SS and POP SS is the caller's.
    """
    number = U64(seg)
    value = U64(selector) & 0xFFFF
    if protected(cpu):
        status = load_protected(cpu, number, value)
    else:
        put_real(cpu, number, value)
        status = NEXT
    if number == SS:
        refresh_mode(cpu)
    return status


def fetch_system_segment(cpu, selector, vector):
    """(ok, descriptor, linear, base) of an LDT or TSS descriptor in the GDT: 16 bytes long in IA-32e mode."""
    ok, d, linear = fetch_descriptor(cpu, selector, vector)
    base = descriptor_base(d)
    if ok and long_mode(cpu) and (descriptor_type(d) & 0x10) == 0:
        ok, high = fetch_high(cpu, selector, vector)
        base = base | (high << 32)
        if ok and not canonical(base):
            fault(cpu, vector, selector & INDEX)
            ok = False
    return ok, d, linear, base


def put_system(cpu, seg, selector, d, base):
    """Load LDTR or TR."""
    cpu.seg_selector[seg] = U16(selector)
    cpu.seg_base[seg] = base
    cpu.seg_limit[seg] = descriptor_limit(d)
    cpu.seg_attr[seg] = descriptor_attr(d)


@outlined
def load_ldt(cpu, selector):
    """LLDT with a U64 selector; the caller has checked mode and CPL (SDM vol. 2, LLDT)."""
    if (selector & INDEX) == 0:
        put_null(cpu, U64(LDTR), selector)
        return NEXT
    if (selector & TI) != 0:
        return fault(cpu, GP, selector & INDEX)
    ok, d, linear, base = fetch_system_segment(cpu, selector, U64(GP))
    if not ok:
        return FAULT
    if descriptor_type(d) != LDT:
        return fault(cpu, GP, selector & INDEX)
    if not descriptor_present(d):
        return fault(cpu, NP, selector & INDEX)
    put_system(cpu, U64(LDTR), selector, d, base)
    return NEXT


@outlined
def load_tr(cpu, selector):
    """LTR with a U64 selector: the TSS becomes busy; the caller has checked mode and CPL (SDM vol. 2, LTR)."""
    if (selector & INDEX) == 0:
        return fault(cpu, GP, 0)
    if (selector & TI) != 0:
        return fault(cpu, GP, selector & INDEX)
    ok, d, linear, base = fetch_system_segment(cpu, selector, U64(GP))
    if not ok:
        return FAULT
    kind = descriptor_type(d)
    if kind != TSS32 and (kind != TSS16 or long_mode(cpu)):
        return fault(cpu, GP, selector & INDEX)
    if not descriptor_present(d):
        return fault(cpu, NP, selector & INDEX)
    host = access_system(cpu, linear_of(cpu, linear + 5), U64(1), True)
    if host == 0:
        return FAULT
    access = words8(host)
    access[0] = access[0] | 2
    put_system(cpu, U64(TR), selector, d | (U64(2) << 40), base)
    return NEXT


def check_code_descriptor(cpu, selector, d, cpl):
    """Whether a far JMP or CALL (not through a gate) at cpl may go to code descriptor d (SDM vol. 3, 5.8.1); else #GP, #NP(selector)."""
    good = is_code(d)
    if good and is_conforming(d):
        good = descriptor_dpl(d) <= cpl
    elif good:
        good = (selector & RPL) <= cpl and descriptor_dpl(d) == cpl
    if good and long_mode(cpu):
        good = ((d >> 53) & 3) != 3  # L and D both set
    if not good:
        fault(cpu, GP, selector & INDEX)
        return False
    if not descriptor_present(d):
        fault(cpu, NP, selector & INDEX)
        return False
    return True


def code_target(cpu, d, rip):
    """Whether rip lies in code segment d (canonical for 64-bit code, below the limit otherwise); else #GP(0)."""
    if long_mode(cpu) and ((d >> 53) & 1) != 0:
        good = canonical(rip)
    else:
        good = rip <= descriptor_limit(d)
    if not good:
        fault(cpu, GP, 0)
    return good
