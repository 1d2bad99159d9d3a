"""The Unicorn oracle: known results, and agreement with the host where both are sure."""

import pytest

from . import native, unicorn_oracle
from .layout import DE, NONE, PF_FAULT, RAX, RBX, UD
from .states import generate

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(unicorn_oracle.unavailable() is not None, reason=str(unicorn_oracle.unavailable())),
]


@pytest.mark.parametrize("bits", [32, 64])
def test_known_results(bits):
    states = generate(20, 1, bits)
    r = unicorn_oracle.run(states, b"\x01\xd8", bits)
    assert (r["vector"] == NONE).all()
    assert (r["gpr"][:, RAX] == (states["gpr"][:, RAX] + states["gpr"][:, RBX]) & 0xFFFFFFFF).all()
    states["gpr"][:, RBX] = 0
    assert (unicorn_oracle.run(states, b"\xf7\xf3", bits)["vector"] == DE).all()
    assert (unicorn_oracle.run(states, b"\x0f\x0b", bits)["vector"] == UD).all()
    r = unicorn_oracle.run(states, b"\x8b\x03", bits)
    assert (r["vector"] == PF_FAULT).all() and (r["error_code"] == 4).all()


@pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))
@pytest.mark.parametrize(
    "code", ["48 11 d8", "48 0f af c3", "0f c8", "66 0f fc c1", "66 0f d4 c1", "d9 c9", "48 0f a5 d8", "f2 0f 38 f1 c3"]
)
def test_it_agrees_with_the_host(code):
    states = generate(100, 2)
    # It raises no unmasked exceptions, and a written MXCSR does not change its rounding.
    states["fx"]["fcw"] |= 0x3F
    states["fx"]["fsw"] &= 0x7F00
    states["fx"]["mxcsr"] = 0x1F80
    states["fx"]["ftw"] = 0xFF
    expected, got = native.run(states, bytes.fromhex(code)), unicorn_oracle.run(states, bytes.fromhex(code))
    for name in ("vector", "rip", "gpr"):
        assert (expected[name] == got[name]).all(), name
    for name in ("xmm", "st"):
        assert (expected["fx"][name] == got["fx"][name]).all(), name
