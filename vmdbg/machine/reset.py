"""Power-up, RESET, INIT and SIPI (SDM vol. 3, table 9-1)."""

from isa.lang.word import U8, U16, U32, U64
from vmdbg.machine.descriptor import refresh_mode
from vmdbg.machine.flags import set_rflags
from vmdbg.machine.state import CS, LDTR, RDX, TR

SIGNATURE = 0x000506E3  # what EDX holds after reset: CPUID.1:EAX
APIC_DEFAULT = 0xFEE00000
BSP, APIC_ENABLED = 0x100, 0x800
ACTIVE, HALTED, SHUTDOWN, WAIT_FOR_SIPI = 0, 1, 2, 3
INIT_SIGNAL, SIPI_SIGNAL = 0x200, 0x100  # in cpu.startup; the vector of the SIPI in bits 7:0


def reset_segments(cpu):
    seg = U64(0)
    while seg < 8:
        cpu.seg_selector[seg] = U16(0)
        cpu.seg_base[seg] = U64(0)
        cpu.seg_limit[seg] = U64(0xFFFF)
        cpu.seg_attr[seg] = U32(0x93)
        seg = seg + 1
    cpu.seg_selector[CS] = U16(0xF000)
    cpu.seg_base[CS] = U64(0xFFFF0000)
    cpu.seg_attr[LDTR] = U32(0x82)
    cpu.seg_attr[TR] = U32(0x8B)
    cpu.gdtr_base, cpu.idtr_base = U64(0), U64(0)
    cpu.gdtr_limit, cpu.idtr_limit = U64(0xFFFF), U64(0xFFFF)


def init(cpu):
    """INIT: what it changes; caches, x87, SSE, MSRs and the APIC base stay.  The boot processor starts, the others wait for SIPI."""
    n = U64(0)
    while n < 17:
        cpu.gpr[n] = U64(0)
        n = n + 1
    cpu.gpr[RDX] = U64(SIGNATURE)
    cpu.rip = U64(0xFFF0)
    set_rflags(cpu, U64(2))
    reset_segments(cpu)
    cpu.cr0 = (cpu.cr0 & 0x60000000) | 0x10
    cpu.cr2, cpu.cr3, cpu.cr4, cpu.cr8 = U64(0), U64(0), U64(0), U64(0)
    cpu.efer = U64(0)
    n = U64(0)
    while n < 4:
        cpu.dr[n] = U64(0)
        cpu.pdpte[n] = U64(0)
        n = n + 1
    cpu.dr[6], cpu.dr[7] = U64(0xFFFF0FF0), U64(0x400)
    cpu.pending_db = U64(0)
    cpu.shadow, cpu.nmi_blocked = U8(0), U8(0)
    cpu.latched = U64(0)
    cpu.late_fault = U64(0)
    cpu.activity = U64(ACTIVE)
    if (cpu.apic_base & BSP) == 0:
        cpu.activity = U64(WAIT_FOR_SIPI)
    refresh_mode(cpu)


def reset(cpu):
    """Power-up of the vCPU cpu.index; number 0 is the boot processor.  RAM, clock and the seed in cpu.random are the machine's."""
    cpu.apic_base = U64(APIC_DEFAULT | APIC_ENABLED)
    if cpu.index == 0:
        cpu.apic_base = U64(APIC_DEFAULT | APIC_ENABLED | BSP)
    cpu.cr0 = U64(0x60000010)
    cpu.xcr0 = U64(1)
    cpu.star, cpu.lstar, cpu.cstar, cpu.sfmask = U64(0), U64(0), U64(0), U64(0)
    cpu.kernel_gs_base, cpu.tsc_aux, cpu.tsc_offset, cpu.tsc_deadline = U64(0), U64(0), U64(0), U64(0)
    cpu.sysenter_cs, cpu.sysenter_esp, cpu.sysenter_eip = U64(0), U64(0), U64(0)
    cpu.pat = U64(0x0007040600070406)
    cpu.misc_enable = U64(0x1801)  # fast strings; BTS and PEBS are not available
    cpu.feature_control = U64(0)
    cpu.mtrr_def_type = U64(0)
    n = U64(0)
    while n < 16:
        cpu.mtrr_variable[n] = U64(0)
        if n < 11:
            cpu.mtrr_fixed[n] = U64(0)
        if n < 8:
            cpu.mc_status[n] = U64(0)
        cpu.st[n] = U64(0)
        cpu.xmm[n] = U64(0)
        cpu.xmm[n + 16] = U64(0)
        n = n + 1
    cpu.mxcsr = U32(0x1F80)
    cpu.fcw, cpu.fsw, cpu.ftw = U16(0x40), U16(0), U16(0x5555)
    cpu.fop, cpu.fcs, cpu.fds = U16(0), U16(0), U16(0)
    cpu.fip, cpu.fdp = U64(0), U64(0)
    init(cpu)


def sipi(cpu, vector):
    """Start-up IPI with a U64 vector: a waiting processor starts at vector * 4096 in real-address mode."""
    if cpu.activity == WAIT_FOR_SIPI:
        cpu.seg_selector[CS] = U16(vector << 8)
        cpu.seg_base[CS] = vector << 12
        cpu.rip = U64(0)
        cpu.activity = U64(ACTIVE)
