"""Compares one implementation of x86 with another, form by form, on random instances and states; says where they differ.

    for form in FORMS:
        for difference in compare(form, ours, native.run, bits=64):
            print(difference)

By hand:  python -m tests.oracles.compare --ours tests.machine.one:run [--bits 64] [--states 1000] [PATTERN ...]
"""

import fnmatch
import functools
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from isa.forms import Form

from . import native
from .aim import effective, peek, plant, suit
from .conditions import CONDITIONS
from .encode import Instance, encode
from .layout import FLAG_NAMES, IF, NONE, SELECTORS, empty
from .states import generate

Run = Callable[[np.ndarray, bytes, int], np.ndarray]
NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
SEGMENTS = "es cs ss ds fs gs ldtr tr".split()
TINY = np.float32(1.004 * 2.0**-126)  # what RCP of the largest numbers gives is flushed to zero, or not (SDM vol. 2, RCPPS)
PE, UE, ES, BUSY = 0x20, 0x10, 0x80, 0x8000
FX_FIELDS = ("fcw", "fsw", "ftw", "mxcsr", "fop", "fip", "fdp")


# --- exclusions -----------------------------------------------------------------------------------------------------------
@functools.cache
def exclusions() -> tuple[dict, ...]:
    """The rows of exclusions.toml."""
    return tuple(tomllib.loads((Path(__file__).parent / "exclusions.toml").read_text())["row"])


def applying(form: Form, bits: int, vendor: str) -> list[dict]:
    """The exclusions that concern a form in this code size on this host."""
    text = form.row.text
    return [
        row
        for row in exclusions()
        if row.get("vendor", vendor) == vendor and row.get("bits", bits) == bits and any(fnmatch.fnmatchcase(text, p) for p in row["forms"])
    ]


def excluded(form: Form, bits: int, vendor: str) -> bool:
    """Whether a row leaves a form out on every state."""
    return any(row.get("ignore") == "all" and not row.keys() & {"when", "vector", "both"} for row in applying(form, bits, vendor))


@dataclass
class Ignored:
    """What is not compared: per state, or for all."""

    states: np.ndarray  # bool: nothing of these is compared
    flags: np.ndarray  # mask of RFLAGS bits not compared
    destination: np.ndarray  # bool: nor is the first operand
    random: np.ndarray  # bool: nor is the r/m register
    fields: set = field(default_factory=set)
    fsw: int = 0
    upper: bool = False
    within: str = ""


def ignored(instance: Instance, states: np.ndarray, vendor: str) -> Ignored:
    """Exclusions and the row's own undefined flags, applied to states."""
    count = len(states)
    undefined = sum(FLAG_NAMES[letter] for letter in instance.form.row.flag_set("u") if letter in FLAG_NAMES)
    out = Ignored(np.zeros(count, bool), np.full(count, undefined, np.uint64), np.zeros(count, bool), np.zeros(count, bool))
    for row in applying(instance.form, instance.bits, vendor):
        if row.keys() & {"vector", "both"}:
            continue
        where = CONDITIONS[row["when"]](instance, states) if "when" in row else np.ones(count, bool)
        out.within = row.get("within", out.within)
        kind, _, argument = row.get("ignore", "").partition(":")
        if kind == "all":
            out.states |= where
        elif kind == "flags":
            out.flags[where] |= np.uint64(sum(FLAG_NAMES[letter] for letter in argument))
        elif kind == "destination":
            out.destination |= where
            out.flags[where] |= np.uint64(sum(FLAG_NAMES[letter] for letter in "oszapc"))
        elif kind == "random":
            out.random |= where
            out.flags[where] |= np.uint64(FLAG_NAMES["c"])
        elif kind == "upper":
            out.upper = True
        elif kind == "fx":
            out.fields |= set(argument.split())
        elif kind == "fsw":
            out.fsw |= int(argument, 0)
    return out


