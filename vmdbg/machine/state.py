"""The machine's state: fixed layouts that every engine, checkpoint and view shares.

Cpu: one vCPU.  Fields down to `architectural_end` are architectural (contract: checkpoints and digests cover
them), the rest is derived and may be dropped at any position.

    gpr .. eflags       what almost every instruction touches
    seg_*               ES CS SS DS FS GS LDTR TR, visible and hidden parts
    cr0 .. msr fields   system registers
    xmm, st, f*         SSE and x87 (st: 8 physical registers of 16 bytes: significand, then sign and exponent)
    vector ..           the fault an instruction raised, for the driver to deliver
"""

from isa.lang.struct import Struct
from isa.lang.word import U8, U16, U32, U64

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
ZERO = 16  # the register that is always 0: "no base", "no index"
ES, CS, SS, DS, FS, GS, LDTR, TR = range(8)

# Statuses: what a meaning returns
NEXT = 0  # done; go on with the next instruction
BRANCH = 1  # done; cpu.rip is set
FAULT = 2  # nothing happened: cpu.vector, cpu.error_code ... say why, or cpu.vector == SLOW: try again with slots
EXIT = 3  # nothing happened: Python is needed, cpu.reason says for what; it happens when Python has answered
REPEAT = 4  # an iteration of REP happened; rip stays
HALT = 5  # done (rip is to be the next instruction), and the CPU waits
ASSIST = 6  # nothing happened: the plain engine must run this instruction
END = 7  # done, but what comes next may have changed: end the block after this instruction

# Vectors (SDM vol. 3, table 6-1)
DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 10
NP, SS_FAULT, GP, PF, MF, AC, MC, XM = 11, 12, 13, 14, 16, 17, 18, 19
SLOW = 0xFF  # in cpu.vector: not a fault; the access needs slots (page crossing, device, code page, watchpoint)

# RFLAGS (SDM vol. 1, 3.4.3)
F_CF, F_PF, F_AF, F_ZF, F_SF = 0x1, 0x4, 0x10, 0x40, 0x80
F_TF, F_IF, F_DF, F_OF, F_IOPL, F_NT = 0x100, 0x200, 0x400, 0x800, 0x3000, 0x4000
F_RF, F_VM, F_AC, F_VIF, F_VIP, F_ID = 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000
STATUS_FLAGS = F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF

# CR0, CR4, EFER (SDM vol. 3, 2.5 and 2.2.1)
CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_ET, CR0_NE = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20
CR0_WP, CR0_AM, CR0_NW, CR0_CD, CR0_PG = 0x10000, 0x40000, 0x20000000, 0x40000000, 0x80000000
CR4_VME, CR4_PVI, CR4_TSD, CR4_DE, CR4_PSE, CR4_PAE, CR4_MCE, CR4_PGE = (1 << n for n in range(8))
CR4_PCE, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_UMIP = 0x100, 0x200, 0x400, 0x800
CR4_VMXE, CR4_FSGSBASE, CR4_PCIDE, CR4_OSXSAVE, CR4_SMEP, CR4_SMAP = 0x2000, 0x10000, 0x20000, 0x40000, 0x100000, 0x200000
EFER_SCE, EFER_LME, EFER_LMA, EFER_NXE = 0x1, 0x100, 0x400, 0x800
LIMIT_CPUID, NX_DISABLED = 1 << 22, 1 << 34  # in IA32_MISC_ENABLE

# Segment attributes: the access-rights format of the VMCS (SDM vol. 3, table 24-2)
A_TYPE, A_S, A_DPL, A_P, A_AVL, A_L, A_DB, A_G, A_UNUSABLE = 0xF, 0x10, 0x60, 0x80, 0x1000, 0x2000, 0x4000, 0x8000, 0x10000

# Exit reasons of the engine, in cpu.reason
(
    X_IN,
    X_OUT,
    X_MMIO_READ,
    X_MMIO_WRITE,
    X_HLT,
    X_RDMSR,
    X_WRMSR,
    X_RDTSC,
    X_SHUTDOWN,
    X_RANDOM,
    X_APIC,
    X_PAUSE,
    X_TASK,
    X_FERR,
) = range(1, 15)


