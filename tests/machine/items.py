"""What random programs consist of: items, each in a slot of its own, drawn by an Author; `write` makes a whole program of a seed."""

import random
import struct
from dataclasses import dataclass
from functools import cache

import numpy as np

from isa.forms import FORMS
from tests.oracles.encode import encode
from vmdbg.machine.state import RSP

from .endless import (
    APIC,
    CODE,
    CODE_SIZE,
    DATA,
    DATA_SIZE,
    DEVICE,
    HOLE,
    LOCAL_VECTOR,
    MODES,
    OTHER,
    PAGE,
    PORT,
    PORTS,
    READ_ONLY,
    SLOT,
    STACK,
    Mode,
    Program,
    entry_address,
    root_of,
    tables,
)

# Meanings that would end most programs at once; they have items of their own, or are left to the random streams.
KEPT_OUT = frozenset(
    """hlt lgdt lidt lldt ltr lmsw mov_to_cr mov_to_dr wrmsr xsetbv clts iret ret_far ret_far_imm jmp_far call_far
    jmp_far_memory call_far_memory jmp_indirect call_indirect ret_imm sysret sysexit sysenter syscall swapgs wrfsbase wrgsbase pop_seg
    ud""".split()
)


@cache
def forms(bits: int, memory: bool) -> list:
    """Forms with or without a memory operand that programs of `bits` bits draw from, integer ones first."""
    found = [
        f
        for f in FORMS
        if f.offered
        and f.encoding.space in ("legacy", "vex")
        and f.row.sem not in KEPT_OUT
        and bool(f.memory) == memory
        and encode(f, bits, 1)
    ]
    return sorted(found, key=lambda f: any(o.kind in ("xmm", "mm", "st") for o in f.operands))


