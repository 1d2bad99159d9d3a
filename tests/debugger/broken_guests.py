"""Guests with tables of their own that are broken in one place: an image at 1 MiB, made from what its GDT, IDT and TSS say.

+000 code   +100 ring 3   +140 handler: hlt   +180 GDTR, IDTR   +200 GDT   +400 IDT   +E00 TSS
"""

from dataclasses import dataclass, field

BASE = 0x100000
RING3, HANDLER, GDTR, IDTR, GDT, IDT, TSS = 0x100, 0x140, 0x180, 0x190, 0x200, 0x400, 0xE00
CODE, DATA, USER_CODE, USER_DATA, TASK, OTHER = 0x08, 0x10, 0x18, 0x20, 0x28, 0x38
UD2, HLT = "0f 0b", b"\xf4"
UNMAPPED = 0x2000_0000_0000  # canonical; the identity map ends at 4 GiB
NOT_CANONICAL = 0x8000_0000_0000


def segment(access: int, flags: int, limit: int = 0xFFFFF) -> int:
    """A descriptor with base 0; `flags`: G, D/B, L, AVL."""
    return limit & 0xFFFF | access << 40 | (limit >> 16) << 48 | flags << 52


def gate(selector: int = CODE, offset: int = BASE + HANDLER, access: int = 0x8E, ist: int = 0) -> int:
    """An interrupt gate: 8 bytes, or the 16 of long mode."""
    return offset & 0xFFFF | selector << 16 | ist << 32 | access << 40 | (offset >> 16 & 0xFFFF) << 48 | (offset >> 32) << 64


@dataclass
class Broken:
    """What deviates from a kernel whose every event would be delivered."""

    bits: int
    code: str = UD2
    gates: dict[int, int] = field(default_factory=dict)  # vector -> gate; all others lead to the handler
    idt: int = BASE + IDT
    idt_limit: int | None = None
    gdt: int = BASE + GDT
    descriptors: dict[int, int] = field(default_factory=dict)  # selector -> descriptor
    tss_limit: int = 0x67
    stack0: int = BASE + 0x3000  # RSP0, or ESP0
    ss0: int = DATA
    ist1: int = BASE + 0x3000
    ring3: str = ""  # code: the guest goes there

    def image(self) -> bytes:
        long = self.bits == 64
        out = bytearray(0x2000)
        out[HANDLER : HANDLER + 1] = HLT
        size = 16 if long else 8
        limit = 32 * size - 1 if self.idt_limit is None else self.idt_limit
        for at, table, end in ((GDTR, self.gdt, 0x47), (IDTR, self.idt, limit)):
            out[at : at + 10] = end.to_bytes(2, "little") + table.to_bytes(8, "little")
        code = (0x9B, 0xA) if long else (0x9B, 0xC)
        descriptors = {
            CODE: segment(*code),
            DATA: segment(0x93, 0xC),
            USER_CODE: segment(code[0] | 0x60, code[1]),
            USER_DATA: segment(0xF3, 0xC),
            TASK: self.tss_limit | (BASE + TSS & 0xFFFFFF) << 16 | 0x89 << 40,
            OTHER: segment(0x9B, 0xC),
            **self.descriptors,
        }
        for selector, value in descriptors.items():
            out[GDT + selector : GDT + selector + 8] = value.to_bytes(8, "little")
        for vector in range(32):
            value = self.gates.get(vector, gate())
            out[IDT + vector * size : IDT + (vector + 1) * size] = value.to_bytes(16, "little")[:size]
        if long:
            out[TSS + 4 : TSS + 12], out[TSS + 36 : TSS + 44] = self.stack0.to_bytes(8, "little"), self.ist1.to_bytes(8, "little")
        else:
            out[TSS + 4 : TSS + 12] = self.stack0.to_bytes(4, "little") + self.ss0.to_bytes(4, "little")
        program = self.program()
        out[: len(program)] = program
        ring3 = bytes.fromhex(self.ring3)
        out[RING3 : RING3 + len(ring3)] = ring3
        return bytes(out)

    def program(self) -> bytes:
        """lgdt, lidt, ltr, data segments; then the code, or IRET to ring 3."""
        absolute = b"\x25" if self.bits == 64 else b""
        gdtr, idtr = (b"\x14", b"\x1c") if self.bits == 64 else (b"\x15", b"\x1d")
        start = b"\x0f\x01" + gdtr + absolute + (BASE + GDTR).to_bytes(4, "little")
        start += b"\x0f\x01" + idtr + absolute + (BASE + IDTR).to_bytes(4, "little")
        if self.gdt == BASE + GDT:
            start += b"\x66\xb8" + TASK.to_bytes(2, "little") + b"\x0f\x00\xd8"  # mov ax, TASK; ltr ax
            start += b"\x66\xb8" + DATA.to_bytes(2, "little") + b"\x8e\xd0"  # mov ax, DATA; mov ss, ax
        if not self.ring3:
            return start + bytes.fromhex(self.code)
        frame = b"\x6a" + bytes([USER_DATA | 3]) + b"\x68" + (BASE + 0x4000).to_bytes(4, "little") + b"\x6a\x02"
        frame += b"\x6a" + bytes([USER_CODE | 3]) + b"\x68" + (BASE + RING3).to_bytes(4, "little")
        return start + frame + (b"\x48\xcf" if self.bits == 64 else b"\xcf")
