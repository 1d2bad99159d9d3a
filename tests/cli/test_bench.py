"""vmdbg bench: workloads that end with their checksum wherever they run, and the shape of the figures.  No times."""

import json

import pytest

from vmdbg import bench
from vmdbg.bench import emulators, latency, workloads
from vmdbg.cli import main


@pytest.mark.parametrize("workload", workloads.ALL, ids=lambda w: w.name)
def test_our_engine_computes_the_checksum(workload):
    """With the fewest iterations; the instructions are counted exactly, so twice the same."""
    first, second = (workloads.run(workload, workload.least) for _ in range(2))
    assert first.checksum == workload.least_checksum
    assert first.instructions == second.instructions > 5000


@pytest.mark.parametrize("name", ["alu", "sys"])
def test_the_plain_engine_agrees(name):
    workload = next(w for w in workloads.ALL if w.name == name)
    plain, threaded = (workloads.run(workload, workload.least, engine) for engine in ("plain", "threaded"))
    assert (plain.checksum, plain.instructions) == (threaded.checksum, threaded.instructions)


@pytest.mark.slow
@pytest.mark.parametrize("workload", workloads.ALL, ids=lambda w: w.name)
def test_the_whole_workload(workload):
    found = workloads.run(workload, workload.iterations)
    assert found.checksum == workload.checksum
    assert found.instructions > 100_000_000


@pytest.mark.debian
@pytest.mark.parametrize("emulator", emulators.ALL, ids=lambda e: e.name)
@pytest.mark.parametrize("workload", workloads.ALL, ids=lambda w: w.name)
def test_others_compute_the_same(emulator, workload):
    """QEMU and Bochs, started from the same image."""
    if emulator.version() is None:
        pytest.skip(f"{emulator.name} is not installed")
    assert emulator.run(workload, workload.least).checksum == workload.least_checksum


class Least(workloads.Workload):
    """A workload whose whole is hardly more than its start."""

    @property
    def iterations(self) -> int:
        return self.least + 1


@pytest.fixture
def short(monkeypatch):
    """A bench of moments: one small workload, no other emulator, few steps, no app."""
    alu = workloads.ALL[0]
    checksum = workloads.run(alu, alu.least + 1).checksum
    monkeypatch.setattr(workloads, "ALL", (Least("alu", checksum, alu.least_checksum),))
    monkeypatch.setattr(emulators, "installed", lambda: dict.fromkeys(e.name for e in emulators.ALL))
    monkeypatch.setattr(latency, "STEPS", 1000)
    monkeypatch.setattr(latency, "start", lambda n: dict(first_instruction=0.1, first_frame=0.2, first_snapshot=0.3, user_cpu=0.2))
    monkeypatch.setattr(bench, "REPEATS", 1)


def test_figures_as_json(short, capfd):
    assert main(["bench", "--json"]) == 0
    figures = json.loads(capfd.readouterr().out)
    assert set(figures) == {"emulators", "workloads", "steps", "start", "build"}
    alu = figures["workloads"]["alu"]
    assert set(alu["runs"]) == {"vmdbg"} and alu["ratios"] == {}
    assert set(alu["runs"]["vmdbg"]) == {"seconds", "per_second", "right"}
    assert alu["instructions"] > 20
    assert set(figures["steps"]) == {"machine", "session"}
    assert figures["build"] is None


def test_figures_as_a_table(short, capfd):
    assert main(["bench"]) == 0
    out = capfd.readouterr().out
    assert "alu" in out and "not installed" in out and "Single steps" in out and "first frame" in out


def test_a_wrong_checksum_is_told(short, monkeypatch, capfd):
    monkeypatch.setattr(workloads, "ALL", (Least("alu", "0", "0"),))
    assert main(["bench"]) == 1
    assert "wrong" in capfd.readouterr().out
