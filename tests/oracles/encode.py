"""Random encodings of a form: prefixes, opcode, ModRM, SIB, displacement, immediates, as its row's opcode column allows.

Legacy and VEX forms; `encode` returns None where the form has no encoding in a mode. `decodes_to` asks the decoder back.
Memory operands come with a `Place`, so that states can be aimed at the window; absolute and RIP-relative ones point there already.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from isa import encoding as key
from isa.forms import Form

from . import host_tables, system
from .layout import CODE_START, RBX, RDI, RSI
from .states import Place, addresses

ESCAPES = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
PP = {0: b"", 1: b"\x66", 2: b"\xf3", 3: b"\xf2"}
SEGMENT_PREFIXES = {"es": 0x26, "cs": 0x2E, "ss": 0x36, "ds": 0x3E, "fs": 0x64, "gs": 0x65}
REPEATED = {"movs", "stos", "lods", "ins", "outs"}  # REP; and for the two that compare, REPE and REPNE
COMPARED = {"cmps", "scas"}
# Sizes of the memory blocks that an instruction defines itself.
BLOCKS = {
    "FXSAVE": 512,
    "FXRSTOR": 512,
    "XSAVE": 576,
    "XRSTOR": 576,
    "XSAVEOPT": 576,
    "FNSAVE": 108,
    "FRSTOR": 108,
    "FNSTENV": 28,
    "FLDENV": 28,
}


FAR_SELECTORS = [int(n) for n in (*host_tables.SELECTORS, *system.FAR_SELECTORS)]


@dataclass(frozen=True)
class Instance:
    """One encoded instruction."""

    form: Form
    bits: int
    code: bytes
    places: tuple[Place, ...]
    address_bits: int
    rm_register: int | None = None  # number of the r/m operand when it is a register
    register: int | None = None  # ModRM.reg with REX.R
    immediate: int | None = None
    lock: bool = False


class _Dice:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def below(self, n: int) -> int:
        return int(self.rng.integers(0, n))

    def choice(self, items):
        return items[self.below(len(items))]


def demanded(form: Form, at: int, width: int) -> int | None:
    """What the form's encoding demands of a field of the decode key, or None if nothing."""
    field = ((1 << width) - 1) << at
    return (form.encoding.value & field) >> at if form.encoding.mask & field == field else None


def _operand_size(form: Form, bits: int, dice: _Dice) -> tuple[bool, int] | None:
    """(66 prefix, REX.W) that select the form's operand size; None: not in this mode."""
    e, size = form.encoding, form.osize
    wide = demanded(form, key.KEY_W, 1)
    if bits != 64:
        if wide or size == 64:
            return None
        return (size not in (0, bits)), 0
    if e.forced64:  # whatever the prefixes say
        if size not in (0, 64):
            return None
        prefixed = demanded(form, key.KEY_PP, 2) is None and demanded(form, key.KEY_OSIZE, 2) is None and dice.chance(0.15)
        return prefixed, wide if wide is not None else int(dice.chance(0.15))
    if size == 16:
        return (True, 0) if not wide else None
    if size == 32:
        return (False, 0) if not (e.default64 or wide) else None
    if size == 64:
        if wide == 0:
            return None
        rex_w = 0 if e.default64 and not wide and dice.chance(0.8) else 1
        return bool(rex_w and demanded(form, key.KEY_PP, 2) is None and dice.chance(0.1)), rex_w  # REX.W overrides 66
    return False, wide if wide is not None else int(dice.chance(0.1) and e.group > 0)


def _memory_16(dice: _Dice, width: int) -> tuple[int, int, bytes, Place | None]:
    mod, rm = dice.below(3), dice.below(8)
    base, index = ((3, 6), (3, 7), (5, 6), (5, 7), (6, None), (7, None), (5, None), (3, None))[rm]
    if mod == 0 and rm == 6:
        return mod, rm, struct.pack("<H", dice.below(1 << 16)), None
    displacement = 0
    tail = b""
    if mod == 1:
        displacement = dice.below(256) - 128
        tail = struct.pack("<b", displacement)
    elif mod == 2:
        displacement = dice.below(1 << 16) - (1 << 15)
        tail = struct.pack("<h", displacement)
    return mod, rm, tail, Place(base, index, 0, displacement, 16, width)


