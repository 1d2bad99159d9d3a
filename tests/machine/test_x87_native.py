"""x87, FXSAVE and XSAVE: registers, tags, status, memory and faults are the host CPU's, for every precision, rounding and mask."""

import re

import numpy as np
import pytest

from tests.machine.fpu import Fpu
from tests.oracles import native
from tests.oracles.layout import RDI, WINDOW
from tests.oracles.states import FLOAT32, FLOAT64, FLOAT80, generate

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))]
COUNTS = [6, pytest.param(150, marks=pytest.mark.slow)]
C1 = 0x200
EVERYTHING, NO_C1, POINTERS, ULP = "", "c1", "pointers", "ulp"

# What a form is compared by, and its codes; a range of registers is written C0-C7.  c1: AMD does not clear C1
# as the manual says (FCOMI), or reports underflow before overflow (FLD ST(i));
# pointers: AMD keeps FIP, FDP and FOP only for pending exceptions; ulp: transcendental, 1 unit in the last place, PE and C1 free.
FORMS = {
    EVERYTHING: """d807 d80f d817 d81f d827 d82f d837 d83f dc07 dc0f dc17 dc1f dc27 dc2f dc37 dc3f
        da07 da0f da17 da1f da27 da2f da37 da3f de07 de0f de17 de1f de27 de2f de37 de3f
        d8C0-C1 d8C8-C9 d8D1-D2 d8D9-DA d8E1-E2 d8E9-EA d8F1-F2 d8F9-FA dcC0-C1 dcC9-CA dcD1 dcD9 dcE1-E2 dcE9-EA dcF1-F2 dcF9-FA
        deC1-C2 deC9-CA deD0-D1 ded9 deE1-E2 deE9-EA deF1-F2 deF9-FA
        d907 dd07 db2f d917 dd17 ddD0-D2 d91f dd1f db3f ddD8-DA dfD0-D1 dfD8-D9 d9D8-DA
        df07 db07 df2f df17 db17 df1f db1f df3f df0f db0f dd0f df27 df37 d9C8-CA ddC9 dfC9
        daC1 daC9 daD1 daD9 dbC1 dbC9 dbD1 dbD9 ddE1-E2 ddE9-EA dae9
        d9d0 d9e0 d9e1 d9e4 d9e5 d9E8-EE d9f4 d9f5 d9f6 d9f7 d9f8 d9fa d9fc d9fd ddC1-C2 dfC1
        d92f d93f dd3f dfe0 dbe2 dbe3 9b d927 dd27 66d927 66dd27 0fae0f 480fae0f 0fae2f 480fae2f""",
    NO_C1: "d9C0-C3 dbF0-F2 dbE8-EA dfF0-F2 dfE8-EA",
    POINTERS: "d937 dd37 66d937 66dd37 0fae07 480fae07 0fae27 480fae27",
    ULP: "d9fe d9ff d9fb d9f2 d9f3 d9f0 d9f1 d9f9",
}


def codes():
    """(code, how to compare) of FORMS."""
    for how, text in FORMS.items():
        for code in text.split():
            if m := re.fullmatch("(..)(..)-(..)", code):
                for last in range(int(m[2], 16), int(m[3], 16) + 1):
                    yield m[1] + f"{last:02x}", how
            else:
                yield code.lower(), how


def numbers(rng, count):
    """80-bit numbers as (count, 16) bytes: edges, near 1, near the limits of the formats, few bits and many."""
    edges = np.array([(m, e) for e, m in FLOAT80], dtype=object)[rng.integers(0, len(FLOAT80), count)].astype(np.uint64)
    m = rng.integers(0, 1 << 64, count, np.uint64) | np.uint64(1 << 63)
    masks = np.array([~0, ~0, 0xFFFFFF << 40, ~0x7FF, 1 << 63, 0xFFF << 52], dtype=object) & (1 << 64) - 1
    m &= masks[rng.integers(0, len(masks), count)].astype(np.uint64)
    wide = rng.choice(
        np.array([0, 1, 2, 64, 0x7FFE, 0x3C00, 0x3C01, 0x3BCD, 0x43FE, 0x43FF, 0x3F80, 0x3F81, 0x3F6A, 0x407E, 0x407F]), count
    )
    kind = rng.integers(0, 8, count)
    e = np.where(kind < 3, rng.integers(0x3FFF - 70, 0x3FFF + 70, count), np.where(kind < 5, rng.integers(0x3FFC, 0x4003, count), wide))
    e = np.where(kind == 7, rng.integers(0, 0x7FFF, count), e).astype(np.uint64)
    pick = (rng.random(count) < 0.35)[:, None]
    out = np.where(pick, edges, np.stack([m, e], axis=1))
    out[:, 1] |= rng.integers(0, 2, count).astype(np.uint64) << np.uint64(15)
    return out.astype(np.uint64).view(np.uint8).reshape(count, 16)


