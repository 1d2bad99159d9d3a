"""What the names on the screen mean, in a sentence each, and where the manual (Intel SDM) says it at length.

A row of WORDS is a name, the place in the manual, and the sentence.  A bit's name has its register before it, as the same
letters mean different things: cr0.TS, rflags.PF.  `find` looks a name up where it stands: beside or below its register.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from vmdbg.debugger.registers import GENERAL
from vmdbg.debugger.traps import TRAPS

WORDS = """
CPL         3A 5.5      Current privilege level: the ring of the code that runs, 0 for the kernel to 3 for users; the RPL of CS and SS
RPL         3A 5.5      Requested privilege level: the low two bits of a selector; access is checked with the weaker of CPL and RPL
DPL         3A 5.5      Descriptor privilege level: the ring that a segment or gate belongs to
TI          3A 3.4.2    Table indicator of a selector: 0 the GDT, 1 the LDT
index       3A 3.4.2    Bits 15:3 of a selector: which descriptor of the table it names
irr         3A 11.8.4   Interrupt request register: what was requested and has not yet been taken by the CPU
isr         3A 11.8.4   In-service register: what the CPU has taken and has not yet ended with an EOI
imr         8259A       Interrupt mask register of a PIC: a set bit keeps its line from the CPU
PIC         8259A       Programmable interrupt controller: two of them put 15 lines before the CPU's INTR pin
error       3A 6.13     Error code: what the CPU pushes for some exceptions, to say which selector or which access it was
IDT         3A 6.10     Interrupt descriptor table: a gate for each of 256 vectors; IDTR has its base and limit
IVT         3A 21.1.4   Interrupt vector table of real mode: a far pointer, IP and CS, for each of 256 vectors
GDT         3A 3.5.1    Global descriptor table: segments, TSSs, LDTs and call gates; GDTR has its base and limit
LDT         3A 3.5.1    Local descriptor table: a second table of segments, that a descriptor of the GDT names
TSS         3A 7.2      Task-state segment: the stacks of inner rings, the I/O bitmap, and in 64-bit mode the IST

real        3A 21.1     Real-address mode: segments are selectors times 16, no rings, no paging
virtual-8086 3A 21.2    Virtual-8086 mode: a task of real-mode code in ring 3 of protected mode
v8086       3A 21.2     Virtual-8086 mode: a task of real-mode code in ring 3 of protected mode
protected   3A 3.1      Protected mode: segments by descriptors, rings, and paging if CR0.PG is set
compatibility 3A 3.1    Compatibility mode: 16- and 32-bit code under a 64-bit kernel; CS.L is 0 while EFER.LMA is 1
compat      3A 3.1      Compatibility mode: 16- and 32-bit code under a 64-bit kernel; CS.L is 0 while EFER.LMA is 1
long        3A 3.1      64-bit mode of IA-32e: CS.L and EFER.LMA are 1; segments other than FS and GS begin at 0
paging      3A 4.1      Translation of linear to physical addresses by tables that CR3 leads to; CR0.PG turns it on
kernel      3A 5.5      Ring 0: every instruction does what it says
user        3A 5.5      Ring 3: privileged instructions fault, pages need U/S

rip         1 3.5       Instruction pointer: the offset of the next instruction in CS
rsp         1 6.2       Stack pointer: the last word that was pushed, in SS
rbp         1 6.2       By convention the frame of the function that runs: its caller's frame, then its return address
rax         1 3.4.1     Accumulator: result of MUL, DIV and port I/O; by convention a function's result and the number of a system call
rcx         1 3.4.1     Counter: of REP, LOOP, and CL of shifts; SYSCALL leaves the return address here
rdx         1 3.4.1     Data: upper half of products and dividends, the port of IN and OUT
rsi         1 3.4.1     Source of string instructions
rdi         1 3.4.1     Destination of string instructions
r11         1 3.4.1     General register of 64-bit mode; SYSCALL leaves RFLAGS here
cs          3A 3.4      Code segment: its descriptor says the ring (CPL), and whether code is of 16, 32 or 64 bits
ss          3A 3.4      Stack segment: used by PUSH, POP, calls, and addresses by (R)SP and (R)BP
ds          3A 3.4      Data segment: used by memory operands that name no other
es          3A 3.4      Extra segment: the destination of string instructions
fs          3A 3.4.4    Segment for the system's own use; in 64-bit mode its base is FS_BASE: thread-local data
gs          3A 3.4.4    Segment for the system's own use; in 64-bit mode its base is GS_BASE, which SWAPGS exchanges
fs_base     3A 3.4.4    Base of FS in 64-bit mode (MSR C0000100h)
gs_base     3A 3.4.4    Base of GS in 64-bit mode (MSR C0000101h); SWAPGS exchanges it with KERNEL_GS_BASE
ldtr        3A 2.4.2    Local descriptor table register: which descriptor of the GDT is the LDT
tr          3A 2.4.4    Task register: the TSS of the task that runs, with the stacks of inner rings
cr0         3A 2.5      Control register 0: protection, paging, cache and x87 as a whole
cr2         3A 2.5      Control register 2: the linear address that the last page fault was about
cr3         3A 2.5      Control register 3: the physical address of the first paging structure; with CR4.PCIDE also the PCID
cr4         3A 2.5      Control register 4: extensions of the architecture that the system has turned on
cr8         3A 10.8.6   Control register 8: the task priority (TPR) of the local APIC
efer        3A 2.2.1    Extended feature enables (MSR C0000080h): SYSCALL, 64-bit mode, execute-disable
rflags      1 3.4.3     Flags: what the last arithmetic found, and what the CPU is to do about interrupts, traps, I/O

