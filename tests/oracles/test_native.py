"""The native oracle itself: what is known by hand must come out of it."""

import numpy as np
import pytest

from . import host_tables, native
from .layout import (
    AF,
    BR,
    CF,
    CODE,
    CODE32,
    CODE_START,
    DE,
    DF,
    GP,
    MF,
    NONE,
    NP,
    OF,
    PAGE,
    PF,
    PF_FAULT,
    RAX,
    RCX,
    RDI,
    RDX,
    READ_ONLY,
    READ_ONLY_IMAGE,
    RSI,
    RSP,
    SELECTORS,
    SF,
    SS,
    STATE,
    UD,
    WINDOW,
    WINDOW_SIZE,
    XM,
    ZF,
    empty,
)
from .states import generate

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
FLAGS = CF | PF | AF | ZF | SF | OF


def one(code: str, bits: int = 64, window: bytes = b"", at: int = 0, fx: dict | None = None, rflags: int = 0x202, **registers: int):
    """The result of one instruction; `window` is stored at offset `at`, registers are given by name (rax=1)."""
    states = empty(1)
    names = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
    for name, value in registers.items():
        if name in STATE.names:
            states[name] = value
        else:
            states["gpr"][0, names.index(name)] = value
    if "rip" not in registers:
        states["rip"] = CODE_START
    states["rflags"] = rflags
    states["fx"]["fcw"], states["fx"]["mxcsr"] = 0x37F, 0x1F80
    for name, value in (fx or {}).items():
        states["fx"][name] = value
    states["window"][0, at : at + len(window)] = np.frombuffer(window, np.uint8)
    return native.run(states, bytes.fromhex(code), bits)[0]


@pytest.mark.parametrize(
    "a, b, total, flags",
    [
        (1, 2, 3, PF),
        (0x7FFFFFFF, 1, 0x80000000, OF | SF | AF | PF),
        (0xFFFFFFFF, 1, 0, CF | ZF | AF | PF),
        (0x80000000, 0x80000000, 0, CF | ZF | OF | PF),
    ],
)
def test_add_and_its_flags(a, b, total, flags):
    r = one("01 d8", rax=a, rbx=b)
    assert (r["vector"], r["gpr"][RAX], r["rflags"] & FLAGS, r["rip"]) == (NONE, total, flags, CODE_START + 2)


@pytest.mark.parametrize(
    "code, registers, vector, error, address",
    [
        ("f7 f3", {"rax": 7, "rbx": 0}, DE, 0, 0),
        ("0f 0b", {}, UD, 0, 0),
        ("48 89 03", {"rbx": READ_ONLY + 8}, PF_FAULT, 7, READ_ONLY + 8),
        ("48 8b 03", {"rbx": READ_ONLY - 8}, PF_FAULT, 4, READ_ONLY - 8),
        ("48 89 03", {"rbx": WINDOW + WINDOW_SIZE - 4}, PF_FAULT, 6, WINDOW + WINDOW_SIZE),
        ("48 8b 03", {"rbx": 0xFFFF800000000000}, PF_FAULT, 4, 0xFFFF800000000000),
        ("48 8b 03", {"rbx": 0x0000800000000000}, GP, 0, 0),
        ("50", {"rsp": 0x0000900000000000}, SS, 0, 0),
        ("f4", {}, GP, 0, 0),
        ("cd 20", {}, GP, 0x20 * 8 + 2, 0),
        ("0f 28 03", {"rbx": WINDOW + 8}, GP, 0, 0),
    ],
)
def test_a_fault_reports_vector_error_code_address_and_the_registers_before_it(code, registers, vector, error, address):
    r = one(code, rcx=0x1234, **registers)
    assert (r["vector"], r["error_code"], r["fault_address"], r["rip"]) == (vector, error, address, CODE_START)
    assert r["gpr"][RCX] == 0x1234


def test_a_load_across_the_page_end_inside_the_window():
    r = one("48 8b 03", rbx=WINDOW + PAGE - 3, window=bytes(range(1, 9)), at=PAGE - 3)
    assert r["gpr"][RAX] == 0x0807060504030201


def test_a_faulting_store_across_the_window_end_changes_nothing():
    r = one("48 89 03", rbx=WINDOW + WINDOW_SIZE - 4, rax=0x1111111111111111)
    assert not r["window"].any()


def test_the_read_only_page_holds_its_image():
    assert one("8a 03", rbx=READ_ONLY + 77)["gpr"][RAX] == READ_ONLY_IMAGE[77]


def test_any_stack_pointer():
    r = one("48 ff c4", rsp=(1 << 64) - 1)
    assert (r["gpr"][RSP], r["rflags"] & ZF) == (0, ZF)


