"""Compares machines: like compare.py, from states of a whole CPU (system.SYSTEM), for every form in every mode.

    for difference in compare_system(form, ours, bochs_oracle.run, kind=KINDS["real"]): print(difference)

`ours` and the oracle are callables `run(states, code, kind) -> results` with the records of system.py. What the oracle itself has
wrong are rows of known_errors.toml; undefined flags are those of the rows and of exclusions.toml.

By hand:  python -m tests.oracles.compare_system --ours tests.machine.one:run_system --kind real [PATTERN ...]
"""

import fnmatch
import functools
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from isa.forms import Form

from .aim import suit
from .compare import Difference, differing, explain, hash_of, ignored
from .encode import encode
from .layout import IF, empty
from .system import KINDS, MISSING, REGISTERS, SEGMENT_NAMES, SYSTEM, Kind, generate

RunSystem = Callable[[np.ndarray, bytes, Kind], np.ndarray]
REAL_FIELDS = ("selector", "base", "limit")  # in real and virtual-8086 mode nobody looks at the attributes


@functools.cache
def known_errors() -> tuple[dict, ...]:
    """The rows of known_errors.toml."""
    return tuple(tomllib.loads((Path(__file__).parent / "known_errors.toml").read_text())["row"])


def errors_of(form: Form, oracle: str, kind: Kind) -> list[dict]:
    """The oracle's known errors that concern a form in a kind of state."""
    return [
        row
        for row in known_errors()
        if row["oracle"] == oracle
        and kind.name in row.get("kinds", KINDS)
        and any(fnmatch.fnmatchcase(form.row.text, p) for p in row["forms"])
    ]


def system_differences(expected: np.ndarray, got: np.ndarray, kind: Kind) -> dict[str, np.ndarray]:
    """Field name -> which states differ in it, for what only whole CPUs have."""
    same = expected["vector"] == got["vector"]
    found = {"if": (expected["rflags"] ^ got["rflags"]) & np.uint64(IF) != 0}
    for name in REGISTERS:
        found[name] = expected[name] != got[name]
    for n in (0, 1, 2, 3, 6, 7):
        found[f"dr{n}"] = expected["dr"][:, n] != got["dr"][:, n]
    fields = REAL_FIELDS if kind.mode in ("real", "v86") else ("selector", "base", "limit", "attributes")
    unusable = expected["segment"]["attributes"] & got["segment"]["attributes"] & 0x10000 != 0
    for number, segment in enumerate(SEGMENT_NAMES):
        for field in fields:
            differs = expected["segment"][field][:, number] != got["segment"][field][:, number]
            free = unusable[:, number] & (field != "selector")
            found[f"{segment}.{field}"] = differs & ~free
    found["tables"] = (expected["tables"] != got["tables"]).any(axis=1)
    return {name: where & same for name, where in found.items() if (where & same).any()}


def compare_system(
    form: Form,
    ours: RunSystem,
    oracle: RunSystem,
    *,
    kind: Kind,
    states: int = 200,
    instances: int = 4,
    seed: int = 0,
    name: str = "bochs",
    only: tuple[str, ...] = ("*",),
) -> Iterator[Difference]:
    """Runs `instances` encodings of a form on `states` states in all; `only`: the fields looked at (patterns)."""
    pool, each = _pool(kind.name, seed), max(1, states // instances)
    rows = errors_of(form, name, kind)
    if any(row["ignore"] == "all" and not row.keys() & {"when", "vector", "both"} for row in rows):
        return
    for n in range(instances):
        instance = encode(form, kind.bits, [seed, hash_of(form), n])
        if instance is None:
            return
        rng = np.random.default_rng([seed, hash_of(form), n, 1])
        chosen = empty(each, SYSTEM)
        chosen[:] = pool[rng.integers(0, len(pool), each)]
        suit(instance, chosen, rng)
        what = ignored(instance, chosen, "machine")
        what.states[:] = False  # what the host's tables make different is defined here
        expected, got = oracle(chosen, instance.code, kind), ours(chosen, instance.code, kind)
        found = differing(expected, got, instance, what) | system_differences(expected, got, kind)
        found = {field: where for field, where in found.items() if field not in ("fs_base", "gs_base")}  # fs.base and gs.base say it
        for row in rows:
            explain(row, found, instance, chosen, expected, got)
        missing = (expected["vector"] == MISSING) | (got["vector"] == MISSING)
        found = {f: where & ~missing for f, where in found.items() if any(fnmatch.fnmatchcase(f, p) for p in only)}
        found = {f: where for f, where in found.items() if where.any()}
        if found:
            order = sorted(found, key=lambda f: (f != "vector", -int(found[f].sum())))
            first = int(np.flatnonzero(found[order[0]])[0])
            yield Difference(instance, {f: int(w.sum()) for f, w in found.items()}, each, chosen[first], expected[first], got[first])


@functools.cache
def _pool(kind: str, seed: int) -> np.ndarray:
    return generate(kind, 500, seed)


def main() -> None:
    """The command line."""
    import argparse
    import importlib

    from isa.forms import FORMS

    parser = argparse.ArgumentParser()
    parser.add_argument("patterns", nargs="*", default=["*"])
    parser.add_argument("--ours", default="tests.machine.one:run_system")
    parser.add_argument("--oracle", default="tests.oracles.bochs_oracle:run")
    parser.add_argument("--kind", nargs="*", default=list(KINDS))
    parser.add_argument("--only", nargs="*", default=["*"])
    parser.add_argument("--states", type=int, default=100)
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    sides = []
    for text in (a.oracle, a.ours):
        module, _, name = text.partition(":")
        sides.append(getattr(importlib.import_module(module), name))
    oracle, ours = sides
    label = a.oracle.rpartition(".")[2].partition("_")[0]
    for kind in a.kind:
        run = bad = 0
        for form in FORMS:
            if form.offered and any(fnmatch.fnmatchcase(form.row.text, p) or fnmatch.fnmatchcase(form.mnemonic, p) for p in a.patterns):
                found = list(
                    compare_system(
                        form,
                        ours,
                        oracle,
                        kind=KINDS[kind],
                        states=a.states,
                        instances=a.instances,
                        seed=a.seed,
                        name=label,
                        only=tuple(a.only),
                    )
                )
                run, bad = run + 1, bad + bool(found)
                if found:
                    print(found[0], end="\n\n", flush=True)
        print(f"{kind}: {run} forms, {bad} differ", flush=True)


if __name__ == "__main__":
    main()
