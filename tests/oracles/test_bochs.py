"""The Bochs oracle itself: what is known by hand, in every mode."""

import pytest

from . import bochs_library
from .bochs_library import DELIVER
from .layout import CODE, GP, NONE, PF_FAULT, RSP, SS, UD, WINDOW
from .system import CALL_GATE, DS, HALTED, HANDLER, IDT, KINDS, PORT, SOFTWARE_INTERRUPT, SYSTEM, TABLES, TRIPLE_FAULT, generate
from .system import CS as CS_REGISTER
from .system import SS as SS_REGISTER

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(bochs_library.unavailable() is not None, reason=str(bochs_library.unavailable())),
]


def one(code: str, kind: str, deliver: bool = False, **fields):
    """The result of one instruction from an ordinary state of a kind, with `fields` changed (rax= and so on too)."""
    from . import bochs_oracle

    names = "rax rcx rdx rbx rsp rbp rsi rdi".split()
    states = generate(kind, 1, 5)
    states["rflags"] = (states["rflags"] & 0x23000) | 2
    for name, value in fields.items():
        if name in SYSTEM.names:
            states[name] = value
        else:
            states["gpr"][0, names.index(name)] = value
    return bochs_oracle.run(states, bytes.fromhex(code), KINDS[kind], int(deliver))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_nop_changes_nothing(kind):
    from . import bochs_oracle

    states = generate(kind, 50, 3)
    results = bochs_oracle.run(states, b"\x90", KINDS[kind])
    assert (results["vector"] == NONE).all() and (results["rip"] == states["rip"] + 1).all()
    for name in SYSTEM.names:
        if name not in ("rip", "fx"):
            assert (results[name] == states[name]).all(), name
    for name in ("fcw", "fsw", "ftw", "mxcsr", "xmm", "st"):
        assert (results["fx"][name] == states["fx"][name]).all(), name


@pytest.mark.parametrize(
    "code, kind, fields, vector, error",
    [
        ("0f 0b", "real", {}, UD, 0),
        ("a1 00 f0", "real", {}, GP, 0),
        ("50", "real", {"rsp": 0xF001}, SS, 0),
        ("f4", "v86", {}, GP, 0),
        ("f4", "long", {}, HALTED, 0),
        ("8e d8", "protected32", {"rax": 0x68}, 11, 0x68),
        ("8e d8", "protected32_ring3", {"rax": 0x10}, GP, 0x10),
        ("8e d0", "long", {"rax": 0x18}, GP, 0x18),
        ("a1 00 20 00 10", "protected32", {}, PF_FAULT, 0),
        ("a1 00 20 00 10", "protected32_ring3", {}, PF_FAULT, 4),
        ("a3 00 30 00 10", "protected32_ring3", {}, PF_FAULT, 7),
        ("e4 20", "protected32_ring3", {"rflags": 2}, PORT, 0),
        ("ee", "protected32_ring3", {"rflags": 2, "rdx": 70}, GP, 0),
        ("cd 30", "long", {}, SOFTWARE_INTERRUPT + 0x30, 0),
    ],
)
def test_outcomes(code, kind, fields, vector, error):
    r = one(code, kind, **fields)
    assert (r["vector"], r["error_code"]) == (vector, error)


def test_a_segment_load_marks_the_descriptor_accessed():
    r = one("8e d8", "protected32", rax=0xE0)
    assert r["segment"]["selector"][DS] == 0xE0 and r["tables"][0xE0 + 5] & 1


def test_a_real_mode_segment_load_sets_the_base():
    r = one("8e d8", "real", rax=0x1234)
    assert r["segment"]["base"][DS] == 0x12340


def test_delivery_through_a_gate_to_the_inner_stack():
    r = one("f4", "protected32_ring3", deliver=True)
    assert (r["vector"], r["rip"], r["segment"]["selector"][CS_REGISTER]) == (NONE, HANDLER + 16 * GP, 0x08)
    stack = r["tables"][0x2000 - 24 :].view("<u4")
    assert r["gpr"][RSP] == TABLES + 0x2000 - 24
    assert (stack[0], stack[1], stack[2]) == (0, CODE + 0x8000, 0x2B)


def test_an_interrupt_in_long_mode_and_a_call_gate():
    assert one("cd 30", "long_ring3", deliver=True)["rip"] == HANDLER + 16 * 0x30
    far = (HANDLER + 0x40).to_bytes(4, "little").hex() + CALL_GATE.to_bytes(2, "little").hex()
    r = one("9a" + far, "protected32_ring3", rsp=WINDOW + 0x100)
    assert (r["vector"], r["rip"]) == (NONE, HANDLER + 0x1000)


def test_a_triple_fault():
    assert one("0f 0b", "long", deliver=True, idtr_limit=0)["vector"] == TRIPLE_FAULT


def test_a_real_mode_interrupt():
    r = one("cd 21", "real", deliver=True, rsp=0x100)
    assert (r["rip"], r["segment"]["selector"][CS_REGISTER], r["gpr"][RSP]) == (0x1021, 0xF000, 0xFA)
    assert IDT == TABLES + 0x800


@pytest.mark.parametrize("kind", KINDS)
def test_popf_sets_tf_and_the_trap_comes_after_the_next_instruction(kind):
    """A single step that was due at the end of one run must not meet the next: POPF that sets IF would let it in."""
    from . import bochs_oracle

    states = generate(kind, 1, 5)
    base = int(states["segment"]["base"][0, SS_REGISTER]) if KINDS[kind].bits != 64 else 0
    states["gpr"][0, RSP] = WINDOW + 0x1400 - base & 0xFFFFFFFF
    states["rflags"] = (states["rflags"] & 0x20000) | (0x3002 if KINDS[kind].mode == "v86" else 2)
    for image in (0x102, 0x302, 0x302):
        states["window"][0, 0x1400:0x1408] = list(image.to_bytes(8, "little"))
        r = bochs_oracle.run(states, b"\x9d", KINDS[kind], DELIVER)[0]
        assert (r["vector"], r["rip"], r["rflags"] & 0x100) == (NONE, states["rip"][0] + 1, 0x100)


def test_control_registers():
    r = one("0f 22 c0", "long", rax=0x80010031 | 4)
    assert r["cr0"] & 4
    assert one("0f 22 c0", "long", rax=0x10)["vector"] == GP


def test_it_agrees_with_the_host_on_the_arithmetic_of_its_states():
    from . import native
    from .bochs_oracle import run_flat
    from .states import generate as generate_plain

    if native.unavailable():
        pytest.skip(native.unavailable())
    states = generate_plain(200, 9)
    for code in ("48 11 d8", "f7 eb", "0f 58 c1", "66 0f 38 0b c1", "d8 c1", "48 0f b1 cb"):
        expected, got = native.run(states, bytes.fromhex(code)), run_flat(states, bytes.fromhex(code))
        assert (expected["vector"] == got["vector"]).all(), code
        done = expected["vector"] == NONE
        for name in ("gpr", "rip"):
            assert (expected[name] == got[name])[done].all(), (code, name)
        for name in ("xmm", "mxcsr", "fsw"):
            assert (expected["fx"][name] == got["fx"][name])[done].all(), (code, name)
