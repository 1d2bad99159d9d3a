"""The keyboard controller, its keyboard and mouse, port 92, driven as a guest drives them (IBM PS/2 TR)."""

import random

import pytest

from vmdbg.machine.board.i8042 import I8042
from vmdbg.machine.board.port92 import Port92
from vmdbg.machine.board.scan_codes import KEYS, TO_SET_1, keys_of


def board():
    log = []
    k = I8042(
        lambda level: log.append(("irq1", level)) if level else None,
        lambda level: log.append(("irq12", level)) if level else None,
        lambda on: log.append(("a20", on)),
        lambda: log.append(("reset",)),
    )
    return k, log


def drain(k):
    """What waits, as (from the mouse, byte)."""
    out = []
    while (status := k.read(4, 1)) & 1:
        out.append((bool(status & 0x20), k.read(0, 1)))
    return out


def run(script, k=None):
    """`c=AA` writes port 64, `d=FF` port 60; returns the bytes that come, those of the mouse + 100h."""
    k = k or board()[0]
    out = []
    for word in script.split():
        k.write(4 if word[0] == "c" else 0, 1, int(word[2:], 16))
        out += [mouse << 8 | byte for mouse, byte in drain(k)]
    return out


@pytest.mark.parametrize(
    "script, expected",
    [
        ("c=aa", [0x55]),
        ("c=ab", [0]),
        ("c=a9", [0]),
        ("c=20", [0x65]),
        ("c=60 d=47 c=20", [0x47]),
        ("c=d0", [0xCF]),
        ("c=c0", [0x80]),
        ("c=65 d=5a c=25", [0x5A]),
        ("c=d2 d=33", [0x33]),
        ("c=d3 d=33", [0x133]),
        ("c=ad c=20", [0x75]),
        ("d=ff", [0xFA, 0xAA]),
        ("d=ee", [0xEE]),
        ("d=f2", [0xFA, 0xAB, 0x41]),  # translated
        ("c=60 d=05 d=f2", [0xFA, 0xAB, 0x83]),
        ("d=ed d=07", [0xFA, 0xFA]),
        ("c=60 d=05 d=f0 d=00", [0xFA, 0xFA, 2]),
        ("d=00", [0xFE]),
        ("c=a8 c=d4 d=ff", [0x1FA, 0x1AA, 0x100]),
        ("c=d4 d=f2", [0x1FA, 0x100]),
        ("c=d4 d=f3 c=d4 d=64 c=d4 d=f4 c=d4 d=e9", [0x1FA, 0x1FA, 0x1FA, 0x1FA, 0x120, 0x102, 0x164]),
        ("c=d4 d=eb", [0x1FA, 0x108, 0x100, 0x100]),
        ("c=d4 d=01", [0x1FE]),
        ("c=12", []),
    ],
)
def test_scripts(script, expected):
    assert run(script) == expected


def test_keys_come_translated_and_one_at_a_time():
    k, log = board()
    k.key("a")
    k.key("a", False)
    k.key("right")
    assert log == [("irq1", True)]
    assert [byte for _, byte in drain(k)] == [0x1E, 0x9E, 0xE0, 0x4D]
    assert log == [("irq1", True)] * 4
    k.key("right", False)
    assert [byte for _, byte in drain(k)] == [0xE0, 0xCD]


def test_a_disabled_keyboard_keeps_its_bytes():
    k, _ = board()
    k.write(4, 1, 0xAD)
    k.key("b")
    assert not k.read(4, 1) & 1
    k.write(4, 1, 0xAE)
    assert [byte for _, byte in drain(k)] == [0x30]


def test_its_ring_has_an_end():
    k, _ = board()
    taken = sum(k.key("x") for _ in range(40))
    assert taken == 17  # one in the output buffer
    assert len(drain(k)) == 17


def test_translation_is_that_of_the_83_keys():
    made = [TO_SET_1[KEYS[name][0]] for name in KEYS if len(KEYS[name]) == 1]
    assert made == [*range(1, 84 - 0)][:83] + [0x57, 0x58]


@pytest.mark.parametrize(
    "character, keys", [("a", ("a",)), ("A", ("shift", "a")), ("?", ("shift", "/")), ("\n", ("enter",)), ("\x03", ("ctrl", "c")), ("é", ())]
)
def test_characters(character, keys):
    assert keys_of(character) == keys


def test_gate_and_reset():
    k, log = board()
    run("c=d1 d=dd c=d1 d=df c=dd c=df", k)
    assert log == [("a20", False), ("a20", True), ("a20", False), ("a20", True)]
    del log[:]
    run("c=fe", k)
    run("c=d1 d=02", k)
    assert log == [("reset",), ("a20", True), ("reset",)]


def test_port_92():
    log = []
    p = Port92(lambda on: log.append(on), lambda: log.append("reset"))
    assert p.read(0, 1) == 2
    p.write(0, 1, 0)
    p.write(0, 1, 3)
    p.write(0, 1, 3)
    p.gate(False)
    assert (log, p.read(0, 1)) == ([False, True, "reset", True], 1)


@pytest.mark.parametrize("seed", range(20))
def test_random_scripts(seed):
    r = random.Random(seed)
    k, _ = board()
    for _ in range(200):
        width = r.choice((1, 2, 4))
        what = r.randrange(4)
        if what == 0:
            assert 0 <= k.read(r.choice((0, 4)), width) < 1 << 8 * width
        elif what == 3:
            k.key(r.choice(list(KEYS)), r.random() < 0.5)
        else:
            k.write(r.choice((0, 4)), width, r.choice((r.getrandbits(8 * width), r.choice((0xD1, 0xD4, 0x60, 0xFF, 0xF2)))))
