"""The cause chain of a triple fault: check(guest, what its lines say)."""

import pytest

from tests.debugger.broken_guests import BASE, DATA, NOT_CANONICAL, OTHER, TASK, UNMAPPED, USER_DATA, Broken, gate, segment
from tests.debugger.test_guests import flat
from vmdbg.debugger.causes import triple_fault
from vmdbg.debugger.commands.interpreter import Interpreter

LIDT32, LIDT64 = "0f 01 1d 20 00 10 00", "0f 01 1c 25 20 00 10 00"  # lidt [0x100020]
IDT = "ff 0f 00 00 20 00 00 00 00 00"  # at 0x100020: limit FFF, base 0x200000


def program(code: str, *rest: str) -> bytes:
    """Code padded to 0x20 bytes, then the rest."""
    return bytes.fromhex(code).ljust(0x20, b"\x90") + bytes.fromhex("".join(rest))


def write_gates(low: str) -> str:
    """Code for 32 bits that writes a gate, 8 bytes in memory order, as vectors 6, 8 and 13 of the IDT at 0x200000."""
    first, second = bytes.fromhex(low)[:4].hex(), bytes.fromhex(low)[4:].hex()
    return "".join(
        f"c705{(0x200000 + 8 * v + at).to_bytes(4, 'little').hex()}{half}" for v in (6, 8, 13) for at, half in ((0, first), (4, second))
    )


def far(code: str) -> bytes:
    """The same with the IDT's pseudo-descriptor in front, for programs longer than 0x20 bytes."""
    return bytes.fromhex("eb 3e").ljust(0x20, b"\x90") + bytes.fromhex(IDT).ljust(0x20, b"\x90") + bytes.fromhex(LIDT32 + code + "0f0b")


EMPTY = ["gate 6 at 0x200030 is empty", "gate 13 at 0x200068 is empty", "gate 8 at 0x200040 is empty"]
CHAINS = [
    ("no IDT", 32, program("0f0b"), ["#UD at 00100000: ud2", "gate 6 lies beyond the IDT's limit of 0x0, so 13 #GP(0x33), IDT gate 0x06"]),
    ("no IDT, double", 32, program("0f0b"), ["gate 13 lies beyond", "are one double fault, 8 #DF", "gate 8 lies beyond"]),
    ("no IDT in long mode", 64, program("0f0b"), ["#UD at 00100000: ud2", "gate 6 lies beyond", "gate 13 lies beyond"]),
    ("real mode", 16, program("0f011e107c 0f0b")[:16] + bytes(16), ["#UD at 0000:7c05", "entry 6 lies beyond the IVT's limit of 0x0"]),
    ("empty gates", 32, program(LIDT32 + "0f0b", IDT), EMPTY),
    ("unmapped IDT", 64, program(LIDT64 + "0f0b", "ff0f 0000000000400000"), ["gate 6 at 0x400000000060 itself is not", "gate 14 at"]),
    ("not present", 32, far(write_gates("00000800 000e1000")), ["gate 6 at 0x200030 is not present, so 11 #NP(0x33)"]),
    ("no gate", 32, far(write_gates("00000800 008c1000")), ["gate 6 at 0x200030 has type 12, which is no gate"]),
    ("null code", 32, far(write_gates("00000000 008e1000")), ["gate 6 leads to selector 0x0000, which is null"]),
    ("beyond the GDT", 32, far(write_gates("00002800 008e1000")), ["0x0028, beyond the GDT's limit of 0x1f, so 13 #GP(0x29), GDT sel"]),
    ("data", 32, far(write_gates("00001000 008e1000")), ["gate 6 leads to selector 0x0010, which is no code segment"]),
    ("int n", 32, program(LIDT32 + "cd80", IDT), ["13 #GP(0x402), IDT gate 0x80 at 00100007: int 0x80: gate 128 at", "gate 13 at"]),
]


