"""Words of Bochs's debugger that gdb has no word for."""

from vmdbg.debugger.commands.examine import info
from vmdbg.debugger.commands.registry import CommandError, command
from vmdbg.debugger.commands.stop_kinds import KINDS
from vmdbg.debugger.commands.stops import HOW, bp, break_, symbols


@command("vb", f"vb SEGMENT:OFFSET {HOW}", "stop before the instruction at segment:offset (b does the same)", complete=symbols)
def vb(interpreter, text):
    if ":" not in text:
        raise CommandError(f"expected segment:offset: vb 0x7c0:0x10, vb cs:ip, not '{text.strip()}'")
    return break_(interpreter, text)


@command("lb", f"lb ADDRESS {HOW}", "stop before the instruction at a linear address (b does the same)", complete=symbols)
def lb(interpreter, text):
    return break_(interpreter, text)


@command("pb", f"pb ADDRESS {HOW}", "stop before the instruction at a physical address (bp physical does the same)")
def pb(interpreter, text):
    if not text.strip():
        raise CommandError("expected a physical address: pb 0x7c00")
    return bp(interpreter, f"physical {text}")


@command(
    "modebp",
    f"modebp [MODE] {HOW}",
    "stop after a change of mode: protected if none is named (bp mode does the same)",
    complete=lambda i, t: [],
)
def modebp(interpreter, text):
    return bp(interpreter, f"mode {text.strip() or 'protected'}")


@command("vmexitbp", f"vmexitbp [REASON] {HOW}", "stop before what would leave to a monitor (bp exit does the same)")
def vmexitbp(interpreter, text):
    return bp(interpreter, f"exit {text}")


@command("page", "page ADDRESS", "the walk of a linear address (info page does the same)", complete=symbols)
def page(interpreter, text):
    return info(interpreter, f"page {text}")


@command("creg", "creg", "control registers by their bits (info creg does the same)")
def creg(interpreter, text):
    return info(interpreter, "creg")


@command("sreg", "sreg", "segment registers and descriptor tables (info sreg does the same)")
def sreg(interpreter, text):
    return info(interpreter, "sreg")


assert "mode" in KINDS and "exit" in KINDS
