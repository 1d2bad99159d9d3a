"""VM exits that instructions would cause: on the bare machine nobody takes them, but one can stop where they are.

A guest of a monitor leaves to it before such an instruction, when the control that its row names is set (isa/exits.py).  What the
CPU refuses by privilege faults instead, and so does not leave (SDM vol. 3, 26.1.1).  Exits that no instruction causes (external
interrupts, exceptions, EPT violations) are `bp trap`'s and `info page`'s.
"""

import functools
from dataclasses import dataclass

from isa import exits
from isa.exits import Exit
from vmdbg.debugger.registers import SEGMENTS, mode, read
from vmdbg.debugger.triggers import Event, Wants, control_access, number_of, port_access

# What monitors usually ask for beside the exits that no control can prevent: the privileged, and what reaches devices.  Not those
# that cost speed and show nothing: time stamps, PAUSE, random numbers, descriptor tables.
USUAL = {
    "",
    exits.HLT_EXITING,
    exits.INVLPG_EXITING,
    exits.INVPCID_EXITING,
    exits.MWAIT_EXITING,
    exits.MONITOR_EXITING,
    exits.CR3_LOAD_EXITING,
    exits.CR_STORE_EXITING,
    exits.CR0_MASK,
    exits.MOV_DR_EXITING,
    exits.IO_EXITING,
    exits.MSR_BITMAPS,
    exits.WBINVD_EXITING,
    exits.VMCS_SHADOWING,
}
CONTROL_WRITES, CONTROL_READS = (0, 3, 4, 8), (3, 8)  # control registers whose MOV can leave (SDM vol. 3, 26.1.3)
VMX = {*range(exits.VMCALL.number, exits.VMXON.number + 1), exits.INVEPT.number, exits.INVVPID.number}  # leave in any ring
TASKS = (1, 5, 9)  # types of descriptors that switch tasks: TSS of 16 bits, task gate, TSS
REASONS: dict[str, Exit] = {name: e for name, e in vars(exits).items() if isinstance(e, Exit)}
BY_NUMBER = {e.number: e for e in REASONS.values()}


def reason_named(text: str) -> int | None:
    """The basic exit reason that a name or a number means: 10, CPUID, "I/O instruction", IO; None if no instruction causes such."""
    words = " ".join(text.strip().strip("\"'").lower().split())
    if words.isdecimal() or words.startswith("0x"):
        try:
            number = int(words, 0)
        except ValueError:
            return None
        return number if number in BY_NUMBER else None
    for name, e in REASONS.items():
        if words in (name.lower(), name.lower().replace("_", " "), e.name.lower()):
            return e.number
    return None


def names() -> list[str]:
    """Every reason as it can be written, by number."""
    return [BY_NUMBER[n].name for n in sorted(BY_NUMBER)]


@functools.cache
def forms_leaving(reason: int | None) -> frozenset[int]:
    """Numbers of the forms that leave for a reason; None: for any that is usual.

    What has 64-bit operands switches no tasks: nothing does in 64-bit mode (SDM vol. 3, 9.7).
    """
    from isa.forms import FORMS

    possible = ((n, f) for n, f in enumerate(FORMS) if f.osize != 64 or f.row.exit != exits.TASK_SWITCH)
    rows = ((n, f.row.exit) for n, f in possible if f.row.exit is not None)
    return frozenset(n for n, e in rows if (e.control in USUAL if reason is None else e.number == reason))


def exit_of(event: Event) -> Exit | None:
    """The VM exit of the instruction that is next, if it comes to that."""
    i, cpu = event.instruction, event.cpu
    if i is None or i.row.exit is None or i.row.exit.number not in VMX and not permitted(event, i.row.priv):
        return None
    found = i.row.exit
    if found.number == exits.CR_ACCESS.number:
        facts = control_access(i, cpu)
        if facts is None or facts["cr"] not in (CONTROL_WRITES if facts["write"] else CONTROL_READS):
            return None
    elif found.number == exits.TASK_SWITCH.number:
        return found if switches_task(event, i) else None
    elif found.number == exits.IO.number:
        facts = port_access(i, cpu)
        if facts is None or not reaches_port(event, facts["port"], facts["width"]):
            return None
    return found


def permitted(event: Event, priv: str) -> bool:
    """Whether the privilege that a row demands (isa/row.py) is there; of ports `reaches_port` decides."""
    cpu = event.cpu
    cpl, cr4 = int(cpu.cpl), int(cpu.cr4)
    if priv == "CPL 0":
        return cpl == 0
    if priv.startswith("CPL 0 while CR4.UMIP"):
        return cpl == 0 or not cr4 & 1 << 11
    if priv.startswith("CPL 0 while CR4.TSD"):
        return cpl == 0 or not cr4 & 1 << 2
    if priv.startswith("CPL 0 unless CR4.PCE"):
        return cpl == 0 or bool(cr4 & 1 << 8)
    if priv.startswith("IOPL 3"):
        return mode(cpu) != "virtual-8086" or read(cpu, "iopl") == 3
    return True


def reaches_port(event: Event, port: int, width: int) -> bool:
    """IOPL, else the I/O permission bitmap of the TSS (SDM vol. 1, 19.5.2)."""
    cpu = event.cpu
    kind = mode(cpu)
    if kind == "real" or kind != "virtual-8086" and int(cpu.cpl) <= read(cpu, "iopl"):
        return True
    base, limit = read(cpu, "tr_base"), read(cpu, "tr_limit")
    if limit < 0x67:
        return False
    at = int.from_bytes(event.read(base + 0x66, 2) or b"", "little") + (port >> 3)
    bits = event.read(base + at, 2) if at + 1 <= limit else None
    return bits is not None and not int.from_bytes(bits, "little") >> (port & 7) & (1 << width) - 1


def switches_task(event: Event, i) -> bool:
    """Whether a far CALL, a far JMP or an IRET leads to another task."""
    cpu = event.cpu
    if mode(cpu) != "protected":
        return False
    if i.mnemonic.startswith("IRET"):
        return bool(read(cpu, "nt"))
    if any(o.kind == "far" for o in i.form.operands):
        selector = i.imm >> 32 & 0xFFFF
    else:
        at = event.operand()
        data = None if at is None else event.read(at + i.osize // 8, 2)
        if data is None:
            return False
        selector = int.from_bytes(data, "little")
    if selector & 4:
        table, limit = int(cpu.seg_base[SEGMENTS.index("ldtr")]), int(cpu.seg_limit[SEGMENTS.index("ldtr")])
    else:
        table, limit = int(cpu.gdtr_base), int(cpu.gdtr_limit)
    index = selector & 0xFFF8
    entry = event.read(table + index, 8) if index and index + 7 <= limit else None
    return entry is not None and entry[5] & 0x1F in TASKS


@dataclass(frozen=True)
class Exits:
    """Before an instruction that would leave to a monitor: for a basic exit reason, or for any that is usual."""

    reason: int | None = None

    def want(self, wants: Wants) -> None:
        wants.forms |= forms_leaving(self.reason)

    def match(self, event: Event) -> bool:
        if event.kind != "break" or event.instruction is None or number_of(event.instruction.form) not in forms_leaving(self.reason):
            return False
        return exit_of(event) is not None

    def words(self, event: Event) -> str:
        found = event.instruction.row.exit
        return f"VM exit {found.number} {found.name}: {event.instruction} at {event.rip:#x}"

    def place(self) -> str:
        return "exit" if self.reason is None else f"exit {self.reason} {BY_NUMBER[self.reason].name}"