@dataclass
class Author:
    """Writes the items of one program."""

    mode: Mode
    dice: random.Random
    cpus: int
    board: bool = False

    def number(self, n: int) -> int:
        return self.dice.randrange(n)

    def chance(self, p: float) -> bool:
        return self.dice.random() < p

    # -- small pieces

    def load(self, register: int, value: int) -> bytes:
        """MOV register, value: 32 bits, sign-extended in 64-bit code."""
        imm = struct.pack("<I", value & 0xFFFFFFFF)
        if self.mode.bits == 64:
            return bytes([0x49 if register > 7 else 0x48, 0xC7, 0xC0 | register & 7]) + imm
        return (b"\x66" if self.mode.bits == 16 else b"") + bytes([0xB8 | register]) + imm

    def store(self, address: int, value: int) -> bytes:
        """MOV dword [address], value; in 16-bit code MOV word, of the code segment if the address lies there."""
        if self.mode.bits == 64:
            return b"\xc7\x04\x25" + struct.pack("<II", address, value)
        if self.mode.bits == 32:
            return b"\xc7\x05" + struct.pack("<II", address, value)
        segment = b"\x65" if address < DATA else b""
        return segment + b"\xc7\x06" + struct.pack("<HH", address & 0xFFFF, value & 0xFFFF)

    def address(self, width: int) -> int:
        """Somewhere worth an access, as an offset in DS."""
        kind, base = self.dice.random(), 0 if self.mode.flat else DATA
        if kind < 0.55:
            at = DATA + self.number(DATA_SIZE - PAGE)
        elif kind < 0.75:
            at = DATA + PAGE * (1 + self.number(4)) - self.number(max(width, 1) + 1)
        elif kind < 0.82:
            at = READ_ONLY + self.number(PAGE)
        elif kind < 0.9 and self.mode.flat:
            at = self.dice.choice((DEVICE + self.number(PAGE), DEVICE - self.number(max(width, 2)), DEVICE + PAGE - self.number(8)))
        elif kind < 0.93 and self.mode.flat:
            at = CODE + self.number(CODE_SIZE)
        elif kind < 0.95 and self.mode.flat:
            at = STACK + self.number(PAGE)
        else:
            at = DATA + self.number(0x40) * 8
        if self.mode.paging and self.chance(0.15):
            at += 0x200000
        return at - base

    def slot(self) -> int:
        return self.number(CODE_SIZE // SLOT) * SLOT

    # -- items: bytes that fit in a slot; `at` is the slot's offset

    def form(self, at: int) -> bytes:
        """Some instructions on registers."""
        out = b""
        while True:
            candidates = forms(self.mode.bits, False)
            i = encode(
                candidates[int(self.number(len(candidates)) * (1 if self.chance(0.3) else 0.5))], self.mode.bits, self.number(1 << 30)
            )
            if i is None or len(out) + len(i.code) > SLOT:
                return out
            out += i.code

    def memory(self, at: int) -> bytes:
        """An instruction on memory, with its base register loaded first."""
        candidates = forms(self.mode.bits, True)
        f = candidates[int(self.number(len(candidates)) * (1 if self.chance(0.3) else 0.5))]
        i = encode(f, self.mode.bits, self.number(1 << 30))
        out = b""
        if i is None:
            return out
        for p in i.places[:1]:
            if p.base not in (None, RSP):
                target = self.address(p.width) - p.displacement
                if p.index is not None and p.index != p.base:
                    small = self.number(4)
                    out += self.load(p.index, small)
                    target -= small << p.scale
                out += self.load(p.base, target)
        return out + i.code

    def branch(self, at: int) -> bytes:
        """A jump or call to another slot; back only on a condition, or far, so that a program gets around."""
        kind = self.number(6)
        if kind < 4:
            target = at + SLOT * self.dice.choice((1, 1, 2, 3, 5)) if self.chance(0.9) else self.slot()
        else:
            target = at + SLOT * self.dice.choice((1, 2, 3, -1, -2, -4)) if self.chance(0.8) else self.slot()
        target %= CODE_SIZE
        size = 2 if self.mode.bits == 16 else 4

        def relative(length):
            return (target - at - length).to_bytes(size, "little", signed=True)

        if kind == 0:
            return b"\xe9" + relative(1 + size)
        if kind == 1:
            return b"\xe8" + relative(1 + size)
        if kind == 2:
            return b"\xc3" if self.chance(0.5) else b"\xc9"
        if kind == 3:  # jump through a register
            offset = target + (CODE if self.mode.flat else 0)
            return self.load(1, offset) + (b"\xff\xe1" if self.chance(0.6) else b"\xff\xd1")
        return b"\x0f" + bytes([0x80 | self.number(16)]) + relative(2 + size)

    def loop(self, at: int) -> bytes:
        body = self.dice.choice((b"\x40", b"\xff\xc0", b"\x01\xd8", b"\x11\xd0", b"\x19\xc2\xd1\xd8", b"\x50\x5a", b"\x0f\xc8"))
        if self.mode.bits == 64 and body == b"\x40":
            body = b"\xff\xc0"
        return self.load(1, 1 + self.number(40)) + body + b"\xe2" + bytes([0x100 - len(body) - 2])

    def string(self, at: int) -> bytes:
        op = self.dice.choice((0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAE, 0xAF))
        count = self.dice.choice((0, 1, 2, 3, 7, 20, 64, 200, 600))
        prefix = self.dice.choice((b"\xf3", b"\xf3", b"\xf2", b""))
        wide = b"\x48" if self.mode.bits == 64 and self.chance(0.3) else b""
        direction = self.dice.choice((b"\xfc", b"\xfc", b"\xfd"))
        return self.load(1, count) + self.load(6, self.address(8)) + self.load(7, self.address(8)) + direction + prefix + wide + bytes([op])

    def modify(self, at: int) -> bytes:
        """A store into code: this slot, the next, this 64-byte granule, this page, another page, its end."""
        patch = self.dice.choice((0x90909090, 0xC0FFC0FF, 0xC3FFC8FF, 0x01EB0574, 0xC8FF9090, 0x0B0F9090, self.number(1 << 32)))
        where = self.dice.choice(
            (at + 12, at + 16, at + SLOT, at + SLOT + 2, at ^ 32, at - SLOT, self.slot(), PAGE * (1 + self.number(3)) - 2)
        )
        if self.mode.paging and self.chance(0.2):
            return self.store(CODE + where % CODE_SIZE + 0x200000, patch)
        return self.store((CODE if self.mode.flat else 0) + where % CODE_SIZE, patch) + b"\xff\xc0\xff\xc0"

    def stack(self, at: int) -> bytes:
        pieces = [
            b"\x50",
            b"\x53",
            b"\x58",
            b"\x5a",
            b"\x9c",
            b"\x9d",
            b"\x68" + struct.pack("<I", self.number(1 << 32))[: 2 if self.mode.bits == 16 else 4],
            b"\xc8\x10\x00" + bytes([self.number(4)]),
            b"\xc9",
            b"\x66\x50",
            b"\x66\x5b",
            b"\x89\xe0",
        ]
        if self.mode.bits != 64:
            pieces += [b"\x60", b"\x61", b"\x06\x07", b"\x1e\x1f"]
        out = b"".join(self.dice.choice(pieces) for _ in range(4))
        if self.chance(0.3) and self.mode.flat:  # a stack that crosses a page, or lies in code or in the device
            out = (
                self.load(RSP, self.dice.choice((DATA + PAGE + 2, STACK + 6, CODE + self.slot() + 64, DEVICE + 64, DEVICE + PAGE + 3)))
                + out
            )
        return out[: SLOT - 2]

    def flags(self, at: int) -> bytes:
        """POPF with the trap flag, and steps."""
        value = self.dice.choice((0x100, 0x102, 0x300, 0x500, 0x40100, 0x100D5, 0x2, 0x4ED7))
        if self.mode.bits == 16:
            return b"\x68" + struct.pack("<H", value & 0xFFFF) + b"\x9d\x40\x43\x90"
        return b"\x68" + struct.pack("<I", value) + b"\x9d\xff\xc0\xff\xc3\x90"

    def fault(self, at: int) -> bytes:
        choices = [
            b"\x0f\x0b",
            b"\xcc",
            b"\xcd\x80",
            b"\x31\xc9\xf7\xf1",
            b"\x31\xc9\xf7\xf9",
            b"\xf4" if self.mode.cpl else b"\xcd\x21",
            b"\xf1",
            b"\x0f\x20\xd8",
            b"\xfa\xfb",
            b"\xe4\x70",
            b"\x8e\xd8",
            b"\xa1" + bytes(2 if self.mode.bits == 16 else 4 if self.mode.bits == 32 else 8),
        ]
        if self.mode.bits != 64:
            choices += [b"\xb0\x7f\x04\x01\xce", b"\x62\x03"]
        if self.mode.flat:
            choices += [
                self.load(3, HOLE + self.number(8)) + b"\x8b\x03",
                self.load(3, HOLE - 2) + b"\x87\x03",
                b"\xe9" + struct.pack("<i", 0x70000000),
            ]
        return self.dice.choice(choices)

    def shadow(self, at: int) -> bytes:
        """STI, MOV SS and what follows them."""
        after = self.dice.choice((b"\xff\xc0", b"\x9c", b"\xcc", b"\xfb", b"\x0f\x0b", b"\x50\x58"))
        reload = b"\x8c\xd0\x8e\xd0" if self.chance(0.6) else b"\x16\x17" if self.mode.bits != 64 else b"\x8c\xd0\x8e\xd0"
        return (self.dice.choice((b"\xfa\xfb", b"\xfb")) if self.chance(0.4) and self.mode.cpl == 0 else reload) + after + after

    def port(self, at: int) -> bytes:
        number = PORT + self.number(PORTS)
        op = self.dice.choice((b"\xe4", b"\xe5", b"\xe6", b"\xe7"))
        if self.chance(0.6):
            return op + bytes([number])
        repeated = self.load(1, self.number(6)) + self.dice.choice((b"\xf3\x6e", b"\xf3\x6c", b"\xf3\x6f", b"\xf3\x6d"))
        return self.load(2, number) + self.dice.choice((b"\xec", b"\xed", b"\xee", b"\xef", b"\x6c", b"\x6e", repeated))

    def paging(self, at: int) -> bytes:
        """The guest changes an entry of its page tables, with or without INVLPG; or it changes CR3."""
        if not self.mode.paging:
            return self.form(at)
        if self.mode.cpl == 0 and self.chance(0.3):
            return self.load(0, root_of(self.mode, self.number(2))) + b"\x0f\x22\xd8"
        page = self.dice.choice([(DATA >> 12) + k for k in range(5)] + [(CODE >> 12) + k for k in (1, 2, 3)])
        frame = self.dice.choice((page, page, (OTHER >> 12) + (page & 3), (DATA >> 12) + self.number(3), DEVICE >> 12))
        bits = self.dice.choice((7, 7, 7, 0x67, 0x27, 5, 6, 3, 0))
        out = self.store(entry_address(self.mode, page, self.number(2) if self.chance(0.2) else 0), frame << 12 | bits)
        if self.mode.cpl == 0 and self.chance(0.5):
            out += self.load(3, page << 12) + b"\x0f\x01\x3b"
        return out

    def debug(self, at: int) -> bytes:
        """Debug registers."""
        if self.mode.cpl or self.mode.real or self.chance(0.3):
            return self.shadow(at)
        address = self.dice.choice((self.address(4) & ~7, CODE + self.slot()))
        control = 0x400 | 1 << self.number(4) * 2 | self.number(4) << 16 | self.number(4) << 18
        return self.load(0, address) + b"\x0f\x23\xc0" + self.load(0, control) + b"\x0f\x23\xf8"

    def locked(self, at: int) -> bytes:
        """What two vCPUs do to one word."""
        out = self.load(3, (DATA if self.mode.flat else 0) + self.number(4) * 4)
        return out + self.dice.choice(
            (b"\xf0\xff\x03", b"\x87\x03", b"\xf0\x0f\xc1\x03", b"\xf0\x0f\xb1\x0b", b"\xf0\x0f\xba\x2b\x03", b"\x86\x03\x84\xc0\xf3\x90")
        )

    def time(self, at: int) -> bytes:
        return self.dice.choice((b"\x0f\x31\x01\xc3", b"\x0f\xa2", b"\x0f\xc7\xf0", b"\xf3\x90\x0f\x31"))

    def timer(self, at: int) -> bytes:
        """Timers, interrupts between vCPUs, waiting."""
        if not self.board:
            return self.port(at)
        kind = self.dice.random()
        if self.mode.cpl == 0 and kind < 0.25:
            return b"\xfb\xf4"
        if kind < 0.4 or not self.mode.flat:
            access = self.dice.choice((b"\xe6\x40\xb0\x00\xe6\x40", b"\xe4\x40", b"\xe4\x61"))
            return b"\xb0" + bytes([self.dice.choice((1, 2, 3))]) + access
        if kind < 0.6:
            return self.store(APIC + 0x380, self.dice.choice((0, 1, 2, 5, 50, 300)))
        if kind < 0.65:
            return self.store(APIC + 0x320, LOCAL_VECTOR | self.dice.choice((0, 0x10000, 0x20000)))
        if kind < 0.7:
            return self.store(APIC + 0x80, self.number(0x70))
        command = self.dice.choice((LOCAL_VECTOR + 1, LOCAL_VECTOR + 2, LOCAL_VECTOR + 3, 0x400, 0x400))
        if self.cpus > 1 and self.chance(0.15):
            command = self.dice.choice((0x4500, 0x600 | CODE >> 12))
        return self.store(APIC + 0x310, self.number(self.cpus) << 24) + self.store(APIC + 0x300, command)

    def nop(self, at: int) -> bytes:
        return b""

    def item(self, at: int) -> bytes:
        kinds = (
            ("form", 22),
            ("memory", 26),
            ("branch", 12),
            ("loop", 4),
            ("string", 6),
            ("modify", 6),
            ("stack", 6),
            ("flags", 3),
            ("fault", 4),
            ("shadow", 3),
            ("port", 3),
            ("paging", 6),
            ("debug", 2),
            ("locked", 4),
            ("time", 2),
            ("timer", 4),
            ("nop", 1),
        )
        kind = self.dice.choices([k for k, _ in kinds], [w for _, w in kinds])[0]
        out = getattr(self, kind)(at)
        return out if len(out) <= SLOT else out[:0]

    def code(self) -> bytes:
        """A whole code area; an item that is too short is filled up by NOPs, or (sometimes) runs over into a slot it shortens."""
        out = bytearray()
        while len(out) < CODE_SIZE:
            at = len(out)
            item = self.item(at)
            filled = item.ljust(SLOT, b"\x90")
            if item and len(item) < 24 and self.chance(0.4):  # so that no long runs of NOPs are left: jump to the next slot
                filled = item + (bytes([0xEB, SLOT - len(item) - 2]) if len(item) <= SLOT - 2 else b"")
                filled = filled.ljust(SLOT, b"\xcc")
            elif 0 < len(item) < SLOT:  # or lead up to it, so that items end at the slot's, and the page's, end
                filled = (
                    (b"\x90" * (SLOT - len(item)) + item)
                    if item[:1] not in (b"\xe9", b"\xe8", b"\x0f", b"\xe2") and self.chance(0.3)
                    else filled
                )
            out += filled
        if self.chance(0.7):  # an instruction across each page boundary
            for k in range(1, CODE_SIZE // PAGE):
                crossing = self.load(self.dice.choice((0, 1, 2)), self.number(1 << 31))
                start = k * PAGE - 1 - self.number(len(crossing) - 1)
                out[start : start + len(crossing)] = crossing
        size = 2 if self.mode.bits == 16 else 4
        out[CODE_SIZE - SLOT :] = (b"\xe9" + (-(CODE_SIZE - SLOT + 1 + size)).to_bytes(size, "little", signed=True)).ljust(SLOT, b"\xcc")
        return bytes(out)


def write(seed: int, mode: Mode | None = None, cpus: int | None = None) -> Program:
    """The program of a seed."""
    dice = random.Random(seed)
    mode = mode or MODES[seed % len(MODES)]
    cpus = cpus or dice.choice((1, 1, 2))
    board = dice.random() < 0.6
    author = Author(mode, dice, cpus, board)
    code = author.code()
    rng = np.random.default_rng(seed)
    image = [*tables(mode, cpus), (CODE, code), (DATA, rng.bytes(DATA_SIZE)), (OTHER, rng.bytes(DATA_SIZE))]
    image += [(OTHER + PAGE, code[PAGE : 2 * PAGE]), (OTHER + 3 * PAGE, author.code()[3 * PAGE : 4 * PAGE])]
    low = CODE if mode.flat else 0
    starts = tuple(low + author.slot() for _ in range(cpus))
    registers = tuple(
        tuple(dice.choice((DATA, 0, 1, 0x7FFFFFFF, dice.getrandbits(32), DATA + PAGE - 4)) for _ in range(16)) for _ in range(cpus)
    )
    return Program(seed, mode, cpus, tuple(image), starts, registers, board)
