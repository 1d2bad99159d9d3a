"""FXSAVE, FXRSTOR and the XSAVE family for the two components this model has, x87 and SSE (SDM vol. 1, 10.5 and chapter 13).

    byte  0 FCW  2 FSW  4 abridged tags  6 FOP  8 FIP (FCS at 12)  16 FDP (FDS at 20)  24 MXCSR  28 MXCSR_MASK
         32 ST(0) .. ST(7), 16 bytes each      160 XMM0 .. XMM15     416 not touched     512 XSTATE_BV  520 XCOMP_BV

An area spans at most two pages, so when its first and its last piece can be reached, all can: nothing has changed when
one cannot.  Compaction (XSAVEC, XSAVES) is not offered.
"""

from isa.lang.struct import words16, words32, words64
from isa.lang.word import U8, U16, U32, U64, outlined
from vmdbg.machine.faults import fault, fault_gp0, fault_ud
from vmdbg.machine.memory import locate, locate_rw
from vmdbg.machine.segmentation import segment_check
from vmdbg.machine.semantics.x87_control import set_control
from vmdbg.machine.semantics.x87_state import ALL_EMPTY, initialize, physical, sign_exponent, significand
from vmdbg.machine.slots import unwritten
from vmdbg.machine.state import (
    CR0_EM,
    CR0_TS,
    CR4_OSFXSR,
    CR4_OSXSAVE,
    END,
    FAULT,
    NEXT,
    NM,
    RAX,
    RCX,
    RDX,
)

X87, SSE = 1, 2  # components
XCR0_VALID = X87 | SSE
MXCSR_MASK = 0xFFFF
LEGACY_SIZE, AREA_SIZE = 512, 576


# ---- the area


def piece(cpu, base, at, size, write):
    """Host address of `size` <= 32 bytes at offset `at` of the area at linear address base; 0: a fault is left."""
    linear = base + at
    if cpu.bits != 64:
        linear = linear & 0xFFFFFFFF
    return locate(cpu, linear, size, write)


def area(cpu, seg, offset, size, align, write):
    """(ok, linear address) of an area: segment, alignment; XSAVE's alignment in 64-bit mode comes before canonical form."""
    ok, linear = segment_check(cpu, U64(seg), offset, size, write)
    first = align == 64 and cpu.bits == 64
    if (ok or first) and (linear & (align - 1)) != 0:
        fault_gp0(cpu)
        return False, linear
    return ok, linear


def xmm_count(cpu):
    """How many XMM registers are saved and restored: 16 in 64-bit mode, else 8."""
    return U64(16) if cpu.bits == 64 else U64(8)


def reachable(cpu, base, last, write):
    """Whether the area's first 24 bytes and the 32 bytes at offset `last`, which are only looked at, can be reached."""
    used = cpu.slots
    if piece(cpu, base, last, U64(32), write) == 0:
        return False
    unwritten(cpu, used)
    return piece(cpu, base, U64(0), U64(24), write) != 0


# ---- x87


@outlined
def store_x87(cpu, base, wide):
    """Bytes 0 to 23 and the registers; `wide`: 64-bit pointers."""
    host = piece(cpu, base, U64(0), U64(24), True)
    if host == 0:
        return False
    tags = U8(0)
    i = U32(0)
    while i < 8:
        if ((U32(cpu.ftw) >> (i << 1)) & 3) != 3:
            tags = tags | (U8(1) << i)
        i = i + 1
    w = words16(host)
    w[0], w[1], w[2], w[3] = cpu.fcw, cpu.fsw, U16(tags), cpu.fop
    if wide:
        words64(host)[1], words64(host)[2] = cpu.fip, cpu.fdp
    else:
        words64(host)[1], words64(host)[2] = cpu.fip & 0xFFFFFFFF, cpu.fdp & 0xFFFFFFFF
    i = U32(0)
    while i < 8:
        host = piece(cpu, base, 32 + (U64(i) << 4), U64(32), True)
        if host == 0:
            return False
        q = words64(host)
        q[0], q[1] = significand(cpu, i), U64(sign_exponent(cpu, i))
        q[2], q[3] = significand(cpu, i + 1), U64(sign_exponent(cpu, i + 1))
        i = i + 2
    return True


