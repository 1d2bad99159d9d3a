"""Linux bzImage (Documentation/arch/x86/boot.rst and zero-page.rst of Linux, boot protocol 2.02 to 2.15).

The kernel goes to its preferred address, the initrd as high as it may be, zero page and command line into low memory.
It starts at startup_64 (load address + 200h) where it says it can (XLF_KERNEL_64); else, from protocol 2.10 on, at its 32-bit
entry.  What is older is started as boot loaders of its time did, in real mode: programs that only look like Linux have nothing
else (iPXE, etherboot).  Unpacking itself is the kernel's own business.
"""

import struct
from pathlib import Path

from vmdbg.machine.board.acpi_tables import RSDP
from vmdbg.machine.state import RSI, RSP
from vmdbg.monitor.guest import Guest, GuestError, Options, Piece
from vmdbg.monitor.memory_map import MIB, Room, ranges, upper_kib
from vmdbg.monitor.read_image import read_image
from vmdbg.monitor.start import first_tables

# Offsets in the setup header, which has the same place in the file and in the zero page
SETUP_SECTS, SYSSIZE, BOOT_FLAG, HEADER_END, MAGIC, VERSION, TYPE_OF_LOADER, LOADFLAGS = (
    0x1F1,
    0x1F4,
    0x1FE,
    0x201,
    0x202,
    0x206,
    0x210,
    0x211,
)
CODE32_START, RAMDISK_IMAGE, RAMDISK_SIZE, CMD_LINE_PTR, INITRD_ADDR_MAX = 0x214, 0x218, 0x21C, 0x228, 0x22C
KERNEL_ALIGNMENT, RELOCATABLE, XLOADFLAGS, CMDLINE_SIZE, PREF_ADDRESS, INIT_SIZE = 0x230, 0x234, 0x236, 0x238, 0x258, 0x260
# ... and elsewhere in the zero page
EXT_MEM_K, VIDEO_MODE, VIDEO_COLS, VIDEO_LINES, VIDEO_IS_VGA, VIDEO_POINTS = 0x02, 0x06, 0x07, 0x0E, 0x0F, 0x10
ACPI_RSDP_ADDR, ALT_MEM_K, E820_ENTRIES, E820_TABLE, ZERO_PAGE_SIZE = 0x70, 0x1E0, 0x1E8, 0x2D0, 0x1000
LOADED_HIGH, XLF_KERNEL_64, UNKNOWN_LOADER, ENTRY_64, SECTOR, HEADER_SIZE = 0x01, 0x01, 0xFF, 0x200, 512, 0x268
SELECTORS = (0x10, 0x18)  # __BOOT_CS, __BOOT_DS
SETUP, SETUP_SIZE, HEAP_END, HEAP_END_PTR, CAN_USE_HEAP = 0x10000, 0x8000, 0xE000, 0x224, 0x80
DEFAULT_ADDR_MAX, DEFAULT_CMDLINE_SIZE = 0x37FFFFFF, 255
SAYS_SIZE = 0x20A  # the protocol that says how much memory a kernel wants (init_size)


def is_linux(image: bytes) -> bool:
    return image[MAGIC : MAGIC + 4] == b"HdrS"


def load_linux(path: Path, image: bytes, options: Options) -> Guest:
    """The kernel with its command line (`append`) and initrd; `bits` 16, 32 or 64 chooses the entry."""
    if len(image) < HEADER_SIZE:
        raise GuestError(f"{path}: a truncated Linux image: its setup header ends after {len(image):,} bytes")

    def field(offset: int, kind: str = "<I") -> int:
        return struct.unpack_from(kind, image, offset)[0]

    version = field(VERSION, "<H")
    if version < 0x202 or not field(LOADFLAGS, "B") & LOADED_HIGH:
        raise GuestError(f"{path}: a Linux image of boot protocol {version >> 8}.{version & 0xFF:02}, not a bzImage of 2.02 or later")
    start = (1 + (field(SETUP_SECTS, "B") or 4)) * SECTOR
    size = (field(SYSSIZE) if version >= 0x204 else field(SYSSIZE, "<H")) * 16
    kernel = image[start : start + size] if size else image[start:]
    if not kernel or len(kernel) + 15 < size:
        raise GuestError(f"{path}: a truncated Linux image: {size:,} bytes of kernel are announced, {len(kernel):,} are there")

    end = first_tables(options.memory)
    address, needed = place_of(field, version, len(kernel))
    if address + needed > end:
        raise GuestError(f"{path}: the kernel needs memory up to {-(-(address + needed) // MIB)} MiB while it starts (--memory)")
    room = Room([Piece(address, kernel, needed)], end)
    enters_64 = bool(version >= 0x20C and field(XLOADFLAGS, "<H") & XLF_KERNEL_64)
    bits = options.bits or (64 if enters_64 else 32 if version >= SAYS_SIZE else 16)
    if bits == 64 and not enters_64:
        raise GuestError(f"{path}: this kernel has no 64-bit entry")
    if bits == 16:
        return real_mode(path, image, options, kernel, start, room)

    zero = bytearray(ZERO_PAGE_SIZE)
    header_end = min(MAGIC + field(HEADER_END, "B"), E820_TABLE)
    zero[SETUP_SECTS:header_end] = image[SETUP_SECTS:header_end]
    zero[TYPE_OF_LOADER] = UNKNOWN_LOADER
    struct.pack_into("<I", zero, CODE32_START, address)
    if options.initrd is not None:
        limit = field(INITRD_ADDR_MAX) if version >= 0x203 else DEFAULT_ADDR_MAX
        initrd = read_image(Path(options.initrd), options.memory)
        where = Room(room.pieces, min(end, limit + 1)).put(initrd, "an initrd", first=MIB, high=True)
        room.pieces.append(Piece(where, initrd, len(initrd)))
        struct.pack_into("<II", zero, RAMDISK_IMAGE, where, len(initrd))
    line = (options.append or "").encode() + b"\0"
    most = field(CMDLINE_SIZE) if version >= 0x206 else DEFAULT_CMDLINE_SIZE
    if len(line) - 1 > most:
        raise GuestError(f"{path}: a command line of {len(line) - 1:,} bytes; this kernel takes {most:,}")
    struct.pack_into("<I", zero, CMD_LINE_PTR, room.put(line, "the command line", first=0x20000))
    describe_machine(zero, options.memory)
    registers = ((RSI, room.put(bytes(zero), "the zero page", first=0x10000)),)
    entry = address + (ENTRY_64 if bits == 64 else 0)
    return Guest(
        path, "Linux", bits, entry, tuple(room.pieces), options.memory, cpus=options.cpus, registers=registers, selectors=SELECTORS
    )


