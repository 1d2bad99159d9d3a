"""The workloads: images of guests/bench, and our engine running them."""

import resource
from dataclasses import dataclass, replace
from pathlib import Path

import guests
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Guest, Options
from vmdbg.monitor.load import load_guest

ORIGIN, ITERATIONS_AT, MEMORY = 0x7C00, 504, 64 << 20  # guests/bench/boot.asm


@dataclass(frozen=True)
class Workload:
    """A guest that ends by itself and sends `checksum` to COM1, after as many iterations as its boot sector says."""

    name: str
    checksum: str
    least_checksum: str  # after `least` iterations
    least: int = 1

    @property
    def path(self) -> Path:
        return guests.workloads()[self.name]

    @property
    def iterations(self) -> int:
        """Those of the image that ships."""
        return int.from_bytes(self.path.read_bytes()[ITERATIONS_AT : ITERATIONS_AT + 4], "little")

    def image(self, iterations: int) -> bytes:
        """The image with so many iterations."""
        image = bytearray(self.path.read_bytes())
        image[ITERATIONS_AT : ITERATIONS_AT + 4] = iterations.to_bytes(4, "little")
        return bytes(image)


@dataclass(frozen=True)
class Run:
    """One run of a workload: user CPU seconds, and what it said; `note` says that it did not end by itself."""

    seconds: float
    checksum: str
    instructions: int = 0  # where they are counted: in our machine
    note: str = ""


ALL = (
    Workload("alu", "77fcc2800e990cf9", "b03ebabe6646aa68"),
    Workload("memory", "505a5d6c717bf68a", "b4160e168e180002"),
    Workload("fib", "05a8f7fffffe95c0", "0000000000016a40"),
    Workload("sys", "e4adfd22bfc04b46", "000000652ce00001"),
)


def guest(workload: Workload, iterations: int) -> Guest:
    """The whole image where a BIOS would have put it."""
    found = load_guest(workload.path, Options(memory=MEMORY, load_address=ORIGIN, bits=16))
    piece = found.pieces[0]
    return replace(found, pieces=(replace(piece, data=workload.image(iterations)),))


def run(workload: Workload, iterations: int, engine: str = "threaded") -> Run:
    """Run a workload to its end in a new machine."""
    from vmdbg.machine.machine import Machine

    said = bytearray()
    machine = Machine(memory=MEMORY, engine=engine)
    Bare(machine, guest(workload, iterations), said.append)
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    while machine.run(1 << 28).reason == "budget":
        pass
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began
    return Run(seconds, said.decode(errors="replace").strip(), machine.position)