rflags.CF   1 3.4.3     Carry: out of the highest bit of unsigned arithmetic, or a borrow
rflags.PF   1 3.4.3     Parity: the low byte of the result has an even number of ones
rflags.AF   1 3.4.3     Auxiliary carry: out of bit 3, for BCD
rflags.ZF   1 3.4.3     Zero: the result was 0
rflags.SF   1 3.4.3     Sign: the highest bit of the result
rflags.TF   3A 2.3      Trap: a debug exception after every instruction
rflags.IF   3A 2.3      Interrupt enable: maskable interrupts are taken; CLI and STI need CPL <= IOPL
rflags.DF   1 3.4.3     Direction: string instructions go down; CLD and STD
rflags.OF   1 3.4.3     Overflow: the result of signed arithmetic did not fit
rflags.IOPL 3A 2.3      I/O privilege level: the weakest ring that may use IN, OUT, CLI and STI without the TSS's bitmap
rflags.NT   3A 2.3      Nested task: IRET returns to the task whose TSS the current one links to
rflags.RF   3A 2.3      Resume: no instruction breakpoint at the next instruction
rflags.VM   3A 2.3      Virtual-8086 mode
rflags.AC   3A 2.3      Alignment check in ring 3 (with CR0.AM); with CR4.SMAP lets the supervisor use user pages
rflags.VIF  3A 2.3      Virtual interrupt flag: IF as a guest of VME or PVI sees it
rflags.VIP  3A 2.3      Virtual interrupt pending: one waits for VIF
rflags.ID   3A 2.3      Can be changed where there is CPUID

cr0.PE      3A 2.5      Protection enable: protected mode; clear is real mode
cr0.MP      3A 2.5      Monitor coprocessor: WAIT faults with #NM if TS is set
cr0.EM      3A 2.5      Emulation: every x87 instruction faults with #NM, SSE with #UD
cr0.TS      3A 2.5      Task switched: the next x87 or SSE instruction faults with #NM, so that its state can be exchanged lazily
cr0.ET      3A 2.5      Extension type: always 1
cr0.NE      3A 2.5      Numeric error: x87 errors are #MF, not an external interrupt
cr0.WP      3A 2.5      Write protect: read-only pages are so for the supervisor too; copy-on-write needs it
cr0.AM      3A 2.5      Alignment mask: RFLAGS.AC has its effect in ring 3
cr0.NW      3A 2.5      Not write-through: with CD the cache is off
cr0.CD      3A 2.5      Cache disable
cr0.PG      3A 2.5      Paging: linear addresses are translated; needs PE

cr4.VME     3A 2.5      Virtual-8086 extensions: a virtual IF, and interrupts redirected by the TSS's bitmap
cr4.PVI     3A 2.5      Protected-mode virtual interrupts: a virtual IF for ring 3
cr4.TSD     3A 2.5      Time stamp disable: RDTSC is for ring 0 only
cr4.DE      3A 2.5      Debugging extensions: I/O breakpoints; DR4 and DR5 are #UD
cr4.PSE     3A 2.5      Page size extensions: 4-MiB pages of 32-bit paging
cr4.PAE     3A 2.5      Physical address extension: entries of 64 bits; 64-bit mode needs it
cr4.MCE     3A 2.5      Machine-check exceptions are delivered
cr4.PGE     3A 2.5      Page global: translations with G stay when CR3 is loaded
cr4.PCE     3A 2.5      RDPMC in any ring
cr4.OSFXSR  3A 2.5      The system saves SSE state with FXSAVE: SSE may be used
cr4.OSXMMEXCPT 3A 2.5   The system handles #XM; without it an unmasked SIMD error is #UD
cr4.UMIP    3A 2.5      User-mode instruction prevention: SGDT, SIDT, SLDT, SMSW and STR fault outside ring 0
cr4.LA57    3A 2.5      57-bit linear addresses: five levels of paging
cr4.VMXE    3A 2.5      VMX may be entered with VMXON
cr4.SMXE    3A 2.5      SMX: GETSEC may be used
cr4.FSGSBASE 3A 2.5     RDFSBASE, WRGSBASE and their like in any ring
cr4.PCIDE   3A 2.5      Process-context identifiers: translations are tagged with CR3[11:0]
cr4.OSXSAVE 3A 2.5      The system uses XSAVE; XGETBV may be used
cr4.SMEP    3A 4.6      Supervisor-mode execution prevention: ring 0 runs no code of user pages
cr4.SMAP    3A 4.6      Supervisor-mode access prevention: rings 0 to 2 touch no user pages unless RFLAGS.AC is set
cr4.PKE     3A 4.6.2    Protection keys of user pages
cr4.CET     3A 2.5      Control-flow enforcement: shadow stacks and branch tracking

