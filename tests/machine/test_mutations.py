"""The mutation check: deliberate errors, planted in a copy of the sources, are each caught by the test that is named for them.

All are errors that the plain engine shows; what only LLVM is told (glue.py) would need a core built for each.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` (at its only place) in `file`; `test` fails then."""

    name: str
    file: str
    old: str
    new: str
    test: str


DRIVER, TABLES = (f"tests/machine/test_{name}.py" for name in ("driver", "integer_tables"))

# Semantics, decoder and driver: the plain engine shows them.
MUTATIONS = [
    Mutation(
        "SBB forgets the borrow of equal operands",
        "vmdbg/machine/semantics/arithmetic.py",
        "flags_sub(cpu, a, b, r, (a < b) | (c & (a == b)))",
        "flags_sub(cpu, a, b, r, a < b)",
        f"{TABLES}::test_by_hand",
    ),
    Mutation(
        "additions leave AF as it was",
        "vmdbg/machine/flags.py",
        "def flags_add(cpu, a, b, r, cf):",
        "def flags_add(cpu, a, b, r, cf):\n    a = r ^ b ^ like(r, cpu.aux)",
        f"{TABLES}::test_by_hand",
    ),
    Mutation(
        "an 8-bit displacement is not sign-extended",
        "isa/decoder.py",
        "        return sx(text[at])\n",
        "        return U64(text[at])\n",
        "tests/isa/test_decode.py::test_text",
    ),
    Mutation(
        "a block that faults gives one step too many back",
        "vmdbg/machine/threaded.py",
        "        cpu.budget = cpu.budget + cost\n        cpu.rip = before(cpu, u)",
        "        cpu.budget = cpu.budget + cost + 1\n        cpu.rip = before(cpu, u)",
        f"{DRIVER}::test_a_fault_leaves_the_budget_as_it_was[plain]",
    ),
    Mutation(
        "blocks are linked across pages",
        "vmdbg/machine/threaded.py",
        "    if first == here and last == here and origin.length != 0:",
        "    if origin.length != 0:",
        f"{DRIVER}::test_a_jump_to_a_page_that_is_mapped_elsewhere[plain]",
    ),
    Mutation(
        "a store is looked up in code by its first granule alone",
        "vmdbg/machine/code_pages.py",
        "    last = ((pa + count - 1) >> 6) & 63",
        "    last = (pa >> 6) & 63",
        f"{DRIVER}::test_a_store_whose_last_bytes_reach_code[plain]",
    ),
    Mutation(
        "slots are written back in reverse order",
        "vmdbg/machine/slots.py",
        "    while cpu.committed < cpu.slots:\n        k = cpu.committed\n",
        "    while cpu.committed < cpu.slots:\n        k = cpu.slots - 1 - cpu.committed\n",
        f"{DRIVER}::test_pusha_into_a_device[plain]",
    ),
]


def plant(mutation: Mutation, tree: Path) -> None:
    """Copy the sources to `tree`, with the error."""
    for name in ("isa", "vmdbg", "tests", "guests", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "goldens"))
        else:
            shutil.copy(source, tree / name)
    path = tree / mutation.file
    text = path.read_text()
    assert text.count(mutation.old) == 1, f"{mutation.file} has {text.count(mutation.old)} places to mutate: {mutation.old}"
    path.write_text(text.replace(mutation.old, mutation.new))


def caught(mutation: Mutation, tree: Path, timeout: float) -> None:
    """The named test fails in `tree`, as a test and not because it could not run."""
    plant(mutation, tree)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", mutation.test]
    environment = dict(os.environ, PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1", VMDBG_CACHE=str(tree / "cache"))
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 1 and "1 failed" in done.stdout, f"not caught: {mutation.name}\n{done.stdout[-2000:]}\n{done.stderr[-1000:]}"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_an_error_is_caught(mutation, tmp_path):
    caught(mutation, tmp_path / "tree", 300)
