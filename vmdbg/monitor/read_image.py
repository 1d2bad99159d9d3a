"""Reading what a user names: guests, modules, initial RAM disks, firmware."""

from pathlib import Path

from vmdbg.monitor.guest import GuestError

LARGEST = 3 << 30  # bytes: where a PC's devices begin


def check_image(path: Path) -> None:
    """GuestError says in one sentence why a file cannot be read."""
    try:
        if path.is_dir():
            raise GuestError(f"{path}: a directory, not a guest")
        size = path.stat().st_size
        if not path.is_file():
            raise GuestError(f"{path}: not a regular file")
        with path.open("rb"):
            pass
    except OSError as e:
        raise GuestError(f"{path}: {e.strerror.lower() if e.strerror else e}") from None
    except ValueError as e:  # a NUL in the name
        raise GuestError(f"{str(path)!r}: {e}") from None
    if not size:
        raise GuestError(f"{path}: an empty file")


def read_image(path: Path) -> bytes:
    """The bytes of a guest's file; GuestError says in one sentence why there are none."""
    check_image(path)
    size = path.stat().st_size
    if size > LARGEST:
        raise GuestError(f"{path}: {size:,} bytes are more than this PC can have memory (3 GiB)")
    try:
        return path.read_bytes()
    except OSError as e:  # a failing disk, a file of /proc
        raise GuestError(f"{path}: {e.strerror.lower() if e.strerror else e}") from None
