"""IRET and far CALL in 64-bit mode: what the host's CPU showed, from states made by hand."""

import numpy as np
import pytest

from tests.machine import whole
from tests.oracles.layout import CODE, GP, NONE, PF_FAULT, RBX, RSP, WINDOW, WINDOW_SIZE
from tests.oracles.system import KINDS, generate

CODE32, NOWHERE, TARGET = 0x2B, 0xFFF8, CODE + 0x100


def one(code: str, rsp: int, window: dict[int, bytes]):
    """The result of one instruction in ring 3 of long mode; `window`: bytes by offset. RBX is WINDOW."""
    states = generate("long_ring3", 1, 1)
    states["rflags"] = 2
    states["gpr"][0, RSP], states["gpr"][0, RBX] = rsp, WINDOW
    for at, data in window.items():
        states["window"][0, at : at + len(data)] = np.frombuffer(data, np.uint8)
    return whole.run(states, bytes.fromhex(code), KINDS["long_ring3"])[0]


def words(*values: int, size: int) -> bytes:
    return b"".join(v.to_bytes(size, "little") for v in values)


@pytest.mark.parametrize("code, size", [("66 cf", 2), ("cf", 4), ("48 cf", 8)])
def test_iret_pops_its_whole_frame_before_it_looks_at_cs(code, size):
    """SDM vol. 2, IRET: the five words are popped first; so a frame that ends behind the stack's page is a page fault, not #GP(CS)."""
    frame = words(0x100, NOWHERE, 2, size=size)
    r = one(code, WINDOW + WINDOW_SIZE - 3 * size, {WINDOW_SIZE - 3 * size: frame})
    assert (r["vector"], r["fault_address"]) == (PF_FAULT, WINDOW + WINDOW_SIZE)
    r = one(code, WINDOW + 64, {64: frame})
    assert (r["vector"], r["error_code"]) == (GP, NOWHERE)


def test_a_far_call_out_of_64_bit_mode_pushes_on_a_32_bit_stack():
    pointer = TARGET.to_bytes(4, "little") + CODE32.to_bytes(2, "little")
    r = one("ff 1b", 1 << 40 | WINDOW + 0x100, {0: pointer})  # call far [rbx]
    assert (r["vector"], r["rip"], r["gpr"][RSP]) == (NONE, TARGET, WINDOW + 0xF8)
    assert r["window"][0xF8:0x100].tobytes() == words(CODE + 0x8002, 0x3B, size=4)
