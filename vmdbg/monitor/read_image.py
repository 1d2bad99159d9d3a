"""Reading what a user names: guests, modules, initial RAM disks, firmware."""

import zlib
from pathlib import Path

from vmdbg.monitor.guest import GuestError

LARGEST = 3 << 30  # bytes: where a PC's devices begin
GZIP = b"\x1f\x8b\x08"  # RFC 1952, 2.3.1: magic, deflate
WITH_HEADER = 31  # zlib's wbits: a gzip stream


def check_image(path: Path) -> int:
    """Its size; GuestError says in one sentence why a file cannot be read."""
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
    return size


def read_head(path: Path, most: int) -> bytes:
    """The first bytes of a file that check_image has seen; GuestError says in one sentence why there are none."""
    try:
        with path.open("rb") as f:
            return f.read(most)
    except OSError as e:  # a failing disk, a file of /proc
        raise GuestError(f"{path}: {e.strerror.lower() if e.strerror else e}") from None


def read_image(path: Path, most: int = LARGEST) -> bytes:
    """All bytes of a file that goes into memory; GuestError says in one sentence why there are none, or more than `most`."""
    size = check_image(path)
    if size > LARGEST:
        raise GuestError(f"{path}: {size:,} bytes are more than this PC can have memory (3 GiB)")
    if size > most:
        raise GuestError(f"{path}: {size:,} bytes do not fit into {most >> 20} MiB of memory (--memory)")
    return read_head(path, size)


def read_kernel(path: Path, most: int = LARGEST) -> bytes:
    """The same, unpacked if it was packed by gzip, as boot loaders do with kernels; GuestError too if the stream is damaged."""
    image = read_image(path, most)
    if not image.startswith(GZIP):
        return image
    stream = zlib.decompressobj(WITH_HEADER)
    try:
        found = stream.decompress(image, most + 1)
    except zlib.error as e:
        raise GuestError(f"{path}: begins as a gzip stream, which is damaged ({e}); --format flat takes it as it is") from None
    if len(found) > most:
        raise GuestError(f"{path}: unpacked it does not fit into {most >> 20} MiB of memory (--memory)")
    if not stream.eof:
        raise GuestError(f"{path}: the gzip stream is cut short after {len(image):,} bytes; --format flat takes it as it is")
    return found
