"""The state in which a guest finds the CPU, by the mode it starts in.

    16  real mode      segments 0000, 64 KiB, interrupts on, all services of the BIOS, which has run before
    32  protected      flat segments 08 (code) and 10 (data), paging off, interrupts off
    64  long           the same with 18 (code), on an identity map of 2-MiB pages

GDT and page tables of the last two are in the last pages of memory: guests may use them until they have their own.
A boot protocol may ask for other selectors (Guest.selectors) and for values of general registers.  Firmware starts at reset.
"""

import numpy as np

from vmdbg.machine.state import CR0_ET, CR0_PE, CR0_PG, CR4_PAE, CS, DS, EFER_LMA, EFER_LME, ES, F_IF, FS, GS, LDTR, RSP, SS, TR
from vmdbg.monitor.guest import Guest

CODE_16, DATA_16 = 0x009B, 0x0093  # attributes: present, S, accessed; code readable, data writable
CODE_32, DATA_32, CODE_64 = 0xC09B, 0xC093, 0xA09B  # the same with G and D/B, or L
GDT = (0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00AF9B000000FFFF)
CODE_32_SELECTOR, DATA_SELECTOR, CODE_64_SELECTOR = 0x08, 0x10, 0x18
GIB, PAGE, MAPPED = 1 << 30, 0x1000, 4  # GiB in the identity map
LOW_STACK = 0x7C00


def start(cpu, ram: np.ndarray, guest: Guest) -> None:
    """Put the CPU, which comes out of reset, where `guest` starts."""
    if guest.rom is not None or guest.boot is not None:
        return
    (real if guest.bits == 16 else protected)(cpu, ram, guest)
    for number, value in guest.registers:
        cpu.gpr[number] = value


def real(cpu, ram: np.ndarray, guest: Guest) -> None:
    code, data = guest.selectors or (0 if guest.entry <= 0xFFFF else guest.entry >> 4 & 0xF000, 0)
    for s in (ES, CS, SS, DS, FS, GS):
        set_segment(cpu, s, code if s == CS else data, CODE_16 if s == CS else DATA_16, 0xFFFF)
        cpu.seg_base[s] = (code if s == CS else data) << 4
    cpu.cr0 = CR0_ET
    cpu.idtr_base, cpu.idtr_limit = 0, 0x3FF
    cpu.rip, cpu.eflags = guest.entry - (code << 4), 2 if guest.selectors else F_IF | 2
    for n in range(16):
        cpu.gpr[n] = 0
    cpu.gpr[RSP] = LOW_STACK
    cpu.bits, cpu.stack_bits, cpu.cpl = 16, 16, 0


def first_tables(memory: int) -> int:
    """Where the first GDT and page tables lie: from here to the end of `memory` bytes."""
    return memory - PAGE * (3 + MAPPED)


def protected(cpu, ram: np.ndarray, guest: Guest) -> None:
    long = guest.bits == 64
    tables = first_tables(len(ram))
    ram[tables:] = 0
    gdt = tables
    code, data = guest.selectors or (CODE_64_SELECTOR if long else CODE_32_SELECTOR, DATA_SELECTOR)
    descriptors = list(GDT)
    if guest.selectors is not None:
        descriptors[code >> 3], descriptors[data >> 3] = GDT[3 if long else 1], GDT[2]
    ram[gdt : gdt + 8 * len(GDT)].view("<u8")[:] = descriptors
    cpu.gdtr_base, cpu.gdtr_limit = gdt, 8 * len(GDT) - 1
    for s in (ES, SS, DS, FS, GS):
        set_segment(cpu, s, data, DATA_32, 0xFFFFFFFF)
    set_segment(cpu, CS, code, CODE_64 if long else CODE_32, 0xFFFFFFFF)
    set_segment(cpu, LDTR, 0, 0x10082, 0)  # unusable
    set_segment(cpu, TR, 0, 0x8B, 0xFFFF)
    cpu.idtr_base, cpu.idtr_limit = 0, 0  # no interrupt table yet: the guest's first fault would be its last
    cpu.cr0 = CR0_PE | CR0_ET
    if long:
        cpu.cr3 = identity_map(ram, tables + PAGE)
        cpu.cr4 = CR4_PAE
        cpu.efer = EFER_LME | EFER_LMA
        cpu.cr0 = CR0_PE | CR0_ET | CR0_PG
    cpu.rip, cpu.eflags = guest.entry, 2
    cpu.gpr[RSP] = min(tables, 1 << 31)
    cpu.bits, cpu.stack_bits, cpu.cpl = guest.bits, guest.bits, 0


def set_segment(cpu, number: int, selector: int, attributes: int, limit: int) -> None:
    """Visible and hidden part of a segment register, base 0."""
    cpu.seg_selector[number], cpu.seg_attr[number] = selector, attributes
    cpu.seg_base[number], cpu.seg_limit[number] = 0, limit


def identity_map(ram: np.ndarray, at: int) -> int:
    """Page tables at `at` (PML4, PDPT, four page directories) with linear = physical below 4 GiB; returns the PML4."""
    entries = ram[at : at + PAGE * (2 + MAPPED)].view("<u8").reshape(2 + MAPPED, 512)
    entries[0, 0] = at + PAGE | 3
    for gib in range(MAPPED):
        directory = at + PAGE * (2 + gib)
        entries[1, gib] = directory | 3
        entries[2 + gib] = gib * GIB + np.arange(512, dtype="<u8") * (2 << 20) | 0x83  # present, writable, 2 MiB
    return at
