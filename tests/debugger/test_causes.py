"""The cause chain of a triple fault: check(guest, what its lines say)."""

import pytest

from tests.debugger.test_guests import flat
from vmdbg.debugger.causes import triple_fault
from vmdbg.debugger.commands.interpreter import Interpreter

LIDT32, LIDT64 = "0f 01 1d 20 00 10 00", "0f 01 1c 25 20 00 10 00"  # lidt [0x100020]
IDT = "ff 0f 00 00 20 00 00 00 00 00"  # at 0x100020: limit FFF, base 0x200000


def program(code: str, *rest: str) -> bytes:
    """Code padded to 0x20 bytes, then the rest."""
    return bytes.fromhex(code).ljust(0x20, b"\x90") + bytes.fromhex("".join(rest))


def gate(low: str) -> str:
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
    ("no IDT", 32, program("0f0b"), ["#UD at 00100000: ud2", "gate 6 lies beyond the IDT's limit of 0x0, so #GP (IDT gate 0x06)"]),
    ("no IDT, double", 32, program("0f0b"), ["gate 13 lies beyond", "are one double fault, #DF", "gate 8 lies beyond"]),
    ("no IDT in long mode", 64, program("0f0b"), ["#UD at 00100000: ud2", "gate 6 lies beyond", "gate 13 lies beyond"]),
    ("real mode", 16, program("0f011e107c 0f0b")[:16] + bytes(16), ["#UD at 0000:7c05", "entry 6 lies beyond the IVT's limit of 0x0"]),
    ("empty gates", 32, program(LIDT32 + "0f0b", IDT), EMPTY),
    ("unmapped IDT", 64, program(LIDT64 + "0f0b", "ff0f 0000000000400000"), ["gate 6 itself is not mapped, so #PF", "gate 14 itself"]),
    ("not present", 32, far(gate("00000800 000e1000")), ["gate 6 at 0x200030 is not present, so #NP"]),
    ("no gate", 32, far(gate("00000800 008c1000")), ["gate 6 at 0x200030 has type 12, which is no gate"]),
    ("null code", 32, far(gate("00000000 008e1000")), ["gate 6 leads to selector 0x0000, which is null"]),
    ("beyond the GDT", 32, far(gate("00002800 008e1000")), ["0x0028, beyond the GDT's limit of 0x1f, so #GP (GDT selector 0x0028)"]),
    ("data", 32, far(gate("00001000 008e1000")), ["gate 6 leads to selector 0x0010, which is no code segment"]),
    ("int n", 32, program(LIDT32 + "cd80", IDT), ["#GP (IDT gate 0x80) at 00100007: int 0x80", "gate 13 at 0x200068 is empty"]),
]


@pytest.mark.parametrize("name, bits, code, words", CHAINS, ids=[c[0] for c in CHAINS])
def test_chain(tmp_path, name, bits, code, words):
    s = flat(tmp_path, code, "plain", bits=bits)
    assert s.run(limit=1000).has("shutdown")
    lines = triple_fault(s)
    at = 0
    for word in words:
        at = next((n for n in range(at, len(lines)) if word in lines[n]), -1)
        assert at >= 0, "\n".join([word, *lines])
    assert "shuts the CPU down" in lines[-1]


def test_the_command_that_ends_in_it_says_so(tmp_path):
    s = flat(tmp_path, b"\x90\x0f\x0b", "plain", bits=32)
    said = Interpreter(s).execute("continue")
    assert said[0] == "1: triple fault at 0x100001"
    assert "#UD at 00100001: ud2" in said[1]
