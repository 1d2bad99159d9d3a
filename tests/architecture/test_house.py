"""The house: what may import what, what importing costs, how long files are, what the checkers say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
LONGEST = 500  # lines of a file, tables of rows excepted
TABLES = {"isa/tables"}


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    environment = dict(os.environ, PYTHONPATH=str(TOP))
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment).stdout.strip()


def sources() -> list[Path]:
    return sorted(p for top in ("isa", "vmdbg", "guests", "tests") for p in (TOP / top).rglob("*.py"))


HEAVY = ("textual", "rich", "numba", "lark", "elftools", "cyclopts")


@pytest.mark.parametrize(
    "module, absent",
    [
        ("vmdbg.debugger.session", HEAVY),
        ("vmdbg.debugger.commands.interpreter", HEAVY),
        ("vmdbg.ui.app", ("numba",)),
        ("isa", HEAVY + ("numpy",)),
    ],
)
def test_importing_is_light(module, absent):
    """The debugger loads neither Textual nor numba; the app does not load numba."""
    loaded = python(f"import sys, {module}; print(*[m for m in {absent!r} if m in sys.modules])")
    assert loaded == ""


def test_imports_run_one_way_only():
    """The contracts of pyproject.toml hold."""
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    found = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_files_are_short():
    """Files stay under 500 lines, tables of rows excepted."""
    long = {}
    for path in sources():
        name = path.relative_to(TOP).as_posix()
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > LONGEST and not any(name.startswith(t) for t in TABLES):
            long[name] = count
    assert long == {}


def test_no_rooms_for_everything():
    """No utils, helpers, common or manager files."""
    bad = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
    assert [p for p in sources() if p.stem in bad] == []


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]], ids=["format", "check"])
def test_ruff(command):
    found = subprocess.run([Path(sys.executable).parent / "ruff", *command, "."], cwd=TOP, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_types():
    """mypy over the edges; what numba compiles is typed by compiling it."""
    found = subprocess.run([sys.executable, "-m", "mypy"], cwd=TOP, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
