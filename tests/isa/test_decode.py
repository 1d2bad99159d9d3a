"""Decoding: a table of bytes, what they are, and why some are nothing."""

import numpy as np
import pytest

import isa
from isa.decoding import TOO_LONG, TRUNCATED, UNDEFINED
from isa.instruction import why
from isa.records import records

CASES = [
    # bits, bytes, Intel, AT&T
    (64, "4801d8", "add rax, rbx", "add %rbx, %rax"),
    (64, "488b442410", "mov rax, qword ptr [rsp+0x10]", "mov 0x10(%rsp), %rax"),
    (64, "8b0500100000", "mov eax, dword ptr [rip+0x1000]", "mov 0x1000(%rip), %eax"),
    (64, "c7042505000000ffffffff", "mov dword ptr [5], 0xffffffff", "movl $0xffffffff, 5"),
    (64, "48b88877665544332211", "mov rax, 0x1122334455667788", "movabs $0x1122334455667788, %rax"),
    (64, "f348a5", "rep movsq", "rep movsq (%rsi), %es:(%rdi)"),
    (64, "480fbec4", "movsx rax, spl", "movsbq %spl, %rax"),
    (64, "0fbec4", "movsx eax, ah", "movsbl %ah, %eax"),
    (64, "4863c8", "movsxd rcx, eax", "movslq %eax, %rcx"),
    (64, "f00fb10f", "lock cmpxchg dword ptr [rdi], ecx", "lock cmpxchg %ecx, (%rdi)"),
    (64, "ff25f8ffffff", "jmp qword ptr [rip-8]", "jmpq *-8(%rip)"),
    (64, "660f6ec0", "movd xmm0, eax", "movd %eax, %xmm0"),
    (64, "66480f6ec0", "movq xmm0, rax", "movq %rax, %xmm0"),
    (64, "f30f1efa", "endbr64", "endbr64"),
    (64, "0f01f8", "swapgs", "swapgs"),
    (64, "62f17ccb58c1", "vaddps zmm0{k3}{z}, zmm0, zmm1", "vaddps %zmm1, %zmm0, %zmm0{%k3}{z}"),
    (64, "62f17c58584101", "vaddps zmm0, zmm0, dword bcst [rcx+4]", "vaddps 4(%rcx){1to16}, %zmm0, %zmm0"),
    (64, "c4e279183f", "vbroadcastss xmm7, dword ptr [rdi]", "vbroadcastss (%rdi), %xmm7"),
    (32, "9a112233445566", "call 0x6655:0x44332211", "lcall $0x6655, $0x44332211"),
    (32, "60", "pushad", "pushal"),
    (32, "62c8", None, None),
    (32, "6208", "bound ecx, qword ptr [eax]", "bound %ecx, (%eax)"),
    (32, "c40a", "les ecx, fword ptr [edx]", "les (%edx), %ecx"),
    (32, "d6", "salc", "salc"),
    (16, "8b4003", "mov ax, word ptr [bx+si+3]", "mov 3(%bx,%si), %ax"),
    (16, "668b44b3fe", "mov eax, dword ptr [si-0x4d]", "mov -0x4d(%si), %eax"),
    (16, "67668b04b3", "mov eax, dword ptr [ebx+esi*4]", "mov (%ebx,%esi,4), %eax"),
    (16, "cd10", "int 0x10", "int $0x10"),
    (16, "e8fdff", "call 0", "call 0"),
]


@pytest.mark.parametrize("bits,code,intel,att", CASES)
def test_text(bits, code, intel, att):
    """Bytes decode to the instruction and the texts of the table."""
    code = bytes.fromhex(code)
    i = isa.decode(code, bits=bits)
    if intel is None:
        assert i is None
        return
    if not code.startswith(bytes.fromhex("668b44")):
        assert i.length == len(code)
    assert (str(i), i.format("att")) == (intel, att)