UD2, RSP0, RSP, SS_AX = "0f 0b", "48 bc 0000000000000080 0f 0b", "48 bc 0800000000000000 6a00 6a00 6a00", "66b83800 8ed0"
SMALL = segment(0x93, 0x4, 0xFFF)  # a stack of 4 KiB, 32 bits
TO_TSS, PAGE = 0x85, 0x1000  # access of a task gate
# What is broken -> the rule that the first delivery breaks, then words of later lines
BROKEN = {
    "IDT ends before #GP": (
        Broken(32, idt_limit=8 * 8 - 1, code="fa cd 20"),
        ["13 #GP(0x102), IDT gate 0x20 at", "int 0x20: gate 32 lies beyond the IDT's limit of 0x3f", "gate 13 lies beyond"],
    ),
    "gate not present": (
        Broken(64, gates={6: gate(access=0x0E), 11: 0, 8: 0}),
        [
            "6 #UD at",
            "gate 6 at 0x100460 is not present, so 11 #NP(0x33)",
            "gate 11 at 0x1004b0 is empty, so 13 #GP(0x5b)",
            "#DF",
            "gate 8",
        ],
    ),
    "data selector": (
        Broken(64, gates={v: gate(DATA) for v in (6, 8, 13)}),
        ["gate 6 leads to selector 0x0010, which is no code segment, so 13 #GP(0x11), GDT selector 0x0010"],
    ),
    "32-bit code in long mode": (
        Broken(64, gates={v: gate(OTHER) for v in (6, 8, 13)}),
        ["gate 6 leads to selector 0x0038, which is no 64-bit code segment, so 13 #GP(0x39)"],
    ),
    "outer ring": (
        Broken(32, gates={v: gate(0x18) for v in (6, 8, 13)}),
        ["gate 6 leads to selector 0x0018 of ring 3, but events never go to an outer ring"],
    ),
    "stack overflow": (
        Broken(64, code=RSP),
        [
            "14 #PF(0x2), write of 0xfffffffffffffff8 by the supervisor, page not present at",
            "no place on the stack at rsp = 0x0: the page walk",
        ],
    ),
    "rsp not canonical": (
        Broken(64, code=RSP0),
        ["6 #UD at", "the stack at rsp = 0x8000000000000000 is not canonical, so 12 #SS(0x1)", "#DF", "the stack at rsp"],
    ),
    "stack overflow at the TSS's stack": (
        Broken(64, ring3=UD2, stack0=UNMAPPED),
        [
            "14 #PF(0x5), read of 0x100100 in ring 3, not permitted at",
            "the stack at RSP0 = 0x200000000000: the page walk of 0x1ffffffffff8 ends with PML4E 0x0, not present, so 14 #PF(0x2)",
        ],
    ),
    "IST not canonical": (
        Broken(64, gates={v: gate(ist=1) for v in (6, 8, 12)}, ist1=NOT_CANONICAL + PAGE),
        ["the stack at IST1 = 0x800000001000 is not canonical, so 12 #SS(0x1)"],
    ),
    "TSS without IST": (
        Broken(64, gates={v: gate(ist=1) for v in (6, 8, 10)}, tss_limit=0x1F),
        ["the TSS ends before IST1, the stack for gate 6 (limit 0x1f), so 10 #TS(0x29), GDT selector 0x0028"],
    ),
    "page fault in the IDT": (
        Broken(64, idt=UNMAPPED),
        ["gate 6 at 0x200000000060 itself is not mapped: the page walk of 0x200000000060 ends with PML4E 0x0", "gate 14 at 0x2000000000e0"],
    ),
    "page fault in the GDT": (
        Broken(64, gdt=UNMAPPED),
        ["gate 6 leads to selector 0x0008, whose descriptor at 0x200000000008 cannot be reached: the page walk", "14 #PF"],
    ),
    "handler not canonical": (
        Broken(64, gates={v: gate(offset=NOT_CANONICAL) for v in (6, 8, 13)}),
        ["the handler of gate 6, 0x800000000000, is not canonical, so 13 #GP(0x1)"],
    ),
    "handler beyond its segment": (
        Broken(32, gates={v: gate(OTHER) for v in (6, 8, 13)}, descriptors={OTHER: segment(0x9B, 0x4, 0xFFF)}),
        ["the handler of gate 6, 0x100140, lies beyond its segment's limit, so 13 #GP(0x1)"],
    ),
    "no room on a small stack": (
        Broken(32, code=SS_AX + "bc 00200000 0f0b", descriptors={OTHER: SMALL}),
        ["the stack ss:esp = 0038:00002000 has no room (limit 0xfff), so 12 #SS(0x1)", "the stack ss:esp"],
    ),
    "TSS without a stack": (
        Broken(32, ring3=UD2, tss_limit=0x67, ss0=0),
        ["gate 6 needs the stack SS0:ESP0, selector 0x0000, which is null, so 10 #TS(0x1)"],
    ),
    "TSS with a user's stack": (
        Broken(32, ring3=UD2, ss0=USER_DATA | 3),
        ["gate 6 needs the stack SS0:ESP0, selector 0x0023, whose RPL is not 0, so 10 #TS(0x21), GDT selector 0x0020"],
    ),
    "INT n from ring 3": (
        Broken(32, ring3="cd 06", gates={13: 0, 8: 0}),
        [
            "13 #GP(0x32), IDT gate 0x06 at",
            "int 6: gate 6 at 0x100430 has DPL 0: INT n in ring 3 may not use it",
            "gate 13 at 0x100468 is empty",
        ],
    ),
    "task gate to a busy TSS": (
        Broken(32, gates={v: gate(TASK, access=TO_TSS) for v in (6, 8, 13)}),
        ["task gate 6 leads to selector 0x0028, which is no TSS that is free, so 13 #GP(0x29)"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_guest(tmp_path, name):
    """The chain names the rule that each delivery broke; every line has vector and error code."""
    guest, words = BROKEN[name]
    s = flat(tmp_path, guest.image(), "plain", bits=guest.bits, load_address=BASE)
    stop = s.run(limit=1000)
    assert stop.has("shutdown"), stop.text
    check(triple_fault(s), words)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("ring3", ["", UD2])
def test_what_is_not_broken_is_delivered(tmp_path, bits, ring3):
    s = flat(tmp_path, Broken(bits, ring3=ring3).image(), "plain", bits=bits, load_address=BASE)
    assert s.run(limit=1000).has("halt")
    assert s.rip == BASE + 0x141


def check(lines, words):
    """The words are in the lines, in this order; several may be in one."""
    text, at = "\n".join(lines), 0
    for word in words:
        assert word in text[at:], "\n".join([word, *lines])
        at = text.index(word, at) + len(word)
    assert "shuts the CPU down" in lines[-1]


@pytest.mark.parametrize("name, bits, code, words", CHAINS, ids=[c[0] for c in CHAINS])
def test_chain(tmp_path, name, bits, code, words):
    s = flat(tmp_path, code, "plain", bits=bits)
    assert s.run(limit=1000).has("shutdown")
    check(triple_fault(s), words)


def test_the_command_that_ends_in_it_says_so(tmp_path):
    s = flat(tmp_path, b"\x90\x0f\x0b", "plain", bits=32)
    said = Interpreter(s).execute("continue")
    assert said[0] == "1: triple fault at 0x100001"
    assert "#UD at 00100001: ud2" in said[1]
