"""The registers that the manual defines bit by bit, opened: control registers, EFER, RFLAGS, segments with what the CPU keeps of their
descriptors, and the error code of a trap that waits."""

from dataclasses import dataclass

from vmdbg.debugger import registers, views
from vmdbg.debugger.causes import WITH_ERROR_CODE, error_bits
from vmdbg.debugger.devices.registers import Register, register
from vmdbg.machine.flags import get_rflags

# SDM vol. 3, 2.5 and 2.2.1; vol. 1, 3.4.3; vol. 3, 3.4.2; the highest bit first, as the manual draws them
NOTATIONS = {
    "cr0": "PG:31 CD:30 NW:29 AM:18 WP:16 NE:5 ET:4 TS:3 EM:2 MP:1 PE:0",
    "cr4": (
        "CET:23 PKE:22 SMAP:21 SMEP:20 OSXSAVE:18 PCIDE:17 FSGSBASE:16 SMXE:14 VMXE:13 LA57:12 UMIP:11 OSXMMEXCPT:10 OSFXSR:9 "
        "PCE:8 PGE:7 MCE:6 PAE:5 PSE:4 DE:3 TSD:2 PVI:1 VME:0"
    ),
    "efer": "NXE:11 LMA:10 LME:8 SCE:0",
    "rflags": "ID:21 VIP:20 VIF:19 AC:18 VM:17 RF:16 NT:14 IOPL:13:12 OF:11 DF:10 IF:9 TF:8 SF:7 ZF:6 AF:4 PF:2 CF:0",
}
SELECTOR = "index:15:3 TI:2 RPL:1:0"


@dataclass(frozen=True)
class BitView:
    registers: tuple[Register, ...]


def bit_view(session, argument: str, running: bool) -> BitView:
    cpu, stop = session.cpu, session.stop
    found = []
    if not running and stop.has("trap") and stop.position == session.position and stop.vector in WITH_ERROR_CODE:
        error = error_bits(stop.vector, stop.error_code or 0)
        found += [error] if error is not None else []
    found.append(register("rflags", int(get_rflags(cpu)), 4, NOTATIONS["rflags"]))
    found += [register(name, registers.read(cpu, name), 4, NOTATIONS[name]) for name in ("cr0", "cr4", "efer")]
    for n, name in enumerate(registers.SEGMENTS):
        found.append(register(name, int(cpu.seg_selector[n]), 2, SELECTOR, kept(cpu, n)))
    return BitView(tuple(found))


def kept(cpu, n: int) -> str:
    """What the CPU keeps of a descriptor; in real mode nothing of it was read from a table."""
    base, limit = int(cpu.seg_base[n]), int(cpu.seg_limit[n])
    return f"base {base:x} limit {limit:x} {views.segment_type(int(cpu.seg_attr[n]))}"
