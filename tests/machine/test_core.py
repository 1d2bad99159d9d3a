"""The cache of cores: what happens to it when builds are interrupted, meet, or find no room.  Nothing is compiled here."""

import errno
import pickle
import subprocess
import sys
import threading
import time

import pytest

from vmdbg.machine import core


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache directory of its own, and a build that writes three bytes."""
    monkeypatch.setenv("VMDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(core, "build_in", quick)
    return tmp_path / "cache"


def quick(scratch, progress):
    progress(1, 1, "done")
    (scratch / "core").write_bytes(b"new")
    return scratch / "core"


def names(cache):
    return sorted(p.name for p in cache.iterdir())


def test_it_is_in_its_place_at_once(cache):
    assert core.build() == core.path()
    assert names(cache) == [core.path().name, "lock"]
    assert core.path().read_bytes() == b"new"


@pytest.mark.parametrize("end", [KeyboardInterrupt, core.BuildError])
def test_an_interrupted_build_leaves_nothing(cache, monkeypatch, end):
    def interrupted(scratch, progress):
        (scratch / "part0.o").write_bytes(b"half")
        raise end("by the user")

    monkeypatch.setattr(core, "build_in", interrupted)
    with pytest.raises(end):
        core.build()
    assert names(cache) == ["lock"]


def test_what_a_killed_build_left_is_removed(cache):
    left = cache / (core.SCRATCH + "abc")
    left.mkdir(parents=True)
    (left / "part0.o").write_bytes(b"half")
    core.build()
    assert not left.exists()


def test_two_builds_at_once_are_one(cache, monkeypatch):
    """The second waits, says so, and takes what the first has built."""
    built, said, started = [], [], threading.Event()

    def slow(scratch, progress):
        built.append(scratch)
        started.set()
        time.sleep(0.3)
        return quick(scratch, progress)

    monkeypatch.setattr(core, "build_in", slow)
    first = threading.Thread(target=core.build)
    first.start()
    started.wait(10)
    core.build(lambda done, total, text: said.append(text))
    first.join()
    assert len(built) == 1
    assert any("waiting for another" in text for text in said)


def test_cores_of_other_sources_go_in_the_end(cache):
    cache.mkdir()
    for n in range(core.KEPT + 3):
        (cache / f"core-{n}").touch()
    core.build()
    assert len(list(cache.glob("core-*"))) == core.KEPT + 1
    assert core.path().exists()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VMDBG_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(core.BuildError, match="cannot be kept in .*: Not a directory .VMDBG_CACHE"):
        core.build()


def test_a_full_disk_is_one_sentence(cache, monkeypatch):
    def full(scratch, progress):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(core, "build_in", full)
    with pytest.raises(core.BuildError, match="No space left"):
        core.build()
    assert names(cache) == ["lock"]


@pytest.mark.parametrize("content", [b"", pickle.dumps({"objects": [b""] * 2})[:-9], b"new"])
def test_a_damaged_core_is_built_again(cache, monkeypatch, content):
    monkeypatch.setattr(core, "_loaded", None)
    cache.mkdir()
    core.path().write_bytes(content)
    built = []

    def build(progress):
        built.append(1)
        raise core.BuildError("here")

    monkeypatch.setattr(core, "build", build)
    with pytest.raises(core.BuildError):
        core.load()
    assert built
    assert not core.path().exists()


def test_what_a_core_does_not_depend_on_takes_no_part_in_its_build():
    loaded = "import sys, vmdbg.machine.build; print(*(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)))"
    files = set(subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split())
    assert {str(p) for p in core.sources()} & files
    for name in core.NEVER_COMPILED:
        assert not [f for f in files if f.endswith("/" + name)]
        assert (core.ISA.parent / name).exists() or (core.MACHINE.parent / name).exists()
