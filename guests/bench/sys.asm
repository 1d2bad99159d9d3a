; sys: what a kernel does. Two processes in ring 3, each with page tables of its own, take turns.
;
;   A round: copy 2 KiB with REP MOVS, SYSCALL (the kernel loads the other process's CR3 and comes back with SYSRET),
;   INT 80 (the kernel counts, and comes back with IRET).
;
;       400000  the processes' code             13000  second PML4, PDPT, PD
;       600000  their data: physical 600000 in the first, 800000 in the second

ITERATIONS equ  700000

%include "boot.asm"

WRITTEN equ     0xA000                  ; the kernel's data, on pages of its own
TABLES2 equ     0x13000
TEXT    equ     0x400000
SPACE   equ     0x600000
ROUND   equ     2048                    ; bytes copied
USER    equ     0x07                    ; present, writable, user
BIG     equ     0x80
USER_DATA equ   0x18 | 3
USER_CODE equ   0x20 | 3
TASK    equ     0x28
EFER    equ     0xC0000080
STAR    equ     0xC0000081
LSTAR   equ     0xC0000082
SFMASK  equ     0xC0000084

main:   mov     [back], rsp
        mov     [rounds], edi
        mov     esi, TABLES             ; the second address space: the same but for one page
        mov     edi, TABLES2
        mov     ecx, 0x3000 / 8
        rep     movsq
        mov     eax, TABLES
        mov     edx, 0x600000
        call    let_in
        mov     eax, TABLES2
        mov     edx, 0x800000
        call    let_in
        mov     eax, TABLES
        mov     cr3, rax
        mov     esi, process
        mov     edi, TEXT
        mov     ecx, process.end - process
        rep     movsb
        mov     edi, 0x600000
        call    fill
        mov     edi, 0x800000
        call    fill

        lgdt    [kernel_gdtr]
        mov     eax, task
        mov     [kernel_gdt + TASK + 2], ax
        shr     eax, 16
        mov     [kernel_gdt + TASK + 4], al
        mov     eax, TASK
        ltr     ax
        mov     eax, on_int             ; gate 80
        mov     [idt + 0x80 * 16], ax
        shr     eax, 16
        mov     [idt + 0x80 * 16 + 6], ax
        mov     dword [idt + 0x80 * 16 + 2], 0xEE000000 | CODE
        lidt    [idtr]

        mov     ecx, EFER
        rdmsr
        or      eax, 1                  ; SCE
        wrmsr
        mov     ecx, STAR
        xor     eax, eax
        mov     edx, (DATA | 3) << 16 | CODE
        wrmsr
        mov     ecx, LSTAR
        mov     eax, on_syscall
        xor     edx, edx
        wrmsr
        mov     ecx, SFMASK
        mov     eax, 0x700
        wrmsr
        mov     eax, USER_DATA          ; into ring 3
        mov     ds, eax
        mov     es, eax
        mov     ecx, TEXT
        mov     r11d, 2
        mov     esp, SPACE + 0x10000
        o64 sysret

let_in: or      byte [rax], USER        ; the address space at EAX: its processes see TEXT and, at SPACE, the page at EDX
        or      byte [rax + 0x1000], USER
        or      byte [rax + 0x2000 + (TEXT >> 21) * 8], USER
        or      edx, USER | BIG
        mov     [rax + 0x2000 + (SPACE >> 21) * 8], edx
        ret

fill:   mov     ecx, ROUND / 8          ; data at EDI that depends on the place; linear 800000 is still physical 800000
        mov     rax, rdi
.next:  imul    rax, rax, 0x10DCD
        inc     rax
        stosq
        dec     ecx
        jnz     .next
        ret

on_syscall:
        mov     [user_rsp], rsp
        mov     esp, kernel_stack
        push    rcx
        push    r11
        push    rbp
        push    rbx
        mov     rbx, cr3
        xor     rbx, TABLES ^ TABLES2
        mov     cr3, rbx
        dec     dword [rounds]
        jz      finished
        pop     rbx
        pop     rbp
        pop     r11
        pop     rcx
        mov     rsp, [user_rsp]
        o64 sysret

on_int: push    rcx
        push    rdx
        add     [total], rax
        mov     rcx, [total]
        mov     edx, 7
        imul    rcx, rdx
        mov     rax, rcx
        pop     rdx
        pop     rcx
        iretq

finished:
        mov     rax, [total]
        xor     rax, [0x600000 + ROUND]
        add     rax, [0x800000 + ROUND]
        mov     rsp, [back]
        ret

process:                                ; runs at TEXT
        mov     esi, SPACE
        mov     edi, SPACE + ROUND
        mov     ecx, ROUND / 8
        rep     movsq
        add     [SPACE + 8], rax
        syscall
        mov     rax, [SPACE + 8]
        int     0x80
        rol     rax, 9
        xor     [SPACE], rax
        jmp     process
.end:

        times   WRITTEN - ORIGIN - ($ - $$) db 0
kernel_gdt:
        dq      0
        dq      0x00AF9B000000FFFF      ; 08  code, 64 bits
        dq      0x00CF93000000FFFF      ; 10  data
        dq      0x00CFF3000000FFFF      ; 18  the processes' data
        dq      0x00AFFB000000FFFF      ; 20  and code
        dq      0x0000890000000067, 0   ; 28  TSS, its base to be filled in
kernel_gdtr:
        dw      $ - kernel_gdt - 1
        dq      kernel_gdt
idtr:   dw      0x81 * 16 - 1
        dq      idt

        align   16
task:   dd      0
        dq      kernel_stack            ; RSP0
        times   0x68 - 12 db 0
back:   dq      0
user_rsp:
        dq      0
total:  dq      0
rounds: dd      0

        align   16
idt:    times   0x81 * 16 db 0
        times   1024 db 0
        align   16
kernel_stack:

        END_OF_IMAGE
