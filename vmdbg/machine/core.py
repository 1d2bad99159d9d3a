"""The core as machine code: built once by numba and LLVM, then loaded in milliseconds by llvmlite alone.

The file is keyed by a digest of every source it is made of, the versions of numba and llvmlite, and the CPU, so it is
found again only where it fits.  It lies in the user's cache directory, or in VMDBG_CACHE.  One process builds there at a
time; the others wait, and take what it has built.  What an interrupted build left is removed by the next one.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import llvmlite.binding as llvm

from isa import records
from isa.kept import directory

MACHINE = Path(__file__).parent
ISA = MACHINE.parent.parent / "isa"
PARTS = 2
KEPT = 16  # cores of other sources or hosts that stay in the cache directory
SCRATCH = "building-"
NEVER_COMPILED = {
    "machine/machine.py",
    "machine/guest_memory.py",
    "machine/devices.py",
    "machine/answers.py",
    "machine/stopping.py",
    "machine/ram_pages.py",
    "machine/device_state.py",
    "machine/checkpoint.py",
    "machine/start_up.py",
    "isa/att.py",
    "isa/text.py",
    "isa/pages.py",
    "isa/sensitivity.py",
}
Progress = Callable[[int, int, str], None]

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


class BuildError(RuntimeError):
    """The core could not be built; the text says why."""


def sources() -> list[Path]:
    """Everything the core is made of: the board and what else is never compiled can change without a build."""
    every = [*ISA.rglob("*.py"), *MACHINE.rglob("*.py")]
    return sorted(p for p in every if p.parent.name != "board" and f"{p.parent.name}/{p.name}" not in NEVER_COMPILED)


@cache
def digest() -> str:
    """What the core depends on, as 16 hexadecimal digits."""
    packages = [Path(find_spec(name).origin).parent for name in ("numba", "llvmlite")]  # found, not imported: that takes longer
    versions = [(package / "_version.py").read_bytes() for package in packages]
    h = hashlib.sha256(repr((sys.version_info[:2], versions, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())).encode())
    for path in sources():
        h.update(path.name.encode() + path.read_bytes())
    return h.hexdigest()[:16]


def path() -> Path:
    """Where the core of these sources on this host lies, or will lie."""
    return directory() / f"core-{digest()}"


def build(progress: Progress = lambda done, total, text: None) -> Path:
    """Build the core with PARTS processes, tell progress(done, total, text), and put it in its place at once.

    If another process is building, wait for it.  BuildError says in one sentence why there is no core.
    """
    target = path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_one(target.parent, lambda: progress(0, 1, "waiting for another vmdbg that builds it")):
            if not target.exists():
                for left in target.parent.glob(SCRATCH + "*"):
                    shutil.rmtree(left, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=target.parent) as scratch:
                    build_in(Path(scratch), progress).replace(target)
                forget_old(target)
    except OSError as e:
        raise BuildError(f"the core cannot be kept in {target.parent}: {e.strerror or e} (VMDBG_CACHE names another place)") from None
    return target


@contextlib.contextmanager
def only_one(directory: Path, waiting: Callable[[], None]):
    """Hold the lock of a cache directory; it ends with the process, however that ends."""
    with (directory / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_in(scratch: Path, progress: Progress) -> Path:
    """Build in a folder of our own; the finished file in it."""
    workers = [Worker(number, scratch / f"part{number}.o") for number in range(PARTS)]
    try:
        owned: set[str] = set()
        for w in workers:
            w.wait_for("outlined", lambda: tell(progress, workers))
            w.send(sorted(owned & set(w.facts["outlined"])))
            owned |= set(w.facts["outlined"])
        for w in workers:
            w.wait_for("kinds", lambda: tell(progress, workers))
        for w in workers:
            w.process.wait()
    finally:
        for w in workers:
            w.end()
    data = dict(
        objects=[w.target.read_bytes() for w in workers],
        kinds=[w.facts["kinds"] for w in workers],
        calls=sorted(set(sum((w.facts["calls"] for w in workers), [])) - owned),
    )
    finished = scratch / "core"
    with finished.open("wb") as f:
        pickle.dump(data, f)
        f.flush()
        os.fsync(f.fileno())
    return finished


def forget_old(newest: Path) -> None:
    """Remove cores of other sources, the KEPT latest excepted."""
    others = sorted((p for p in newest.parent.glob("core-*") if p != newest), key=lambda p: p.stat().st_mtime)
    for old in others[:-KEPT]:
        old.unlink(missing_ok=True)


def tell(progress: Progress, workers: list["Worker"]) -> None:
    done, total = (sum(w.facts.get(k, 0) for w in workers) for k in ("done", "total"))
    progress(done, max(total, 1), workers[0].facts.get("text", "starting"))


class Worker:
    """A building process and what it has said so far."""

    def __init__(self, number: int, target: Path):
        self.target, self.facts = target, {}
        command = [sys.executable, "-P", "-m", "vmdbg.machine.build", str(number), str(PARTS), str(target)]
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ISA.parent), os.environ.get("PYTHONPATH", "")]))
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=environment
        )

    def wait_for(self, fact: str, told: Callable[[], None]) -> None:
        while fact not in self.facts:
            line = self.process.stdout.readline()
            if not line:
                self.errors.seek(0)
                lines = self.errors.read().decode(errors="replace").strip().splitlines()
                raise BuildError("the core could not be built: " + (lines[-1] if lines else "the builder ended without a word"))
            self.facts.update(json.loads(line))
            told()

    def send(self, message) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Not without its end: two processes that still write would keep the folder from being removed."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Core:
    """The loaded core: addresses of native functions and of the handlers, by kind."""

    def __init__(self, file: Path):
        data = pickle.loads(file.read_bytes())
        target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=2,
            reloc="static",
            codemodel="jitdefault",
            jit=True,
        )
        self.jit = llvm.create_lljit_compiler(target, use_jit_link=False)
        builder = llvm.JITLibraryBuilder()
        for code in data["objects"]:
            builder.add_object_img(code)
        names = ["vm_run", "vm_go", "vm_steps", "vm_drop_all", "vm_drop_page", "vm_flush", "vm_look", "vm_copy_linear", "vm_decode_section"]
        tables = [f"handlers{number}" for number in range(len(data["objects"]))]
        for name in names + tables:
            builder.export_symbol(name)
        builder.add_current_process()
        self.library = builder.link(self.jit, "core")
        self.calls = data["calls"]
        u64, pointer = ctypes.c_uint64, ctypes.c_uint64
        self.run = ctypes.CFUNCTYPE(u64, pointer)(self.library["vm_run"])
        self.go = ctypes.CFUNCTYPE(u64, pointer, u64, u64)(self.library["vm_go"])
        self.steps = ctypes.CFUNCTYPE(u64, pointer, u64)(self.library["vm_steps"])
        self.drop_all = ctypes.CFUNCTYPE(u64, pointer)(self.library["vm_drop_all"])
        self.drop_page = ctypes.CFUNCTYPE(u64, pointer, u64)(self.library["vm_drop_page"])
        self.flush = ctypes.CFUNCTYPE(u64, pointer)(self.library["vm_flush"])
        self.look = ctypes.CFUNCTYPE(u64, pointer, u64)(self.library["vm_look"])
        self.copy_linear = ctypes.CFUNCTYPE(u64, pointer, u64, u64, pointer)(self.library["vm_copy_linear"])
        self.decode_section = self.library["vm_decode_section"]
        count = 1 + max(max(k, default=0) for k in data["kinds"])
        self.handlers = (ctypes.c_uint64 * (count + 2))()
        for number, kinds in enumerate(data["kinds"]):
            lead = 2 if number == 0 else 0
            table = (ctypes.c_uint64 * (len(kinds) + lead)).from_address(self.library[f"handlers{number}"])
            for n in range(lead):
                self.handlers[n] = table[n]
            for n, kind in enumerate(kinds):
                self.handlers[kind + 2] = table[n + lead]


_loaded: Core | None = None


def load(progress: Progress = lambda done, total, text: None) -> Core:
    """The core, built first if there is none for these sources.  BuildError if that fails."""
    global _loaded
    if _loaded is None:
        file = path()
        if not file.exists():
            build(progress)
        try:
            _loaded = Core(file)
        except (EOFError, pickle.UnpicklingError, KeyError):  # damaged: a disk that was full, a host that stopped
            file.unlink()
            _loaded = Core(build(progress))
        records.install(_loaded.decode_section)
    return _loaded