@outlined
def load_x87(cpu, base, wide):
    """Bytes 0 to 23 and the registers, from an area that can be reached."""
    host = piece(cpu, base, U64(0), U64(24), False)
    if host == 0:
        return False
    w = words16(host)
    tags = U16(0)
    i = U32(0)
    while i < 8:
        if ((U32(w[2]) >> i) & 1) == 0:
            tags = tags | (U16(3) << (i << 1))
        i = i + 1
    cpu.fsw, cpu.ftw, cpu.fop = w[1], tags, w[3] & 0x7FF
    cpu.fcs, cpu.fds = U16(0), U16(0)
    set_control(cpu, w[0])
    if wide:
        cpu.fip, cpu.fdp = words64(host)[1], words64(host)[2]
    else:
        cpu.fip, cpu.fdp = U64(words32(host)[2]), U64(words32(host)[4])
    i = U32(0)
    while i < 8:
        host = piece(cpu, base, 32 + (U64(i) << 4), U64(32), False)
        if host == 0:
            return False
        q = words64(host)
        a = physical(cpu, i) << 1
        b = physical(cpu, i + 1) << 1
        cpu.st[a], cpu.st[a + 1] = q[0], q[1] & 0xFFFF
        cpu.st[b], cpu.st[b + 1] = q[2], q[3] & 0xFFFF
        i = i + 2
    return True


def x87_initial(cpu):
    """Whether the x87 state is what FNINIT makes, with all registers 0."""
    some = cpu.fip | cpu.fdp | U64(cpu.fcw ^ 0x37F) | U64(cpu.fsw) | U64(cpu.ftw ^ ALL_EMPTY) | U64(cpu.fop)
    i = U64(0)
    while i < 16:
        some = some | cpu.st[i]
        i = i + 1
    return some == 0


def reset_x87(cpu):
    initialize(cpu)
    i = U64(0)
    while i < 16:
        cpu.st[i] = 0
        i = i + 1


# ---- SSE


@outlined
def store_xmm(cpu, base):
    n = U64(0)
    count = xmm_count(cpu)
    while n < count:
        host = piece(cpu, base, 160 + (n << 4), U64(32), True)
        if host == 0:
            return False
        q = words64(host)
        q[0], q[1], q[2], q[3] = cpu.xmm[n << 1], cpu.xmm[(n << 1) + 1], cpu.xmm[(n << 1) + 2], cpu.xmm[(n << 1) + 3]
        n = n + 2
    return True


@outlined
def load_xmm(cpu, base):
    n = U64(0)
    count = xmm_count(cpu)
    while n < count:
        host = piece(cpu, base, 160 + (n << 4), U64(32), False)
        if host == 0:
            return False
        q = words64(host)
        cpu.xmm[n << 1], cpu.xmm[(n << 1) + 1], cpu.xmm[(n << 1) + 2], cpu.xmm[(n << 1) + 3] = q[0], q[1], q[2], q[3]
        n = n + 2
    return True


def xmm_initial(cpu):
    some = U64(0)
    i = U64(0)
    while i < 32:
        some = some | cpu.xmm[i]
        i = i + 1
    return some == 0


def reset_xmm(cpu):
    """XMM registers of the current mode become 0."""
    i = U64(0)
    count = xmm_count(cpu) << 1
    while i < count:
        cpu.xmm[i] = 0
        i = i + 1


def store_mxcsr(cpu, base):
    """MXCSR and MXCSR_MASK."""
    host = piece(cpu, base, U64(24), U64(8), True)
    if host == 0:
        return False
    words32(host)[0], words32(host)[1] = cpu.mxcsr, U32(MXCSR_MASK)
    return True


# ---- FXSAVE, FXRSTOR


def fx_area(cpu, u, offset, write):
    """(ok, linear address) of an FXSAVE area, after the checks before it."""
    if (cpu.cr0 & (CR0_EM | CR0_TS)) != 0:
        fault(cpu, NM, 0)
        return False, offset
    ok, base = area(cpu, u.seg, offset, U64(LEGACY_SIZE), U64(16), write)
    if not ok:
        return False, base
    return reachable(cpu, base, U64(LEGACY_SIZE - 32), write), base


@outlined
def fxsave(cpu, u, dst):
    """FXSAVE, FXSAVE64; without CR4.OSFXSR the XMM registers are left out."""
    ok, base = fx_area(cpu, u, dst.value, True)
    if not ok:
        return FAULT
    if not store_x87(cpu, base, u.osize == 64):
        return FAULT
    if not store_mxcsr(cpu, base):
        return FAULT
    if (cpu.cr4 & CR4_OSFXSR) != 0:
        if not store_xmm(cpu, base):
            return FAULT
    return NEXT


@outlined
def fxrstor(cpu, u, src):
    """FXRSTOR, FXRSTOR64; without CR4.OSFXSR MXCSR and the XMM registers are left alone."""
    ok, base = fx_area(cpu, u, src.value, False)
    if not ok:
        return FAULT
    host = piece(cpu, base, U64(24), U64(8), False)
    if host == 0:
        return FAULT
    mxcsr = words32(host)[0]
    if (cpu.cr4 & CR4_OSFXSR) != 0:
        if (mxcsr & ~U32(MXCSR_MASK)) != 0:
            return fault_gp0(cpu)
        if not load_xmm(cpu, base):
            return FAULT
        cpu.mxcsr = mxcsr
    if not load_x87(cpu, base, u.osize == 64):
        return FAULT
    return NEXT