def _memory(dice: _Dice, bits: int, size: int, width: int, after: int, length: int, rex: int):
    """(mod, rm, SIB and displacement, rex, Place). `length` bytes lie before the ModRM byte, `after` behind the displacement."""
    kind = dice.rng.random()
    rm, tail, displacement, index, scale = dice.below(8), b"", 0, None, 0
    if kind < 0.06:  # absolute, or relative to RIP
        target = int(addresses(dice.rng, 1, width, 32)[0])
        there = Place(None, None, 0, target, size, width)
        if bits == 64 and dice.chance(0.6):
            relative = target - (CODE_START + length + 5 + after)
            return 0, 5, struct.pack("<i", relative), rex, there
        if bits == 64:
            return 0, 4, b"\x25" + struct.pack("<i", target), rex & ~3, there
        return 0, 5, struct.pack("<I", target), rex, there
    mod = dice.choice((0, 0, 1, 1, 2))
    base = rm | (rex & 1) << 3
    if rm == 4 or kind > 0.7:
        number = dice.below(8) | (rex & 2) << 2
        index = None if number == 4 else number
        scale, low = dice.below(4), dice.below(8)
        base = low | (rex & 1) << 3
        tail, rm = bytes([scale << 6 | (number & 7) << 3 | low]), 4
        if low == 5 and mod == 0:
            base, mod_size = None, 4
        else:
            mod_size = (0, 1, 4)[mod]
    else:
        mod = 1 if rm == 5 and mod == 0 else mod
        mod_size = (0, 1, 4)[mod]
    if mod_size == 1:
        displacement = dice.below(256) - 128
        tail += struct.pack("<b", displacement)
    elif mod_size == 4:
        displacement = dice.choice((0, 1, -1, 0x1000, -0x2000, 0x7FFFFFFF, -0x80000000, dice.below(1 << 32) - (1 << 31)))
        tail += struct.pack("<i", displacement)
    return mod, rm, tail, rex, Place(base, index, scale if index is not None else 0, displacement, size, width)


