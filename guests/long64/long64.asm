; long64: a 64-bit kernel with page tables of its own, a user in ring 3 who enters through SYSCALL, and a stack for the worst case.
;
; Linear                                           Physical
;   00000000_00400000  the user's code, read-only    00180000
;   00000000_00600000  the user's heap               a frame on first touch
;   00000000_007FF000  the user's stack, NX          00190000
;   FFFFFFFF_80000000  the kernel, 2 MiB             00000000; the page below its stack is missing: a guard

        bits    64
        default rel

HIGH    equ     0xFFFFFFFF80000000
KERNEL_CS equ   0x08
USER_DS equ     0x20 | 3                ; SYSRET wants the order: data, then code
USER_CS equ     0x28 | 3
TSS_SEL equ     0x30

USER    equ     0x400000
HEAP    equ     0x600000
USER_STACK equ  0x7FF000
USER_FRAME equ  0x180000
STACK_FRAME equ 0x190000
FREE    equ     0x191000                ; a frame to give away

EFER    equ     0xC0000080
STAR    equ     0xC0000081
LSTAR   equ     0xC0000082
SFMASK  equ     0xC0000084
KERNEL_GS equ   0xC0000102
COM1    equ     0x3F8
SCREEN  equ     HIGH + 0xB8000

SYS_WRITE equ   0                       ; rax; rsi = text, rdx = length
SYS_DEEP equ    1                       ; a system call whose work needs more stack than there is
SYS_EXIT equ    2

NX      equ     1 << 63

; ---- Boot: long mode on somebody else's identity map --------------------------------------------------------------------
        section .boot progbits alloc exec write
        global  start
start:  cli
        cld
        lea     rsp, [boot_stack]
        mov     ecx, EFER
        rdmsr
        or      eax, 0x801              ; NXE, and SCE: SYSCALL and SYSRET exist
        wrmsr
        call    make_pages
        lea     rax, [pml4]
        mov     cr3, rax                ; from here on the tables are ours
        mov     rax, kernel
        jmp     rax                     ; to the high half

make_pages:
        mov     ebx, 3                  ; present, writable
        lea     rax, [pdpt_low + 7]     ; ring 3 may pass the upper levels of the low half
        mov     [pml4], rax
        lea     rax, [pd_low + 7]
        mov     [pdpt_low], rax
        mov     qword [pd_low], 0x83    ; 2 MiB, identity: this code, until the kernel takes it away
        lea     rax, [pt_code + 7]
        mov     [pd_low + (USER >> 21) * 8], rax
        mov     qword [pt_code], USER_FRAME + 5 ; present, read-only, ring 3
        lea     rax, [pt_heap + 7]
        mov     [pd_low + (HEAP >> 21) * 8], rax
        mov     rax, NX | (STACK_FRAME + 7)
        mov     [pt_heap + (USER_STACK >> 12 & 511) * 8], rax

        lea     rax, [pdpt_high + 3]
        mov     [pml4 + 511 * 8], rax
        lea     rax, [pd_high + 3]
        mov     [pdpt_high + 510 * 8], rax
        lea     rax, [pt_high + 3]
        mov     [pd_high], rax
        lea     rdi, [pt_high]
        mov     eax, 3
        mov     ecx, 512
.page:  stosq                           ; 2 MiB in pages of 4 KiB
        add     rax, 0x1000
        loop    .page
        mov     rdi, guard
        and     edi, 0x1FFFFF
        shr     edi, 12
        lea     rax, [pt_high]
        mov     qword [rax + rdi * 8], 0 ; the guard: below the kernel's stack there is nothing
        ret

        align   4096
pml4:   times 512 dq 0
pdpt_low: times 512 dq 0
pd_low: times 512 dq 0
pt_code: times 512 dq 0
pt_heap: times 512 dq 0
pdpt_high: times 512 dq 0
pd_high: times 512 dq 0
pt_high: times 512 dq 0
        times 512 db 0
boot_stack:

; ---- The kernel ----------------------------------------------------------------------------------------------------------
        section .text
kernel: mov     rsp, stack_top
        mov     rax, pd_low + HIGH      ; tables are reached through the kernel's own map
        mov     qword [rax], 0          ; the low 2 MiB are nobody's now
        invlpg  [abs 0x100000]
        call    make_gdt
        call    make_idt
        call    make_syscall
        lea     rsi, [text_hello]
        call    print
        mov     ecx, USER               ; rip
        mov     r11d, 0x202             ; rflags: interrupts on
        mov     esp, USER_STACK + 0x1000
        o64 sysret                      ; for the first time into ring 3

