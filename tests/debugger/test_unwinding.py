"""The stack of calls: by call frame information, by frame pointers, through interrupts; and `finish`, on code made for it."""

import pytest

from tests.debugger.dwarf_builder import frames as debug_frame
from tests.debugger.dwarf_builder import program, uleb
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.dwarf.debug import Debug
from vmdbg.debugger.dwarf.values import Unknown, evaluate
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.symbols import Symbols
from vmdbg.debugger.unwinding import MOST, frames
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

AT = 0x100000


def assembled(text: str) -> tuple[bytes, dict[str, int]]:
    """'name: bytes ; comment' a line; names by offset."""
    code, names = bytearray(), {}
    for line in text.strip().splitlines():
        name, colon, rest = line.partition(";")[0].rpartition(":")
        if colon:
            names[name.strip()] = len(code)
        code += bytes.fromhex(rest)
    return bytes(code), names


def session(tmp_path, text: str, bits: int, base: int = AT, debug: bytes | None = None):
    code, names = assembled(text)
    path = tmp_path / "flat.bin"
    path.write_bytes(code)
    found = None
    if debug is not None:
        (tmp_path / "debug.elf").write_bytes(debug)
        found = Debug(tmp_path / "debug.elf")
    symbols = Symbols({name: base + offset for name, offset in names.items()}, debug=found)
    s = open_bare(load_guest(path, Options(bits=bits, format="flat")), engine="plain", symbols=symbols)
    return s, symbols.table


def names(s, most: int = MOST) -> list[str]:
    return [(s.symbols.near(f.at) or "?").partition("+")[0] for f in frames(s, most)]


# Without frame pointers: only the tables know how far the stack has come
FRAMELESS = """
start:  e8 02 00 00 00          ; call outer
        f4 90                   ; hlt
outer:  53                      ; push ebx
        83 ec 10                ; sub esp, 16
        e8 05 00 00 00          ; call inner
        83 c4 10                ; add esp, 16
        5b c3                   ; pop ebx; ret
inner:  31 ed                   ; xor ebp, ebp
        90 c3                   ; nop; ret
"""
TABLES = debug_frame(
    [
        (AT + 7, 14, b"\x41\x0e" + uleb(8) + b"\x83" + uleb(2) + b"\x43\x0e" + uleb(24) + b"\x48\x0e" + uleb(8) + b"\x41\x0e" + uleb(4)),
        (AT + 21, 4, b""),
    ],
    returns=8,
    stack=4,
    bits=32,
)
LINES = [("a.c", ["a.c"], [[(AT, 1, 1), (AT + 7, 1, 10), (AT + 8, 1, 11), (AT + 16, 1, 12), (AT + 21, 1, 20), (AT + 25, 1, 20)]])]


def test_call_frame_information(tmp_path):
    """At every instruction of every function, prologues and epilogues too."""
    s, _ = session(tmp_path, FRAMELESS, 32, debug=program(LINES, 32, debug_frame=TABLES))
    expected = ["start", *["outer start"] * 3, *["inner outer start"] * 3, *["outer start"] * 3, "start"]
    for want in expected:
        assert names(s) == want.split(), hex(s.rip)
        s.step()


def test_what_bt_says(tmp_path):
    s, _ = session(tmp_path, FRAMELESS, 32, debug=program(LINES, 32, debug_frame=TABLES))
    i = Interpreter(s)
    i.execute("until inner")
    assert i.execute("bt") == ["#0  00100015 inner  a.c:20", "#1  00100010 outer+0x9  a.c:11", "#2  00100005 start+0x5  a.c:1"]
    assert i.execute("bt 1") == ["#0  00100015 inner  a.c:20", "(at most 1 frames)"]
    assert [f["how"] for f in i.execute("where").value] == ["", "frame information", "frame information"]
    assert i.execute("k").value[1] | dict(stack=0) == dict(
        address=AT + 16, function="outer", offset=9, path="/src/a.c", line=11, stack=0, how="frame information"
    )
    assert "returned to 0x100010 outer+0x9" in i.execute("finish")[0]
    assert "returned to 0x100005 start+0x5" in i.execute("finish")[0]
    assert names(s) == ["start"]