@pytest.mark.parametrize(
    "bits,code,reason",
    [
        (64, "06", UNDEFINED),  # PUSH ES is gone in 64-bit mode
        (64, "f00fa2", UNDEFINED),  # LOCK CPUID
        (64, "f001c0", UNDEFINED),  # LOCK with a register destination
        (64, "f0031c24", UNDEFINED),  # LOCK with memory that is only read
        (32, "8ec8", UNDEFINED),  # MOV CS
        (64, "0f20c8", UNDEFINED),  # CR1
        (64, "66" * 15 + "90", TOO_LONG),
        (64, "66" * 14 + "90", 0),
        (64, "66" * 14, TRUNCATED),
        (64, "48b8112233", TRUNCATED),
        (64, "66c5f858c1", UNDEFINED),  # a prefix before VEX
        (64, "48c5f858c1", UNDEFINED),
        (64, "c5c858c1", 0),
        (64, "c5c851c1", UNDEFINED),  # VEX.vvvv is not used and not 1111
        (64, "", TRUNCATED),
    ],
)
def test_why_not(bits, code, reason):
    """#UD, #GP for length and a fetch that must go on are told apart."""
    assert why(bytes.fromhex(code), bits=bits) == reason


def test_rex_counts_only_before_the_opcode():
    assert str(isa.decode(bytes.fromhex("486689d8"), bits=64)) == "mov ax, bx"
    assert str(isa.decode(bytes.fromhex("664889d8"), bits=64)) == "mov rax, rbx"


def test_reads_and_writes():
    i = isa.decode(bytes.fromhex("480fb11c8f"), bits=64)  # cmpxchg [rdi+rcx*4], rbx
    assert {"rdi", "rcx", "rbx", "rax", "[rdi+rcx*4]"} <= set(i.reads)
    assert {"[rdi+rcx*4]", "rax", "flag:z"} <= set(i.writes)


def test_fields():
    i = isa.decode(bytes.fromhex("c8100002"), bits=64)
    assert (i.imm & 0xFFFF, i.imm >> 16, i.osize) == (16, 2, 64)
    i = isa.decode(bytes.fromhex("ebfe"), bits=16, ip=0)
    assert (i.imm, i.osize) == (0, 16)
    i = isa.decode(bytes.fromhex("66e9fbff"), bits=32, ip=0x10002)
    assert i.imm == 1  # a 16-bit branch keeps 16 bits of the target
    i = isa.decode(bytes.fromhex("ea785634127856"), bits=32)
    assert i.imm == 0x12345678 | 0x5678 << 32


def test_a_section_goes_on_behind_bytes_that_are_nothing():
    found = records(bytes.fromhex("900f040690"), bits=64)
    assert [int(r) for r in found["reason"]] == [0, UNDEFINED, 0, 0]
    assert int(found["length"].sum()) == 5


def test_compiled_and_plain_agree():
    """The decoder run as Python and as machine code fills the same records."""
    from isa import compiled
    from isa import records as many

    compiled.compile_decoder()
    native = many._native
    data = np.random.default_rng(7).integers(0, 256, 400, dtype=np.uint8).tobytes()
    for bits in (16, 32, 64):
        fast = records(data, bits=bits, ip=0x1000).copy()
        many._native = None
        try:
            slow = records(data, bits=bits, ip=0x1000).copy()
        finally:
            many._native = native
        good = fast["reason"] == 0
        assert np.array_equal(fast["length"], slow["length"]) and np.array_equal(fast["reason"], slow["reason"])
        assert np.array_equal(fast[good], slow[good])


def test_a_million_a_second():
    """The bulk form is compiled: at least a million instructions a second."""
    import time

    from isa import compiled

    compiled.compile_decoder()
    code = bytes.fromhex("488b4424104801d87502c5f858c1f30f1efac3") * 20_000
    start = time.process_time()
    found = isa.decode_all(code, bits=64)
    assert len(found) / (time.process_time() - start) > 1_000_000
