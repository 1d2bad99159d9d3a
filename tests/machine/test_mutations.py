"""The mutation check: deliberate errors, planted in a copy of the sources, are each caught by the test that is named for them.

What the plain engine shows is caught in seconds.  What only LLVM is told (glue.py, isa/lang/lower.py) is caught by some kinds
compiled alone and compared with their meanings in Python, or by a core of its own beside the plain engine: both are slow.
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


DRIVER, TABLES, DECODE = "tests/machine/test_driver.py", "tests/machine/test_integer_tables.py", "tests/isa/test_decode.py"
LOCKSTEP = "tests/machine/test_engines.py::test_plain_is_threaded[sample]"  # with a core of its own
SAMPLE = "tests/machine/test_build.py::test_kinds_compiled_equal_plain"

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
        "    first, last, low = at >> 6, (at + size - 1) >> 6, at & 63\n    if",
        "    first, last, low = at >> 6, at >> 6, at & 63\n    if",
        f"{DRIVER}::test_a_store_whose_last_bytes_reach_code[plain]",
    ),
    Mutation(
        "slots are written back in reverse order",
        "vmdbg/machine/slots.py",
        "    while cpu.committed < cpu.slots:\n        k = cpu.committed\n",
        "    while cpu.committed < cpu.slots:\n        k = cpu.slots - 1 - cpu.committed\n",
        f"{DRIVER}::test_pusha_into_a_device[plain]",
    ),
    Mutation(
        "LOCK is legal with every memory operand",
        "isa/decoder.py",
        "    if lock != 0 and (not in_memory or flags & LOCKABLE == 0):",
        "    if lock != 0 and not in_memory:",
        f"{DECODE}::test_why_not",
    ),
    Mutation(
        "a REX prefix counts wherever it stands",
        "isa/decoder.py",
        "        rex = U64(0)\n",
        "        rex = rex | U64(0)\n",
        f"{DECODE}::test_rex_counts_only_before_the_opcode",
    ),
    Mutation(
        "code is found beyond a limit that shrank",
        "vmdbg/machine/tlb.py",
        "        cpu.code_limit = limit\n        cpu.stamp = cpu.stamp + 1\n        cpu.context_stamp[n] = cpu.stamp\n",
        "        cpu.code_limit = limit\n",
        f"{DRIVER}::test_code_beyond_a_limit_that_shrank[plain]",
    ),
    Mutation(
        "a TLB entry keeps the right to write a page that became code",
        "vmdbg/machine/tlb.py",
        "                if words8(cpu.page_flags)[page] != 0:\n                    e.write = ~U64(0)\n",
        "                if words8(cpu.page_flags)[page] == 0xFF:\n                    e.write = ~U64(0)\n",
        f"{DRIVER}::test_a_store_into_code_that_was_data_a_moment_ago[plain]",
    ),
    Mutation(
        "a translation is not noted, and outlives its page table entry",
        "vmdbg/machine/memory.py",
        "        note_filled(cpu, entry.address)\n",
        "",
        f"{DRIVER}::test_data_of_a_page_that_is_mapped_elsewhere[plain]",
    ),
    Mutation(
        "a block is found whatever its second page is",
        "vmdbg/machine/blocks.py",
        "                if other == b.second:\n",
        "                if other == b.second or b.second != ONE_PAGE:\n",
        f"{DRIVER}::test_the_second_page_of_an_instruction_is_mapped_elsewhere[plain]",
    ),
    Mutation(
        "the first write to a clean page sets no D bit",
        "vmdbg/machine/memory.py",
        "    if at == U64(ABSENT) or clean:",
        "    if at == U64(ABSENT):",
        f"{DRIVER}::test_a_write_makes_a_page_dirty[plain-MOV]",
    ),
]

# What only the compiled engine does: handlers around the meanings, and what LLVM makes of words.
COMPILED = [
    Mutation(
        "a 32-bit register that is written keeps its upper half",
        "vmdbg/machine/glue.py",
        'self.numbered(k, OFFSET["gpr"], 0), int(place.bits == 32)',
        'self.numbered(k, OFFSET["gpr"], 0), 0',
        SAMPLE,
    ),
    Mutation(
        "MMX leaves the x87 tags as they were",
        "vmdbg/machine/glue.py",
        'if touched or (kind.unit == "mmx" and kind.sem != "emms"):',
        "if False:",
        SAMPLE,
    ),
    Mutation(
        "a memory operand that faults goes on to the next instruction",
        "vmdbg/machine/glue.py",
        'self.label("failed")\n            self.leave(str(FAULT))',
        'self.label("failed")\n            self.jump(self.at("%u", Uop.size))',
        SAMPLE,
    ),
    Mutation(
        "a negative word is one that is not positive",
        "isa/lang/lower.py",
        'b.icmp_signed("<", x, x.type(0))',
        'b.icmp_signed("<=", x, x.type(0))',
        SAMPLE,
    ),
    Mutation(
        "a branch that is not taken goes where it would have led",
        "vmdbg/machine/glue.py",
        "FIELD['fall']",
        "FIELD['taken']",
        LOCKSTEP,
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


@pytest.mark.slow
@pytest.mark.parametrize("mutation", COMPILED, ids=lambda m: m.name)
def test_an_error_of_the_compiled_engine_is_caught(mutation, tmp_path):
    caught(mutation, tmp_path / "tree", 1800)
