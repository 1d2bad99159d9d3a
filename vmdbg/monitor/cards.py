"""What is plugged into the PCI bus besides what every board has: virtio disks, then a virtio console."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from vmdbg.machine.board.disk_image import DiskImage
from vmdbg.machine.board.virtio_blk import VirtioBlk
from vmdbg.machine.board.virtio_console import VirtioConsole
from vmdbg.monitor.guest import Guest, GuestError


def cards(guest: Guest, say: Callable[[int], object]) -> tuple[Callable, ...]:
    """For Pc; `say(byte)` gets what leaves the console.  GuestError: a file cannot be used."""
    found: list[Callable] = []
    for name in guest.virtio_disks:
        try:
            found.append(partial(VirtioBlk, image=DiskImage(Path(name), write=guest.write_disks)))
        except OSError as e:
            raise GuestError(f"{e.filename}: {e.strerror.lower() if e.strerror else e}") from None
        except ValueError as e:
            raise GuestError(str(e)) from None
    if guest.virtio_console:
        found.append(partial(VirtioConsole, send=say))
    return tuple(found)
