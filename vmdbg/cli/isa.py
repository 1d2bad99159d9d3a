"""vmdbg isa: the instruction set as it is told to people."""

from vmdbg.cli.values import UsageError


def isa(mnemonic: str | None = None, *, sensitive: bool = False, cpuid: bool = False) -> int:
    """The instruction set: one mnemonic's page, the sensitive instructions, or the CPU model.

    Parameters
    ----------
    mnemonic
        An instruction: ADD, popf, sgdt.
    sensitive
        The unprivileged sensitive instruction forms, with why.
    cpuid
        The CPU model: what CPUID says.
    """
    if (mnemonic is not None) + sensitive + cpuid != 1:
        raise UsageError("isa: expected one of a mnemonic, --sensitive, --cpuid")
    from importlib import import_module

    if sensitive:
        text = import_module("isa.sensitivity").report()
    elif cpuid:
        text = import_module("isa.pages").cpuid_page()
    else:
        text = import_module("isa.pages").page(mnemonic)
        if text is None:
            raise UsageError(f"isa: there is no instruction '{mnemonic}'{similar(mnemonic or '')}")
    print(text)
    return 0


def similar(mnemonic: str) -> str:
    """', perhaps POPF, PUSHF': instructions whose names are close."""
    from difflib import get_close_matches
    from importlib import import_module

    names = {name.upper() for row in import_module("isa.forms").ROWS for name in row.mnemonics}
    close = get_close_matches(mnemonic.upper(), sorted(names), 3)
    return f"; perhaps {', '.join(close)}" if close else ""
