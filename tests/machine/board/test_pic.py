"""The 8259As, driven as a guest drives them: scripts of writes, lines and acknowledge cycles (8259A data sheet)."""

import random

import pytest

from vmdbg.machine.board.pic import Pic

INIT = "20=11 21=20 21=04 21=01 a0=11 a1=28 a1=02 a1=01"


def run(script: str, pic: Pic | None = None) -> list[int]:
    """Results of a script: `20=11` writes, `20?` reads, `+3` and `-3` move IRQ 3, `ack` acknowledges, `intr` gives INTR."""
    p = pic or Pic()
    ports = {
        0x20: (p.chip(0), 0),
        0x21: (p.chip(0), 1),
        0xA0: (p.chip(1), 0),
        0xA1: (p.chip(1), 1),
        0x4D0: (p.elcr(), 0),
        0x4D1: (p.elcr(), 1),
    }
    out = []
    for word in script.split():
        if word == "ack":
            out.append(p.acknowledge())
        elif word == "intr":
            out.append(int(p.state["output"]))
        elif word[0] in "+-":
            p.set_line(int(word[1:]), word[0] == "+")
        elif word.endswith("?"):
            device, offset = ports[int(word[:-1], 16)]
            out.append(device.read(offset, 1))
        else:
            port, value = (int(x, 16) for x in word.split("="))
            device, offset = ports[port]
            device.write(offset, 1, value)
    return out


@pytest.mark.parametrize(
    "script, expected",
    [
        (f"{INIT} intr +0 intr ack intr 20=0b 20?", [0, 1, 0x20, 0, 1]),  # one request, in service
        (f"{INIT} +3 +1 ack ack", [0x21, 0x27]),  # 1 before 3; 3 waits for the EOI: nothing is left, spurious
        (f"{INIT} +3 +1 ack 20=20 ack", [0x21, 0x23]),
        (f"{INIT} +3 ack +1 ack", [0x23, 0x21]),  # nesting
        (f"{INIT} +9 ack 20=0b 20? a0=0b a0?", [0x29, 0x04, 0x02]),  # through the cascade
        (f"{INIT} +9 ack +8 intr", [0x29, 0]),  # not specially nested: the master serves IR2
        ("20=11 21=20 21=04 21=11 a0=11 a1=28 a1=02 a1=01 +9 ack +8 intr ack", [0x29, 1, 0x28]),  # specially nested
        (f"{INIT} +4 -4 intr ack 20=0b 20?", [0, 0x27, 0]),  # gone before INTA: spurious, nothing in service
        (f"{INIT} +12 intr", [1]),
        (f"{INIT} 21=02 +1 intr 21=00 intr ack", [0, 1, 0x21]),  # masked requests wait
        (f"{INIT} +1 ack 20=20 intr", [0x21, 0]),  # an edge counts once
        (f"{INIT} 4d0=20 +5 ack 20=20 intr ack", [0x25, 1, 0x25]),  # a level counts until it is gone
        (f"{INIT} 4d0=ff 4d1=ff 4d0? 4d1?", [0xF8, 0xDE]),
        (f"{INIT} 20=c3 +3 +4 ack", [0x24]),  # set priority: 3 is lowest
        (f"{INIT} +4 ack 20=a0 +5 -4 +4 ack", [0x24, 0x25]),  # rotate on EOI
        (f"{INIT} +4 ack 20=64 20=0b 20?", [0x24, 0]),  # specific EOI
        (f"{INIT} +4 ack 20=e4 +5 -4 +4 ack", [0x24, 0x25]),  # rotate on specific EOI
        ("20=11 21=20 21=04 21=03 +1 ack 20=0b 20?", [0x21, 0]),  # automatic EOI
        ("20=11 21=20 21=04 21=03 20=80 +1 ack -1 +1 +3 ack", [0x21, 0x23]),  # ... that rotates
        (f"{INIT} +1 ack 20=68 21=02 +4 ack", [0x21, 0x24]),  # special mask lets lower ones through
        (f"{INIT} +6 20=0c 20? 20=0b 20?", [0x86, 0x40]),  # poll acknowledges
        (f"{INIT} 20=0c 20?", [0]),
        (f"{INIT} 21=5a 21?", [0x5A]),
        ("20=13 21=40 21=01 21=aa 21? +0 21=00 ack", [0xAA, 0x40]),  # single: no ICW3
        ("20=12 21=40 21=55 21?", [0x55]),  # single, no ICW4
        (f"{INIT} +1 20=11 21=20 21=04 21=01 intr", [0]),  # ICW1 forgets edges
        (f"{INIT} +9 ack a0=20 20=20 -9 +15 ack", [0x29, 0x2F]),
        (f"{INIT} +15 ack 20=0b 20?", [0x2F, 4]),
        (f"{INIT} 20=0a +6 20?", [0x40]),
    ],
)
def test_scripts(script, expected):
    assert run(script) == expected


def test_spurious_from_the_slave():
    """The slave's request goes while the master is asked: IRQ 15's vector, and only the master serves."""
    p = Pic()
    run(INIT, p)
    p.set_line(9, True)
    p.state["chips"][1]["irr"] = 0
    assert p.acknowledge() == 0x2F
    assert (int(p.state["chips"][0]["isr"]), int(p.state["chips"][1]["isr"])) == (4, 0)


def test_intr_is_told_once():
    levels = []
    p = Pic(levels.append)
    run(f"{INIT} +1 +2 +3 ack 20=20 ack", p)
    assert levels == [True, False, True, False]


def test_nothing_before_icw1():
    assert run("+1 21=00 intr") == [0]
    assert run("+1 20=11 21=20 21=04 21=01 intr -1 +1 ack") == [0, 0x21]


def test_words_reach_both_ports():
    p = Pic()
    p.chip(0).write(0, 2, 0x2011)
    assert int(p.state["chips"][0]["base"]) == 0x20
    assert p.chip(0).read(1, 4) >> 8 == 0xFFFFFF


@pytest.mark.parametrize("seed", range(20))
def test_random_scripts(seed):
    """Any writes, reads, lines: bytes come back, and with INTR up an acknowledge is served unless the IR7 rule says otherwise."""
    r = random.Random(seed)
    p = Pic()
    devices = [p.chip(0), p.chip(1), p.elcr()]
    for _ in range(150):
        d, offset, width = r.choice(devices), r.randrange(2), r.choice((1, 2, 4))
        what = r.randrange(4)
        if what == 0:
            assert 0 <= d.read(offset, width) < 1 << 8 * width
        elif what == 1:
            d.write(offset, width, r.getrandbits(8 * width))
        elif what == 2:
            p.set_line(r.randrange(16), r.random() < 0.5)
        else:
            assert 0 <= p.acknowledge() < 256