efer.SCE    3A 2.2.1    SYSCALL enable: without it SYSCALL and SYSRET are #UD
efer.LME    3A 2.2.1    IA-32e mode enable: 64-bit mode once paging is on
efer.LMA    3A 2.2.1    IA-32e mode active: read only, LME and CR0.PG
efer.NXE    3A 2.2.1    Execute-disable enable: bit 63 of paging entries (XD) forbids fetches

entry       3A 4.5      Entry of a paging structure
PML5E       3A 4.5      Entry of the fifth level: bits 56:48 of a linear address choose it
PML4E       3A 4.5      Entry of the page map, level 4: bits 47:39 of a linear address choose it
PDPTE       3A 4.5      Entry of a page-directory-pointer table: bits 38:30 choose it; with PS it maps 1 GiB
PDE         3A 4.3      Entry of a page directory: bits 29:21 choose it (31:22 with 32-bit paging); with PS it maps 2 or 4 MiB
PTE         3A 4.3      Entry of a page table: bits 20:12 choose it (21:12 likewise); it maps 4 KiB
entry.P     3A 4.7      Present: without it every access is a page fault, and the other bits are the system's own
entry.R/W   3A 4.6      Writable, as far as every level says so; the supervisor heeds it only with CR0.WP
entry.U/S   3A 4.6      User: ring 3 may come here, as far as every level says so
entry.PWT   3A 4.9      Page-level write-through
entry.PCD   3A 4.9      Page-level cache disable
entry.A     3A 4.8      Accessed: the CPU has used this entry for a translation
entry.D     3A 4.8      Dirty: something was written to the page
entry.PS    3A 4.3      Page size: this entry maps a large page, not another table
entry.PAT   3A 4.9      Page attribute table: with PCD and PWT it chooses the memory type
entry.G     3A 4.10.2   Global: the translation stays when CR3 is loaded (with CR4.PGE)
entry.XD    3A 4.6      Execute disable: no fetches from here (with EFER.NXE)
entry.present 3A 4.7    P is set: the entry leads somewhere
entry.writable 3A 4.6   R/W is set at this level; every level has to say so
entry.supervisor 3A 4.6 U/S is clear: only rings 0 to 2 come here
entry.accessed 3A 4.8   A: the CPU has used this entry for a translation
entry.dirty 3A 4.8      D: something was written to the page
entry.no-execute 3A 4.6 XD: no fetches from here

error.P     3A 4.7      0: a page was not present; 1: it was, but the access is not permitted
error.W     3A 4.7      1: it was a write
error.U     3A 4.7      1: it was ring 3
error.RSVD  3A 4.7      1: a reserved bit was set in an entry
error.I     3A 4.7      1: it was the fetch of an instruction
error.EXT   3A 6.13     1: while an external event was being delivered
error.IDT   3A 6.13     1: the index is that of a gate of the IDT
error.TI    3A 6.13     1: the index is one of the LDT, 0: of the GDT (if IDT is 0)
error.index 3A 6.13     Which gate or descriptor it was about

gate.int    3A 6.11     Interrupt gate: IF is cleared on the way in
gate.trap   3A 6.11     Trap gate: IF stays what it was
gate.task   3A 6.11     Task gate: the event is a switch to another task
gate.dpl    3A 6.12.1   INT n is let through if CPL is at most this; hardware and faults do not ask
gate.ist    3A 6.14.5   Interrupt stack table: the stack of the TSS that is switched to, whatever the ring
gate.absent 3A 6.11     P of the gate is 0: delivery faults with #NP