class Cpu(Struct):
    gpr: (U64, 17)  # rax rcx rdx rbx rsp rbp rsi rdi r8..r15; [16] is ZERO
    rip: U64  # offset in CS: 64, 32 or 16 bits
    zr: U64  # ZF = (zr == 0)
    sr: U64  # SF = bit 63, PF = even parity of bits 7:0
    cf: U8  # CF, 0 or 1
    lt: U8  # SF != OF, 0 or 1
    aux: U8  # AF in bit 4, other bits anything
    cpl: U8  # 0..3 (3 in virtual-8086 mode, 0 in real mode)
    bits: U8  # code size now: 16, 32 or 64; kept true with CS, EFER, CR0
    stack_bits: U8  # stack address size now: 16, 32 or 64
    shadow: U8  # 1: no interrupt before the next instruction is done (STI); 2: nor debug trap (MOV SS)
    nmi_blocked: U8
    eflags: U64  # the flags that are not above: TF IF DF IOPL NT RF VM AC VIF VIP ID, and bit 1 set
    seg_base: (U64, 8)
    seg_limit: (U64, 8)  # in bytes: of the last valid byte (granularity applied)
    seg_selector: (U16, 8)
    seg_attr: (U32, 8)
    gdtr_base: U64
    idtr_base: U64
    gdtr_limit: U64
    idtr_limit: U64
    cr0: U64
    cr2: U64
    cr3: U64
    cr4: U64
    cr8: U64  # task priority, 0..15
    efer: U64
    xcr0: U64
    dr: (U64, 8)
    pdpte: (U64, 4)  # PAE: loaded with CR3
    star: U64
    lstar: U64
    cstar: U64
    sfmask: U64
    kernel_gs_base: U64
    tsc_aux: U64
    tsc_offset: U64
    sysenter_cs: U64
    sysenter_esp: U64
    sysenter_eip: U64
    pat: U64
    apic_base: U64
    misc_enable: U64
    feature_control: U64
    tsc_deadline: U64
    mtrr_def_type: U64
    mtrr_fixed: (U64, 11)
    mtrr_variable: (U64, 16)
    mc_status: (U64, 8)
    xmm: (U64, 32)
    st: (U64, 16)
    mxcsr: U32
    fcw: U16
    fsw: U16  # TOP in bits 13:11
    ftw: U16  # two bits a physical register: 3 = empty (SDM vol. 1, 8.1.7)
    fop: U16
    fcs: U16
    fds: U16
    fip: U64
    fdp: U64
    activity: U64  # 0 active, 1 HLT, 2 shutdown, 3 wait-for-SIPI
    pending_db: U64  # DR6 bits of debug traps to report after this instruction
    latch: (U64, 16)  # the port input of the instruction in flight
    latched: U64  # 1: its port access has been performed
    mmio: (U64, 128)  # device memory reads of the instruction in flight, in order, up to 8 bytes each
    mmio_count: U64  # how many of them are valid
    late_fault: U64  # not 0: the FAULT came after a task switch was done, and is reported at late_rip
    late_rip: U64
    late_vector: U64  # what the new task's fault is: cpu.vector ...
    late_error: U64
    late_has_error: U64
    late_address: U64
    chain_length: U64  # events of the last delivery, in order: the event itself, then the faults its delivery raised
    chain_vector: (U64, 8)
    chain_error: (U64, 8)
    chain_address: (U64, 8)  # of #PF: cpu.fault_address then
    chain_rip: (U64, 8)
    instructions: U64  # completed instructions and REP iterations of this vCPU
    events: U64  # delivered events of this vCPU
    deliveries: (U64, 256)  # entries of each vector's handler: exceptions, interrupts, INT n
    random: U64  # state of the generator behind RDRAND and RDSEED
    clock: U64  # virtual nanoseconds, one clock for all vCPUs: when this vCPU's slice began
    turn: U64  # 1: this vCPU is the one that runs
    turn_steps: U64  # steps of its turn so far
    yields: U64  # 1: PAUSE ends its turn
    startup: U64  # what waits to be delivered, in this order: 0x200 INIT, 0x100 | vector SIPI
    intr: U64  # priority of what the INTR line announces: 0 nothing, 1-15 for CR8 to hold back, 16
    nmi: U64  # 1: an NMI is pending
    inject: U64  # 0x100 | vector: an acknowledged external interrupt to deliver next
    ignne: U64  # 1: IGNNE# is asserted: without CR0.NE, pending x87 exceptions are ignored
    index: U64  # number of this vCPU; its APIC id
    architectural_end: U64  # ---- derived state from here on
    vector: U64  # of the last FAULT, or SLOW
    error_code: U64
    has_error: U64
    fault_address: U64  # linear, for PF; becomes CR2 at delivery
    fault_rip: U64
    reason: U64  # of the last EXIT
    port: U64  # operands of the last EXIT: port or MSR number or device address
    width: U64  # bytes
    value: U64
    budget: U64  # instructions this vCPU may still run before the driver looks up
    pending: U64  # bit 63: somebody wants the attention of the driver
    slice: U64  # budget when this slice began
    rest: U64  # budget put aside while a part of a block runs
    resume: U64  # 1: neither a breakpoint at rip nor an intercepted vector stops the first step of a run
    sharing: U64  # 1: there are other vCPUs, so that PAUSE ends the turn
    let_pass: U64  # 1: the next software interrupt is not intercepted
    stopped: U64  # the vector of the last exception that a run stopped before; 0 once a step was made
    tlb: U64  # address of the TLB bank of the current privilege: 512 TlbEntry
    tlb_none: U64  # address of a bank that is never filled: every access is looked at (alignment checks, data breakpoints)
    data_hits: U64  # data breakpoints the instruction in flight has touched, as bits of DR6
    tlb_system: U64  # address of the bank of implicit supervisor accesses
    tlb_contexts: U64  # address of all banks: 8 contexts (address spaces) of 3 banks
    tlb_filled: (U64, 192)  # a bit for each entry of the banks, in their order: 0 for those that hold nothing
    context_key: (U64, 8)  # the address space each context belongs to; 0: free
    context_stamp: (U64, 8)  # changes when the context is emptied: tag of the jump cache
    context: U64  # the current one
    next_context: U64  # the one to be reused next
    stamp: U64  # last stamp given
    key: U64  # stamp of the current context and mode word: tag of jump cache entries
    code_limit: U64  # the limit of CS that the stamp stands for
    slow: U64  # 1: memory operands go through slots, one instruction is run
    slots: U64  # slots used by the instruction in flight
    slot_linear: (U64, 96)
    slot_size: (U64, 96)
    slot_write: (U64, 96)
    slot_physical: (U64, 192)  # of its first byte, and of the first byte on its second page
    slot_clean: (U64, 192)  # of the leaf entries that these were translated by, if their D bits are still to be set; else all ones
    slot_bytes: (U64, 384)  # 32 bytes a slot
    clean_entry: U64  # of the last translation for writing: the leaf entry whose D bit is still to be set, else all ones
    slot_spared: U64  # bit n: byte n of slot 0 is not written if it is a device's
    slot_latch: U64  # device reads consumed by the slots so far
    value_after: U64  # status of the instruction whose slots are being written back
    committed: U64  # slots written back so far
    committed_bytes: U64  # ... and bytes of the next one
    write_epoch: U64  # the Shared.write_epoch this vCPU's TLB has seen
    flush_epoch: U64  # the Shared.flush_epoch this vCPU's TLB has seen
    page_code: U64  # address of a word for each page of RAM and ROM: bit n = code has been translated from its n-th 64 bytes
    code_bytes: U64  # address of a bit for each byte of RAM and ROM: 1 = code has been translated from it
    shared: U64  # address of the Shared
    ram: U64  # host address of guest-physical 0
    ram_size: U64
    rom_base: U64  # physical address of the ROM below 4 GiB; its bytes stand behind RAM in host memory
    rom_size: U64  # 0: none
    page_flags: U64  # address of a byte for each page of RAM and ROM: what write-tracking it needs
    page_dirty: U64  # address of a byte for each page of RAM and ROM: 1 if it may have been written since the bytes were cleared
    origin: U64  # the uop that found no block, so that it can be linked
    cache: U64  # address of the jump cache
    scratch: U64  # address of uops for partial blocks
    missing: U64  # address of the uop that stands for "not translated"
    stop: U64  # address of the `stop` handler
    handlers: U64  # address of the table of handler addresses, by kind
    exited: U64  # scratch of the driver
    intercept: (U64, 4)  # bit v: stop before delivering vector v
    stop_next: U64  # rip of the uop a BREAK was reported for
    watching: U64  # what the debugger wants to be told: bits of watch.py
    watch_hit: U64  # 1 + the number of the watch that an instruction has touched; 0: none
    watch_linear: U64  # ... at which linear address (all ones: a page walk or a device)
    watch_physical: U64
    watch_size: U64
    watch_write: U64
    watch_rip: U64  # offset of the instruction that went through slots last
    mode_seen: U64  # the mode word at the last look, and the one before the change that is reported
    mode_before: U64
    a20_mask: U64  # and-mask of physical addresses
    apic_table: U64  # address of a U64 for each 16 bytes of the local APIC's first KiB: where a register stands that may be read
    frame_count: U64  # words of the stack frame being built (frame.py)
    frame_value: (U64, 44)
    frame_host: (U64, 44)


