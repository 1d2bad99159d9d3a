"""The opcode column of a row, parsed into a place in the opcode maps and a (mask, value) over the decode key."""

import re
from dataclasses import dataclass

from isa.row import Row

# The decode key: what an encoding may demand besides map and opcode.
KEY_PP, KEY_MODE, KEY_W, KEY_MOD3, KEY_REG, KEY_RM = 0, 2, 4, 5, 6, 9
KEY_OSIZE, KEY_ASIZE, KEY_L, KEY_REXB, KEY_EVEXB = 12, 14, 16, 18, 19
PREFIXES = {"NP": 0, "66": 1, "F3": 2, "F2": 3}
GROUPS = 24  # legacy maps 0-3, VEX maps at 8.., EVEX maps at 16..


@dataclass(frozen=True, slots=True)
class Encoding:
    space: str  # legacy, vex, evex
    group: int
    opcode: int  # first of `span` opcodes
    span: int
    modrm: bool
    mask: int
    value: int
    osize: int | None
    length: int | None  # vector length demanded; 0: ignored; None: any
    default64: bool
    forced64: bool
    ignore_mod: bool


class _Key:
    def __init__(self):
        self.mask = self.value = 0

    def demand(self, at, width, value):
        self.mask |= ((1 << width) - 1) << at
        self.value |= value << at


def _vector(token: str, key: _Key):
    """VEX.L.pp.map.W -> space, map, vector length."""
    space, *parts = token.lower().split(".")
    opmap, length = 1, None
    for part in parts:
        if part in ("128", "l0", "lz", "256", "l1", "512"):
            length = dict(l0=128, lz=128, l1=256).get(part) or int(part)
        elif part == "lig":
            length = 0
        elif part in ("np", "66", "f3", "f2"):
            key.demand(KEY_PP, 2, PREFIXES[part.upper()])
        elif part in ("w0", "w1"):
            key.demand(KEY_W, 1, int(part[1]))
        elif part.startswith("0f") or part.startswith("map"):
            opmap = {"0f": 1, "0f38": 2, "0f3a": 3}.get(part) or int(part[3:])
        elif part != "wig":
            raise ValueError(f"{token}: {part}?")
    return space, opmap, length


def parse(row: Row) -> Encoding:
    """The encoding of a row (after +cc was expanded)."""
    key, codes, space, opmap, length, osize = _Key(), [], "legacy", 0, None, None
    modrm = span8 = False
    flags = set()
    tokens = row.opcode.split()
    for i, token in enumerate(tokens):
        last = not codes
        if token in PREFIXES and last and any(re.fullmatch("[0-9A-F]{2}", t.split("+")[0]) for t in tokens[i + 1 :]) and space == "legacy":
            key.demand(KEY_PP, 2, PREFIXES[token])
        elif token == "NFx":
            key.demand(KEY_PP + 1, 1, 0)
        elif token in ("REX.W", "W1", "W0"):
            key.demand(KEY_W, 1, int(token != "W0"))
        elif token.startswith(("VEX", "EVEX")):
            space, opmap, length = _vector(token, key)
        elif token in ("o16", "o32"):
            osize = int(token[1:])
            key.demand(KEY_OSIZE, 2, {16: 0, 32: 1}[osize])
        elif token in ("a16", "a32", "a64"):
            key.demand(KEY_ASIZE, 2, {16: 0, 32: 1, 64: 2}[int(token[1:])])
        elif token == "i64":
            key.demand(KEY_MODE + 1, 1, 0)
        elif token == "o64":
            key.demand(KEY_MODE + 1, 1, 1)
        elif token == "rm0":
            key.demand(KEY_MOD3, 1, 1)
            key.demand(KEY_RM, 3, 0)
        elif token == "rexb0":
            key.demand(KEY_REXB, 1, 0)
        elif token in ("d64", "f64", "mod11"):
            flags.add(token)
        elif token == "/r":
            modrm = True
        elif re.fullmatch(r"/[0-7]", token):
            modrm = True
            key.demand(KEY_REG, 3, int(token[1]))
        elif token == "+r" or token.endswith("+r"):
            span8 = True
            codes.append(token.split("+")[0])
        elif re.fullmatch(r"[0-9A-F]{2}(\+i)?", token):
            codes.append(token)
        else:
            raise ValueError(f"{row.opcode}: {token}?")
    group, codes = _map(codes, space, opmap)
    opcode = int(codes[0], 16)
    if len(codes) == 2:  # a fixed ModRM byte
        modrm, byte = True, int(codes[1].split("+")[0], 16)
        key.demand(KEY_MOD3, 1, 1)
        key.demand(KEY_REG, 3, byte >> 3 & 7)
        if "+i" not in codes[1]:
            key.demand(KEY_RM, 3, byte & 7)
    texts = [re.sub(r"\{.*?\}", "", t) for t in row.operands]
    if "mod11" not in flags and len(codes) == 1 and modrm:
        if any(re.match(r"M|VM", t) for t in texts):
            key.demand(KEY_MOD3, 1, 0)
        elif any(re.match(r"[RUN](?!.*/)|KR|TM", t) for t in texts):
            key.demand(KEY_MOD3, 1, 1)
    if length and space != "legacy" and not re.search(r"\{(n?er|sae)\}", row.text):
        key.demand(KEY_L, 2, (128, 256, 512).index(length))
    return Encoding(
        space, group, opcode, 8 if span8 else 1, modrm, key.mask, key.value, osize, length, "d64" in flags, "f64" in flags, "mod11" in flags
    )


def _map(codes, space, opmap):
    if space != "legacy":
        return (8 if space == "vex" else 16) + opmap, codes
    if codes[0] != "0F":
        return 0, codes
    if codes[1] == "38":
        return 2, codes[2:]
    if codes[1] == "3A":
        return 3, codes[2:]
    return 1, codes[1:]
