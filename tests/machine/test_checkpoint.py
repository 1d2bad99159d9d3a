"""A machine that goes back to a checkpoint does what it did before: registers, RAM, devices, disks, clock, step by step."""

import hashlib

import numpy as np
import pytest

from guests import shipped
from vmdbg.machine.checkpoint import Checkpoint, Checkpoints
from vmdbg.machine.device_state import StateError
from vmdbg.machine.machine import Machine
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Guest, Options
from vmdbg.monitor.load import load_guest
from vmdbg.monitor.load_flat import load_flat


class Subject:
    """A guest under a bare monitor; everything it is at this moment as one digest."""

    def __init__(self, guest: str | Guest, engine: str, **options):
        if isinstance(guest, str):
            guest = load_guest(shipped()[guest], Options(memory=4 << 20, **options))
        self.machine = Machine(guest.memory, cpus=guest.cpus, engine=engine)
        self.monitor = Bare(self.machine, guest)
        self.keep = Checkpoints(self.machine, **self.monitor.state_roots())

    def digest(self) -> str:
        return hashlib.sha256(self.keep.state() + self.machine.ram.tobytes() + self.monitor.log).hexdigest()

    def back(self, to: Checkpoint, later: list[Checkpoint]) -> None:
        """To a checkpoint whose pages, and those of what came later, hold all that changed since: here the first is complete."""
        pages = np.unique(np.concatenate([self.keep.changed_pages(), *(c.pages for c in later)]))
        self.keep.put_pages(pages, self.keep.origin_pages(pages))
        self.keep.put_pages(to.pages, to.contents)
        self.keep.put_state(to.state)
        self.keep.begin_interval()


def there_and_back(s: Subject, parts: list[int]) -> None:
    """Run part after part with a checkpoint of all RAM before each; from each of them the rest is lived again."""
    taken, digests = [], []
    for steps in parts:
        taken.append(s.keep.take(s.keep.first_pages()))
        digests.append(s.digest())
        s.machine.run(steps)
    end = s.digest()
    for n in reversed(range(len(parts))):
        s.back(taken[n], taken)
        assert s.digest() == digests[n]
        assert (s.machine.position, s.machine.clock) == (taken[n].position, taken[n].clock)
        for steps, digest in zip(parts[n:], [*digests[n + 1 :], end]):
            s.machine.run(steps)
            assert s.digest() == digest


def test_there_and_back():
    """dual_mode by the plain engine."""
    there_and_back(Subject("dual_mode", "plain"), [700, 1, 333, 2, 500])


@pytest.mark.parametrize("seed", range(3))
def test_there_and_back_threaded(seed):
    """Further, and with checkpoints at random places."""
    parts = np.random.default_rng(seed).integers(1, 60_000, 8).tolist()
    there_and_back(Subject("dual_mode", "threaded"), parts)


def test_checkpoints_change_nothing_threaded():
    """The same run with and without them, in slices."""
    plain, taking = Subject("dual_mode", "threaded"), Subject("dual_mode", "threaded")
    for steps in np.random.default_rng(9).integers(1, 20_000, 12).tolist():
        plain.machine.run(steps)
        taking.machine.run(steps)
        taking.keep.take()
        assert plain.digest() == taking.digest()


def test_slices_leave_no_trace_threaded(tmp_path):
    """A guest that polls the PM timer, which the core answers as long as a slice lasts: what was read before means nothing."""
    code = bytes.fromhex("ba0806 66ed ebfc")  # mov dx,608h; again: in eax,dx; jmp again
    (tmp_path / "guest").write_bytes(code)
    at_once, in_slices = (Subject(load_flat(tmp_path / "guest", code, Options(memory=1 << 20, bits=16)), "threaded") for _ in range(2))
    at_once.machine.run(10_000)
    for _ in range(10_000 // 73):
        in_slices.machine.run(73)
    assert in_slices.digest() != at_once.digest()
    in_slices.machine.run(10_000 % 73)
    assert in_slices.digest() == at_once.digest()


def test_what_changed_is_enough_threaded():
    """The pages of each interval, put one over the other, are RAM."""
    s = Subject("dual_mode", "threaded")
    mirror = np.zeros_like(s.machine.ram).reshape(-1, 4096)
    taken = s.keep.take(s.keep.first_pages())
    for steps in np.random.default_rng(4).integers(1, 30_000, 20).tolist():
        mirror[taken.pages] = taken.contents
        assert (mirror == s.machine.ram.reshape(-1, 4096)).all()
        s.machine.run(steps)
        taken = s.keep.take()


def test_engines_share_checkpoints_threaded():
    """What one engine saved, the other goes on from."""
    fast, slow = Subject("dual_mode", "threaded"), Subject("dual_mode", "plain")
    fast.machine.run(50_000)
    slow.back(fast.keep.take(fast.keep.first_pages()), [])
    slow.monitor.transcript.kept[:] = fast.monitor.transcript.kept
    slow.monitor.transcript.heard = fast.monitor.transcript.heard
    assert slow.digest() == fast.digest()
    fast.machine.run(800)
    slow.machine.run(800)
    assert slow.digest() == fast.digest()


def test_the_state_of_another_machine_is_refused():
    one, two = Subject("dual_mode", "plain"), Subject("dual_mode", "plain", cpus=2)
    before = one.digest()
    with pytest.raises(StateError, match="vCPUs"):
        one.keep.put_state(two.keep.state())
    assert one.digest() == before