def test_stores_reach_the_window():
    r = one("50", rsp=WINDOW + 64, rax=0x1122334455667788)
    assert r["gpr"][RSP] == WINDOW + 56
    assert r["window"][56:64].tobytes() == bytes.fromhex("8877665544332211")


@pytest.mark.parametrize(
    "code, rip", [("eb 10", CODE_START + 0x12), ("e9 00 01 00 00", CODE_START + 0x105), ("eb 80", CODE_START - 126), ("90", CODE_START + 1)]
)
def test_where_a_branch_goes(code, rip):
    r = one(code)
    assert (r["vector"], r["rip"]) == (NONE, rip)


def test_a_branch_to_nowhere_completes():
    r = one("ff e0", rax=0x12345678)
    assert (r["vector"], r["rip"]) == (NONE, 0x12345678)


def test_a_relative_operand_and_the_stack_of_a_call():
    r = one("e8 10 00 00 00", rsp=WINDOW + 16)
    assert (r["rip"], r["window"][8:16].view("<u8")[0]) == (CODE_START + 21, CODE_START + 5)


def test_breakpoint_instructions_are_told_from_the_end():
    assert [one(code)["vector"] for code in ("cc", "cd 03", "90")] == [3, 3, NONE]
    assert one("cc")["rip"] == CODE_START + 1


def test_repeated_store_with_the_direction_flag():
    r = one("f3 aa", rax=0xAB, rcx=5, rdi=WINDOW + 100, rflags=0x202 | DF)
    assert (r["gpr"][RCX], r["gpr"][RDI]) == (0, WINDOW + 95)
    assert r["window"][96:101].tobytes() == b"\xab" * 5 and r["window"].sum() == 5 * 0xAB


def test_a_fault_inside_a_repeated_move_keeps_its_progress():
    r = one("f3 a4", rcx=10, rsi=WINDOW, rdi=WINDOW + WINDOW_SIZE - 4)
    assert (r["vector"], r["gpr"][RCX], r["gpr"][RSI], r["fault_address"]) == (PF_FAULT, 6, WINDOW + 4, WINDOW + WINDOW_SIZE)


def test_segment_bases():
    r = one("65 8a 00", gs_base=WINDOW, rax=5, window=b"\x77", at=5)
    assert r["gpr"][RAX] == 0x77
    assert one("f3 48 0f ae d0", rax=0x1234)["fs_base"] == 0x1234


def test_paddb():
    xmm = np.zeros((16, 16), np.uint8)
    xmm[0], xmm[1] = 0xF0, np.arange(16)
    r = one("66 0f fc c1", fx={"xmm": xmm})
    assert r["fx"]["xmm"][0].tolist() == [(0xF0 + n) & 0xFF for n in range(16)]


@pytest.mark.parametrize("rounding, expected", [(0, 0x3F800000), (1, 0x3F800000), (2, 0x3F800001), (3, 0x3F800000)])
def test_addps_rounds_as_mxcsr_says(rounding, expected):
    xmm = np.zeros((16, 16), np.uint8)
    xmm[0].view("<u4")[:] = 0x3F800000
    xmm[1].view("<u4")[:] = 0x33000000  # a quarter of the last place
    r = one("0f 58 c1", fx={"xmm": xmm, "mxcsr": 0x1F80 | rounding << 13})
    assert (r["fx"]["xmm"][0].view("<u4") == expected).all()
    assert r["fx"]["mxcsr"] & 0x3F == 0x20


def test_an_unmasked_sse_exception():
    xmm = np.zeros((16, 16), np.uint8)
    xmm[0].view("<u4")[:] = 0x3F800000
    r = one("0f 5e c1", fx={"xmm": xmm, "mxcsr": 0x1D80})
    assert (r["vector"], r["fx"]["mxcsr"] & 0x3F) == (XM, 4)


def float80(*values):
    return np.array([np.frombuffer(np.longdouble(v).tobytes(), np.uint8) for v in values])


def test_fadd():
    st = np.zeros((8, 16), np.uint8)
    st[:2, :10] = float80(1.5, 2.25)[:, :10]
    r = one("d8 c1", fx={"st": st, "ftw": 0x03})  # TOP is 0
    assert (r["fx"]["st"][0, :10] == float80(3.75)[0, :10]).all()
    assert (r["fx"]["fsw"], r["fx"]["ftw"]) == (0, 3)


def test_a_pending_x87_exception():
    assert one("d8 c1", fx={"fcw": 0x37E, "fsw": 0x8081, "ftw": 0xFF})["vector"] == MF


def test_mmx_sets_the_whole_tag_word():
    r = one("0f fc c1", fx={"ftw": 0, "fsw": 0x3800})
    assert (r["fx"]["ftw"], r["fx"]["fsw"] & 0x3800) == (0xFF, 0)


