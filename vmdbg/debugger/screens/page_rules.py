"""What paging allows at an address, and which rule of which entry forbids the rest (SDM vol. 3, 4.6 and 4.7).

The same rules as vmdbg.machine.paging, which the machine runs by; here each says its name.
"""

from dataclasses import dataclass

from vmdbg.debugger.walk import Walk
from vmdbg.machine.paging import (
    BEYOND,
    PAE_BEYOND,
    PF_I,
    PF_P,
    PF_RSVD,
    PF_U,
    PF_W,
    PHYSICAL_MASK,
    PTE_NX,
    PTE_PS,
    PTE_U,
    PTE_W,
)
from vmdbg.machine.state import CR0_WP, CR4_PAE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, F_AC

ACCESSES = ("read", "write", "fetch")


@dataclass(frozen=True)
class Verdict:
    """Whether an access is allowed; else the rule, the level whose entry decides (-1: none), and the error code."""

    access: str  # of ACCESSES
    user: bool
    allowed: bool
    rule: str = ""
    level: int = -1
    error: int = 0


def verdicts(cpu, way: Walk) -> tuple[Verdict, ...]:
    """For the supervisor and for ring 3: read, write, fetch."""
    return tuple(verdict(cpu, way, access, user) for user in (False, True) for access in ACCESSES)


def verdict(cpu, way: Walk, access: str, user: bool) -> Verdict:
    """Of an explicit access."""
    if way.root is None:
        return Verdict(access, user, True)
    cr0, cr4, efer = int(cpu.cr0), int(cpu.cr4), int(cpu.efer)
    write, fetch = access == "write", access == "fetch"
    executes = fetch and bool(cr4 & CR4_SMEP or (cr4 & CR4_PAE and efer & EFER_NXE))
    error = (PF_W if write else 0) | (PF_U if user else 0) | (PF_I if executes else 0)
    for n, level in enumerate(way.levels):
        if not level.present:
            return Verdict(access, user, False, f"P of the {level.name} is 0: not present", n, error)
        if bad := reserved(cpu, way, n):
            return Verdict(access, user, False, f"reserved {bits(bad)} of the {level.name} must be 0", n, error | PF_P | PF_RSVD)
    rule, at = forbidden(way, cr0, cr4, int(cpu.eflags), write, user, fetch, pdptes(cpu))
    return Verdict(access, user, not rule, rule, at, error | PF_P if rule else 0)


def pdptes(cpu) -> int:
    """How many levels at the top give no rights: the PDPTE of PAE paging has neither R/W, U/S nor XD."""
    return int(bool(int(cpu.cr4) & CR4_PAE and not int(cpu.efer) & EFER_LMA))


def forbidden(way: Walk, cr0: int, cr4: int, eflags: int, write: bool, user: bool, fetch: bool, first: int) -> tuple[str, int]:
    """The first of the access rights that is broken (SDM vol. 3, 4.6.1), and the level that says so; ('', -1) if none is."""

    def lacks(bit: int) -> int:
        return next((n for n, level in enumerate(way.levels) if n >= first and not level.entry & bit), -1)

    def has(bit: int) -> int:
        return next((n for n, level in enumerate(way.levels) if n >= first and level.entry & bit), -1)

    name = [level.name for level in way.levels]
    last = len(name) - 1
    for_user, read_only, no_execute = lacks(PTE_U), lacks(PTE_W), has(PTE_NX)
    if fetch and no_execute >= 0:
        return f"XD of the {name[no_execute]} is 1: no instruction is fetched here", no_execute
    if user:
        if for_user >= 0:
            return f"U/S of the {name[for_user]} is 0: not for ring 3", for_user
        if write and read_only >= 0:
            return f"R/W of the {name[read_only]} is 0: read-only", read_only
        return "", -1
    if fetch:
        return (
            ("SMEP: U/S of every entry is 1, and CR4.SMEP keeps rings 0 to 2 from running it", last)
            if for_user < 0 and cr4 & CR4_SMEP
            else ("", -1)
        )
    if for_user < 0 and cr4 & CR4_SMAP and not eflags & F_AC:
        return "SMAP: U/S of every entry is 1, CR4.SMAP is 1 and RFLAGS.AC is 0", last
    if write and read_only >= 0 and cr0 & CR0_WP:
        return f"R/W of the {name[read_only]} is 0, and CR0.WP makes that count for rings 0 to 2 too", read_only
    return "", -1


def reserved(cpu, way: Walk, n: int) -> int:
    """The bits of entry number n that are set and may not be."""
    level, entry = way.levels[n], way.levels[n].entry
    large = bool(entry & PTE_PS)
    if not int(cpu.cr4) & CR4_PAE:
        if level.name != "PDE" or not large or not int(cpu.cr4) & CR4_PSE:
            return 0
        high = (entry >> 13 & 0xFF) << 32 & ~PHYSICAL_MASK
        return entry & 0x200000 | high >> 32 << 13
    long = bool(int(cpu.efer) & EFER_LMA)
    if not long and level.name == "PDPTE":
        return 0  # checked when CR3 was loaded
    mask = (BEYOND if long else PAE_BEYOND) | (0 if int(cpu.efer) & EFER_NXE else PTE_NX)
    if large and level.name == "PML4E":
        return PTE_PS
    if large and level.name == "PDPTE":
        mask |= 0x3FFFE000
    if large and level.name == "PDE":
        mask |= 0x1FE000
    return entry & mask


def bits(mask: int) -> str:
    """'bit 7', 'bits 13, 51'."""
    found = [str(n) for n in range(64) if mask >> n & 1]
    return f"bit{'s' if len(found) > 1 else ''} {', '.join(found)}"