class Uop(Struct):  # one decoded instruction: 64 bytes, one cache line
    handler: U64
    r0: U8  # operand 0: byte offset into Cpu.gpr, or a register number
    r1: U8
    r2: U8
    base: U8  # register numbers; ZERO: none
    index: U8
    scale: U8
    seg: U8  # effective segment
    length: U8
    cost: U32  # instructions from here to the end of the block; + HELD: a breakpoint lies ahead
    trap: U8  # breakpoint here
    asize: U8  # 16, 32, 64
    rep: U8  # 0, 0xF2, 0xF3
    osize: U8  # 16, 32, 64
    imm: U64  # immediate, or absolute branch target
    disp: U64
    taken: U64  # address of the uop a direct branch leads to
    fall: U64  # address of the uop at `after`, where the block ends
    after: U64  # rip of the next instruction


class TlbEntry(Struct):
    """Matches an access whose last byte lies in its page."""

    read: U64  # page address if reads are allowed, else all ones
    write: U64
    addend: U64  # host address - linear address
    spare: U64


class CacheEntry(Struct):
    """The jump cache: from where the CPU is to the uop that stands there."""

    rip: U64
    key: U64
    uop: U64
    spare: U64


class Block(Struct):
    """A translated block; found by what it was translated from."""

    physical: U64  # address of its first byte
    rip: U64
    mode: U64  # mode word and CS base
    limit: U64  # of CS when it was translated; 0 in 64-bit mode
    second: U64  # physical address of the second page if its one instruction crosses into that; else all ones
    uop: U64  # address of its first uop; 0: dead
    count: U32  # instructions
    next: U32  # in its hash chain; numbers of blocks, 0: none
    page: (U32, 2)  # numbers of the RAM pages it lies on
    next_in_page: (U32, 2)


