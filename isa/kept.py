"""What is made of the rows, kept in the user's cache: reading it back takes a fraction of the time that making it takes.

A kept thing is found again as long as no source has another size or time.  A cache that cannot be used is done without.
"""

import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

KEPT = 3  # of other sources
HERE = Path(__file__).parent
T = TypeVar("T")


def directory() -> Path:
    """The cache: VMDBG_CACHE, or the program's folder in the user's cache directory."""
    if chosen := os.environ.get("VMDBG_CACHE"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("vmdbg"))


@cache
def _stamp() -> bytes:
    """Name, size and time of every source of this package."""
    facts = [sys.version]
    for folder in (HERE, HERE / "tables", HERE / "lang"):
        with os.scandir(folder) as entries:
            facts += sorted((e.path, e.stat().st_size, e.stat().st_mtime_ns) for e in entries if e.name.endswith(".py"))
    return repr(facts).encode()


def kept(name: str, make: Callable[[], T], source: str | None = None) -> T:
    """What `make` returns, or what it returned when the sources of this package, and the file `source`, were the same."""
    stamp = hashlib.sha256(_stamp())
    if source is not None:
        stamp.update(Path(source).read_bytes())
    path = directory() / f"{name}-{stamp.hexdigest()[:16]}"
    try:
        return pickle.loads(path.read_bytes())
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ImportError, pickle.UnpicklingError):
        value = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_bytes(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
        part.replace(path)
        others = sorted((p for p in path.parent.glob(f"{name}-*") if p != path), key=lambda p: p.stat().st_mtime)
        for old in others[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        pass
    return value
