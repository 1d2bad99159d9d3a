"""Random programs that Bochs has run, instruction by instruction: grow(kind, seed) -> Program.

A program grows where it goes: the next instruction is placed at rip once the one before it has been run, and mostly one is taken
that does not fault.  So it branches, changes segments and modes, and reaches memory as often as it can.  It ends with an exception,
a software interrupt (what was never placed is INT3), HLT or a port access.
"""

import fnmatch
from dataclasses import dataclass

import numpy as np

from isa.forms import FORMS, Form
from tests.oracles import bochs_oracle
from tests.oracles.compare import exclusions
from tests.oracles.compare_system import known_errors
from tests.oracles.encode import encode
from tests.oracles.layout import CODE, CODE_SIZE, INT3, NONE, TF
from tests.oracles.system import CS, SEGMENT_NAMES, SOFTWARE_INTERRUPT, SYSTEM, SYSTEM_RESULT, UNUSABLE, Kind, generate

# What replaces the machine under the program, or has undefined results.
EXCLUDED = frozenset("mov_to_cr mov_to_dr lmsw lgdt lidt lldt ltr bsf bsr shld shrd ud nop".split())
COMPARE = b"\x38\xd8"  # cmp al, bl: defines the flags that the instruction before it left undefined
TRIES = 8
RF = np.uint64(1 << 16)


@dataclass
class Program:
    """Where it starts, its code, how it ended, how many instructions that took."""

    kind: Kind
    state: np.ndarray
    image: np.ndarray
    result: np.ndarray
    steps: int


def usable(form: Form) -> bool:
    patterns = [p for row in (*known_errors(), *exclusions()) if row.get("oracle", "bochs") == "bochs" for p in row["forms"] if p != "*"]
    return (
        form.offered
        and form.encoding.space == "legacy"
        and form.row.sem not in EXCLUDED
        and not form.row.text.startswith("F")
        and not any(o.kind in ("xmm", "mm", "st") for o in form.operands)
        and not any(fnmatch.fnmatchcase(form.row.text, p) for p in patterns)
    )


USABLE = [f for f in FORMS if usable(f)]


def choose(kind: Kind, rng: np.random.Generator) -> tuple[bytes, bool]:
    """A random instruction, and whether it leaves flags undefined."""
    while True:
        form = USABLE[int(rng.integers(len(USABLE)))]
        instance = encode(form, kind.bits, int(rng.integers(1 << 60)))
        if instance is not None and b"\x2e" not in instance.code[:4]:
            return instance.code, bool(form.row.flag_set("u"))


def as_state(result: np.ndarray) -> np.ndarray:
    state = np.zeros(1, SYSTEM)[0]
    for name in SYSTEM.names:
        state[name] = result[name]
    return state


def offset_of(state: np.ndarray, kind: Kind) -> int:
    """Where rip is in the CODE region."""
    base = 0 if kind.bits == 64 else int(state["segment"]["base"][CS])
    return base + int(state["rip"]) - CODE


def grow(kind: Kind, seed: int, length: int = 30) -> Program | None:
    """None if it was still running after `length` instructions and two runs of INT3's way."""
    rng, bochs = np.random.default_rng([seed, kind.bits]), bochs_oracle.shared()
    first = generate(kind.name, 1, seed)[0]
    image, placed = np.full(CODE_SIZE, INT3, np.uint8), np.zeros(CODE_SIZE, bool)
    bochs.begin(image, kind)
    state, pending, steps = first, b"", 0
    while steps < 3 * length:
        at = offset_of(state, kind)
        if not 0 <= at < CODE_SIZE - 32:
            return None
        if placed[at] or (steps >= length and not pending):
            result = bochs.step(state)
        else:
            before, tries = bochs.code.copy(), TRIES if rng.random() < 0.97 else 1
            while True:
                code, undefined = (pending, False) if pending else choose(kind, rng)
                if placed[at : at + len(code)].any():
                    return None
                bochs.code[:] = before
                bochs.code[at : at + len(code)] = np.frombuffer(code, np.uint8)
                written = bochs.code.copy()
                result, tries = bochs.step(state), tries - 1
                if (bochs.code != written)[~placed].any():
                    continue  # it wrote where code may be placed later
                if tries <= 0 or result["vector"] == NONE and not int(result["rflags"]) & TF:
                    break
            image[at : at + len(code)] = np.frombuffer(code, np.uint8)
            placed[at : at + len(code)] = True
            pending = COMPARE if undefined else b""
        steps += 1
        if int(result["rflags"]) & TF:
            return None  # the oracle's steps end before the trap
        if result["vector"] != NONE:
            return Program(kind, first, image, result, steps)
        state = as_state(result)
    return None


def differences(a: np.ndarray, b: np.ndarray, kind: Kind) -> list[str]:
    """What differs between two results."""
    out = []
    mask = np.uint64(0xFFFFFFFF if kind.bits != 64 else 0xFFFFFFFFFFFFFFFF)
    for name in SYSTEM_RESULT.names:
        if name in ("fs_base", "gs_base"):
            continue  # segment says it, unless the segment is unusable
        x, y = a[name], b[name]
        if name == "gpr":
            x, y = x & mask, y & mask
        elif name == "rflags":
            x, y = x & ~RF, y & ~RF
        if name == "rip" and a["vector"] >= SOFTWARE_INTERRUPT:
            continue  # before or past the instruction: where one stops
        if name == "segment":
            for n, segment in enumerate(SEGMENT_NAMES):
                if not int(x[n]["attributes"]) & int(y[n]["attributes"]) & UNUSABLE:
                    out += [f"{segment}.{p}: {int(x[n][p]):x}, ours {int(y[n][p]):x}" for p in x.dtype.names if x[n][p] != y[n][p]]
        elif name != "fx":
            where = np.flatnonzero(np.ravel(x) != np.ravel(y))
            out += [f"{name}[{i:#x}]: {int(np.ravel(x)[i]):x}, ours {int(np.ravel(y)[i]):x}" for i in where[:4]]
    return out
