"""The x86 instruction set as data: rows, and what is derived from them.

    import isa
    i = isa.decode(b"\\x48\\x01\\xd8", bits=64)
    str(i), i.length, i.mnemonic, i.row.flags        'add rax, rbx', 3, 'ADD', 'w=oszapc'

The notation of the rows is in isa/row.py; the decoder in isa/decoder.py.  This package knows nothing of vmdbg.
"""

from importlib import import_module

_LAZY = dict(
    decode="instruction", decode_all="instruction", Instruction="instruction", why="instruction", FORMS="forms", ROWS="forms", cpuid="cpuid"
)


def __getattr__(name):
    if name == "decode_all":
        return import_module("isa.records").records
    if name in _LAZY and name != "cpuid":
        return getattr(import_module(f"isa.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'isa' has no attribute {name!r}")
