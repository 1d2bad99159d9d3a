"""What instructions do, in one line each, for the reference pages.  The meaning that runs is the machine's semantics."""

from isa.row import Row

_TABLE = """
ADD        dst := dst + src
ADC        dst := dst + src + CF
SUB        dst := dst - src
SBB        dst := dst - (src + CF)
CMP        flags of dst - src; nothing is stored
AND        dst := dst AND src
OR         dst := dst OR src
XOR        dst := dst XOR src
TEST       flags of dst AND src; nothing is stored
NOT        dst := NOT dst
NEG        dst := 0 - dst; CF := dst was not 0
INC        dst := dst + 1; CF is kept
DEC        dst := dst - 1; CF is kept
MUL        rDX:rAX (AX) := rAX (AL) * src, unsigned
IMUL       signed product; CF and OF say that it did not fit
DIV        rAX, rDX (AL, AH) := quotient, remainder of rDX:rAX (AX) / src, unsigned; #DE if it does not fit
IDIV       rAX, rDX (AL, AH) := quotient, remainder of rDX:rAX (AX) / src, signed; #DE if it does not fit
DAA        adjusts AL to packed BCD after an addition
DAS        adjusts AL to packed BCD after a subtraction
AAA        adjusts AX to unpacked BCD after an addition
AAS        adjusts AX to unpacked BCD after a subtraction
AAM        AH, AL := AL / imm, AL mod imm
AAD        AL := AL + AH * imm; AH := 0
SALC       AL := FFh if CF, else 0
MOV        dst := src
MOVZX      dst := src, zero-extended
MOVSX      dst := src, sign-extended
MOVSXD     dst := src, sign-extended
LEA        dst := offset of the memory operand; memory is not touched
XCHG       dst, src := src, dst; locked if one is memory
XADD       dst, src := dst + src, dst
CMPXCHG    if rAX = dst: ZF := 1, dst := src; else ZF := 0, rAX := dst
CMPXCHG8B  if EDX:EAX = dst: ZF := 1, dst := ECX:EBX; else ZF := 0, EDX:EAX := dst
CMPXCHG16B if RDX:RAX = dst: ZF := 1, dst := RCX:RBX; else ZF := 0, RDX:RAX := dst
BSWAP      reverses the bytes of dst
CBW        AX := AL, sign-extended
CWDE       EAX := AX, sign-extended
CDQE       RAX := EAX, sign-extended
CWD        DX := sign of AX
CDQ        EDX := sign of EAX
CQO        RDX := sign of RAX
XLATB      AL := [seg:rBX + AL]
PUSH       rSP := rSP - size; [SS:rSP] := src
POP        dst := [SS:rSP]; rSP := rSP + size
PUSHA      pushes AX CX DX BX, SP as it was, BP SI DI
POPA       pops DI SI BP, skips SP, pops BX DX CX AX
PUSHF      pushes RFLAGS with VM and RF cleared
POPF       pops RFLAGS; IOPL changes at CPL 0 only, IF at CPL <= IOPL only, silently
ENTER      pushes rBP, copies `level` frame pointers, reserves `size` bytes
LEAVE      rSP := rBP; pops rBP
ROL        rotates left; CF is the last bit that went round
ROR        rotates right; CF is the last bit that went round
RCL        rotates left through CF
RCR        rotates right through CF
SHL        dst := dst * 2^count; CF is the last bit that left
SHR        dst := dst / 2^count, unsigned; CF is the last bit that left
SAR        dst := dst / 2^count, signed, rounding down; CF is the last bit that left
SHLD       shifts dst left, bits of src coming in
SHRD       shifts dst right, bits of src coming in
BT         CF := bit of dst
BTS        CF := bit of dst; bit := 1
BTR        CF := bit of dst; bit := 0
BTC        CF := bit of dst; bit := NOT bit
BSF        dst := number of the lowest bit set in src; ZF if there is none
BSR        dst := number of the highest bit set in src; ZF if there is none
TZCNT      dst := zero bits below the lowest one of src
LZCNT      dst := zero bits above the highest one of src
POPCNT     dst := number of one bits in src
CALL       near: pushes rIP, rIP := target.  far: through the descriptor: code segment, call gate or task
RET        pops rIP; then rSP := rSP + imm
RETF       pops rIP and CS, to an outer privilege level also rSP and SS
JMP        near: rIP := target.  far: through the descriptor: code segment, call gate or task
LOOP       count := count - 1; jumps if it is not 0
LOOPE      count := count - 1; jumps if it is not 0 and ZF
LOOPNE     count := count - 1; jumps if it is not 0 and not ZF
JCXZ       jumps if CX = 0
JECXZ      jumps if ECX = 0
JRCXZ      jumps if RCX = 0
MOVS       [ES:rDI] := [seg:rSI]; both move by the size, up or down as DF says
CMPS       flags of [seg:rSI] - [ES:rDI]; both move
STOS       [ES:rDI] := accumulator; rDI moves
LODS       accumulator := [seg:rSI]; rSI moves
SCAS       flags of accumulator - [ES:rDI]; rDI moves
INS        [ES:rDI] := port DX; rDI moves
OUTS       port DX := [seg:rSI]; rSI moves
CMC        CF := NOT CF
SAHF       SF ZF AF PF CF := AH
LAHF       AH := SF ZF AF PF CF
BOUND      #BR if dst is outside the two bounds in memory
UD2        raises #UD
MOVBE      dst := src with its bytes reversed
CRC32      dst := CRC-32C of dst and src
ADCX       dst := dst + src + CF; only CF changes
ADOX       dst := dst + src + OF; only OF changes
RDRAND     dst := random number; CF says that there was one
RDSEED     dst := random seed; CF says that there was one
LDS        DS:dst := far pointer in memory
LES        ES:dst := far pointer in memory
LSS        SS:dst := far pointer in memory
LFS        FS:dst := far pointer in memory
LGS        GS:dst := far pointer in memory
SWAPGS     exchanges the base of GS with IA32_KERNEL_GS_BASE
ARPL       if RPL of dst < RPL of src: ZF := 1, RPL of dst := RPL of src; else ZF := 0
LAR        dst := access rights of the descriptor that src selects; ZF says that it may be seen
LSL        dst := limit of the descriptor that src selects, in bytes; ZF says that it may be seen
VERR       ZF := the segment that src selects can be read at this privilege
VERW       ZF := the segment that src selects can be written at this privilege
SLDT       dst := selector of LDTR
STR        dst := selector of TR
LLDT       LDTR := the LDT that src selects in the GDT
LTR        TR := the TSS that src selects in the GDT, which becomes busy
SGDT       memory := limit and base of GDTR
SIDT       memory := limit and base of IDTR
LGDT       GDTR := limit and base from memory
LIDT       IDTR := limit and base from memory
SMSW       dst := CR0 (its low 16 bits into memory)
LMSW       low four bits of CR0 := src; PE cannot be cleared
CLTS       CR0.TS := 0
WRMSR      MSR[ECX] := EDX:EAX
RDMSR      EDX:EAX := MSR[ECX]
RDTSC      EDX:EAX := time-stamp counter
RDTSCP     EDX:EAX := time-stamp counter; ECX := IA32_TSC_AUX
RDPMC      EDX:EAX := performance counter ECX
RDPID      dst := IA32_TSC_AUX
XGETBV     EDX:EAX := XCR[ECX]
XSETBV     XCR[ECX] := EDX:EAX
CPUID      EAX EBX ECX EDX := leaf EAX, subleaf ECX
IN         accumulator := port
OUT        port := accumulator
CLI        IF := 0 (VIF under VME or PVI)
STI        IF := 1 after the next instruction (VIF under VME or PVI)
HLT        stops until an interrupt, NMI or reset
WAIT       raises a pending x87 exception
INT        interrupt n, through the gate in the IDT
INT3       breakpoint trap, vector 3
INTO       interrupt 4 if OF
INT1       debug trap, vector 1
IRET       pops rIP, CS, RFLAGS, and rSP, SS to an outer level or in 64-bit mode; or returns to the previous task
SYSCALL    RCX := RIP; R11 := RFLAGS; RIP := IA32_LSTAR; CS, SS from IA32_STAR; RFLAGS := RFLAGS AND NOT IA32_FMASK
SYSRET     RIP := RCX; RFLAGS := R11; CS, SS from IA32_STAR, at CPL 3
SYSENTER   CS, SS, rSP, rIP from the IA32_SYSENTER MSRs, at CPL 0
SYSEXIT    CS, SS from IA32_SYSENTER_CS; rSP := rCX; rIP := rDX, at CPL 3
INVD       empties the caches without writing back
WBINVD     writes the caches back and empties them
INVLPG     forgets the translations of the page at the address
INVPCID    forgets translations by PCID, as the type in the register says
CLFLUSH    writes the line back and forgets it
MONITOR    arms the monitor on the line at rAX
MWAIT      waits for a write to the monitored line or an interrupt
CLAC       RFLAGS.AC := 0: user pages are guarded (SMAP)
STAC       RFLAGS.AC := 1: user pages may be accessed (SMAP)
NOP        nothing
PAUSE      nothing, and tells the CPU that this is a spin loop
VMXON      enters VMX operation with the VMXON region at the address in memory
VMXOFF     leaves VMX operation
VMCLEAR    makes the VMCS at the address in memory clear and not current
VMPTRLD    makes the VMCS at the address in memory current
VMPTRST    memory := address of the current VMCS
VMREAD     dst := field src of the current VMCS
VMWRITE    field dst of the current VMCS := src
VMLAUNCH   enters the guest of the current VMCS, which must be clear
VMRESUME   enters the guest of the current VMCS, which must be launched
VMCALL     calls the VMM
FXSAVE     memory := x87, MMX and SSE state
FXRSTOR    x87, MMX and SSE state := memory
XSAVE      memory := the state components in EDX:EAX AND XCR0
XRSTOR     the state components in EDX:EAX AND XCR0 := memory
"""
BY_MNEMONIC = {name: text.strip() for line in _TABLE.strip().splitlines() for name, _, text in [line.partition(" ")]}
FAMILIES = {
    "setcc": "dst := 1 if the condition holds, else 0",
    "cmov": "dst := src if the condition holds",
    "jcc": "jumps if the condition holds",
}


def operation(row: Row) -> str:
    """What a row does; where nothing is written here, the name of its meaning."""
    for name in reversed(row.mnemonics):
        if name in BY_MNEMONIC:
            return (
                BY_MNEMONIC[name]
                if len(row.mnemonics) < 2
                else "; ".join(dict.fromkeys(BY_MNEMONIC[n] for n in row.mnemonics if n in BY_MNEMONIC))
            )
    return FAMILIES.get(row.sem, f"{row.sem} (the machine's semantics)" if row.sem != "ud" else "")
