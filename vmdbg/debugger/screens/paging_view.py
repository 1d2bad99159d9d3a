"""What the paging screen shows: the walk of one address with every entry by its bits, what may be done there and why not, and all
that is mapped."""

from dataclasses import dataclass

from vmdbg.debugger.devices.registers import Register, register
from vmdbg.debugger.expressions import ExpressionError, parse
from vmdbg.debugger.outlook import memory_operand
from vmdbg.debugger.screens.page_ranges import Range, ranges
from vmdbg.debugger.screens.page_rules import Verdict, bits, pdptes, reserved, verdict, verdicts
from vmdbg.debugger.walk import Level, Walk, walk
from vmdbg.machine.paging import PTE_PS
from vmdbg.machine.state import CR4_PAE, CR4_PSE, EFER_LMA

POINTER = "XD:63 A:5 PCD:4 PWT:3 U/S:2 R/W:1 P:0"  # to another table: SDM vol. 3, tables 4-5, 4-15 to 4-18
LARGE = "XD:63 PAT:12 G:8 PS:7 D:6 A:5 PCD:4 PWT:3 U/S:2 R/W:1 P:0"
PAGE = "XD:63 G:8 PAT:7 D:6 A:5 PCD:4 PWT:3 U/S:2 R/W:1 P:0"
PDPTE = "PCD:4 PWT:3 P:0"  # of PAE paging: table 4-8
CR3 = "PCD:4 PWT:3"


@dataclass(frozen=True)
class Entry:
    level: Level
    register: Register  # its bits; `note` says where it leads, or which of its bits may not be set


@dataclass(frozen=True)
class PagingView:
    """`of` says whose address `walk.linear` is; `fault`: the page fault that the machine stands before there."""

    mode: str  # 32-bit, PAE, 4-level, off
    walk: Walk
    of: str
    root: Register
    entries: tuple[Entry, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    fault: Verdict | None = None
    error: Register | None = None  # the fault's error code
    ranges: tuple[Range, ...] = ()
    cut: bool = False  # there are more ranges
    problem: str = ""  # the argument is no address


def paging_view(session, argument: str, running: bool) -> PagingView | None:
    """`argument`: an expression for a linear address; '': the one that matters now."""
    if running:
        return None
    address, of = matters(session)
    problem = ""
    if argument.strip():
        try:
            address, of = parse(argument).address(session.context()), argument.strip()
        except ExpressionError as e:
            problem = str(e)
    cpu, way = session.cpu, walk(session, address)
    root = register(
        "CR3", int(cpu.cr3), 8 if int(cpu.bits) == 64 else 4, "" if int(cpu.efer) & EFER_LMA and int(cpu.cr4) & 1 << 17 else CR3
    )
    if way.root is None:
        return PagingView("off", way, of, root, problem=problem)
    found, cut = ranges(session)
    fault, error = faulting(session, way)
    entries = tuple(entry(cpu, way, n) for n in range(len(way.levels)))
    return PagingView(mode(cpu), way, of, root, entries, verdicts(cpu, way), fault, error, found, cut, problem)


def matters(session) -> tuple[int, str]:
    """The address whose page walk is worth seeing: what faulted, else the next operand in memory, else the next instruction."""
    stop = session.stop
    if stop.has("trap") and stop.vector == 14 and stop.address is not None and stop.position == session.position:
        return stop.address, "the address that faults"
    address = memory_operand(session)
    return (address, "the operand") if address is not None else (session.rip, "the instruction")


def mode(cpu) -> str:
    if not int(cpu.cr4) & CR4_PAE:
        return "32-bit paging"
    return "4-level paging" if int(cpu.efer) & EFER_LMA else "PAE paging"


def entry(cpu, way: Walk, n: int) -> Entry:
    level = way.levels[n]
    size = 8 if int(cpu.cr4) & CR4_PAE else 4
    if not level.present:
        return Entry(level, register(level.name, level.entry, size, "P:0", "not present: the other bits are the system's own"))
    large = bool(level.entry & PTE_PS) and level.name in ("PDE", "PDPTE") and bool(size == 8 or int(cpu.cr4) & CR4_PSE)
    notation = PDPTE if n < pdptes(cpu) else PAGE if level.name == "PTE" else LARGE if large else POINTER
    if size == 4 or level.name == "PDPTE" and n < pdptes(cpu):
        notation = notation.removeprefix("XD:63 ")
    bad = reserved(cpu, way, n)
    pages = {("PDE", 4): "4 MiB", ("PDE", 8): "2 MiB", ("PDPTE", 8): "1 GiB"}
    note = f"maps {pages[level.name, size]}" if large else "maps 4 KiB" if level.name == "PTE" else ""
    return Entry(level, register(level.name, level.entry, size, notation, f"✗ reserved {bits(bad)} set" if bad else note))


def faulting(session, way: Walk) -> tuple[Verdict | None, Register | None]:
    """The rule behind the page fault that the machine stands before, if it is at this address."""
    from vmdbg.debugger.causes import error_bits

    stop = session.stop
    if not (stop.has("trap") and stop.vector == 14 and stop.position == session.position and stop.address == way.linear):
        return None, None
    error = stop.error_code or 0
    access = "fetch" if error & 16 else "write" if error & 2 else "read"
    found = verdict(session.cpu, way, access, bool(error & 4))
    if found.allowed and access == "read":  # without XD and SMEP the error code does not tell a fetch from a read
        found = verdict(session.cpu, way, "fetch", bool(error & 4))
    return found, error_bits(14, error)
