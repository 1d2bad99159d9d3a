"""States and code that exercise what is privileged: selectors of every kind of descriptor, frames, gates, registers, ports.

`cases(kind, rng)` yields (code, prepare): the bytes of an instruction and what to do to the states it starts from.
"""

from collections.abc import Callable, Iterator
from random import Random

import numpy as np

from tests.oracles.layout import CODE, WINDOW
from tests.oracles.system import CALL_GATE, CALL_GATE_0, SELECTORS, SS, TABLES, TASK_GATE, Kind

ALL = [s[0] for s in SELECTORS.values()] + [CALL_GATE, CALL_GATE_0, TASK_GATE, 4, 0xC, 0x17, 0x1F, 0, 3, 0xF8, 0x100, 0x24, 0x1000]
RAX, RCX, RDX, RBX, RSP, RDI = 0, 1, 2, 3, 4, 7
FRAME = WINDOW + 0x1000
FLAG_CHANGES = [0, 0x3000, 0x200, 0x4000, 0x20000, 0x10000, 0x180000, 0x40000, 0x200000, 8, 0xFFC00000]
MSRS = [0x174, 0x175, 0x176, 0xC0000080, 0xC0000081, 0xC0000082, 0xC0000084, 0xC0000100, 0xC0000101, 0xC0000102, 0x1234]
CR_BITS = [1, 2, 3, 5, 16, 18, 29, 30, 17, 20, 11, 13, 28, 40]
SELECTOR_CODE = "8ED8 8EC0 8EE0 8EE8 8ED0 8EC8 0F02D8 0F03D8 0F00E0 0F00E8 0F00D0 0F00D8 0F00C0 0F00C8 63C3 0F01E0 660F02D8 660F03D8"
POPS, FAR_LOADS = "07 1F 17 0FA1 0FA9", "C50F C40F 0FB20F 0FB40F 0FB50F FF2F FF1F"
CONTROL = "0F20C0 0F20D8 0F20E0 0F22C0 0F22D8 0F22D0 0F21C0 0F23C0 0F21F0 0F23F0 0F21E0 0F06 0F01FE 440F22C0 440F20C0 0F22C8"
PLAIN = """CC CD30 CD31 CD00 CD0D CE F1 CD21 CD02 FA FB 9C F4 0F01F8 0F01CA 0F01CB 0F05 0F07 480F07 0F34 0F35 480F35 0F0B 6C 6E E440
    E610 EC EE 66EF 0F08 0F09 0F0100 0F0108 F30FAEC0 F30FAED8 F3480FAED0 0F30 0F32"""

Prepare = Callable[[np.ndarray], None]


def selector(rng: Random) -> int:
    """A selector, sometimes with another RPL."""
    s = rng.choice(ALL)
    return s & ~3 | rng.randrange(4) if rng.random() < 0.25 else s


def put(state: np.ndarray, linear: int, value: int, size: int) -> None:
    """Write to the window or the tables of a state, as far as it lies in them."""
    for base, array in ((WINDOW, state["window"]), (TABLES, state["tables"])):
        offset = linear - base
        if 0 <= offset and offset + size <= len(array):
            array[offset : offset + size] = np.frombuffer((value & (1 << 8 * size) - 1).to_bytes(size, "little"), np.uint8)


def word_size(kind: Kind, prefix: str) -> int:
    """Operand size in bytes."""
    return {"": 2 if kind.bits == 16 else 4, "48": 8, "66": 4 if kind.bits == 16 else 2}[prefix]


def place_stack(kind: Kind, rng: Random, size: int, words: Callable[[np.ndarray], list[int]]) -> Prepare:
    def prepare(states):
        for s in states:
            base = int(s["segment"]["base"][SS]) if kind.bits != 64 else 0
            at = FRAME + rng.choice([0, 1, 0x400, 0x7F8]) - 0x400
            s["gpr"][RSP] = at - base & 0xFFFFFFFF
            for n, w in enumerate(words(s)):
                put(s, at + n * size, w, size)

    return prepare


def with_register(number: int, value: Callable[[np.ndarray], int]) -> Prepare:
    def prepare(states):
        for s in states:
            s["gpr"][number] = value(s)

    return prepare


def offsets(kind: Kind, size: int) -> list[int]:
    """Where far transfers go: to what is mapped, as far as the operand size reaches, or beyond limits."""
    if kind.flat:
        return [CODE + 0x100, CODE + 0x8100]
    return [0x8100, 0x100, 0x10000 if size > 2 else 0x200]


