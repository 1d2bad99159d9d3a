"""Decoding from Python: one instruction as an object."""

from isa import text
from isa.decoding import RECORD, Decoded
from isa.forms import FORMS, Form
from isa.records import records
from isa.row import Row


class Instruction:
    """A decoded instruction.  Its fields are those of `Decoded`, as plain numbers; `ip` is where it was."""

    __slots__ = ("ip", "code", "numbers", "form", *(name for name in Decoded.fields if name != "form"))

    def __init__(self, record, ip: int, code: bytes = b""):
        for name, value in zip(RECORD.names, record.item(), strict=True):
            setattr(self, name, value) if name != "form" else None
        self.form: Form = FORMS[int(record["form"])]
        self.numbers = (self.r0, self.r1, self.r2, self.r3)
        self.ip, self.code = ip, code

    @property
    def row(self) -> Row:
        return self.form.row

    @property
    def mnemonic(self) -> str:
        return self.form.mnemonic

    @property
    def rip_relative(self) -> bool:
        return bool(self.prefixes & 4)

    @property
    def reads(self) -> list[str]:
        """What it reads: registers, `[address]` for memory, and implicit operands, flags as `flag:c`."""
        return self._touched("r")

    @property
    def writes(self) -> list[str]:
        """What it writes, named as in `reads`."""
        return self._touched("w")

    def _touched(self, direction):
        found = []
        for n, operand in enumerate(self.form.operands):
            if operand.kind in ("mem", "str", "moffs", "ea") and operand.kind != "moffs":
                if direction == "r":
                    base, index, _, _ = text.address_parts(self, operand)
                    found += [name for name in (base, index) if name and name not in ("rip", "eip")]
                if operand.kind == "ea":
                    continue
            if direction not in operand.access or operand.kind in ("imm", "rel", "far", "one"):
                continue
            if operand.kind in ("mem", "str", "moffs"):
                found.append(text.bare_address(self, operand))
            else:
                number = operand.number if operand.source == "fixed" else self.numbers[n]
                found.append(text.register(operand.kind, number, operand.bits or self.asize))
        found += (self.row.reads if direction == "r" else self.row.writes).split()
        if direction == "r":
            found += [f"flag:{c}" for c in self.row.flag_set("r")]
        else:
            found += [f"flag:{c}" for kind in "w01u" for c in self.row.flag_set(kind)]
        return list(dict.fromkeys(found))

    def format(self, syntax: str = "intel") -> str:
        """Its text: `intel` or `att`."""
        if syntax == "intel":
            return text.intel(self)
        if syntax == "att":
            from isa import att

            return att.att(self)
        raise ValueError(f"{syntax!r} is no syntax: intel or att")

    def __str__(self):
        return text.intel(self)

    def __repr__(self):
        return f"<{self.ip:#x}: {self}>"


def decode(code: bytes, *, bits: int, ip: int = 0) -> Instruction | None:
    """The instruction at the start of `code`, or None if there is none (`why` says why)."""
    found = records(code[:15], bits=bits, ip=ip, room=1)
    if not len(found) or found[0]["reason"]:
        return None
    return Instruction(found[0], ip, bytes(code[: int(found[0]["length"])]))


def why(code: bytes, *, bits: int) -> int:
    """0 if `code` starts with an instruction, else UNDEFINED, TOO_LONG or TRUNCATED (isa/decoding.py)."""
    found = records(code[:15], bits=bits, room=1)
    return int(found[0]["reason"]) if len(found) else 3


__all__ = ["Instruction", "decode", "why"]