def memory(rng, code):
    """Bytes for the window that suit the instruction: control words, images, or numbers of every size."""
    image = numbers(rng, 40).reshape(-1)
    opcode = code.removeprefix("66")
    if opcode in ("d92f", "d927", "dd27"):
        image[:2] = np.frombuffer((0x37F | int(rng.integers(0, 16)) << 8).to_bytes(2, "little"), np.uint8)
        if opcode != "d92f" and code == opcode:
            st = numbers(rng, 8)
            image[28:108] = st[:, :10].reshape(-1)
        return image
    if "0fae" in code:
        image = rng.integers(0, 256, 640, np.uint8)
        image[:2], image[2:4] = (0x7F, 3), (int(rng.integers(0, 64)), 0x38)
        image[24:32] = np.frombuffer((0x1F80 | int(rng.random() < 0.2) << 31).to_bytes(8, "little"), np.uint8)
        image[32:160] = numbers(rng, 8).reshape(-1)
        image[512:576] = 0
        image[512], image[519] = rng.integers(0, 4), 0x10 * (rng.random() < 0.1)
        image[520] = rng.random() < 0.1
        return image
    if code == "df27":
        image[:10] = rng.integers(0, 10, 10) | rng.integers(0, 10, 10) << 4
        image[9] = rng.choice([0, 0x80])
    elif code.startswith(("d8", "d9")):
        image[:4] = FLOAT32[rng.integers(0, len(FLOAT32))].view((np.uint8, 4)) if rng.random() < 0.7 else rng.integers(0, 256, 4)
    elif code.startswith(("dc", "dd")):
        image[:8] = FLOAT64[rng.integers(0, len(FLOAT64))].view((np.uint8, 8)) if rng.random() < 0.7 else rng.integers(0, 256, 8)
    elif code.startswith(("da", "de", "db07", "df07", "df2f")):
        value = int(rng.integers(0, 1 << 63)) >> int(rng.integers(0, 64))
        image[:8] = np.frombuffer((value if rng.random() < 0.5 else (1 << 64) - 1 - value).to_bytes(8, "little"), np.uint8)
    return image


def states(count, seed, code):
    """States with [rdi] at WINDOW; masked and unmasked exceptions, full and empty registers, sometimes an exception pending."""
    rng, s = np.random.default_rng(seed), generate(count, seed)
    s["gpr"][:, RDI], s["gpr"][:, 0], s["gpr"][:, 2] = WINDOW, rng.integers(0, 4, count), 0
    for state in s:
        masks = 0x3F if rng.random() < 0.5 else int(rng.integers(0, 64))
        precision, top = int(rng.choice([0, 2, 3, 3])), int(rng.integers(0, 8))
        fx = state["fx"]
        fx["fcw"] = int(rng.integers(0, 4)) << 10 | precision << 8 | 0x40 | masks
        raised = int(rng.integers(0, 64)) & (masks if rng.random() < 0.95 else 0x3F)
        fx["fsw"] = top << 11 | raised | int(rng.integers(0, 2)) << 6 | int(rng.integers(0, 8)) << 8 | int(rng.integers(0, 2)) << 14
        tags = 0xFF if rng.random() < 0.6 else int(rng.integers(0, 256))
        fx["ftw"] = tags & ~(1 << (top - 1 & 7)) if rng.random() < 0.5 else tags
        st = numbers(rng, 8)
        if rng.random() < 0.15:
            st[1] = st[0]
        fx["st"] = st
        fx["fop"] = fx["fip"] = fx["fdp"] = 0
        state["fx"] = fx
        image = memory(rng, code)
        state["window"][: len(image)] = image
    return s


def distance(a, b):
    """How many units in the last place lie between two 80-bit numbers."""
    (am, ae), (bm, be) = (tuple(int(x) for x in np.ascontiguousarray(v).view("<u8")) for v in (a, b))
    return abs((ae << 63) + am - (be << 63) - bm)


def differences(want, got, how):
    """The names of what differs."""
    free = {NO_C1: C1, ULP: 0x82A0 | C1}.get(how, 0)
    found = [n for n in ("fcw", "ftw", "mxcsr") if want["fx"][n] != got["fx"][n]]
    found += ["fsw"] * bool((int(want["fx"]["fsw"]) ^ int(got["fx"]["fsw"])) & ~free)
    found += ["st"] * any(distance(a, b) > (how == ULP) for a, b in zip(want["fx"]["st"], got["fx"]["st"]))
    found += ["xmm"] * (not np.array_equal(want["fx"]["xmm"], got["fx"]["xmm"]))
    found += [n for n in ("vector", "gpr") if not np.array_equal(want[n], got[n])]
    found += ["rflags"] * bool((int(want["rflags"]) ^ int(got["rflags"])) & 0x8D5)
    a, b = want["window"].copy(), got["window"].copy()
    if how == POINTERS:
        a[6:32] = b[6:32] = 0  # FOP, FIP, FDP in all layouts; AMD's MXCSR_MASK has bit 17
    return found + ["window"] * (not np.array_equal(a, b))


@pytest.mark.parametrize("count", COUNTS)
def test_x87(count):
    """Every form on random and edge operands does what the host does."""
    one, found = Fpu(), []
    for n, (code, how) in enumerate(codes()):
        s, raw = states(count, n, code), bytes.fromhex(code)
        for before, want, got in zip(s, native.run(s, raw), one.run(s, raw, 64)):
            if wrong := differences(want, got, how):
                fx = before["fx"]
                st = [bytes(r[9::-1]).hex() for r in fx["st"][:2]]
                words = [f"{int(fx[n]):04x} {int(want['fx'][n]):04x} {int(got['fx'][n]):04x}" for n in ("fcw", "fsw", "ftw")]
                found.append(f"{code}: {wrong} vector {want['vector']} {got['vector']} before/want/got {words} st {st}")
    assert not found, "\n".join(found[:20])
