"""What is privileged does what Bochs does: segment loads, far transfers, gates, task switches, interrupts, system registers.

One instruction is run, and the event that follows it is delivered, from random states in every mode; then registers,
hidden parts of segments, system registers, descriptor tables and stacks are compared.
"""

from random import Random

import numpy as np
import pytest

from tests.machine import privileged
from tests.machine.whole import DELIVER, shared
from tests.oracles import bochs_oracle
from tests.oracles.layout import RF
from tests.oracles.system import CS, HANDLER, KINDS, SEGMENT_NAMES, SYSTEM_RESULT, TRIPLE_FAULT, UNUSABLE, generate

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(bochs_oracle.unavailable() is not None, reason=str(bochs_oracle.unavailable()))]

# Where Bochs or its set-up is another machine, or the manual leaves a choice: (kinds, codes, why).
ACCEPTED = [
    ("v86", "66CF", "IRETD to an EIP beyond the limit: we fault before (SDM vol. 2, IRET), Bochs at the fetch that follows"),
    ("long long_ring3", "CF 66CF", "64-bit mode pops SS:RSP at any operand size (SDM vol. 2; seen on hardware), Bochs only at 64"),
    ("*", "0F23F8", "DR7 bit 11 is reserved without RTM"),
    ("protected16", "0F22C0", "when PE is cleared Bochs makes CS a data segment at once, we with the next load"),
]
# Which of two faults is reported, where Bochs has another order: (kinds, ends of codes, vector of Bochs, ours, why).
ORDERS = [
    ("v86 real", ("9a", "ff1f"), 13, 12, "room for the return address comes before the offset (SDM vol. 2, CALL)"),
    ("long long_ring3", ("cf",), 11, 12, "64-bit mode pops the whole frame before it looks at CS (seen on hardware)"),
]
LOW, LONG_CODE = np.uint64(0xFFFFFFFF), 0x2000  # L in a segment's attributes
_low_memory = []


def differences(a: np.ndarray, b: np.ndarray) -> list[str]:
    """What differs between Bochs's result and ours."""
    out = []
    for name in a.dtype.names:
        x, y = a[name], b[name]
        if name in ("fx", "fs_base", "gs_base"):
            continue
        if name == "segment":
            for n in range(8):
                unusable = int(x[n]["attributes"]) & int(y[n]["attributes"]) & UNUSABLE
                for part in ("selector",) if unusable else x.dtype.names:
                    if x[n][part] != y[n][part]:
                        out.append(f"{SEGMENT_NAMES[n]}.{part}: {int(x[n][part]):x}, ours {int(y[n][part]):x}")
        else:
            where = np.flatnonzero(np.ravel(x) != np.ravel(y))
            out += [f"{name}[{i:#x}]: {int(np.ravel(x)[i]):x}, ours {int(np.ravel(y)[i]):x}" for i in where[:6]]
    return out


def only_memory(parts: list[str]) -> bool:
    """Bochs had pushed before it found the fault, we write nothing then; or pushed the upper half of an RSP that is undefined."""
    return all(part.startswith(("window", "tables")) for part in parts)


def in_another_order(name: str, code: bytes, a: np.ndarray, b: np.ndarray) -> bool:
    """Both report a fault, and ORDERS says which is right."""
    opcode = (code[1:] if code[0] in (0x66, 0x48) else code).hex()
    vectors = [(int(r["rip"]) - HANDLER) // 16 for r in (a, b)]
    return any(name in kinds.split() and opcode.startswith(codes) and vectors == [x, y] for kinds, codes, x, y, _why in ORDERS)


def clean(r: np.ndarray, kind, code: bytes) -> None:
    """Take out what is undefined: upper halves of registers out of 64-bit code (SDM vol. 1, 3.4.1.1)."""
    if kind.bits != 64 or not int(r["segment"][CS]["attributes"]) & LONG_CODE:
        r["gpr"] &= LOW
    if code[-1] == 0xCF:
        r["rflags"] &= ~np.uint64(RF)  # Bochs clears it when the fetch that follows enters another page


def one_more(state, code, kind) -> np.ndarray:
    """Our result after another step: Bochs also delivers a fault of the fetch that follows."""
    ours, r = shared(), np.zeros(1, SYSTEM_RESULT)[0]
    ours.load(state, code, kind)
    ours.machine.intercept(())
    ours.one(r, DELIVER)
    ours.one(r, DELIVER)
    return r


def compare(name: str, code: bytes, states: np.ndarray) -> list[str]:
    """Differences of one instruction on some states, the accepted ones aside."""
    kind = KINDS[name]
    if not _low_memory:
        _low_memory.append(bochs_oracle.shared()._pages(0, 0x120000))  # what real mode reaches
    theirs, ours = bochs_oracle.run(states, code, kind, DELIVER), shared().run(states, code, kind, DELIVER)
    found = []
    for state, a, b in zip(states, theirs, ours):
        clean(a, kind, code), clean(b, kind, code)
        parts = differences(a, b)
        if only_memory(parts) or a["vector"] == b["vector"] == TRIPLE_FAULT or in_another_order(name, code, a, b):
            continue
        more = one_more(state, code, kind)
        clean(more, kind, code)
        if not only_memory(differences(a, more)):
            found.append(f"{name} {code.hex()}: " + "; ".join(parts[:8]))
    return found


def accepted(name: str, code: bytes) -> bool:
    return any((kinds == "*" or name in kinds.split()) and code.hex().upper() in codes.split() for kinds, codes, _why in ACCEPTED)


def run(name: str, seed: int, count: int, share: float = 1.0) -> list[str]:
    rng, found = Random(seed), []
    for code, prepare in privileged.cases(KINDS[name], rng):
        if accepted(name, code) or rng.random() > share:
            continue
        states = generate(name, count, rng.randrange(1 << 30))
        if prepare:
            prepare(states)
        found += compare(name, code, states)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_sample(name):
    """A sample of the instructions, one state each."""
    assert run(name, 1, 1, 0.5) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
@pytest.mark.parametrize("name", KINDS)
def test_long(name, seed):
    assert run(name, seed, 20) == []
