"""States made to suit one instruction: memory operands in the window, equal operands for CMPXCHG, valid images for FXRSTOR ..."""

import numpy as np

from . import host_tables, system
from .encode import Instance
from .layout import CODE, CODE_SIZE, CODE_START, RAX, RDX, RSP, STATE, WINDOW, WINDOW_SIZE
from .states import Place, aim, segment_base

_M64 = (1 << 64) - 1
BIT_STRINGS = frozenset("bt_memory bts_memory btr_memory btc_memory".split())  # the register is an offset
SELECTOR_OPERAND = frozenset("lar lsl verr verw mov_to_seg lldt ltr".split())
FAR = frozenset("pop_seg les lds lss lfs lgs jmp_far jmp_far_memory call_far call_far_memory ret_far ret_far_imm iret".split())


def effective(place: Place, states: np.ndarray, bits: int = 64) -> np.ndarray:
    """The linear addresses of a memory operand."""
    gpr = states["gpr"]
    address = np.full(len(states), place.displacement & _M64, np.uint64)
    if place.base is not None:
        address = address + gpr[:, place.base]
    if place.index is not None:
        address = address + (gpr[:, place.index] << np.uint64(place.scale))
    address = address & np.uint64((1 << place.size) - 1)
    base = segment_base(states, place, bits)
    address = address if base is None else address + base
    return address if bits == 64 else address & np.uint64(0xFFFFFFFF)


def _inside(addresses: np.ndarray, width: int) -> np.ndarray:
    offset = addresses - np.uint64(WINDOW)
    return offset <= WINDOW_SIZE - width


def plant(states: np.ndarray, addresses: np.ndarray, data: np.ndarray, chosen: np.ndarray) -> None:
    """Store row i of `data` (bytes) at addresses[i] of state i, where chosen and wholly inside the window."""
    width = data.shape[1]
    rows = np.flatnonzero(chosen & _inside(addresses, width))
    offset = (addresses[rows] - np.uint64(WINDOW)).astype(np.intp)
    states["window"][rows[:, None], offset[:, None] + np.arange(width)] = data[rows]


