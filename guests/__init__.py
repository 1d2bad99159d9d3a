"""The guests that ship: one folder each, with its source, its built image and a README of what to look at."""

from pathlib import Path

SUFFIXES = (".bin", ".elf")


def shipped() -> dict[str, Path]:
    """Name -> built image, in alphabetical order."""
    here = Path(__file__).parent
    folders = sorted(p for p in here.iterdir() if p.is_dir())
    return {p.name: image for p in folders for image in (p / (p.name + s) for s in SUFFIXES) if image.is_file()}


def lesson(name: str) -> str:
    """A shipped guest's README: Markdown."""
    return (shipped()[name].parent / "README.md").read_text(encoding="utf-8")


def about(name: str) -> str:
    """The first sentence of a shipped guest's README: what it is."""
    lines = lesson(name).splitlines()
    return next(line for line in lines if line and not line.startswith("#"))


def workloads() -> dict[str, Path]:
    """The workloads of `vmdbg bench`: name -> image."""
    return {name: Path(__file__).parent / "bench" / f"{name}.bin" for name in ("alu", "memory", "fib", "sys")}


def linux_loader() -> Path:
    """The boot sector that reads a Linux system from its disk."""
    return Path(__file__).parent / "bench" / "linux.bin"
