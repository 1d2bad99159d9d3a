"""Writing CR0, CR3, CR4 and EFER: what is checked, and what changes with them (SDM vol. 3, 2.5, 4.1, 9.8)."""

from isa.lang.word import U64, outlined
from vmdbg.machine.descriptor import long_mode, refresh_mode
from vmdbg.machine.faults import fault_gp0
from vmdbg.machine.paging import load_pdptes
from vmdbg.machine.physical import PHYSICAL_MASK
from vmdbg.machine.state import (
    A_L,
    CR0_AM,
    CR0_CD,
    CR0_EM,
    CR0_ET,
    CR0_MP,
    CR0_NE,
    CR0_NW,
    CR0_PE,
    CR0_PG,
    CR0_TS,
    CR0_WP,
    CR4_DE,
    CR4_FSGSBASE,
    CR4_MCE,
    CR4_OSFXSR,
    CR4_OSXMMEXCPT,
    CR4_OSXSAVE,
    CR4_PAE,
    CR4_PCE,
    CR4_PCIDE,
    CR4_PGE,
    CR4_PSE,
    CR4_PVI,
    CR4_SMAP,
    CR4_SMEP,
    CR4_TSD,
    CR4_UMIP,
    CR4_VME,
    CS,
    EFER_LMA,
    EFER_LME,
    EFER_NXE,
    EFER_SCE,
    END,
    NX_DISABLED,
    TR,
)
from vmdbg.machine.tlb import flush, paging_mode_changed

CR0_DEFINED = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG
CR4_DEFINED = (
    CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT
    | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP
)  # fmt: skip
CR4_REWALKS = CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP  # a change reloads the PDPTEs (SDM vol. 3, 4.4.1)
EFER_DEFINED = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE
NO_FLUSH = 1 << 63  # in a value for CR3 with PCIDs


def pae_paging(cr0, cr4, efer):
    """Whether these values select PAE paging with PDPTE registers."""
    return (cr0 & CR0_PG) != 0 and (cr4 & CR4_PAE) != 0 and (efer & EFER_LMA) == 0


def settle(cpu, cr0, cr4, efer):
    """Bring derived state up to date after a change from these old values."""
    refresh_mode(cpu)
    if paging_mode_changed(cpu, cr0, cr4, efer):
        flush(cpu)


@outlined
def write_cr0(cpu, value):
    """END, or #GP(0) and nothing has happened."""
    old, old_efer = cpu.cr0, cpu.efer
    pg = (value & CR0_PG) != 0
    if (value >> 32) != 0 or (pg and (value & CR0_PE) == 0) or ((value & CR0_NW) != 0 and (value & CR0_CD) == 0):
        return fault_gp0(cpu)
    efer = old_efer
    if pg and (old & CR0_PG) == 0 and (old_efer & EFER_LME) != 0:
        narrow_task = (cpu.seg_attr[TR] & 0xD) == 1  # a 16-bit TSS
        if (cpu.cr4 & CR4_PAE) == 0 or (cpu.seg_attr[CS] & A_L) != 0 or narrow_task:
            return fault_gp0(cpu)
        efer = efer | EFER_LMA
    if not pg and (old & CR0_PG) != 0:
        if cpu.bits == 64 or (cpu.cr4 & CR4_PCIDE) != 0:
            return fault_gp0(cpu)
        efer = efer & ~U64(EFER_LMA)
    cr0 = (value & CR0_DEFINED) | CR0_ET
    if ((cr0 ^ old) & (CR0_PG | CR0_CD | CR0_NW)) != 0 and pae_paging(cr0, cpu.cr4, efer):
        if not load_pdptes(cpu, cpu.cr3, True):
            return fault_gp0(cpu)
        flush(cpu)
    cpu.cr0 = cr0
    cpu.efer = efer
    settle(cpu, old, cpu.cr4, old_efer)
    return END


@outlined
def write_cr3(cpu, value):
    """END, or #GP(0).  The TLB is coherent: only PAE paging, whose PDPTEs are registers, has something to forget."""
    if long_mode(cpu):
        if (cpu.cr4 & CR4_PCIDE) != 0:
            value = value & ~U64(NO_FLUSH)
        if (value & ~U64(PHYSICAL_MASK)) != 0:
            return fault_gp0(cpu)
    elif pae_paging(cpu.cr0, cpu.cr4, cpu.efer):
        if not load_pdptes(cpu, value, True):
            return fault_gp0(cpu)
        flush(cpu)
    cpu.cr3 = value
    return END


@outlined
def write_cr4(cpu, value):
    """END, or #GP(0) and nothing has happened."""
    old = cpu.cr4
    if (value & ~U64(CR4_DEFINED)) != 0:
        return fault_gp0(cpu)
    if long_mode(cpu) and (value & CR4_PAE) == 0:
        return fault_gp0(cpu)
    if (value & CR4_PCIDE) != 0 and (old & CR4_PCIDE) == 0:
        if not long_mode(cpu) or (cpu.cr3 & 0xFFF) != 0:
            return fault_gp0(cpu)
    if ((value ^ old) & CR4_REWALKS) != 0 and pae_paging(cpu.cr0, value, cpu.efer):
        if not load_pdptes(cpu, cpu.cr3, True):
            return fault_gp0(cpu)
        flush(cpu)
    cpu.cr4 = value
    settle(cpu, cpu.cr0, old, cpu.efer)
    return END


@outlined
def write_efer(cpu, value):
    """END, or #GP(0): LME cannot change while paging is on, LMA is read-only."""
    old = cpu.efer
    if (value & ~U64(EFER_DEFINED)) != 0 or ((value & EFER_NXE) != 0 and (cpu.misc_enable & NX_DISABLED) != 0):
        return fault_gp0(cpu)
    if ((value ^ old) & EFER_LME) != 0 and (cpu.cr0 & CR0_PG) != 0:
        return fault_gp0(cpu)
    cpu.efer = (value & ~U64(EFER_LMA)) | (old & EFER_LMA)
    settle(cpu, cpu.cr0, cpu.cr4, old)
    return END