segment.base 3A 3.4.5   The linear address at which the segment begins
segment.limit 3A 3.4.5  The highest offset in it; of an expand-down segment the one below the lowest
segment.code 3A 3.4.5   Code segment: it can be run, and read if it says so
segment.data 3A 3.4.5   Data segment: it can be read, and written if it says so
segment.readable 3A 3.4.5 R of a code segment: its bytes may be read as data
segment.writable 3A 3.4.5 W of a data segment; a stack has to be
segment.conforming 3A 5.8.1 C of a code segment: it may be called from outer rings, and runs in the caller's
segment.expand-down 3A 3.4.5 E of a data segment: offsets above the limit are the valid ones
segment.dpl 3A 5.5      Descriptor privilege level: the ring that the segment belongs to
segment.unusable 3A 3.4.2 No segment: the selector was null, or it was never loaded
segment.TSS 3A 7.2      Task-state segment: the stacks of inner rings, the I/O bitmap, and in 64-bit mode the IST
segment.LDT 3A 3.5.1    Local descriptor table
segment.64-bit 3A 3.4.5 L: code of 64-bit mode
segment.32-bit 3A 3.4.5 D/B: operands, addresses or stack pointer of 32 bits
"""
MANUAL = {"1": "SDM vol. 1", "2": "SDM vol. 2", "3A": "SDM vol. 3", "8259A": "8259A data sheet"}
# What gives the names after it their meaning
SCOPES = {name: name for name in ("rflags", "cr0", "cr4", "efer", "error")}
SCOPES |= dict.fromkeys("rfl efl fl eflags flags".split(), "rflags")
SCOPES |= dict.fromkeys("PML5E PML4E PDPTE PDE PTE CR3".split(), "entry")
SCOPES |= dict.fromkeys("es cs ss ds fs gs ldtr tr".split(), "segment")
TOKEN = re.compile(r"(?<![\w#/])(?:#?[A-Za-z](?:[\w/]|-(?=[a-z]))*|\d\d-bit)")
ALIASES = {"rfl": "rflags", "efl": "rflags", "fl": "rflags", "eflags": "rflags", "flags": "rflags", "eip": "rip", "ip": "rip"}


@dataclass(frozen=True)
class Entry:
    name: str
    where: str  # 'SDM vol. 3, 2.5'
    words: str

    @property
    def text(self) -> str:
        return f"{self.name.rpartition('.')[2]}: {self.words} ({self.where})"


@dataclass(frozen=True)
class Found:
    """A name on the screen: its row, its first column and the one after its last, and what it means."""

    row: int
    start: int
    end: int
    entry: Entry


@cache
def entries() -> dict[str, Entry]:
    """All of it, by name."""
    found = {}
    for line in WORDS.strip().splitlines():
        if line:
            name, manual, rest = line.split(maxsplit=2)
            section, words = ("", rest) if manual == "8259A" else rest.split(maxsplit=1)
            found[name] = Entry(name, f"{MANUAL[manual]}{', ' if section else ''}{section}", words)
    for trap in TRAPS.values():
        name = f"#{trap.name}" if trap.kind != "interrupt" else trap.name
        found[name] = Entry(name, "SDM vol. 3, 6.15", f"vector {trap.vector}, {trap.title}: {KINDS[trap.kind]}")
    for n, name in enumerate(GENERAL):
        whole = found.setdefault(name, Entry(name, "SDM vol. 1, 3.4.1", "General register"))
        for part in (f"e{name[1:]}", name[1:]) if n < 8 else (f"{name}d", f"{name}w"):
            size = 32 if part[0] == "e" or part[-1] == "d" else 16
            found[part] = Entry(part, whole.where, f"The low {size} bits of {name}. {whole.words}")
    for alias, name in ALIASES.items():
        found[alias] = Entry(alias, found[name].where, found[name].words)
    return found


KINDS = {
    "fault": "a fault, the instruction has not been done and can be tried again",
    "trap": "a trap, the instruction has been done",
    "abort": "an abort, there is no way back",
    "interrupt": "an interrupt from outside",
}


def names(rows: Sequence[str], scope: str = "") -> list[Found]:
    """All names in these rows of text that have an entry; `scope`: what bits are of that stand after no register."""
    table, found, now = entries(), [], scope
    for y, row in enumerate(rows):
        if not row.startswith(" "):  # a row that goes on with the one before begins with blanks
            now = scope
        for match in TOKEN.finditer(row):
            token = match[0]
            now = SCOPES.get(token, now)
            entry = table.get(f"{now}.{token}") or table.get(token) or (table.get(token.lower()) if token == token.upper() else None)
            if entry is not None:
                found.append(Found(y, match.start(), match.end(), entry))
    return found