POINTERS = {
    16: """
start:  b8 00 00 8e d0 bc 00 70         ; mov ax, 0; mov ss, ax; mov sp, 7000h
        31 ed                           ; xor bp, bp
        9a 16 7c 00 00                  ; call 0:far
        e8 10 00                        ; call near
        f4 90 90 90                     ; hlt
far:    55 89 e5                        ; push bp; mov bp, sp
        e8 05 00                        ; call near
        5d cb                           ; pop bp; retf
        90 90 90
near:   55 89 e5 90 5d c3               ; push bp; mov bp, sp; nop; pop bp; ret
""",
    32: """
start:  31 ed                           ; xor ebp, ebp
        e8 01 00 00 00                  ; call far
        f4                              ; hlt
far:    55 89 e5 6a 00                  ; push ebp; mov ebp, esp; push 0
        e8 02 00 00 00                  ; call near
        c9 c3                           ; leave; ret
near:   f3 0f 1e fb                     ; endbr32
        55 89 e5 90 5d c3               ; push ebp; mov ebp, esp; nop; pop ebp; ret
""",
    64: """
start:  31 ed                           ; xor ebp, ebp
        e8 01 00 00 00                  ; call far
        f4                              ; hlt
far:    55 48 89 e5 6a 00               ; push rbp; mov rbp, rsp; push 0
        e8 02 00 00 00                  ; call near
        c9 c3                           ; leave; ret
near:   55 48 89 e5 90 5d c3            ; push rbp; mov rbp, rsp; nop; pop rbp; ret
""",
}


@pytest.mark.parametrize("bits", POINTERS)
def test_frame_pointers(tmp_path, bits):
    """In every mode, at the entry and the end of a function too; a far call is one."""
    s, table = session(tmp_path, POINTERS[bits], bits, 0x7C00 if bits == 16 else AT)
    Interpreter(s).execute("until near")
    for _ in range(6 if bits == 32 else 5):
        assert names(s) == ["near", "far", "start"], hex(s.rip)
        s.step()
    assert names(s) == ["far", "start"] and s.rip > table["far"]
    found = list(frames(s))
    assert [f.how for f in found] == ["", "frame pointer"] and found[0].stack < found[1].stack


HANDLER = """
start:  b8 00 00 8e d0 bc 00 70         ; mov ax, 0; mov ss, ax; mov sp, 7000h
        c7 06 80 00 19 7c               ; mov word [80h], handler
        c7 06 82 00 00 00               ; mov word [82h], 0
        31 ed                           ; xor bp, bp
        cd 20                           ; int 20h
        f4                              ; hlt
handler: 55 89 e5 90 5d cf              ; push bp; mov bp, sp; nop; pop bp; iret
"""


def test_an_interrupt_in_real_mode(tmp_path):
    s, table = session(tmp_path, HANDLER, 16, 0x7C00)
    i = Interpreter(s)
    i.execute("until handler")
    i.execute("si 2")
    assert i.execute("bt") == ["#0  00007c1c handler+0x3", "#1  00007c18 start+0x18  (interrupt)"]
    i.execute("si 2")
    assert names(s) == ["handler", "start"]  # before the iret
    assert "returned to 0x7c18" in i.execute("finish")[0]
    assert names(s) == ["start"] and table["handler"] == 0x7C19


def test_an_interrupt_by_its_frame_information(tmp_path):
    """With S in the augmentation the return address is the interrupted instruction itself, and the stack is what was pushed."""
    code = "start: bc 00 f0 10 00 9c 0e e8 00 00 00 00 90\nhandler: 90 90 cf"  # mov esp, 10f000h; pushf; push cs; call; nop
    rules = b"\x0c" + uleb(4) + uleb(12) + b"\x88" + uleb(3) + b"\x0e" + uleb(12)
    tables = debug_frame([(AT + 13, 3, rules)], returns=8, stack=4, bits=32, augmentation=b"zS")
    s, _ = session(tmp_path, code, 32, debug=program(LINES, 32, debug_frame=tables))
    s.run(until={AT + 13})
    found = list(frames(s, 2))
    assert [f.address for f in found] == [AT + 13, AT + 12] and found[1].how == "interrupt" and found[1].inside
    assert found[1].stack == found[0].stack + 12


