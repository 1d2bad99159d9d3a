"""The engines: plain and threaded give the same bytes, and neither slices, stops nor forgotten derived state change a run."""

import random

import pytest

from vmdbg.machine import machine as machines
from vmdbg.machine import tlb
from vmdbg.machine.machine import Machine

from . import endless
from .items import write

SAMPLE, LONG = 12, 1000  # seeds
STEPS = 400
QUANTUM = 61  # short turns, so that two vCPUs meet often


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(machines, "QUANTUM", QUANTUM)


def seeds(sample: int, long: int, first: int = 0):
    """A sample of seeds that always runs, and the long form."""
    return pytest.mark.parametrize(
        "group",
        [
            pytest.param(range(first, first + sample), id="sample"),
            pytest.param(range(first, first + long), id="long", marks=pytest.mark.slow),
        ],
    )


def whole(program: endless.Program, engine: str, steps: int) -> tuple:
    """The state after one long run."""
    run = endless.load(program, engine)
    run.go(steps)
    return run.state()


def slices(dice: random.Random, total: int, most: int):
    """Random numbers of steps that add up to `total`; most of them small."""
    while total > 0:
        n = min(total, dice.choice((1, 1, 2, 3, 7, dice.randrange(1, most))))
        yield n
        total -= n


def assert_same(a: tuple, b: tuple, what: str) -> None:
    assert a == b, f"{what}\n{endless.explain(a, b)}"


def forget(machine: Machine, dice: random.Random) -> None:
    """Drop some of what is derived: translated code, TLBs, or all of it."""
    kind = dice.randrange(3)
    if kind != 0:
        machine.drop_code()
    if kind != 1:
        machine.shared.flush_epoch = int(machine.shared.flush_epoch) + 1
        for cpu in machine.cpus:
            for n in range(tlb.CONTEXTS):
                cpu.context_key[n] = 1


@seeds(SAMPLE, LONG)
def test_plain_is_threaded(group):
    """The two engines agree after every one of some random slices, on everything architectural, RAM and what devices saw."""
    for seed in group:
        program, dice = write(seed), random.Random(seed)
        plain, threaded = endless.load(program, "plain"), endless.load(program, "threaded")
        for n in slices(dice, STEPS, 300):
            left = plain.go(n), threaded.go(n)
            assert left[0] == left[1], f"seed {seed} at {plain.machine.position} and {threaded.machine.position}"
            assert_same(plain.state(), threaded.state(), f"seed {seed} at {plain.machine.position}")
            if left[0]:
                break


@pytest.mark.parametrize(
    "engine, steps, group",
    [
        pytest.param("plain", 200, range(4), id="plain"),
        pytest.param("threaded", 2500, range(18), id="threaded"),
        pytest.param("threaded", 5000, range(1000), id="long", marks=pytest.mark.slow),
    ],
)
def test_slices_do_not_matter(engine, steps, group):
    """Budgets of 1, of 7, of 1000 and random ones lead where one long run leads."""
    for seed in group:
        program = write(seed)
        expected = whole(program, engine, steps)
        for size in (1, 7, 1000, 0):
            run, dice = endless.load(program, engine), random.Random(seed)
            for n in [size] * (steps // size) + [steps % size] if size else slices(dice, steps, 400):
                if run.go(n):
                    break
            assert_same(expected, run.state(), f"seed {seed}, slices of {size or 'random length'}")


@pytest.mark.parametrize(
    "engine, steps, group",
    [
        pytest.param("plain", 200, range(4), id="plain"),
        pytest.param("threaded", 2500, range(18), id="threaded"),
        pytest.param("threaded", 5000, range(1000), id="long", marks=pytest.mark.slow),
    ],
)
def test_stops_do_not_matter(engine, steps, group):
    """Breakpoints and intercepted vectors, set and taken away on the way, do not change where a run leads."""
    for seed in group:
        program = write(seed)
        expected = whole(program, engine, steps)
        run, dice = endless.load(program, engine), random.Random(seed)
        for n in slices(dice, steps, 400):
            if dice.random() < 0.2:
                run.machine.set_breakpoints(endless.CODE + dice.randrange(endless.CODE_SIZE) for _ in range(dice.choice((0, 5, 500))))
                run.machine.intercept(dice.sample(range(256), dice.choice((0, 3, 256))))
            if run.go(n):
                break
        assert_same(expected, run.state(), f"seed {seed}")


@pytest.mark.parametrize(
    "engine, steps, group",
    [
        pytest.param("plain", 120, range(3), id="plain"),
        pytest.param("threaded", 2500, range(18), id="threaded"),
        pytest.param("threaded", 5000, range(1000), id="long", marks=pytest.mark.slow),
    ],
)
def test_derived_state_does_not_matter(engine, steps, group):
    """Translated code and TLBs, dropped at random positions, and code that finds no room, do not change where a run leads."""
    for seed in group:
        program = write(seed)
        expected = whole(program, engine, steps)
        run, dice = endless.load(program, engine), random.Random(seed)
        run.machine.shared.uop_limit = dice.choice((60, 200, 1 << 19))
        for n in slices(dice, steps, 400):
            forget(run.machine, dice)
            if run.go(n):
                break
        assert_same(expected, run.state(), f"seed {seed}")