make_gdt:
        lea     rax, [tss]
        lea     rdi, [gdt.tss]
        mov     [rdi + 2], ax           ; a TSS descriptor has 16 bytes, its base is in four pieces
        shr     rax, 16
        mov     [rdi + 4], al
        mov     [rdi + 7], ah
        shr     rax, 16
        mov     [rdi + 8], eax
        lea     rax, [stack_top]
        mov     [tss + 4], rax          ; rsp0: for faults of ring 3
        lea     rax, [last_stack]
        mov     [tss + 0x24], rax       ; ist1: for the double fault
        lgdt    [gdtr]
        push    KERNEL_CS
        lea     rax, [.code]
        push    rax
        o64 retf
.code:  xor     eax, eax
        mov     ds, eax                 ; segments are over: null will do, in ring 0 for SS too
        mov     es, eax
        mov     ss, eax
        mov     fs, eax
        mov     gs, eax
        mov     ax, TSS_SEL
        ltr     ax
        ret

make_idt:                               ; vectors 0 to 31
        xor     ecx, ecx
        lea     rdi, [idt]
        lea     rsi, [stubs]
.gate:  mov     rax, [rsi + rcx * 8]
        mov     [rdi], ax
        mov     word [rdi + 2], KERNEL_CS
        mov     word [rdi + 4], 0x8E00
        shr     rax, 16
        mov     [rdi + 6], ax
        shr     rax, 16
        mov     [rdi + 8], eax
        add     rdi, 16
        inc     ecx
        cmp     ecx, 32
        jb      .gate
        mov     byte [idt + 8 * 16 + 4], 1 ; #DF: always on stack IST 1, whatever RSP is
        lidt    [idtr]
        ret

make_syscall:
        mov     ecx, STAR
        xor     eax, eax
        mov     edx, 0x00180000 | KERNEL_CS ; SYSRET: 18 + 16 is CS, 18 + 8 is SS; SYSCALL: 08 is CS, 10 is SS
        wrmsr
        lea     rdx, [system_call]
        mov     eax, edx
        shr     rdx, 32
        mov     ecx, LSTAR
        wrmsr
        mov     ecx, SFMASK
        mov     eax, 0x700              ; TF, IF, DF are clear on entry
        xor     edx, edx
        wrmsr
        lea     rdx, [cpu_data]
        mov     eax, edx
        shr     rdx, 32
        mov     ecx, KERNEL_GS
        wrmsr
        ret

; ---- SYSCALL: RCX is the user's RIP, R11 his RFLAGS, and RSP is still his ----------------------------------------------
system_call:
        swapgs
        mov     [gs:0], rsp
        mov     rsp, [gs:8]
        push    rcx
        push    r11
        cmp     eax, SYS_WRITE
        je      .write
        cmp     eax, SYS_DEEP
        je      .deep
        lea     rsi, [text_exit]
        call    print
        jmp     idle
.write: mov     ecx, USER               ; never trust a pointer from ring 3
        cmp     rsi, rcx
        jb      .back
        cmp     rsi, USER + 0x1000
        jae     .back
        mov     ecx, edx
        and     ecx, 0x7F
        jz      .back
.next:  lodsb
        call    put
        loop    .next
        jmp     .back
.deep:  call    deep
.back:  pop     r11
        pop     rcx
        mov     rsp, [gs:0]
        swapgs
        o64 sysret

deep:   sub     rsp, 256                ; a large frame, and no end to it
        call    deep
        add     rsp, 256
        ret

; ---- Faults --------------------------------------------------------------------------------------------------------------
%macro  TRAP    1
trap_%1:
  %if %1 != 8 && (%1 < 10 || %1 > 14) && %1 != 17 && %1 != 21
        push    0                       ; the CPU pushed no error code
  %endif
        push    %1
        jmp     trap
%endmacro
%assign v 0
%rep    32
        TRAP    v
  %assign v v + 1
%endrep

trap:   push    rax
        push    rcx
        push    rdx
        push    rsi
        push    rdi
        mov     rax, [rsp + 40]         ; the vector
        cmp     eax, 8
        je      double_fault
        cmp     eax, 14
        jne     panic
        mov     rax, cr2
        shr     rax, 12
        cmp     rax, HEAP >> 12
        jne     panic
        mov     rax, NX | (FREE + 7)
        mov     rdi, pt_heap + HIGH
        mov     [rdi], rax
        lea     rsi, [text_heap]
        call    print
        pop     rdi
        pop     rsi
        pop     rdx
        pop     rcx
        pop     rax
        add     rsp, 16
        iretq                           ; and the instruction is run again