def _immediates(form: Form, bits: int, address: int, dice: _Dice) -> list[tuple[str, bytes]]:
    """(kind, bytes) of each immediate; the place of a relative target is settled later."""
    out = []
    for operand in form.operands:
        if operand.source != "imm":
            continue
        if operand.kind == "moffs":
            target = int(addresses(dice.rng, 1, max(operand.bits // 8, 1), bits)[0]) & ((1 << address) - 1)
            out.append(("moffs", target.to_bytes(address // 8, "little")))
            continue
        if operand.kind == "far":
            offset = dice.choice((CODE_START, 0x8000)) + 0x20 + dice.below(0x4000) if dice.chance(0.9) else dice.below(1 << 32)
            size, selector = operand.bits // 8 - 2, dice.choice(FAR_SELECTORS)
            out.append(("far", (offset & (1 << 8 * size) - 1).to_bytes(size, "little") + selector.to_bytes(2, "little")))
            continue
        letter, kind = operand.code[0], operand.code[1:]
        size = {"b": 8, "bs": 8, "w": 16, "d": 32, "q": 64}.get(kind) or (min(form.osize, 32) if kind == "z" else form.osize)
        if letter == "J":
            out.append(("rel", bytes(size // 8)))
            continue
        edges = [0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, (1 << size - 1) - 1, 1 << size - 1, (1 << size) - 1]
        value = dice.choice(edges) if dice.chance(0.5) else dice.below(1 << min(size, 62))
        out.append(("imm", (value & ((1 << size) - 1)).to_bytes(size // 8, "little")))
    return out


def _relative(size: int, length: int, dice: _Dice) -> bytes:
    """A displacement that does not lead back into the instruction of `length` bytes."""
    while True:
        if size == 1:
            value = dice.below(256) - 128
        elif size == 2 or dice.chance(0.9):
            value = dice.below(0xE000) - 0x7000
        else:
            value = dice.below(1 << 32) - (1 << 31)
        if not -length <= value < 0:
            return value.to_bytes(size, "little", signed=True)


def encode(form: Form, bits: int, seed) -> Instance | None:
    """A random instance of `form` for code of 16, 32 or 64 bits; the same seed, the same instance."""
    dice, e = _Dice(seed), form.encoding
    wanted = demanded(form, key.KEY_MODE + 1, 1)
    if e.space == "evex" or wanted is not None and wanted != int(bits == 64) or any(o.vsib for o in form.operands):
        return None
    if e.space == "vex" and form.osize == 64 and bits != 64:
        return None
    selected = _operand_size(form, bits, dice) if e.space == "legacy" else (False, 0)
    if selected is None:
        return None
    operand_prefix, wide = selected
    demand = demanded(form, key.KEY_ASIZE, 2)
    address = bits if dice.chance(0.9) else {16: 32, 32: 16, 64: 32}[bits]
    if demand is not None:
        address = (16, 32, 64)[demand]
        if address == 64 and bits != 64 or address == 16 and bits == 64:
            return None
    memory = form.memory if form.memory is not None else e.modrm and demanded(form, key.KEY_MOD3, 1) == 0
    touches = memory or any(o.kind in ("str", "moffs") for o in form.operands) or form.row.sem == "xlat"
    relevant = touches or form.row.sem.startswith(("loop", "jcxz"))
    if not relevant and demand is None:
        address = bits
    prefixes = b"" if address == bits else b"\x67"
    segment = None
    if touches and dice.chance(0.12):
        segment = dice.choice(("fs", "gs", "fs", "gs", "es", "cs", "ss", "ds"))
        prefixes += bytes([SEGMENT_PREFIXES[segment]])
    lock = bool(form.row.lock and memory and dice.chance(0.15))
    if lock or form.row.lock and dice.chance(0.02):
        prefixes += b"\xf0"
        lock = True
    if form.row.sem in COMPARED | REPEATED and dice.chance(0.6):
        prefixes += b"\xf2" if form.row.sem in COMPARED and dice.chance(0.5) else b"\xf3"
    if operand_prefix and demanded(form, key.KEY_PP, 2) != 0:
        prefixes += b"\x66"
    rex = wide << 3 | (dice.below(8) if dice.chance(0.5) else 0)
    if demanded(form, key.KEY_REXB, 1) == 0:
        rex &= ~1
    plain_rex = bool(bits == 64 and (rex or dice.chance(0.2)))
    if bits != 64:
        rex = 0
    opcode = e.opcode + (dice.below(8) if e.span == 8 else 0)
    pp = demanded(form, key.KEY_PP, 2) or 0
    vvvv = dice.below(16 if bits == 64 else 8) if any(o.source == "vvvv" for o in form.operands) else 0
    if e.space == "legacy":
        prefixes += PP[pp]
        head = ESCAPES[e.group] + bytes([opcode])
        length = len(prefixes) + int(plain_rex) + len(head)
    else:
        length = len(prefixes) + 4
    immediates = _immediates(form, bits, address, dice)
    after = sum(len(data) for _, data in immediates)
    tail, places, rm_register, register = b"", [], None, None
    width = next((o.bits // 8 for o in form.operands if o.kind == "mem"), 8) or BLOCKS.get(form.mnemonic, 16)
    if e.modrm:
        reg = demanded(form, key.KEY_REG, 3)
        reg = dice.below(8) if reg is None else reg
        if memory and address == 16:
            mod, rm, tail, place = _memory_16(dice, width)
        elif memory:
            mod, rm, tail, rex, place = _memory(dice, bits, address, width, after, length, rex)
        else:
            rm = demanded(form, key.KEY_RM, 3)
            rm = dice.below(8) if rm is None else rm
            mod, place = dice.below(4) if e.ignore_mod else 3, None
            rm_register = rm | (rex & 1) << 3
        tail = bytes([mod << 6 | reg << 3 | rm]) + tail
        register = reg | (rex & 4) << 1
        if place:
            places.append(Place(**{**place.__dict__, "segment": segment}))
    for operand in form.operands:
        if operand.kind == "str":
            base, own = (RSI, segment) if operand.source == "si" else (RDI, "es")
            places.append(Place(base, None, 0, 0, address, operand.bits // 8, own))
    if form.row.sem == "xlat":
        places.append(Place(RBX, None, 0, 0, address, 1, segment))
    if form.mnemonic.startswith("MASKMOV"):
        places.append(Place(RDI, None, 0, 0, address, form.operands[0].bits // 8, segment))
    if e.space == "legacy":
        code = prefixes + (bytes([0x40 | rex]) if plain_rex else b"") + head + tail
    else:
        code = prefixes + _vex(form, bits, rex, vvvv, pp, opcode) + tail
    total = len(code) + after
    immediate = None
    for kind, data in immediates:
        code += _relative(len(data), total, dice) if kind == "rel" else data
        immediate = int.from_bytes(data, "little") if kind == "imm" else immediate
    return Instance(form, bits, code, tuple(places), address, rm_register, register, immediate, lock)


def _vex(form: Form, bits: int, rex: int, vvvv: int, pp: int, opcode: int, wide: int | None = None) -> bytes:
    """The three-byte VEX prefix and the opcode. In 16- and 32-bit code the inverted bits stay set."""
    if wide is None:
        wide = demanded(form, key.KEY_W, 1)
        wide = int(form.osize == 64) if wide is None else wide
    length = {128: 0, 256: 1}.get(form.vector, 0)
    first = (~rex & 7) << 5 | (form.encoding.group - 8)
    second = wide << 7 | (~vvvv & 15) << 3 | length << 2 | pp
    return bytes([0xC4, first, second, opcode])


def unencodable(form: Form, bits: int) -> str | None:
    """Why `encode` makes nothing of a form in code of this size; None: it does."""
    if encode(form, bits, [0]) is not None:
        return None
    wanted = demanded(form, key.KEY_MODE + 1, 1)
    if wanted is not None and wanted != int(bits == 64):
        return "exists only in 64-bit code" if wanted else "does not exist in 64-bit code"
    if form.encoding.space == "evex" or any(o.vsib for o in form.operands):
        return "EVEX, or a vector of addresses"
    if form.encoding.space == "legacy" and _operand_size(form, bits, _Dice([0])) is not None:
        return "no prefixes give it its address size in this code size"
    return "no prefixes give it its operand size in this code size"


def spellings(form: Form, bits: int) -> Iterator[bytes]:
    """The form's opcode under every combination of what selects operand and address size: 66, 67, REX.W or VEX.W; zeros follow."""
    e, pp = form.encoding, demanded(form, key.KEY_PP, 2) or 0
    modrm = b""
    if e.modrm:
        mod, rm = (0, 0) if form.memory else (3, demanded(form, key.KEY_RM, 3) or 0)
        modrm = bytes([mod << 6 | (demanded(form, key.KEY_REG, 3) or 0) << 3 | rm])
    for prefixes in (b"", b"\x66", b"\x67", b"\x66\x67"):
        for wide in (0, 1):
            if e.space == "vex":
                head = _vex(form, bits, 0, 0, pp, e.opcode, wide)
            else:
                head = PP[pp] + (bytes([0x48]) if wide and bits == 64 else b"") + ESCAPES[e.group] + bytes([e.opcode])
            yield prefixes + head + modrm + bytes(12)


def decodes_to(instance: Instance) -> bool:
    """Whether our decoder sees the instance's form (or one that shares its row) in its bytes, all of them."""
    import isa

    seen = isa.decode(instance.code, bits=instance.bits)
    return seen is not None and seen.length == len(instance.code) and seen.row is instance.form.row