# --- comparing ------------------------------------------------------------------------------------------------------------
def _close(kind: str, bound: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether registers (…, 16 bytes) agree within a tolerance, element by element."""
    if kind == "relative":
        x, y = a.view("<f4"), b.view("<f4")
        with np.errstate(all="ignore"):
            near = np.abs(x - y) <= bound * 2 * np.abs(y)
            near |= (np.abs(x) <= TINY) & (np.abs(y) <= TINY) & (np.signbit(x) == np.signbit(y))
        return ((a.view("<u4") == b.view("<u4")) | near | (np.isnan(x) & np.isnan(y))).all(axis=-1)
    exact = (a == b).all(axis=-1)
    sa, sb = a.view("<u8")[..., 0], b.view("<u8")[..., 0]
    ea, eb = (x.view("<u4")[..., 2].astype(np.int64) & 0xFFFF for x in (a, b))
    same = (ea == eb) & (np.maximum(sa, sb) - np.minimum(sa, sb) <= int(bound))
    low, high = np.where(ea < eb, sa, sb), np.where(ea < eb, sb, sa)  # neighbours on both sides of a power of two
    across = (np.abs(ea - eb) == 1) & (high - np.uint64(1 << 63) + ~low < int(bound))
    return exact | same | across


def _status_differs(a: np.ndarray, b: np.ndarray, mask: int) -> np.ndarray:
    """Whether x87 status words differ outside a mask; where it has PE and PE differs, ES and B, and UE of a tiny result, follow."""
    bits = (a ^ b) & ~np.uint16(mask)
    follows = (a ^ b) & mask & PE != 0
    return np.where(follows, bits & ~np.uint16(ES | BUSY | UE), bits) != 0


def in_64_bit_code(results: np.ndarray) -> np.ndarray:
    """Which results are in 64-bit code: by what the selector stands for, or by the hidden part of CS."""
    if "selectors" in results.dtype.names:
        return results["selectors"][:, 1] == SELECTORS[1]
    return results["segment"]["attributes"][:, 1] & 0x2000 != 0


def differing(expected: np.ndarray, got: np.ndarray, instance: Instance, what: Ignored) -> dict[str, np.ndarray]:
    """Field name -> which states differ in it. Where the vectors differ only that counts."""
    found = {"vector": expected["vector"] != got["vector"]}
    alive = ~found["vector"]
    for name in ("rip", "error_code", "fault_address", "fs_base", "gs_base"):
        found[name] = alive & (expected[name] != got[name])
    free = what.destination & (expected["vector"] == NONE)
    gprs = expected["gpr"] != got["gpr"]
    if what.upper:  # of registers, where 64-bit mode was left
        gprs &= ((expected["gpr"] ^ got["gpr"]) & 0xFFFFFFFF != 0) | in_64_bit_code(expected)[:, None]
    if free.any():
        for number in {instance.rm_register, instance.register} - {None}:
            gprs[free, number] = False
        if instance.form.encoding.span == 8:
            gprs[free] = False
    if instance.rm_register is not None:
        gprs[what.random, instance.rm_register] = False
    found |= {NAMES[n]: alive & gprs[:, n] for n in range(16)}
    if "selectors" in (expected.dtype.names or ()) and "selectors" in (got.dtype.names or ()):
        a, b = (np.where(r["selectors"] < 4, 0, r["selectors"]) for r in (expected, got))  # the host's IRET clears a null one's RPL
        differs = a != b
        found |= {segment: alive & differs[:, n] for n, segment in enumerate(SEGMENTS[:6])}
    completed = expected["vector"] == NONE
    mask = np.where(completed, ~what.flags, np.uint64(0xFFFFFFFFFFFFFFFF)) & np.uint64(~IF & (1 << 64) - 1)
    found["rflags"] = alive & ((expected["rflags"] ^ got["rflags"]) & mask != 0)
    window = alive & (expected["window"] != got["window"]).any(axis=1)
    found["window"] = window & ~(free & (instance.form.memory is True))
    for name in FX_FIELDS:
        if name not in what.fields:
            differs = expected["fx"][name] != got["fx"][name]
            if name == "fsw" and what.fsw:
                differs = _status_differs(expected["fx"]["fsw"], got["fx"]["fsw"], what.fsw)
            found[name] = alive & differs
    kind, _, bound = what.within.partition(":")
    for name, width in (("st", 10), ("xmm", 16)):
        a, b = expected["fx"][name], got["fx"][name]
        differs = (a[:, :, :width] != b[:, :, :width]).any(axis=2)
        if differs.any() and kind == {"st": "ulp", "xmm": "relative"}[name]:
            differs &= ~_close(kind, float(bound), np.ascontiguousarray(a), np.ascontiguousarray(b))
        found |= {f"{name}{n}": alive & differs[:, n] for n in range(a.shape[1])}
    return {name: where & ~what.states for name, where in found.items() if (where & ~what.states).any()}


def forgive_bytes(row: dict, instance: Instance, states: np.ndarray, expected: np.ndarray, got: np.ndarray) -> None:
    """`ignore = "bytes:28-32"`: these bytes of the memory operand are taken over from the oracle's result."""
    low, high = (int(n) for n in row["ignore"].partition(":")[2].split("-"))
    if instance.places:
        where = effective(instance.places[0], states, instance.bits) + np.uint64(low)
        rows, data = peek(expected, where, high - low)
        plant(got, where, _spread(data, rows, len(got)), np.isin(np.arange(len(got)), rows))


def _spread(data: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros((count, data.shape[1]), np.uint8)
    out[rows] = data
    return out


def explain(row: dict, found: dict, instance: Instance, states: np.ndarray, expected: np.ndarray, got: np.ndarray) -> None:
    """Take out of `found` what a row with `ignore = "fields:..."`, or with a `vector`, accounts for."""
    where = CONDITIONS[row["when"]](instance, states) if "when" in row else np.ones(len(states), bool)
    if "both" in row:
        where = where & np.isin(expected["vector"], row["both"]) & np.isin(got["vector"], row["both"])
    if "vector" in row:
        where = where & (np.isin(expected["vector"], row["vector"]) | np.isin(got["vector"], row["vector"]))
    kind, _, argument = row.get("ignore", "").partition(":")
    patterns = {"all": ["*"], "fields": argument.split(), "flags": ["rflags"]}.get(kind, [])
    if kind == "flags":
        mask = np.uint64(~(sum(FLAG_NAMES[letter] for letter in argument) | IF) & (1 << 64) - 1)
        where = where & ((expected["rflags"] ^ got["rflags"]) & mask == 0)
    for name in list(found):
        if any(fnmatch.fnmatchcase(name, p) for p in patterns):
            found[name] = found[name] & ~where


@dataclass
class Difference:
    """One instance on which two implementations differ, with the first state that shows it."""

    instance: Instance
    fields: dict[str, int]  # field -> in how many states it differs
    states: int  # how many states were run
    state: np.ndarray  # one STATE
    expected: np.ndarray  # one RESULT each
    got: np.ndarray

    def __str__(self) -> str:
        return report(self)


def disassembly(code: bytes, bits: int, ip: int) -> str:
    """One line for a reader; by iced-x86 where it is installed."""
    try:
        import iced_x86
    except ImportError:
        return ""
    instruction = iced_x86.Decoder(bits, code, ip=ip).decode()
    return iced_x86.Formatter(iced_x86.FormatterSyntax.INTEL).format(instruction)


def _value(record: np.ndarray, name: str) -> str:
    if name in NAMES:
        return f"{int(record['gpr'][NAMES.index(name)]):016x}"
    if name in FX_FIELDS:
        return f"{int(record['fx'][name]):x}"
    if name.startswith(("st", "xmm")):
        kind = "st" if name.startswith("st") else "xmm"
        raw = record["fx"][kind][int(name[len(kind) :])].tobytes()
        return raw[: 10 if kind == "st" else 16][::-1].hex()
    segment, _, part = name.partition(".")
    if part:
        return f"{int(record['segment'][part][SEGMENTS.index(segment)]):x}"
    if name[:2] == "dr":
        return f"{int(record['dr'][int(name[2:])]):x}"
    if name in SEGMENTS:
        return f"{int(record['selectors'][SEGMENTS.index(name)]):x}"
    if name == "if":
        return str(int(record["rflags"]) >> 9 & 1)
    value = int(record[name])
    return str(value) if name == "vector" else f"{value:x}"


def report(d: Difference) -> str:
    """A difference, readable by a human."""
    i, lines = d.instance, []
    lines.append(f"{i.form.row.opcode}  {i.form.row.text}  [{i.form.name}] {i.bits}-bit")
    lines.append(f"  {i.code.hex(' ')}   {disassembly(i.code, i.bits, int(d.state['rip']))}")
    lines.append("  differs in " + ", ".join(f"{name} ({n} of {d.states})" for name, n in d.fields.items()))
    before = [f"{name}={int(value):x}" for name, value in zip(NAMES, d.state["gpr"])]
    lines.append("  before  " + " ".join(before))
    extra = [f"rip={int(d.state['rip']):x}", f"rflags={int(d.state['rflags']):x}"]
    extra += [f"{name}={int(d.state[name]):x}" for name in ("fs_base", "gs_base")]
    extra += [f"{name}={_value(d.state, name)}" for name in ("fcw", "fsw", "ftw", "mxcsr")]
    lines.append("          " + " ".join(extra))
    for kind in ("st", "xmm"):
        if any(o.kind in (kind, "mm") for o in i.form.operands) or any(name.startswith(kind) for name in d.fields):
            values = [f"{kind}{n}={_value(d.state, f'{kind}{n}')}" for n in range(len(d.state["fx"][kind]))]
            lines += ["          " + " ".join(values[n : n + 4]) for n in range(0, len(values), 4)]
    for name in d.fields:
        if name in ("window", "tables"):
            at = np.flatnonzero(d.expected[name] != d.got[name])
            if not len(at):
                continue  # in another state
            low, high = int(at[0]), int(at[-1]) + 1
            high = min(high, low + 64)
            was, want, have = (r[name][low:high].tobytes().hex() for r in (d.state, d.expected, d.got))
            lines.append(f"  {name}+{low:x}: was {was} expected {want} got {have}")
        else:
            lines.append(f"  {name:13} expected {_value(d.expected, name)}  got {_value(d.got, name)}")
    if d.expected["vector"] != NONE or d.got["vector"] != NONE:
        lines.append(f"  vectors: expected {d.expected['vector']}, got {d.got['vector']} (-1: none)")
    return "\n".join(lines)


@functools.cache
def _pool(seed: int, bits: int) -> np.ndarray:
    return generate(1000, [seed, bits], bits)


def compare(
    form: Form,
    ours: Run,
    oracle: Run = native.run,
    *,
    bits: int = 64,
    states: int = 1000,
    instances: int = 10,
    seed: int = 0,
    vendor: str = "",
) -> Iterator[Difference]:
    """Runs `instances` random encodings of a form on `states` states in all; yields a Difference for each that differs."""
    vendor = vendor or native.vendor()
    if excluded(form, bits, vendor):
        return
    each = max(1, states // instances)
    pool = _pool(seed, bits)
    number = int.from_bytes(form.name.encode()[:8].ljust(8), "little") ^ hash_of(form)
    for n in range(instances):
        instance = encode(form, bits, [seed, number, n])
        if instance is None:
            return
        rng = np.random.default_rng([seed, number, n, 1])
        chosen = empty(each)
        chosen[:] = pool[rng.integers(0, len(pool), each)]
        suit(instance, chosen, rng)
        what = ignored(instance, chosen, vendor)
        if what.states.all():
            continue
        if what.states.any():  # nor run: a far call in 32-bit code whose pushes wrap at 4 GiB never ends on Zen under Linux
            chosen = chosen[~what.states]
            what = ignored(instance, chosen, vendor)
        expected = oracle(chosen, instance.code, bits)
        got = ours(chosen, instance.code, bits)
        for row in applying(form, bits, vendor):
            if row.get("ignore", "").startswith("bytes"):
                forgive_bytes(row, instance, chosen, expected, got)
        found = differing(expected, got, instance, what)
        for row in applying(form, bits, vendor):
            if row.keys() & {"vector", "both"} or row.get("ignore", "").startswith("fields"):
                explain(row, found, instance, chosen, expected, got)
        found = {name: where for name, where in found.items() if where.any()}
        if found:
            order = sorted(found, key=lambda name: (name != "vector", -int(found[name].sum())))
            first = int(np.flatnonzero(found[order[0]])[0])
            fields = {name: int(where.sum()) for name, where in found.items()}
            yield Difference(instance, fields, len(chosen), chosen[first], expected[first], got[first])


def hash_of(form: Form) -> int:
    """A number for a form that stays the same from run to run."""
    import zlib

    return zlib.crc32(f"{form.row.opcode} {form.row.text} {form.name}".encode())


def main() -> None:
    """The command line."""
    import argparse
    import importlib
    import time

    from isa.forms import FORMS

    parser = argparse.ArgumentParser()
    parser.add_argument("patterns", nargs="*", default=["*"])
    parser.add_argument("--ours", default="tests.machine.one:run")
    parser.add_argument("--oracle", default="tests.oracles.native:run")
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--states", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=1, help="differences shown per form")
    a = parser.parse_args()
    sides = []
    for text in (a.ours, a.oracle):
        module, _, function = text.partition(":")
        sides.append(getattr(importlib.import_module(module), function))
    ours, oracle = sides
    started, run, bad = time.time(), 0, 0
    for form in FORMS:
        if not form.offered or not any(fnmatch.fnmatchcase(form.row.text, p) or fnmatch.fnmatchcase(form.mnemonic, p) for p in a.patterns):
            continue
        found = list(compare(form, ours, oracle, bits=a.bits, states=a.states, instances=a.instances, seed=a.seed))
        run, bad = run + 1, bad + bool(found)
        for difference in found[: a.show]:
            print(difference, end="\n\n")
    print(f"{run} forms, {bad} differ, {time.time() - started:.1f} s")


if __name__ == "__main__":
    main()