def real_mode(path: Path, image: bytes, options: Options, kernel: bytes, start: int, room: Room) -> Guest:
    """Through the kernel's own setup code, which asks the BIOS (boot.rst, "Loading the rest of the kernel", "Running the kernel").

    10000 boot sector and setup    1E000 end of heap and stack    1E000 command line    100000 the kernel
    """
    setup = bytearray(image[:start].ljust(SETUP_SIZE, b"\0"))
    line = (options.append or "").encode() + b"\0"
    if len(setup) > HEAP_END or len(line) > 0x10000 - HEAP_END:
        raise GuestError(f"{path}: {max(len(setup), len(line)):,} bytes of setup code or command line do not fit below 128 KiB")
    setup[TYPE_OF_LOADER] = UNKNOWN_LOADER
    setup[LOADFLAGS] |= CAN_USE_HEAP
    struct.pack_into("<I", setup, CODE32_START, MIB)
    struct.pack_into("<H", setup, HEAP_END_PTR, HEAP_END - 0x200)
    struct.pack_into("<I", setup, CMD_LINE_PTR, SETUP + HEAP_END)
    pieces = [Piece(SETUP, bytes(setup), len(setup)), Piece(SETUP + HEAP_END, line, len(line)), Piece(MIB, kernel, len(kernel))]
    if options.initrd is not None:
        initrd = read_image(Path(options.initrd), options.memory)
        limit = struct.unpack_from("<I", image, INITRD_ADDR_MAX)[0] if image[VERSION] >= 3 else DEFAULT_ADDR_MAX
        where = Room(room.pieces, min(options.memory, limit + 1)).put(initrd, "an initrd", first=MIB, high=True)
        pieces.append(Piece(where, initrd, len(initrd)))
        struct.pack_into("<II", setup, RAMDISK_IMAGE, where, len(initrd))
        pieces[0] = Piece(SETUP, bytes(setup), len(setup))
    segment = SETUP >> 4
    return Guest(
        path,
        "Linux",
        16,
        SETUP + SECTOR,
        tuple(pieces),
        options.memory,
        cpus=options.cpus,
        registers=((RSP, HEAP_END),),
        selectors=(segment + (SECTOR >> 4), segment),
    )


def place_of(field, version: int, size: int) -> tuple[int, int]:
    """Where the kernel goes, and how many bytes it uses from there until it has its own memory map."""
    if version >= 0x20A and field(RELOCATABLE, "B"):
        address = field(PREF_ADDRESS, "<Q")
        alignment = field(KERNEL_ALIGNMENT) or 1
        return max(MIB, address // alignment * alignment), max(field(INIT_SIZE), size)
    return MIB, max(field(INIT_SIZE) if version >= 0x20A else 0, size)


def describe_machine(zero: bytearray, memory: int) -> None:
    """Memory map, ACPI and the text screen in the zero page."""
    found = ranges(memory)
    zero[E820_ENTRIES] = len(found)
    for n, (first, size, kind) in enumerate(found):
        struct.pack_into("<QQI", zero, E820_TABLE + 20 * n, first, size, kind)
    struct.pack_into("<H", zero, EXT_MEM_K, min(upper_kib(memory), 0xFFFF))
    struct.pack_into("<I", zero, ALT_MEM_K, upper_kib(memory))
    struct.pack_into("<Q", zero, ACPI_RSDP_ADDR, RSDP)
    zero[VIDEO_MODE], zero[VIDEO_COLS], zero[VIDEO_LINES], zero[VIDEO_IS_VGA], zero[VIDEO_POINTS] = 3, 80, 25, 1, 16