def peek(states: np.ndarray, addresses: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(which states have `width` bytes there, their bytes)."""
    rows = np.flatnonzero(_inside(addresses, width))
    offset = (addresses[rows] - np.uint64(WINDOW)).astype(np.intp)
    return rows, states["window"][rows[:, None], offset[:, None] + np.arange(width)]


def _words(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.astype("<u8")).view(np.uint8).reshape(len(values), 8)


def _near_code(rng: np.random.Generator, count: int) -> np.ndarray:
    return (CODE + 0x100 + rng.integers(0, CODE_SIZE // 4, count)).astype(np.uint64)


def _before(instance: Instance, states: np.ndarray, rng: np.random.Generator) -> None:
    """What must be settled before the memory operand is aimed."""
    form, gpr, count = instance.form, states["gpr"], len(states)
    chosen = rng.random(count) < 0.8
    if form.row.sem in BIT_STRINGS:
        gpr[chosen, instance.register] = rng.integers(-4000, 4000, count).astype(np.int64).view(np.uint64)[chosen]
    if form.mnemonic.startswith(("XSAVE", "XRSTOR")):
        gpr[:, RDX] = 0
        gpr[:, RAX] &= 3
    if form.mnemonic.startswith("PCMPESTR"):
        for register in (RAX, RDX):
            gpr[chosen, register] = rng.integers(-20, 20, count).astype(np.int64).view(np.uint64)[chosen]


def _compared(instance: Instance, states: np.ndarray, rng: np.random.Generator) -> None:
    """CMPXCHG and its kin: the accumulator equals the destination half the time."""
    form, gpr = instance.form, states["gpr"]
    used = {r for p in instance.places for r in (p.base, p.index)}
    half = rng.random(len(states)) < 0.5
    if form.row.sem == "cmpxchg" and not form.memory:
        high = form.operands[0].bits == 8
        if not high and instance.rm_register not in (RAX, RSP):
            gpr[half, RAX] = gpr[half, instance.rm_register]
        return
    if not instance.places or used & {RAX, RDX}:
        return
    width = {"cmpxchg8b": 8, "cmpxchg16b": 16}.get(form.row.sem, 8)
    rows, data = peek(states, effective(instance.places[0], states, instance.bits), width)
    words = data.view("<u4" if width == 8 else "<u8")
    rows, words = rows[half[rows]], words[half[rows]]
    if form.row.sem == "cmpxchg":
        gpr[rows, RAX] = words[:, 0] | words[:, 1].astype(np.uint64) << np.uint64(32)
    else:
        gpr[rows, RAX], gpr[rows, RDX] = words[:, 0], words[:, 1]


def _images(instance: Instance, states: np.ndarray, rng: np.random.Generator) -> None:
    """What loads a control word or a whole image finds a valid one most of the time."""
    mnemonic, count = instance.form.mnemonic, len(states)
    if not instance.places:
        return
    where = effective(instance.places[0], states, instance.bits)
    chosen = rng.random(count) < 0.85
    other = rng.permutation(count)
    size, at = states.dtype.itemsize, STATE.fields["fx"][1]
    images = states.view(np.uint8).reshape(count, size)[:, at : at + 512][other]
    if mnemonic in ("LDMXCSR", "VLDMXCSR"):
        plant(states, where, images[:, 24:28], chosen)
    elif mnemonic.startswith("FXRSTOR"):
        plant(states, where, images, chosen)
    elif mnemonic.startswith("XRSTOR"):
        header = np.zeros((count, 64), np.uint8)
        header[:, 0] = rng.integers(0, 4, count)
        plant(states, where, np.concatenate([images, header], axis=1), chosen)
    elif mnemonic == "FBLD":
        digits = rng.integers(0, 10, (count, 10), np.uint8) | rng.integers(0, 10, (count, 10), np.uint8) << 4
        digits[:, 9] = rng.choice([0, 0x80], count)
        plant(states, where, digits, chosen)


def _selectors(states: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Selectors that are something in the states' descriptor tables."""
    return rng.choice(np.array(system.FAR_SELECTORS, np.uint64) if "segment" in states.dtype.names else host_tables.SELECTORS, count)


def _joined(columns: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Rows of bytes: in each the columns' values one after the other, in so many bytes each."""
    return np.concatenate([_words(values)[:, :size] for values, size in columns], axis=1)


def _far(instance: Instance, states: np.ndarray, rng: np.random.Generator) -> None:
    """Selectors and targets of segment loads and far transfers."""
    form, count, sem = instance.form, len(states), instance.form.row.sem
    chosen, selectors = rng.random(count) < 0.85, _selectors(states, rng, count)
    target = np.where(rng.random(count) < 0.5, _near_code(rng, count), CODE_START + 0x20 + rng.integers(0, 0x6000, count).astype(np.uint64))
    target = np.where(rng.random(count) < (0.9 if instance.bits == 64 else 0.6), target, target & np.uint64(0xFFFF))
    memory = effective(instance.places[0], states, instance.bits) if instance.places else None
    size = form.osize // 8
    stack = stack_address(states, instance.bits)
    if sem in SELECTOR_OPERAND:
        if memory is not None:
            plant(states, memory, _words(selectors)[:, :2], chosen)
        elif instance.rm_register not in (None, RSP):
            upper = states["gpr"][:, instance.rm_register] & ~np.uint64(0xFFFF)
            states["gpr"][chosen, instance.rm_register] = (upper | selectors)[chosen]
    elif sem == "pop_seg":
        plant(states, stack, _words(selectors)[:, :2], chosen)
    elif memory is not None:  # far pointers
        plant(states, memory, _joined([(target, size), (selectors, 2)]), chosen)
    elif sem.startswith("ret"):
        plant(states, stack, _joined([(target, size), (selectors, size)]), chosen)
    elif sem.startswith("iret"):
        flags = rng.integers(0, 1 << 22, count).astype(np.uint64) & ~np.uint64(0x100)
        columns = [target, selectors, flags, states["gpr"][:, RSP], _selectors(states, rng, count)]
        plant(states, stack, _joined([(column, size) for column in columns]), chosen)


def stack_address(states: np.ndarray, bits: int) -> np.ndarray:
    """The linear address of the top of the stack."""
    top = states["gpr"][:, RSP]
    if bits == 64 or "segment" not in states.dtype.names:
        return top
    stack = states["segment"][:, system.SS]
    return stack["base"] + np.where(stack["attributes"] & 0x4000 != 0, top, top & np.uint64(0xFFFF))


def suit(instance: Instance, states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change `states` in place so that most of them give the instruction something to do; returns them."""
    count, sem = len(states), instance.form.row.sem
    _before(instance, states, rng)
    for place in instance.places:
        aim(rng, states, place, instance.bits)
    if sem.startswith("cmpxchg"):
        _compared(instance, states, rng)
    half = rng.random(count) < 0.6
    if sem in ("jmp_indirect", "call_indirect"):
        if instance.places:
            plant(states, effective(instance.places[0], states, instance.bits), _words(_near_code(rng, count)), half)
        elif instance.rm_register not in (None, RSP):
            states["gpr"][half, instance.rm_register] = _near_code(rng, count)[half]
    if sem == "ret":
        plant(states, states["gpr"][:, RSP], _words(_near_code(rng, count)), half)
    if sem in SELECTOR_OPERAND or sem in FAR:
        _far(instance, states, rng)
    _images(instance, states, rng)
    if instance.bits != 64:
        states["gpr"] &= np.uint64(0xFFFFFFFF)
    return states
