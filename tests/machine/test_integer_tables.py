"""The integer meanings by hand: what the manual says at the edges, and what Intel's processors do where it says nothing."""

import random

import pytest

from isa.lang.word import U64
from tests.machine.alone import Alone
from tests.oracles.layout import AF, CF, OF, PF, SF, ZF
from vmdbg.machine.division import divide
from vmdbg.machine.flags import get_rflags, set_rflags
from vmdbg.machine.semantics import arithmetic, logic, moves, shifts
from vmdbg.machine.state import DE, FAULT, NEXT

ALL = CF | PF | AF | ZF | SF | OF
MIN64 = 1 << 63
MODULES = (arithmetic, logic, moves, shifts)

# meaning, operands, flags before; registers before and after (rax rcx rdx), flags after.  None: it raises #DE.
TABLE = [
    ("add", "r0.8 r1.8", 0, (0x17F, 1, 0), (0x180, 1, 0), SF | AF | OF),
    ("add", "r0.8 r1.8", 0, (0x1FF, 1, 0), (0x100, 1, 0), ZF | AF | CF | PF),
    ("add", "r0.32 r1.32", 0, (~0, 1, 0), (0, 1, 0), ZF | AF | CF | PF),
    ("adc", "r0.16 r1.16", CF, (0xFFFF, 0xFFFF, 0), (0xFFFF, 0xFFFF, 0), SF | AF | CF | PF),
    ("adc", "r0.64 r1.64", CF, (MIN64 - 1, 0, 0), (MIN64, 0, 0), SF | AF | OF | PF),
    ("sbb", "r0.8 r1.8", CF, (0, 0xFF, 0), (0, 0xFF, 0), ZF | AF | CF | PF),
    ("sbb", "r0.8 r1.8", CF, (0x80, 0x7F, 0), (0, 0x7F, 0), ZF | OF | AF | PF),
    ("sbb", "r0.8 r1.8", CF, (5, 5, 0), (0xFF, 5, 0), SF | AF | CF | PF),
    ("sub", "r0.16 r1.16", 0, (0x8000, 1, 0), (0x7FFF, 1, 0), OF | AF | PF),
    ("cmp", "r0.8 r1.8", 0, (1, 2, 0), (1, 2, 0), SF | AF | CF | PF),
    ("neg", "r0.8", 0, (0x80, 0, 0), (0x80, 0, 0), SF | CF | OF),
    ("neg", "r0.8", ALL, (0, 0, 0), (0, 0, 0), ZF | PF),
    ("inc", "r0.8", CF, (0x7F, 0, 0), (0x80, 0, 0), SF | AF | OF | CF),
    ("inc", "r0.16", 0, (0xFFFF, 0, 0), (0, 0, 0), ZF | AF | PF),
    ("dec", "r0.8", CF, (0x80, 0, 0), (0x7F, 0, 0), AF | OF | CF),
    ("dec", "r0.8", 0, (0, 0, 0), (0xFF, 0, 0), SF | AF | PF),
    ("xadd", "r0.8 r1.8", 0, (1, 2, 0), (3, 1, 0), PF),
    ("xadd", "r0.8 r0.8", 0, (1, 0, 0), (2, 0, 0), 0),
    ("cmpxchg", "r1.32 r2.32", 0, (5, ~0 << 32 | 5, 9), (5, 9, 9), ZF | PF),
    ("cmpxchg", "r1.32 r2.32", 0, (~0 << 32 | 4, ~0 << 32 | 5, 9), (5, ~0 << 32 | 5, 9), SF | AF | CF | PF),
    ("mul", "r1.8", 0, (0x10, 0x10, 7), (0x100, 0x10, 7), OF | CF | PF | ZF),
    ("mul", "r1.64", 0, (~0, ~0, 0), (1, ~0, ~1), OF | CF),
    ("imul1", "r1.64", 0, (~0, ~0, 5), (1, ~0, 0), 0),
    ("imul1", "r1.32", 0, (0x80000000, 0xFFFFFFFF, 5), (0x80000000, 0xFFFFFFFF, 0), OF | CF | SF | PF),
    ("div", "r1.8", 0, (0x1FE, 2, 0), (0xFF, 2, 0), 0),
    ("div", "r1.8", 0, (0x200, 2, 0), None, 0),
    ("div", "r1.64", ALL, (0, 0, 0), None, 0),
    ("div", "r1.64", ALL, (~0, ~0, ~1), (~0, ~0, ~1), ALL),
    ("div", "r1.64", 0, (0, 5, 5), None, 0),
    ("idiv", "r1.8", 0, (0xFF80, 0xFF, 0), None, 0),
    ("idiv", "r1.8", 0, (0xFF81, 0xFF, 0), (0x007F, 0xFF, 0), 0),
    ("idiv", "r1.8", 0, (0xFF00, 2, 0), (0x0080, 2, 0), 0),
    ("idiv", "r1.16", 0, (0xFFF9, 2, 0xFFFF), (0xFFFD, 2, 0xFFFF), 0),
    ("idiv", "r1.32", 0, (0, 0xFFFFFFFF, 0x80000000), None, 0),
    ("idiv", "r1.64", 0, (MIN64, ~0, ~0), None, 0),
    ("idiv", "r1.64", 0, (MIN64, 1, ~0), (MIN64, 1, 0), 0),
    ("idiv", "r1.64", 0, (0, ~0, MIN64), None, 0),
    ("idiv", "r1.64", 0, (0, 2, ~0), (MIN64, 2, 0), 0),
    ("idiv", "r1.64", 0, (1, 0, 0), None, 0),
    # SDM vol. 2, DAA and DAS: 79H + 35H, 35H - 47H
    ("daa", "", SF | OF, (0xAE, 0, 0), (0x14, 0, 0), PF | AF | CF),
    ("daa", "", AF, (0x2E, 0, 0), (0x34, 0, 0), AF),
    ("das", "", SF | AF | CF | PF, (0xEE, 0, 0), (0x88, 0, 0), SF | AF | CF | PF),
    ("das", "", AF, (0x05, 0, 0), (0xFF, 0, 0), SF | AF | CF | PF),
    ("aaa", "", 0, (0x0FA, 0, 0), (0x200, 0, 0), ZF | PF | AF | CF),
    ("aaa", "", AF, (0x105, 0, 0), (0x20B, 0, 0), AF | CF),
    ("aas", "", 0, (0x203, 0, 0), (0x203, 0, 0), PF),
    ("aas", "", AF, (0x203, 0, 0), (0x00D, 0, 0), AF | CF),
    ("aam", "i.10", 0, (0x3F, 0, 0), (0x603, 0, 0), PF),
    ("aam", "i.0", 0, (0x3F, 0, 0), None, 0),
    ("aad", "i.10", 0, (0x603, 0, 0), (0x3F, 0, 0), PF),
    ("salc", "", CF, (0, 0, 0), (0xFF, 0, 0), CF),
    # a count of 0 keeps the flags, and still zero-extends
    ("shl", "r0.32 r1.8", ALL, (~0, 0x20, 0), (0xFFFFFFFF, 0x20, 0), ALL),
    ("shl", "r0.8 r1.8", 0, (0x81, 1, 0), (0x02, 1, 0), CF | OF),
    ("shl", "r0.8 r1.8", ALL, (0x01, 8, 0), (0, 8, 0), ZF | PF | CF | OF),
    ("shl", "r0.8 r1.8", ALL, (0xFF, 9, 0), (0, 9, 0), ZF | PF),
    ("shr", "r0.8 r1.8", 0, (0x81, 1, 0), (0x40, 1, 0), CF | OF),
    ("shr", "r0.8 r1.8", 0, (0x81, 2, 0), (0x20, 2, 0), 0),
    ("shr", "r0.64 r1.8", 0, (MIN64, 63, 0), (1, 63, 0), 0),
    ("sar", "r0.16 r1.8", 0, (0x8000, 31, 0), (0xFFFF, 31, 0), SF | PF | CF),
    ("rol", "r0.8 r1.8", 0, (0x81, 8, 0), (0x81, 8, 0), CF),
    ("rol", "r0.8 r1.8", ZF, (0x80, 1, 0), (0x01, 1, 0), ZF | CF | OF),
    ("ror", "r0.16 r1.8", 0, (0x0001, 1, 0), (0x8000, 1, 0), CF | OF),
    ("ror", "r0.8 r1.8", 0, (0x80, 16, 0), (0x80, 16, 0), CF | OF),
    ("rcl", "r0.8 r1.8", CF | OF, (0x55, 9, 0), (0x55, 9, 0), CF | OF),
    ("rcl", "r0.8 r1.8", CF, (0x80, 1, 0), (0x01, 1, 0), CF | OF),
    ("rcl", "r0.64 r1.8", CF, (MIN64, 1, 0), (1, 1, 0), CF | OF),
    ("rcl", "r0.64 r1.8", 0, (3, 63, 0), (MIN64, 63, 0), CF),
    ("rcr", "r0.16 r1.8", CF, (0, 17, 0), (0, 17, 0), CF),
    ("rcr", "r0.8 r1.8", CF, (0, 1, 0), (0x80, 1, 0), OF),
    ("rcr", "r0.64 r1.8", CF, (1, 1, 0), (MIN64, 1, 0), CF | OF),
    ("shld", "r0.32 r2.32 r1.8", 0, (0x80000001, 4, 0xF0000000), (0x1F, 4, 0xF0000000), 0),
    ("shld", "r0.16 r2.16 r1.8", 0, (0x1234, 20, 0xABCD), (0xBCD1, 20, 0xABCD), SF | PF | OF),
    ("shrd", "r0.16 r2.16 r1.8", 0, (0x1234, 20, 0xABCD), (0x4ABC, 20, 0xABCD), CF | OF),
    ("shrd", "r0.64 r2.64 r1.8", ALL, (1, 64, 3), (1, 64, 3), ALL),
    ("bt", "r0.16 r1.16", 0, (0x8000, 0x1F, 0), (0x8000, 0x1F, 0), CF),
    ("bts", "r0.32 r1.32", ZF, (0, 33, 0), (2, 33, 0), ZF),
    ("btr", "r0.64 r1.64", 0, (~0, 63, 0), (~MIN64, 63, 0), CF),
    ("btc", "r0.16 r1.16", 0, (1, 16, 0), (0, 16, 0), CF),
    ("bsf", "r0.32 r1.32", ALL, (~0, 0, 0), (~0, 0, 0), ALL),
    ("bsf", "r0.32 r1.32", ALL, (~0, 8, 0), (3, 8, 0), PF),
    ("bsr", "r0.64 r1.64", 0, (7, MIN64, 0), (63, MIN64, 0), PF),
    ("bsr", "r0.16 r1.16", ZF, (7, 1, 0), (0, 1, 0), PF),
    ("bswap", "r0.16", 0, (0x11223344, 0, 0), (0x11220000, 0, 0), 0),
    ("bswap", "r0.32", 0, (~0 << 32 | 0x11223344, 0, 0), (0x44332211, 0, 0), 0),
    ("movsx", "r0.64 r1.8", 0, (1, 0x80, 0), (~0x7F, 0x80, 0), 0),
    ("movzx", "r0.32 r1.16", 0, (~0, ~0, 0), (0xFFFF, ~0, 0), 0),
    ("xchg", "r0.32 r1.32", 0, (~0, 1 << 32, 0), (0, 0xFFFFFFFF, 0), 0),
    ("lahf", "", ALL, (0, 0, 0), (0xD700, 0, 0), ALL),
    ("sahf", "", OF, (0xFF00, 0, 0), (0xFF00, 0, 0), ALL),
    ("sahf", "", ALL, (0, 0, 0), (0, 0, 0), OF),
    ("cmc", "", CF, (0, 0, 0), (0, 0, 0), 0),
]