def test_garbage_ends_it(tmp_path):
    """Frame pointers that go nowhere, in a circle or on for ever: at most the bound, and no frame twice."""
    s, _ = session(tmp_path, POINTERS[32], 32)
    Interpreter(s).execute("until near")
    s.step(4)
    stack = int(s.registers.ebp)
    for word in (0, stack, stack - 4, 0xFFFFFFFF, 0xFFFFFFFC, 0x00FFFFFC):
        s.memory[stack : stack + 4] = word.to_bytes(4, "little")
        found = list(frames(s))
        assert len(found) <= 3 and len({(f.address, f.stack) for f in found}) == len(found)
    for register in ("esp", "ebp"):
        s.registers[register] = 0xFFFFFFFE
        assert len(list(frames(s))) <= 2
    chain = 0x200000
    for n in range(2 * MOST):
        s.memory[chain + 8 * n : chain + 8 * n + 8] = (chain + 8 * n + 8).to_bytes(4, "little") + (AT + 7).to_bytes(4, "little")
    s.registers.ebp, s.registers.esp = chain, chain - 4
    assert len(list(frames(s))) == MOST


SEARCHED = """
start:  e8 01 00 00 00 f4               ; call work; hlt
work:   6a 00 68 05 00 10 00 6a 03      ; push 0, start's address behind its call, 3
        e8 04 00 00 00                  ; call leaf
        83 c4 0c c3                     ; add esp, 12; ret
leaf:   51 52 90 5a 59 c3               ; push ecx, push edx, nop, pop edx, pop ecx, ret
"""


def test_a_search_of_the_stack(tmp_path):
    """Without tables and frame pointers: the return behind a call of this very function, not whatever looks like a return; it is marked."""
    s, table = session(tmp_path, SEARCHED, 32)
    i = Interpreter(s)
    i.execute("until leaf")
    i.execute("si 2")
    assert names(s) == ["leaf", "work", "start"]
    assert i.execute("bt")[1:] == ["#1  00100014 work+0xe  (search)", "#2  00100005 start+0x5  (search)"]
    s.registers.esp = int(s.registers.esp) + 16  # where leaf's return was is above the stack
    assert names(s) == ["leaf"] and table["leaf"] == AT + 24


def test_finish_passes_deeper_returns(tmp_path):
    """Calls that return meanwhile do not end it, nor does a stack that was deeper when it began."""
    text = """
start:  e8 01 00 00 00 f4               ; call work; hlt
work:   6a 01 6a 02 6a 03               ; push three words
        90                              ; here
        83 c4 0c                        ; add esp, 12
        e8 01 00 00 00 c3               ; call leaf; ret
leaf:   c3
"""
    s, _ = session(tmp_path, text, 32)
    i = Interpreter(s)
    i.execute("until work")
    s.record()
    assert "returned to 0x100005" in i.execute("finish")[0]
    s.goto(4)  # three words are pushed: nothing says where the return address is
    assert next(frames(s)).slot is None
    assert "returned to 0x100005" in i.execute("finish")[0]
    s.goto(4)
    i.execute("b leaf")
    assert "breakpoint 1 at" in i.execute("finish")[0]


VALUES = [
    (bytes((0x35,)), 5),
    (bytes((0x77, 8)), 0x1008),
    (bytes((0x77, 0x78)), 0xFF8),
    (bytes((0x77, 8, 0x06)), 0x2010),
    (bytes((0x08, 0xFF)), 255),
    (bytes((0x09, 0xFF)), (1 << 64) - 1),
    (bytes((0x0C, 1, 2, 0, 0)), 0x201),
    (bytes((0x77, 8, 0x80, 0, 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22)), 0x1008),  # of a procedure linkage table
    (bytes((0x11, 0x7F, 0x23, 2)), 1),
    (bytes((0x32, 0x12, 0x1E, 0x13, 0x31)), 1),
]


def test_expressions():
    for code, expected in VALUES:
        found = evaluate(code, {7: 0x1000, 16: 0x40}, lambda a: 2 * a, 8)
        assert found == expected, code.hex()
    for code in (b"", b"\x22", b"\xff", b"\x10\x80", b"\x32\x13", b"\x32" * 100):
        with pytest.raises((Unknown, KeyError)):
            evaluate(code, {}, lambda a: None, 8)
