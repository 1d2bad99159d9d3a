"""The built-in BIOS: bios.asm, assembled to bios.bin (make -C vmdbg/monitor/bios), at F000:C000 and at the reset vector.

It runs from reset like any firmware; what it knows is in memory (interrupt vectors, BIOS data areas) and in CMOS:

    10  type of floppy drive A, in bits 7:4: the last IDE unit        3D, 38  what to boot, as boot.inc says
"""

from pathlib import Path

from vmdbg.monitor.drives import floppy_type
from vmdbg.monitor.guest import Guest, GuestError

IMAGE = Path(__file__).parent / "bios.bin"
SEGMENT, SEGMENT_SIZE, TOP = 0xF0000, 0x10000, 1 << 20
HAND_OVER, BOOTSTRAP = 0xFE6E0, 0xFE6F2  # where power-on ends: the IRET to a boot sector, or INT 19h
FLOPPY_TYPES, BOOT_ORDER, BOOT_LAST = 0x10, 0x3D, 0x38
ORDERS = {"floppy": 0x321, "disk": 0x132, "cdrom": 0x123}  # first to last from the right: 1 floppy, 2 hard disk, 3 CD
MOST_STEPS = 100_000_000


def power_on(machine, board, guest: Guest) -> None:
    """Run the BIOS from reset to the guest's boot sector; to the bootstrap, where the guest is no disk.

    The guest's steps are counted from there.  GuestError: the BIOS finds nothing that boots.
    """
    image = IMAGE.read_bytes()
    machine.ram[TOP - len(image) : TOP] = bytearray(image)
    machine.add_rom(image)
    machine.make_rom(SEGMENT, SEGMENT_SIZE)
    cmos = board.rtc.state["ram"]
    if guest.floppy is not None:
        cmos[FLOPPY_TYPES] = floppy_type(board.drives[3].image.sectors) << 4
    order = ORDERS[guest.boot or "disk"]
    cmos[BOOT_ORDER], cmos[BOOT_LAST] = order & 0xFF, order >> 8 << 4
    machine.set_breakpoints([BOOTSTRAP if guest.boot is None else HAND_OVER])
    stop = machine.run(MOST_STEPS)
    machine.set_breakpoints(())
    if guest.boot is not None:
        if stop.reason != "break":
            raise GuestError(f"{guest.path}: the BIOS could not boot it")
        machine.step(1)
    for cpu in machine.cpus:
        cpu.instructions = cpu.events = 0
        for vector in range(256):
            cpu.deliveries[vector] = 0