def test_32_bit_code():
    assert one("40", bits=32, rax=0xFFFFFFFF)["gpr"][RAX] == 0
    assert one("d5 0a", bits=32, rax=0x0203)["gpr"][RAX] == 23
    assert one("62 03", bits=32, rax=5, rbx=WINDOW, window=b"\x06\0\0\0\x09\0\0\0")["vector"] == BR
    r = one("ce", bits=32, rflags=0x202 | OF)
    assert (r["vector"], r["rip"]) == (4, CODE_START + 1)
    r = one("60", bits=32, rsp=WINDOW + 64, rdx=7)
    assert (r["gpr"][RSP], r["gpr"][RDX], r["window"][52:56].tobytes()) == (WINDOW + 32, 7, b"\x07\0\0\0")


def test_an_instruction_at_the_end_of_the_code_pages():
    r = one("48 01", rip=CODE + 0x10000 - 2)
    assert (r["vector"], r["error_code"], r["fault_address"], r["rip"]) == (PF_FAULT, 0x14, CODE + 0x10000, CODE + 0xFFFE)


def test_kernel_entries_are_refused():
    for code in ("0f 34", "cd 80", "f3 48 0f 34"):
        with pytest.raises(ValueError, match="kernel"):
            one(code)


def test_a_system_call_does_nothing_but_what_its_entry_does():
    r = one("0f 05", rax=39, rcx=7, rdx=5)  # getpid would return in RAX
    assert (r["vector"], r["rip"], r["gpr"][RAX], r["gpr"][RDX]) == (NONE, CODE_START + 2, 39, 5)
    assert (r["gpr"][RCX], r["gpr"][11]) == (CODE_START + 2, 0x202)


@pytest.mark.parametrize(
    "selector, vector, error", [(0x2B, NONE, 0), (0x28, NONE, 0), (0, NONE, 0), (0x18, GP, 0x18), (0x40, GP, 0x40), (0xFFF8, GP, 0xFFF8)]
)
def test_segment_loads(selector, vector, error):
    r = one("8e d8", rax=selector)  # mov ds, ax
    assert (r["vector"], r["error_code"]) == (vector, error)
    assert r["selectors"][3] == (selector if vector == NONE else 0x2B)
    assert one("90")["selectors"].tolist() == list(SELECTORS)  # the next run starts with the usual ones


@pytest.mark.skipif(native.unavailable() is not None or not host_tables.read(native.run).ldt.any(), reason="no modify_ldt")
def test_the_local_descriptor_table():
    read_only, absent, small = 1 << 3 | 7, 9 << 3 | 7, 3 << 3 | 7
    assert one("8e d0", rax=read_only)["vector"] == GP  # mov ss, ax
    assert (one("8e d0", rax=absent)["vector"], one("8e d8", rax=absent)["vector"]) == (SS, NP)
    r = one("8e e0", rax=small)  # mov fs, ax
    assert (r["selectors"][4], r["fs_base"]) == (small, WINDOW)


def test_far_transfers_between_64_and_32_bit_code():
    pointer = (CODE + 0x100).to_bytes(4, "little")
    r = one("ff 2b", rbx=WINDOW, window=pointer + b"\x23\0")  # jmp far [rbx]
    assert (r["vector"], r["rip"], r["selectors"][1]) == (NONE, CODE + 0x100, CODE32)
    r = one("ea" + pointer.hex() + "3300", bits=32)  # jmp far 33h:...
    assert (r["vector"], r["rip"], r["selectors"][1]) == (NONE, CODE + 0x100, SELECTORS[1])
    r = one("ff 2b", rbx=WINDOW, window=pointer + b"\x10\0")
    assert (r["vector"], r["error_code"], r["rip"]) == (GP, 0x10, CODE_START)


def test_a_state_that_no_cpu_could_be_in_is_refused():
    with pytest.raises(ValueError, match="reserved bits"):
        one("90", fx={"mxcsr": 0x80000000})


def test_an_instruction_that_never_ends_is_an_exception_and_the_next_run_works(monkeypatch):
    monkeypatch.setattr(native, "_TIMEOUT", 0.2)
    with pytest.raises(TimeoutError):
        one("eb fe")
    assert one("90")["rip"] == CODE_START + 1


def test_states_are_reproducible_and_survive_a_nop():
    states = generate(300, 7)
    assert (states.tobytes()) == generate(300, 7).tobytes()
    results = native.run(states, b"\x90")
    assert (results["vector"] == NONE).all()
    for name in ("gpr", "rflags", "fs_base", "gs_base", "window"):
        assert (results[name] == states[name]).all(), name
    for name in ("fcw", "fsw", "ftw", "mxcsr", "xmm"):
        assert (results["fx"][name] == states["fx"][name]).all(), name
    assert (results["fx"]["st"][:, :, :10] == states["fx"]["st"][:, :, :10]).all()
