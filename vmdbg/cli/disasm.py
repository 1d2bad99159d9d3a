"""vmdbg disasm FILE."""

import sys

from vmdbg.cli.values import Bits, Number, check_address


def disasm(
    file: str,
    *,
    bits: Bits | None = None,
    address: Number = None,
    att: bool = False,
    section: str | None = None,
) -> int:
    """Disassemble a flat binary, or the code of an ELF file.

    Parameters
    ----------
    file
        The file; or the name of a shipped guest.
    bits
        16, 32 or 64: an ELF file knows it; a boot sector is 16, any other file 64.
    address
        Of the first byte of a flat binary: 7C00 for a boot sector, else 0.
    att
        AT&T syntax instead of Intel's.
    section
        Only this section of an ELF file.
    """
    check_address("--address", address, 1 << 64)
    from vmdbg.debugger.disassemble import disassemble
    from vmdbg.debugger.opening import find_guest

    sys.stdout.writelines(f"{line}\n" for line in disassemble(find_guest(file), bits, address, "att" if att else "intel", section))
    return 0
