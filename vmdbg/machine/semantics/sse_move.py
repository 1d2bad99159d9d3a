"""SSE and MMX moves, and MXCSR (SDM vol. 2).

A narrower place of a vector register is its low part: storing to it leaves the rest.  Aligned, unaligned and
non-temporal moves of one width are all `move_vector`: the row's `align` tells which must be aligned.
"""

from isa.lang.struct import words8
from isa.lang.word import U8, U64, U128, like
from vmdbg.machine.faults import fault_gp0
from vmdbg.machine.memory import WRITE, access
from vmdbg.machine.semantics.lanes import at_lane, lane, lane_interleave, with_lane
from vmdbg.machine.state import FAULT, NEXT, RDI

MXCSR_RESERVED = 0xFFFF0000  # bits of MXCSR that must be 0 (SDM vol. 1, 10.2.3): MXCSR_MASK is 0xFFFF


def move_vector(cpu, u, dst, src):
    dst.value = src.value
    return NEXT


def move_zero_extended(cpu, u, dst, src):
    """MOVD, MOVQ to a vector register, MOVSS and MOVSD from memory, MOVQ2DQ: the rest of the destination is cleared."""
    dst.value = like(dst.value, src.value)
    return NEXT


def move_low(cpu, u, dst, src):
    """MOVD, MOVQ, MOVDQ2Q, MOVSS, MOVSD, MOVLPS from a vector register: its low part."""
    dst.value = like(dst.value, src.value)
    return NEXT


def move_scalar(cpu, u, dst, src):
    """MOVSS and MOVSD between registers, MOVLPS from memory: the low part is replaced."""
    b = src.value
    dst.value = with_lane(dst.value, U64(0), b.bits, U64(b))
    return NEXT


def movhps_load(cpu, u, dst, src):
    """The 64-bit source becomes the upper half."""
    dst.value = with_lane(dst.value, U64(1), 64, U64(src.value))
    return NEXT


def movhps_store(cpu, u, dst, src):
    dst.value = lane(src.value, U64(1), 64)
    return NEXT


def movhlps(cpu, u, dst, src):
    dst.value = with_lane(dst.value, U64(0), 64, lane(src.value, U64(1), 64))
    return NEXT


def movlhps(cpu, u, dst, src):
    dst.value = with_lane(dst.value, U64(1), 64, U64(src.value))
    return NEXT


def movddup(cpu, u, dst, src):
    low = U64(src.value)
    dst.value = U128(low) | (U128(low) << 64)
    return NEXT


def movsldup(cpu, u, dst, src):
    """Even 32-bit lanes, each twice."""
    even = src.value & (U128(0xFFFFFFFF) | (U128(0xFFFFFFFF) << 64))
    dst.value = even | (even << 32)
    return NEXT


def movshdup(cpu, u, dst, src):
    """Odd 32-bit lanes, each twice."""
    odd = (src.value >> 32) & (U128(0xFFFFFFFF) | (U128(0xFFFFFFFF) << 64))
    dst.value = odd | (odd << 32)
    return NEXT


def shufps(cpu, u, dst, src, order):
    a, b, o = dst.value, src.value, U64(order.value)
    r = at_lane(a, U64(0), 32, lane(a, o & 3, 32)) | at_lane(a, U64(1), 32, lane(a, (o >> 2) & 3, 32))
    r = r | at_lane(a, U64(2), 32, lane(b, (o >> 4) & 3, 32)) | at_lane(a, U64(3), 32, lane(b, (o >> 6) & 3, 32))
    dst.value = r
    return NEXT


def shufpd(cpu, u, dst, src, order):
    a, b, o = dst.value, src.value, U64(order.value)
    dst.value = lane_interleave(like(a, lane(a, o & 1, 64)), like(a, lane(b, (o >> 1) & 1, 64)), 64, U64(0))
    return NEXT


def insertps(cpu, u, dst, src, control):
    """A 32-bit lane of the source (memory: the only one) into a lane, then lanes cleared by the mask."""
    a, b, c = dst.value, src.value, U64(control.value)
    from_lane = (c >> 6) if b.bits == 128 else U64(0)
    r, i = with_lane(a, (c >> 4) & 3, 32, lane(like(a, b), from_lane, 32)), U64(0)
    while i < 4:
        if ((c >> i) & 1) == 1:
            r = with_lane(r, i, 32, U64(0))
        i = i + 1
    dst.value = r
    return NEXT


def masked_store(cpu, u, src, mask):
    """MASKMOVQ, MASKMOVDQU: bytes of src whose mask byte has its top bit set, to seg:rDI (SDM vol. 2).

    All bytes must be writable, whatever the mask says; those it leaves out are neither read from a device nor written to it.
    """
    a, m = src.value, mask.value
    size, i = U64(a.bits // 8), U64(0)
    host = access(cpu, U64(u.seg), cpu.gpr[RDI] & (~U64(0) >> (64 - U64(u.asize))), size, WRITE)
    if host == 0:
        return FAULT
    to, spared = words8(host), U64(0)
    while i < size:
        if lane(m, i, 8) >= 0x80:
            to[i] = U8(lane(a, i, 8))
        else:
            spared = spared | (U64(1) << i)
        i = i + 1
    if cpu.slow != 0:
        cpu.slot_spared = spared
    return NEXT


def ldmxcsr(cpu, u, src):
    """#GP(0) if a reserved bit is set."""
    value = src.value
    if (value & MXCSR_RESERVED) != 0:
        return fault_gp0(cpu)
    cpu.mxcsr = value
    return NEXT


def stmxcsr(cpu, u, dst):
    dst.value = cpu.mxcsr
    return NEXT
