"""What `info` can be asked about."""

from collections.abc import Callable

from vmdbg.debugger import registers, views
from vmdbg.debugger.commands.registry import CommandError
from vmdbg.debugger.commands.source import show_line, show_source
from vmdbg.debugger.screens.bit_view import NOTATIONS
from vmdbg.debugger.screens.tlb_view import BANK_NAMES, tlb
from vmdbg.debugger.screens.tss_view import tss_lines


def show_tss(interpreter, text: str) -> list[str]:
    return tss_lines(interpreter.session)


def show_tlb(interpreter, text: str) -> list[str]:
    """What is translated now, page by page."""
    entries = tlb(interpreter.session.cpu)
    lines = []
    for bank, name in enumerate(BANK_NAMES):
        found = [e for e in entries if e.bank == bank]
        if found:
            lines.append(f"{name}:")
            lines += [
                f"  {e.linear:0{16 if e.linear >> 32 else 8}x}-{e.linear + e.size - 1:x} is physical {e.physical:x}  "
                f"{'read and write' if e.write else 'read'}"
                for e in found
            ]
    return lines[: views.LARGEST_TABLE] or ["nothing of this address space is kept in the TLB"]


def show_creg(interpreter, text: str) -> list[str]:
    """Control registers, each bit by its name: upper case is set."""
    cpu = interpreter.session.cpu
    lines = []
    for name in ("cr0", "cr2", "cr3", "cr4", "cr8", "efer"):
        value = registers.read(cpu, name)
        bits = " ".join(bit_word(part, value) for part in NOTATIONS.get(name, "").split())
        lines.append(f"{name:<4} {value:0{16 if value >> 32 else 8}x}  {bits}".rstrip())
    return lines


def bit_word(part: str, value: int) -> str:
    name, bit = part.split(":")[:2]
    return name.upper() if value >> int(bit) & 1 else name.lower()


def show_sreg(interpreter, text: str) -> list[str]:
    """Segment registers with what the CPU keeps of their descriptors, and the descriptor tables."""
    cpu = interpreter.session.cpu
    lines = [
        f"{name:<4} {int(cpu.seg_selector[n]):04x}  base {int(cpu.seg_base[n]):08x}  limit {int(cpu.seg_limit[n]):08x}  "
        f"{views.segment_type(int(cpu.seg_attr[n]))}"
        for n, name in enumerate(registers.SEGMENTS)
    ]
    for name in ("gdtr", "idtr"):
        lines.append(f"{name} base {registers.read(cpu, f'{name}_base'):x} limit {registers.read(cpu, f'{name}_limit'):x}")
    return lines


def show_ivt(interpreter, text: str) -> list[str]:
    if registers.mode(interpreter.session.cpu) != "real":
        raise CommandError("the interrupt vector table is real mode's: expected 'info idt' here")
    return views.show_idt(interpreter, text)


def absent(what: str) -> Callable:
    def say(interpreter, text: str) -> list[str]:
        raise CommandError(f"this machine has no {what}: nothing but a PC is between the guest and the debugger")

    return say


SUBJECTS: dict[str, Callable] = views.SUBJECTS | {
    "ivt": show_ivt,
    "tss": show_tss,
    "tlb": show_tlb,
    "creg": show_creg,
    "sreg": show_sreg,
    "line": show_line,
    "source": show_source,
    "vmcs": absent("VMCS"),
    "evtchn": absent("event channels"),
}