class Watch(Struct):
    """Watched bytes; linear addresses, or backing offsets if kind says physical."""

    first: U64
    last: U64
    kind: U64  # WATCH_* bits (watch.py)
    spare: U64


PORT_BUFFERS = 2


class Identity(Struct):
    """What CPUID answers for a leaf: a row of isa.cpuid.rows."""

    leaf: U32
    subleaf: U32
    eax: U32
    ebx: U32
    ecx: U32
    edx: U32


class Shared(Struct):
    """What all vCPUs of a machine share: translated code and epochs.  Derived state."""

    write_epoch: U64  # grows when a page loses its right to be written directly
    flush_epoch: U64  # grows when a translation in use may have changed
    hash: U64  # address of the heads of 65536 chains (U32)
    page_head: U64  # address of a U32 for each page of RAM and ROM: the first block on it
    blocks: U64  # address of the blocks; number 0 is not used
    block_count: U64
    block_limit: U64
    uops: U64  # address of the uop pool
    uop_count: U64
    uop_limit: U64
    kinds: U64  # address of the kind of each form, by address shape (U16)
    handlers: U64  # address of the handlers' addresses, by kind
    operands: U64  # address of how each form's operands become a uop's r0..r2
    ends: U64  # address of a byte for each kind: does it end a block
    decoder: U64  # address of the decoder's tables
    buffer: U64  # address of 32 bytes of code being translated, and a Decoded
    breakpoints: U64  # address of a sorted list of linear addresses
    breakpoint_count: U64
    physical_breakpoints: U64  # address of a sorted list of backing offsets
    physical_breakpoint_count: U64
    armed: U64  # address of a byte for each form: 1 = stop before it; 0: none
    watches: U64  # address of the watches
    watch_count: U64
    rom_start: U64  # physical addresses from here up to 1 MiB are read-only RAM
    invalidations: U64  # how often translated code was dropped
    steady_port: U64  # a port, and 65536 times a width in bytes: reading it gives steady_value as long as the clock is below ...
    steady_value: U64
    steady_until: U64  # ... this; 0: no port
    same_port: U64  # as steady_port: writing same_value there again changes nothing; 0: no port
    same_value: U64
    counter_port: U64  # as steady_port: reading it gives the clock in ticks of counter_frequency a second; 0: no port
    counter_frequency: U64
    counter_value: U64  # as it was read last
    port_buffers: (U64, PORT_BUFFERS)  # addresses of records of data ports (ready_ports.py), or 0
    identity: U64  # address of what CPUID answers: rows
    identity_count: U64
