"""The memory map and the state records that every oracle and our own CPU share when they run one instruction.

    0000_0000              nothing
    1000_0000  WINDOW      two pages, read and write, their image is part of every state
    1000_2000              nothing (so an access at the window's end crosses into a hole)
    1000_3000  READ_ONLY   one page, fixed contents (READ_ONLY_IMAGE)
    1000_4000              nothing
    2000_0000  CODE        64 KiB, read and execute, all INT3 except the instruction, which stands at CODE_START by default
    2001_0000              nothing

A program that stands in for a CPU is a callable `run(states, code, bits) -> results`: `states` is an array of STATE with one
common rip, `code` the bytes of one instruction, `bits` 16, 32 or 64; `results` is an array of RESULT, or of LOADED where segments are
seen. `rip` of a result is where execution went. `vector` is NONE when the instruction completed; otherwise registers and rip are
those at the fault. `error_code` is 0 for vectors without one, `fault_address` is CR2 of a page fault and otherwise 0.
"""

import numpy as np

PAGE = 0x1000
WINDOW, WINDOW_SIZE = 0x1000_0000, 2 * PAGE
READ_ONLY, READ_ONLY_SIZE = 0x1000_3000, PAGE
CODE, CODE_SIZE = 0x2000_0000, 0x10000
CODE_START = CODE + 0x8000
INT3 = 0xCC

READ_ONLY_IMAGE = ((np.arange(READ_ONLY_SIZE, dtype=np.uint32) * 0x9D + 0x5A) >> 1 & 0xFF).astype(np.uint8)

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)

CF, PF, AF, ZF, SF, TF, IF, DF, OF = (1 << n for n in (0, 2, 4, 6, 7, 8, 9, 10, 11))
RF, AC, ID = 1 << 16, 1 << 18, 1 << 21
ARITHMETIC = CF | PF | AF | ZF | SF | OF
FLAG_NAMES = {"o": OF, "s": SF, "z": ZF, "a": AF, "c": CF, "p": PF, "d": DF, "i": IF, "t": TF}

NONE = -1
DE, DB, BP, OF_TRAP, BR, UD, NM, DF_FAULT, TS, NP, SS, GP, PF_FAULT, MF, AC_FAULT, MC, XM = (
    0,
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    10,
    11,
    12,
    13,
    14,
    16,
    17,
    18,
    19,
)
HAS_ERROR_CODE = (DF_FAULT, TS, NP, SS, GP, PF_FAULT, AC_FAULT)

# FXSAVE image, 64-bit format (SDM volume 1, 10.5.1, table 10-2), seen as a record of the same 512 bytes.
FX = np.dtype(
    {
        "names": ["fcw", "fsw", "ftw", "fop", "fip", "fdp", "mxcsr", "mxcsr_mask", "st", "xmm"],
        "formats": ["<u2", "<u2", "u1", "<u2", "<u8", "<u8", "<u4", "<u4", ("u1", (8, 16)), ("u1", (16, 16))],
        "offsets": [0, 2, 4, 6, 8, 16, 24, 28, 32, 160],
        "itemsize": 512,
    }
)

# Offsets matter: the native oracle's machine code reads this record. fx must stay 16-byte aligned (FXRSTOR).
STATE = np.dtype(
    [
        ("gpr", "<u8", 16),  # in encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8 .. r15
        ("rip", "<u8"),
        ("rflags", "<u8"),
        ("fs_base", "<u8"),
        ("gs_base", "<u8"),
        ("fx", FX),
        ("window", "u1", WINDOW_SIZE),
    ]
)
RESULT = np.dtype([*STATE.descr[:5], ("fx", FX), STATE.descr[-1], ("vector", "<i4"), ("error_code", "<u4"), ("fault_address", "<u8")])

# A result with the selectors of ES CS SS DS FS GS; before the instruction they are SELECTORS (CODE32 is CS in 32-bit code).
LOADED = np.dtype([(name, RESULT.fields[name][0]) for name in RESULT.names] + [("selectors", "<u2", 6)])
SELECTORS, CODE32 = (0x2B, 0x33, 0x2B, 0x2B, 0x2B, 0x2B), 0x23  # Linux's flat ones (asm/segment.h)

assert STATE.fields["fx"][1] % 16 == 0 and STATE.itemsize % 16 == 0


def empty(count: int, dtype: np.dtype = STATE, align: int = 64) -> np.ndarray:
    """`count` zeroed records of `dtype` whose first byte is aligned to `align`."""
    raw = np.zeros(count * dtype.itemsize + align, np.uint8)
    start = -raw.ctypes.data % align
    return raw[start : start + count * dtype.itemsize].view(dtype)
