"""Firmware: an image that ends at 4 GiB, where the CPU starts after reset (SDM vol. 3, 9.1.4); also below 1 MiB, as chipsets have it.

SeaBIOS is told by fw_cfg what it cannot find out: to offer its boot menu, to show what it says on the serial port too (and take
keys from there), and its video BIOS, where one lies beside it.
"""

from pathlib import Path

from vmdbg.monitor.guest import Guest, GuestError, Options, Piece

LARGEST, UNIT, LOW_END, LOW_SIZE, RESET = 16 << 20, 0x1000, 1 << 20, 0x20000, 16
JUMPS = (0xEA, 0xE9, 0xEB)
VIDEO_BIOS, LARGEST_VIDEO, ROM_UNIT = ("vgabios-isavga.bin", "vgabios-stdvga.bin"), 0x10000, 512
COM1 = 0x3F8


def is_rom(image: bytes) -> bool:
    """Whether it is whole 64-KiB units and jumps where a CPU starts."""
    return 0 < len(image) <= LARGEST and len(image) % 0x10000 == 0 and image[-RESET] in JUMPS


def load_rom(path: Path, image: bytes, options: Options) -> Guest:
    """The last 128 KiB of it are in RAM below 1 MiB too: that is what firmware makes writable for itself."""
    if len(image) % UNIT or len(image) > LARGEST:
        raise GuestError(f"{path}: firmware of {len(image):,} bytes: a multiple of 4,096, at most {LARGEST >> 20} MiB, was expected")
    low = image[-LOW_SIZE:]
    pieces = (Piece(LOW_END - len(low), low, len(low)),)
    files = tuple(firmware_files(path).items())
    return Guest(path, "firmware", 16, (1 << 32) - RESET, pieces, options.memory, cpus=options.cpus, rom=image, firmware_files=files)


def firmware_files(path: Path) -> dict[str, bytes]:
    """What fw_cfg has for firmware (SeaBIOS, docs/Runtime_config.md), which lies at `path`."""
    files = {
        "etc/show-boot-menu": number(1),
        "etc/sercon-port": number(COM1),
        "etc/screen-and-debug": number(0),  # what is on the screen is on the serial port: not in the log as well
    }
    video = video_bios(path.parent)
    if video is not None:
        files["vgaroms/vgabios.bin"] = video
    return files


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def video_bios(folder: Path) -> bytes | None:
    """The video BIOS of a plain VGA, as Debian's seabios has it beside bios-256k.bin."""
    for name in VIDEO_BIOS:
        try:
            if 0 < (folder / name).stat().st_size <= LARGEST_VIDEO:
                found = (folder / name).read_bytes()
            else:
                continue
        except OSError:
            continue
        if found[:2] == b"\x55\xaa" and len(found) % ROM_UNIT == 0:
            return found
    return None