double_fault:
        lea     rsi, [text_double]
        call    print
        mov     rax, rsp
        call    print_hex
        lea     rsi, [text_interrupted]
        call    print
        mov     rax, [rsp + 80]         ; the RSP that was
        call    print_hex
        lea     rsi, [text_guard]
        call    print
        jmp     idle

panic:  mov     rbx, rax
        lea     rsi, [text_panic]
        call    print
        mov     rax, rbx
        call    print_hex
.stop:  cli
        hlt
        jmp     .stop

idle:   sti
        hlt
        jmp     idle

; ---- Console: COM1 and the screen ------------------------------------------------------------------------------------------
print:  lodsb                           ; the string at rsi, ended by 0
        test    al, al
        jz      .end
        call    put
        jmp     print
.end:   ret

print_hex:                              ; rax as 16 digits
        mov     ecx, 16
.digit: rol     rax, 4
        push    rax
        and     eax, 15
        lea     rdx, [digits]
        mov     al, [rdx + rax]
        call    put
        pop     rax
        loop    .digit
        ret

put:    push    rdx                     ; al
        push    rdi
        mov     edx, COM1
        out     dx, al
        mov     edi, [cursor]
        cmp     al, 10
        je      .line
        mov     ah, 0x0B                ; bright cyan
        mov     rdx, SCREEN
        mov     [rdx + rdi * 2], ax
        inc     edi
        jmp     .end
.line:  mov     eax, edi
        xor     edx, edx
        mov     edi, 80
        div     edi
        inc     eax
        mul     edi
        mov     edi, eax
.end:   mov     [cursor], edi
        pop     rdi
        pop     rdx
        ret

; ---- Data ----------------------------------------------------------------------------------------------------------------
        section .data
        align   16
gdt:    dq      0
        dq      0x00AF9A000000FFFF      ; 08 ring 0 code, 64 bits
        dq      0x00CF92000000FFFF      ; 10 ring 0 data
        dq      0x00CFFA000000FFFF      ; 18 ring 3 code, 32 bits: SYSRET to compatibility mode would take it
        dq      0x00CFF2000000FFFF      ; 20 ring 3 data
        dq      0x00AFFA000000FFFF      ; 28 ring 3 code, 64 bits
.tss:   dq      0x0000890000000067, 0   ; 30 the TSS; its base is filled in
gdtr:   dw      gdtr - gdt - 1
        dq      gdt
idtr:   dw      32 * 16 - 1
        dq      idt
stubs:
%assign v 0
%rep    32
        dq      trap_ %+ v
  %assign v v + 1
%endrep
cpu_data: dq    0, stack_top            ; GS:0 the user's RSP, GS:8 the kernel's
cursor: dd      0
digits: db      "0123456789abcdef"
text_hello: db  "kernel: long mode, tables of our own, the high half", 10, 0
text_heap: db   "kernel: first touch of the heap: here is a frame", 10, 0
text_double: db "kernel: #DF, told from stack ", 0
text_interrupted: db 10, "kernel: the stack that had run out was ", 0
text_guard: db  ", in the guard page", 10, 0
text_exit: db   "kernel: bye", 10, 0
text_panic: db  "kernel: panic, vector ", 0

        section .bss
        alignb  4096
idt:    resb    4096
tss:    resb    104
        alignb  4096
        resb    2048
last_stack:                             ; IST 1
        alignb  4096
guard:  resb    4096
        resb    4096
stack_top:

; ---- The user: ring 3 ------------------------------------------------------------------------------------------------------
%macro  WRITE   2                       ; a string from its label to the label after it
        mov     eax, SYS_WRITE
        lea     rsi, [%1]
        mov     edx, %2 - %1
        syscall
%endmacro

        section .user progbits alloc exec nowrite align=4096
user:   WRITE   u_hello, u_heap
        mov     edi, HEAP
        inc     qword [rdi]             ; the first touch: #PF, on the stack that the TSS says
        WRITE   u_heap, u_deep
        WRITE   u_deep, u_never
        mov     eax, SYS_DEEP
        syscall                         ; the kernel runs out of stack, and has none to say so
        WRITE   u_never, u_end
        mov     eax, SYS_EXIT
        syscall

u_hello: db     "user: hello from ring 3, through syscall", 10
u_heap: db      "user: my heap has a page now", 10
u_deep: db      "user: a call that goes deep", 10
u_never: db     "user: nobody reads this", 10
u_end:
