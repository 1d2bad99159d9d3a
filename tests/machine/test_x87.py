"""x87 without any host: availability, pending exceptions, the stack, environments, last-instruction fields, transcendentals."""

import ctypes

import pytest

from isa.lang.struct import PLACES
from isa.lang.word import U16, U32, U64
from vmdbg.machine.flags import get_rflags
from vmdbg.machine.semantics import x87_arithmetic, x87_compare, x87_control, x87_move, x87_state, x87_transcendental
from vmdbg.machine.state import CR0_EM, CR0_MP, CR0_NE, CR0_PE, CR0_TS, EXIT, FAULT, MF, NEXT, NM, Cpu, Uop

INDEFINITE = (0xFFFF, 0xC000000000000000)
ONE, TWO, PI = (0x3FFF, 1 << 63), (0x4000, 1 << 63), (0x4000, 0xC90FDAA22168C235)


class Fpu:
    """A vCPU after FNINIT in protected mode, and a uop; `st` lists what is pushed."""

    def __init__(self, *st, cr0=CR0_PE | CR0_NE):
        self.memory = (ctypes.c_uint64 * ((Cpu.size + Uop.size) // 8 + 4))()
        base = ctypes.addressof(self.memory)
        self.cpu, self.u, self.spare = Cpu(base), Uop(base + Cpu.size), base + Cpu.size + Uop.size
        x87_state.initialize(self.cpu)
        self.cpu.cr0, self.cpu.bits, self.u.osize, self.u.asize = cr0, 64, 32, 64
        self.u.after, self.u.length = 0x1002, 2
        for se, m in reversed(st):
            x87_state.push_st(self.cpu, U64(m), U32(se))

    def place(self, bits, value, k=0):
        place = PLACES[bits](self.spare + 8 * k)
        place.value = value
        return place

    def st(self, i):
        """ST(i) as (sign and exponent, significand), or None if empty."""
        i = U32(i)
        return None if x87_state.is_empty(self.cpu, i) else (x87_state.sign_exponent(self.cpu, i), x87_state.significand(self.cpu, i))


def number(text):
    se, m = text.split(":")
    return int(se, 16), int(m, 16)


# The true value rounded to nearest (computed with 300 bits; angles reduced with 66 bits of pi): operands ST(1) ST(0) = result.
TRANSCENDENTAL = """
fsin bfe7:dbc8fbbcbde5c099 = bfe7:dbc8fbbcbde55499
fsin c001:d76d4330f1446bea = bffd:de3239a88d390c88
fsin c02c:87b0b125ec1d7da0 = 3ffe:feee8bcaa941711e
fcos 3fef:f17fd374c6a53877 = 3ffe:fffffffe385c2816
fcos 4001:e6a16a3b0d464138 = 3ffe:9a452c991110a913
fcos 400a:f814e8a25f2dd97f = bffb:c35516897356312a
fptan bfe6:8b33e968617959ce = bfe6:8b33e96861796786
fptan 4000:835b73993fd42359 = bfff:f4df1aa421f1f5a4
fptan c010:c78c281d687c966c = c000:91e6df189d3fe922
f2xm1 3fdb:c30d8b7628dbd25e = 3fdb:87334bb7dac9f0ca
f2xm1 bffa:9e30691c238642ea = bff9:d8632f0e89e55cc7
f2xm1 bffe:a1da8978206f5c66 = bffd:b5abd0df2b89e0e2
fpatan 4002:b59eeefb015c33b2 bffd:fb7ff337f5cae3bf = 3fff:ce98f4b796fe7116
fpatan 4002:ca0fe75d2a9eba0c 3fed:e049548e8a0a8c96 = 3fff:c90fd63180d3c11b
fpatan c001:ae81d66d346c6e2b bffd:f7108e96f770c226 = bfff:d45bd98b67409601
fpatan bfff:8585a01c4c7d6df0 3fff:ef901b932a7c1880 = bffe:822b556d3d77936c
fpatan 3fff:8000000000000000 0000:0000000000000000 = 3fff:c90fdaa22168c235
fpatan 8000:0000000000000000 bfff:8000000000000000 = c000:c90fdaa22168c235
fyl2x 3ffe:d4f46a6910acff00 3ffe:9a656aafd1412584 = bffe:9b5a1a9a91c31c11
fyl2x bffc:ad8d194a98921396 3fff:cf59672710e6d8e6 = bffb:f18e18f2474d348a
fyl2x 4002:fb121dc54e5a3a26 420d:af4d4c8650d7d13f = 400c:8114488e35aad157
fyl2x 3fff:8000000000000000 4009:8000000000000000 = 4002:a000000000000000
fyl2xp1 3fff:ad1634b4b4653252 3fcb:f06313fff9a01fe8 = 3fcc:ea7b605d52fd875f
fyl2xp1 4001:d84a1d3a5b8e8fb2 3ff7:c9a937a68c8f95ef = 3ffa:f50d6b96a0922aec
fyl2xp1 3ffe:9419cf4d60597bdc bffc:8bf64ef773ec28d0 = bffb:fb38a308759f7cdb
"""


@pytest.mark.parametrize("row", TRANSCENDENTAL.strip().splitlines())
def test_transcendental(row):
    """Results are the true ones, rounded."""
    left, want = row.split(" = ")
    name, *operands = left.split()
    fpu = Fpu(*map(number, reversed(operands)))
    assert getattr(x87_transcendental, name)(fpu.cpu, fpu.u) == NEXT
    assert fpu.st(1 if name == "fptan" else 0) == number(want)
    assert (name != "fptan") or fpu.st(0) == ONE


def test_range():
    """From 2^63 on FSIN leaves its operand and sets C2."""
    fpu = Fpu((0x403E, 1 << 63))
    x87_transcendental.fsin(fpu.cpu, fpu.u)
    assert fpu.st(0) == (0x403E, 1 << 63) and fpu.cpu.fsw & x87_state.C2 != 0


@pytest.mark.parametrize(
    "meaning, cr0, status, vector",
    [
        (x87_control.fnop, CR0_PE, NEXT, 0),
        (x87_control.fnop, CR0_PE | CR0_TS, FAULT, NM),
        (x87_control.fnop, CR0_PE | CR0_EM, FAULT, NM),
        (x87_control.fninit, CR0_PE | CR0_EM, FAULT, NM),
        (x87_control.fwait, CR0_PE | CR0_EM, NEXT, 0),
        (x87_control.fwait, CR0_PE | CR0_TS, NEXT, 0),
        (x87_control.fwait, CR0_PE | CR0_MP, NEXT, 0),
        (x87_control.fwait, CR0_PE | CR0_MP | CR0_TS, FAULT, NM),
    ],
)
def test_device_not_available(meaning, cr0, status, vector):
    """#NM as SDM vol. 3, table 2-2 has it."""
    fpu = Fpu(cr0=cr0)
    assert meaning(fpu.cpu, fpu.u) == status and fpu.cpu.vector == vector


def test_pending(monkeypatch):
    """An unmasked exception is reported by the next waiting instruction: #MF with CR0.NE, else FERR#; FNCLEX clears it.

    FOP is fetched from the code then, past the prefixes.
    """
    code = (ctypes.c_uint8 * 3)(0x26, 0xD8, 0xF1)
    monkeypatch.setattr(x87_state, "locate", lambda cpu, linear, size, write: linear - 0xFFF + ctypes.addressof(code))
    fpu = Fpu(ONE, (0, 0))
    fpu.cpu.fcw, fpu.u.length = U16(0x37B), 3
    assert x87_arithmetic.fdiv_st(fpu.cpu, fpu.u, fpu.place(8, 0), fpu.place(8, 1, 1)) == NEXT
    assert fpu.cpu.fsw & 0x8084 == 0x8084 and fpu.st(0) == ONE and fpu.cpu.fop == 0x0F1
    assert x87_arithmetic.fchs(fpu.cpu, fpu.u) == FAULT and fpu.cpu.vector == MF
    fpu.cpu.cr0 = CR0_PE
    assert x87_arithmetic.fchs(fpu.cpu, fpu.u) == EXIT and fpu.cpu.reason == x87_state.X_FERR
    assert x87_control.fnclex(fpu.cpu, fpu.u) == NEXT and fpu.cpu.fsw & 0x80FF == 0
    assert x87_arithmetic.fchs(fpu.cpu, fpu.u) == NEXT and fpu.st(0) == (0xBFFF, 1 << 63)


def test_stack_faults(monkeypatch):
    """Underflow clears C1, overflow sets it; masked, both give the indefinite; unmasked, nothing changes."""
    monkeypatch.setattr(x87_state, "locate", lambda cpu, linear, size, write: U64(0))
    fpu = Fpu()
    x87_arithmetic.fsqrt(fpu.cpu, fpu.u)
    assert fpu.st(0) == INDEFINITE and fpu.cpu.fsw == 0x41
    fpu = Fpu(*[ONE] * 8)
    x87_move.fldconst(fpu.cpu, fpu.u, 3)
    assert fpu.st(0) == INDEFINITE and fpu.st(1) == ONE and fpu.cpu.fsw == 0x3A41
    fpu = Fpu(*[ONE] * 8)
    fpu.cpu.fcw = U16(0x37E)
    x87_move.fldconst(fpu.cpu, fpu.u, 3)
    assert fpu.st(0) == ONE and fpu.cpu.fsw == 0x82C1


@pytest.mark.parametrize("control, low", [(0, 0x35), (1, 0x34), (2, 0x35), (3, 0x34)])
def test_constant_rounding(control, low):
    """Constants are rounded as RC says, without PE."""
    fpu = Fpu()
    fpu.cpu.fcw = U16(0x37F | control << 10)
    x87_move.fldconst(fpu.cpu, fpu.u, 3)
    assert fpu.st(0) == (0x4000, PI[1] & ~0xFF | low) and fpu.cpu.fsw == 0x3800


def test_tags():
    """FNSTENV's tag word is worked out: valid, zero, special, empty."""
    fpu = Fpu(ONE, (0, 0), (0x7FFF, 1 << 63), (0, 1), (0x3FFF, 1))
    tags = int(x87_state.tag_word(fpu.cpu))
    assert [tags >> 2 * r & 3 for r in range(8)] == [3, 3, 3, 0, 1, 2, 2, 2]


# FNSTENV's words 3 to 6 by CR0 and operand size.  FCS and FDS are always 0; real mode keeps linear addresses.
LAYOUTS = [
    (CR0_PE, 32, [0x00123456, 0x05D90000, 0x0089ABCD, 0xFFFF0000], 0x123456, 0x89ABCD),
    (CR0_PE, 16, [0x3456, 0, 0xABCD, 0], 0x3456, 0xABCD),
    (0, 32, [0xFFFF3456, 0x000125D9, 0xFFFFABCD, 0x00089000], 0x123456, 0x89ABCD),
    (0, 16, [0x3456, 0x25D9, 0xABCD, 0x9000], 0x23456, 0x9ABCD),
]


@pytest.mark.parametrize("cr0, osize, want, fip, fdp", LAYOUTS)
def test_environment(cr0, osize, want, fip, fdp):
    """The pointers lie in the environment as SDM vol. 1, figures 8-9 to 8-12 show, and come back from there."""
    fpu = Fpu(cr0=cr0)
    cpu, mask = fpu.cpu, (1 << osize) - 1
    cpu.fip, cpu.fdp, cpu.fop, fpu.u.osize = 0x123456, 0x89ABCD, 0x5D9, osize
    image = (ctypes.c_uint64 * 4)()
    host = U64(ctypes.addressof(image))
    x87_control.store_environment(cpu, fpu.u, host)
    words = [int(x87_control.read_word(fpu.u, host, U32(i))) for i in range(7)]
    assert words == [w & mask for w in (0xFFFF037F, 0xFFFF0000, 0xFFFFFFFF, *want)]
    cpu.fip = cpu.fdp = 0
    x87_control.load_environment(cpu, fpu.u, host)
    assert (cpu.fip, cpu.fdp) == (fip, fdp)


def test_last_instruction():
    """A non-control instruction leaves its address in FIP and its operand's in FDP; control instructions leave both."""
    fpu = Fpu(ONE)
    fpu.u.base, fpu.u.disp = 16, 0x2000
    x87_arithmetic.fadd(fpu.cpu, fpu.u, fpu.place(32, 0x3F800000))
    assert fpu.st(0) == TWO and (fpu.cpu.fip, fpu.cpu.fdp) == (0x1000, 0x2000)
    fpu.u.after, fpu.u.disp = 0x3002, 0x4000
    x87_control.fldcw(fpu.cpu, fpu.u, fpu.place(16, 0x37F))
    assert (fpu.cpu.fip, fpu.cpu.fdp) == (0x1000, 0x2000)


def test_partial_remainder():
    """FPREM over a large distance needs several steps, then C0 C3 C1 are the quotient's low bits."""
    fpu = Fpu((0x4080, 0x8000000000000003), (0x3FFF, 0xC000000000000000))
    steps = 0
    while True:
        x87_arithmetic.fprem(fpu.cpu, fpu.u)
        steps += 1
        if fpu.cpu.fsw & x87_state.C2 == 0:
            break
    x, y = 0x8000000000000003 << (0x4080 - 0x3FFF), 0xC000000000000000
    se, m = (int(n) for n in fpu.st(0))
    q = x // y
    assert steps == 3 and m >> (0x3FFF - se) == x % y
    assert fpu.cpu.fsw & 0x4300 == (q & 4) << 6 | (q & 2) << 13 | (q & 1) << 9


def test_compare_flags():
    """FUCOMI answers in ZF, PF, CF as table 8-7 has it."""
    nan = (0x7FFF, 0xC000000000000000)
    for a, b, want in ((TWO, ONE, 0), (ONE, TWO, 1), (ONE, ONE, 0x40), (nan, ONE, 0x45)):
        fpu = Fpu(a, b)
        x87_compare.fucomi(fpu.cpu, fpu.u, fpu.place(8, 0), fpu.place(8, 1, 1))
        assert int(get_rflags(fpu.cpu)) & 0x8D5 == want and fpu.cpu.fsw & 0x3F == 0