def far_direct(kind: Kind, rng: Random) -> Iterator[tuple[bytes, Prepare | None]]:
    if kind.bits == 64:
        return
    for opcode in ("EA", "9A"):
        for prefix in ("", "66"):
            size = word_size(kind, prefix)
            target = rng.choice(offsets(kind, size)) & (1 << 8 * size) - 1
            yield bytes.fromhex(prefix + opcode) + target.to_bytes(size, "little") + selector(rng).to_bytes(2, "little"), None


def returns(kind: Kind, rng: Random) -> Iterator[tuple[bytes, Prepare | None]]:
    for opcode in ("CF", "CB", "CA0800"):
        for prefix in ("", "66") if kind.bits != 64 else ("", "48", "66"):
            size = word_size(kind, prefix)

            def words(s, opcode=opcode, size=size):
                target, flags = rng.choice(offsets(kind, size)), int(s["rflags"]) ^ rng.choice(FLAG_CHANGES)
                if opcode == "CF":
                    return [target, selector(rng), flags, WINDOW + 0x800, *(selector(rng) for _ in range(5))]
                gap = [0] * (8 // size) if opcode == "CA0800" else []
                return [target, selector(rng), *gap, WINDOW + 0x800, selector(rng)]

            yield bytes.fromhex(prefix + opcode), place_stack(kind, rng, size, words)


def loads(kind: Kind, rng: Random) -> Iterator[tuple[bytes, Prepare | None]]:
    for code in SELECTOR_CODE.split():
        yield bytes.fromhex(code), with_register(RAX, lambda s: int(s["gpr"][RAX]) & ~0xFFFF | selector(rng))
    for code in POPS.split():
        if kind.bits != 64 or code.startswith("0F"):
            yield bytes.fromhex(code), place_stack(kind, rng, kind.bits // 8, lambda s: [selector(rng)])
    for code in FAR_LOADS.split():
        for prefix in ("", "66") if kind.bits != 64 else ("", "48", "66"):
            if kind.bits == 64 and code.startswith("C"):
                continue
            size = word_size(kind, prefix)

            def prepare(states, size=size):
                for s in states:
                    base = int(s["segment"]["base"][3]) if kind.bits != 64 else 0
                    s["gpr"][RBX] = s["gpr"][RDI] = FRAME + 0x10 - base & 0xFFFFFFFF
                    put(s, FRAME + 0x10, rng.choice(offsets(kind, size)), size)
                    put(s, FRAME + 0x10 + size, selector(rng), 2)

            yield bytes.fromhex(prefix + code), prepare


def registers(kind: Kind, rng: Random) -> Iterator[tuple[bytes, Prepare | None]]:
    for code in CONTROL.split():
        if kind.bits != 64 and code.startswith("44"):
            continue
        current = {"0F22C0": "cr0", "0F22D8": "cr3"}.get(code)

        def value(s, current=current):
            if current:
                return int(s[current]) ^ 1 << rng.choice(CR_BITS)
            return rng.choice([0, 5, 0xF, 0x10, 0xFFFFFFFF, 1 << 40, 0x2000])

        yield bytes.fromhex(code), with_register(RAX, value)


def others(kind: Kind, rng: Random) -> Iterator[tuple[bytes, Prepare | None]]:
    for code in PLAIN.split():
        if kind.bits != 64 and code.startswith("48"):
            continue

        def prepare(states, code=code):
            for s in states:
                gpr = s["gpr"]
                if code in ("0F30", "0F32"):
                    gpr[RCX], gpr[RAX] = rng.choice(MSRS), rng.choice([0, 1, 0x100, 0xFFFFFFFF])
                    gpr[RDX] = rng.choice([0, 0, 0xFFFF8000])
                    if gpr[RCX] in (0x174, 0xC0000084):
                        gpr[RDX] = 0
                elif code in ("0F07", "480F07", "0F35", "480F35"):
                    gpr[RCX], gpr[RDX] = rng.choice([0x123456, 1 << 50, CODE]), rng.choice([0x123456, 1 << 50, CODE])
                elif code in ("6C", "6E", "EC", "EE", "66EF"):
                    gpr[RDX] = rng.choice([0, 5, 0x3F, 0x40, 0x1234, 0xFFFF])

        yield bytes.fromhex(code), prepare


def cases(kind: Kind, rng: Random) -> Iterator[tuple[bytes, Prepare | None]]:
    for family in (far_direct, returns, loads, registers, others):
        yield from family(kind, rng)