def meaning(name):
    return next(getattr(m, name) for m in MODULES if hasattr(m, name) and getattr(m, name).__module__ == m.__name__)


@pytest.mark.parametrize("name, operands, before, registers, after, flags", TABLE)
def test_by_hand(name, operands, before, registers, after, flags):
    alone = Alone()
    cpu = alone.cpu
    for n, value in enumerate(registers):
        cpu.gpr[n] = U64(value)
    set_rflags(cpu, U64(before))
    status = meaning(name)(cpu, alone.uop, *(alone.place(text) for text in operands.split()))
    if after is None:
        assert (status, cpu.vector) == (FAULT, DE)
        after, flags = registers, before
    else:
        assert status == NEXT
    assert [hex(cpu.gpr[n]) for n in range(3)] == [hex(U64(v)) for v in after]
    assert hex(get_rflags(cpu) & ALL) == hex(flags)


@pytest.mark.parametrize("osize, rax, extended, rdx", [(16, 0x80, 0xFF80, 0), (32, 0x8000, 0xFFFF8000, 0), (64, 1 << 31, ~0 << 31, ~0)])
def test_sign_extension(osize, rax, extended, rdx):
    """CBW, CWDE, CDQE double the accumulator; CWD, CDQ, CQO then fill rDX with its sign."""
    alone = Alone()
    alone.uop.osize = osize
    alone.cpu.gpr[0] = U64(rax)
    arithmetic.cbw(alone.cpu, alone.uop)
    assert alone.cpu.gpr[0] == U64(extended)
    arithmetic.cwd(alone.cpu, alone.uop)
    assert alone.cpu.gpr[2] == U64({16: 0xFFFF, 32: 0xFFFFFFFF, 64: ~0}[osize])


def test_wide_division():
    """128 by 64 bits, exact, also where the trial digit is too large twice."""
    rng = random.Random(1)
    edges = [1, 2, 3, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - (1 << 32), (1 << 64) - 1]
    for _ in range(5000):
        divisor = rng.choice([*edges, rng.getrandbits(64) | 1, rng.getrandbits(64) >> rng.randrange(64) | 1])
        high = rng.choice([0, divisor - 1, divisor // 2, rng.randrange(divisor)])
        low = rng.choice([0, (1 << 64) - 1, *edges, rng.getrandbits(64)])
        want = divmod(high << 64 | low, divisor)
        assert tuple(map(int, divide(U64(high), U64(low), U64(divisor)))) == want
