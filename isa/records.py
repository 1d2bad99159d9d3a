"""Decoding many instructions at once: a whole section as a record array, by compiled code where somebody installed it."""

import ctypes

import numpy as np

from isa import decoder
from isa.decode_tables import TABLES
from isa.decoding import RECORD
from isa.lang.word import U64

_native = None  # decode_section as machine code, when somebody installed it


def install(address: int) -> None:
    """Use compiled code of `decode_section` (a C function of seven 64-bit words returning one) at this address from now on."""
    global _native
    _native = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 7)(address)


def installed() -> bool:
    """Whether decoding is compiled."""
    return _native is not None


def records(code, *, bits: int, ip: int = 0, room: int | None = None) -> np.ndarray:
    """The instructions of `code` in a row, as an array of RECORD; a byte that starts none has `reason` set and length 1."""
    data = np.frombuffer(code, np.uint8)
    if bits not in (16, 32, 64):
        raise ValueError(f"bits is 16, 32 or 64, not {bits}")
    if not len(data):
        return np.zeros(0, RECORD)
    out = np.empty(len(data) if room is None else room, RECORD)
    args = (TABLES.pointer.address, data.ctypes.data, len(data), bits, ip, out.ctypes.data, len(out))
    if _native is not None:
        n = _native(*(int(a) & 0xFFFFFFFFFFFFFFFF for a in args))
    else:
        n = decoder.decode_section(TABLES.pointer, *(U64(int(a)) for a in args[1:]))
    return out[: int(n)]


def decode_many(codes: list[bytes], *, bits: int, ip: int = 0) -> np.ndarray:
    """One record for each of many byte strings, each decoded by itself at `ip`; `reason` is set where there is no instruction."""
    out = np.zeros(len(codes), RECORD)
    for n, code in enumerate(codes):
        out[n] = records(code[:15], bits=bits, ip=ip, room=1)[0]
    return out