# ---- XSAVE, XRSTOR


def xsave_area(cpu, u, offset, write):
    """(ok, linear address, requested components) of an XSAVE area, after the checks before it (SDM vol. 1, 13.7)."""
    components = cpu.xcr0 & ((cpu.gpr[RDX] << 32) | (cpu.gpr[RAX] & 0xFFFFFFFF))
    if (cpu.cr4 & CR4_OSXSAVE) == 0:
        fault_ud(cpu)
        return False, offset, components
    if (cpu.cr0 & CR0_TS) != 0:
        fault(cpu, NM, 0)
        return False, offset, components
    ok, base = area(cpu, u.seg, offset, U64(AREA_SIZE), U64(64), write)
    return ok, base, components


@outlined
def save_components(cpu, u, offset, always):
    """XSAVE; XSAVEOPT leaves out components in their initial configuration unless `always` (U64) has them."""
    ok, base, wanted = xsave_area(cpu, u, offset, True)
    if not ok:
        return FAULT
    linear = base + 512
    if cpu.bits != 64:
        linear = linear & 0xFFFFFFFF
    header = locate_rw(cpu, linear, U64(8))
    if header == 0:
        return FAULT
    in_use = U64(0)
    if not x87_initial(cpu):
        in_use = in_use | X87
    if not xmm_initial(cpu):
        in_use = in_use | SSE
    stored = wanted & (in_use | always)
    if piece(cpu, base, U64(0), U64(24), True) == 0:
        return FAULT
    if (stored & X87) != 0:
        if not store_x87(cpu, base, u.osize == 64):
            return FAULT
    if (wanted & SSE) != 0:
        if not store_mxcsr(cpu, base):
            return FAULT
    if (stored & SSE) != 0:
        if not store_xmm(cpu, base):
            return FAULT
    words64(header)[0] = (words64(header)[0] & ~wanted) | (in_use & wanted)
    return NEXT


def xsave(cpu, u, dst):
    return save_components(cpu, u, dst.value, ~U64(0))


def xsaveopt(cpu, u, dst):
    return save_components(cpu, u, dst.value, U64(0))


@outlined
def xrstor(cpu, u, src):
    """XRSTOR, standard form: a component not in XSTATE_BV gets its initial configuration (SDM vol. 1, 13.8)."""
    ok, base, wanted = xsave_area(cpu, u, src.value, False)
    if not ok:
        return FAULT
    header = piece(cpu, base, U64(512), U64(24), False)
    if header == 0:
        return FAULT
    q = words64(header)
    held = q[0]
    if ((held & ~cpu.xcr0) | q[1] | q[2]) != 0:
        return fault_gp0(cpu)
    host = piece(cpu, base, U64(24), U64(8), False)
    if host == 0:
        return FAULT
    mxcsr = words32(host)[0]
    if (wanted & SSE) != 0:
        if (mxcsr & ~U32(MXCSR_MASK)) != 0:
            return fault_gp0(cpu)
        if (held & SSE) != 0:
            if not load_xmm(cpu, base):
                return FAULT
        else:
            reset_xmm(cpu)
        cpu.mxcsr = mxcsr
    if (wanted & X87) != 0:
        if (held & X87) != 0:
            if not load_x87(cpu, base, u.osize == 64):
                return FAULT
        else:
            reset_x87(cpu)
    return NEXT


# ---- XCR0


def xgetbv(cpu, u):
    """XCR0; #GP for any other register (SDM vol. 2, XGETBV)."""
    if (cpu.cr4 & CR4_OSXSAVE) == 0:
        return fault_ud(cpu)
    if (cpu.gpr[RCX] & 0xFFFFFFFF) != 0:
        return fault_gp0(cpu)
    cpu.gpr[RAX] = cpu.xcr0 & 0xFFFFFFFF
    cpu.gpr[RDX] = cpu.xcr0 >> 32
    return NEXT


def xsetbv(cpu, u):
    """XCR0 = EDX:EAX: x87 must stay, nothing but x87 and SSE can be set (SDM vol. 2, XSETBV); CPL was checked."""
    if (cpu.cr4 & CR4_OSXSAVE) == 0:
        return fault_ud(cpu)
    value = (cpu.gpr[RDX] << 32) | (cpu.gpr[RAX] & 0xFFFFFFFF)
    bad = (value & ~U64(XCR0_VALID)) | ((value & X87) ^ X87)
    if ((cpu.gpr[RCX] & 0xFFFFFFFF) | bad) != 0:
        return fault_gp0(cpu)
    cpu.xcr0 = value
    return END
