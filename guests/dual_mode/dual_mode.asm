; dual_mode: a kernel in ring 0 and two tasks in ring 3, on one page of assembler each.
;
; Physical memory                              Linear memory (one page directory a task)
;   00100000  kernel: code, tables, stacks       00000000-003FFFFF  = physical, ring 0 only
;   00200000  the tasks' code, one page          08048000           the tasks' code: read-only, shared
;   00300000  free frames, handed out on faults  08049000-0804FFFF  heap and stack: a frame on first touch

        bits    32

KERNEL_CS equ   0x08
KERNEL_DS equ   0x10
USER_CS equ     0x18 | 3
USER_DS equ     0x20 | 3
TSS_SEL equ     0x28

USER    equ     0x08048000              ; the tasks' code page
DEMAND  equ     0x08049000              ; from here to USER_END a first touch gets a frame
USER_END equ    0x08050000
CODE_FRAME equ  0x00200000
FREE    equ     0x00300000

COM1    equ     0x3F8
SCREEN  equ     0xB8000

SLICE   equ     6                       ; ticks of 838 ns that a task has at first before it is the other one's turn

SYS_EXIT equ    0                       ; int 0x80 with eax = one of these
SYS_WRITE equ   1                       ; ebx = address, ecx = length
SYS_YIELD equ   2

; What a trap leaves on the kernel stack, lowest address first
F_EAX   equ     36
F_VECTOR equ    40
F_ERROR equ     44
F_EIP   equ     48
F_CS    equ     52
F_SIZE  equ     68

; A task
T_FRAME equ     0                       ; its trap frame, while it does not run
T_TOP   equ     4                       ; top of its kernel stack, for the TSS
T_DIR   equ     8                       ; its page directory
T_TABLE equ     12                      ; its page table for 08000000-083FFFFF
T_NEXT  equ     16
T_ALIVE equ     20
T_LETTER equ    24

        section .text
        align   4
        dd      0x1BADB002, 0, -0x1BADB002 ; multiboot, so that other loaders take it too

; ---- Start: flat protected mode, paging off, interrupts off --------------------------------------------------------
        global  start
start:  cli
        cld
        mov     esp, boot_stack
        call    make_gdt
        call    make_idt
        call    make_pages
        call    start_timer
        call    turn_paging_on
        mov     esi, greeting
        call    print
        mov     eax, task_a
        jmp     run                     ; for the first time into ring 3

make_gdt:
        mov     eax, tss                ; a descriptor holds its base in three pieces
        mov     [gdt.tss + 2], ax
        shr     eax, 16
        mov     [gdt.tss + 4], al
        mov     [gdt.tss + 7], ah
        lgdt    [gdtr]
        jmp     KERNEL_CS:.flat
.flat:  mov     eax, KERNEL_DS
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        xor     eax, eax
        mov     fs, eax
        mov     gs, eax
        mov     word [tss + 8], KERNEL_DS ; ss0; esp0 changes with the task
        mov     eax, TSS_SEL
        ltr     ax
        ret

make_idt:                               ; vectors 0 to 20h: interrupt gates for ring 0; 80h: the door for ring 3
        xor     ecx, ecx
.gate:  mov     eax, [stubs + ecx * 4]
        mov     edx, 0x8E00
        call    set_gate
        inc     ecx
        cmp     ecx, 0x21
        jb      .gate
        mov     ecx, 0x80
        mov     eax, trap_80
        mov     edx, 0xEE00             ; DPL 3
        call    set_gate
        lidt    [idtr]
        ret

set_gate:                               ; gate ecx leads to eax, type and DPL in edx
        mov     [idt + ecx * 8], ax
        mov     word [idt + ecx * 8 + 2], KERNEL_CS
        mov     [idt + ecx * 8 + 4], dx
        shr     eax, 16
        mov     [idt + ecx * 8 + 6], ax
        ret

make_pages:
        mov     edi, low_table          ; 4 MiB, linear = physical: present, writable, ring 0
        mov     eax, 3
.low:   stosd
        add     eax, 0x1000
        cmp     eax, 0x400000
        jb      .low
        mov     ebx, task_a
        call    .space
        mov     ebx, task_b
.space: mov     edx, [ebx + T_DIR]
        mov     dword [edx], low_table + 3
        mov     eax, [ebx + T_TABLE]
        mov     dword [eax + (USER >> 12 & 0x3FF) * 4], CODE_FRAME + 5 ; present, read-only, ring 3
        or      eax, 7
        mov     [edx + (USER >> 22) * 4], eax
        ret

turn_paging_on:
        mov     eax, dir_a
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 0x80010000         ; PG and WP
        mov     cr0, eax
        ret

start_timer:                            ; IRQ 0 becomes vector 20h; a machine without PIC and PIT ignores all this
        mov     esi, .pic
.next:  lodsw
        movzx   edx, ah
        out     dx, al
        cmp     esi, .end
        jb      .next
        ret
.pic:   db      0x11, 0x20, 0x11, 0xA0, 0x20, 0x21, 0x28, 0xA1, 0x04, 0x21, 0x02, 0xA1, 0x01, 0x21, 0x01, 0xA1
        db      0xFE, 0x21, 0xFF, 0xA1  ; only IRQ 0
        db      0x30, 0x43              ; counter 0 counts down once (mode 0), each time that it is loaded
.end:

; ---- Traps: every way from ring 3 into ring 0 -----------------------------------------------------------------------
%macro  TRAP    1
trap_%1:
  %if %1 != 8 && (%1 < 10 || %1 > 14) && %1 != 17 && %1 != 21
        push    0                       ; the CPU pushed no error code
  %endif
        push    %1
        jmp     trap
%endmacro
%assign v 0
%rep    0x21
        TRAP    v
  %assign v v + 1
%endrep

trap_80:
        push    0
        push    0x80
trap:   pusha
        push    ds
        push    es
        mov     eax, KERNEL_DS
        mov     ds, eax
        mov     es, eax
        cld
        mov     ebp, esp                ; ebp: the frame
        mov     eax, [ebp + F_VECTOR]
        cmp     eax, 0x80
        je      system_call
        cmp     eax, 0x20
        je      timer
        test    byte [ebp + F_CS], 3
        jz      panic                   ; the kernel itself did it
        cmp     eax, 14
        je      page_fault
        cmp     eax, 13
        je      general_protection
        jmp     kill

resume: mov     esp, ebp                ; ebp: a frame. Back to where it came from
        pop     es
        pop     ds
        popa
        add     esp, 8
        iret

system_call:
        mov     eax, [ebp + F_EAX]
        cmp     eax, SYS_WRITE
        je      sys_write
        cmp     eax, SYS_YIELD
        je      schedule
        cmp     eax, SYS_EXIT
        jne     kill
        mov     edx, [current]
        mov     dword [edx + T_ALIVE], 0
        jmp     schedule

sys_write:                              ; never trust a pointer from ring 3
        cmp     ebx, USER
        jb      kill
        mov     eax, USER_END
        sub     eax, ebx
        jb      kill
        cmp     ecx, eax
        ja      kill
        mov     esi, ebx
        jecxz   resume
.next:  lodsb
        call    put
        loop    .next
        jmp     resume

timer:  inc     dword [ticks]
        mov     al, 0x20                ; end of interrupt
        out     0x20, al
        test    byte [ebp + F_CS], 3
        jz      resume                  ; the idle loop has nobody to make room for
        mov     edx, [current]
        mov     eax, [ebp + F_EIP]
        cmp     eax, [began]
        jne     .turn
        shl     dword [slice], 1        ; it came nowhere: a share is too short on this machine
        mov     [edx + T_FRAME], ebp
        mov     eax, edx
        jmp     run
.turn:  mov     esi, text_timer
        call    print
        mov     al, [edx + T_LETTER]
        call    put
        mov     al, 10
        call    put
        jmp     schedule

page_fault:                             ; a first touch gets a frame, and the instruction is run again
        mov     ebx, cr2
        test    byte [ebp + F_ERROR], 1
        jnz     kill                    ; the page is there: it was not allowed
        cmp     ebx, DEMAND
        jb      kill
        cmp     ebx, USER_END
        jae     kill
        mov     edx, [current]
        mov     edx, [edx + T_TABLE]
        mov     eax, [free]
        add     dword [free], 0x1000
        or      eax, 7                  ; present, writable, ring 3
        mov     ecx, ebx
        shr     ecx, 12
        and     ecx, 0x3FF
        mov     [edx + ecx * 4], eax
        mov     esi, text_demand
        call    print
        mov     eax, ebx
        call    print_hex
        mov     esi, text_mapped
        call    print
        jmp     resume

general_protection:                     ; a privileged instruction: say so, and go on behind it
        mov     ebx, [ebp + F_EIP]
        cmp     byte [ebx], 0xFA        ; cli
        jne     kill
        inc     dword [ebp + F_EIP]
        mov     esi, text_cli
        call    print
        mov     eax, ebx
        call    print_hex
        mov     esi, text_skipped
        call    print
        jmp     resume

kill:   mov     edx, [current]
        mov     dword [edx + T_ALIVE], 0
        mov     esi, text_killed
        call    print
        mov     al, [edx + T_LETTER]
        call    put
        mov     esi, text_vector
        call    print
        mov     eax, [ebp + F_VECTOR]
        call    print_hex
        mov     esi, text_at
        call    print
        mov     eax, [ebp + F_EIP]
        call    print_hex
        mov     esi, text_cr2
        call    print
        mov     eax, cr2
        call    print_hex
        mov     al, 10
        call    put
                                        ; and fall through to
schedule:                               ; the other task, if it lives; ebp: the frame of the current one
        mov     edx, [current]
        mov     [edx + T_FRAME], ebp
        mov     eax, [edx + T_NEXT]
        cmp     dword [eax + T_ALIVE], 0
        jne     run
        mov     eax, edx
        cmp     dword [eax + T_ALIVE], 0
        je      all_done
run:    mov     [current], eax          ; eax: the task to run
        mov     ebx, [eax + T_TOP]
        mov     [tss + 4], ebx          ; esp0: where the next trap finds a stack
        mov     ebx, [eax + T_DIR]
        mov     cr3, ebx
        mov     ebp, [eax + T_FRAME]
        mov     eax, [ebp + F_EIP]
        mov     [began], eax
        mov     eax, [slice]            ; its share of time begins now
        out     0x40, al
        mov     al, ah
        out     0x40, al
        jmp     resume

all_done:
        mov     esp, boot_stack
        mov     esi, text_done
        call    print
        mov     al, 0xFF
        out     0x21, al                ; no more ticks
.idle:  sti
        hlt
        jmp     .idle

panic:  mov     esi, text_panic
        call    print
        mov     eax, [ebp + F_VECTOR]
        call    print_hex
        mov     esi, text_at
        call    print
        mov     eax, [ebp + F_EIP]
        call    print_hex
.stop:  cli
        hlt
        jmp     .stop

; ---- Console: COM1 and the screen -------------------------------------------------------------------------------------
print:  lodsb                           ; the string at esi, ended by 0
        test    al, al
        jz      .end
        call    put
        jmp     print
.end:   ret

print_hex:                              ; eax as eight digits
        push    ecx
        mov     ecx, 8
.digit: rol     eax, 4
        push    eax
        and     eax, 0xF
        mov     al, [digits + eax]
        call    put
        pop     eax
        loop    .digit
        pop     ecx
        ret

put:    pusha                           ; al
        mov     ah, al
        mov     edx, COM1 + 5
.wait:  in      al, dx
        test    al, 0x20
        jz      .wait
        mov     edx, COM1
        mov     al, ah
        out     dx, al
        mov     edi, [cursor]
        cmp     al, 10
        je      .line
        mov     ah, 0x07
        mov     [SCREEN + edi * 2], ax
        inc     edi
        jmp     .bottom
.line:  mov     eax, edi                ; to the start of the next line of 80
        xor     edx, edx
        mov     ecx, 80
        div     ecx
        inc     eax
        mul     ecx
        mov     edi, eax
.bottom: cmp    edi, 80 * 25
        jb      .end
        mov     esi, SCREEN + 160       ; scroll
        mov     edi, SCREEN
        mov     ecx, 80 * 24 / 2
        rep     movsd
        mov     eax, 0x07200720
        mov     ecx, 40
        rep     stosd
        mov     edi, 80 * 24
.end:   mov     [cursor], edi
        popa
        ret

; ---- Data --------------------------------------------------------------------------------------------------------------
        section .data
        align   8
gdt:    dq      0
        dq      0x00CF9A000000FFFF      ; 08 ring 0 code, 4 GiB
        dq      0x00CF92000000FFFF      ; 10 ring 0 data
        dq      0x00CFFA000000FFFF      ; 18 ring 3 code
        dq      0x00CFF2000000FFFF      ; 20 ring 3 data
.tss:   dq      0x0000890000000067      ; 28 the TSS, 104 bytes; its base is filled in
.end:
gdtr:   dw      gdt.end - gdt - 1
        dd      gdt
idtr:   dw      0x81 * 8 - 1
        dd      idt

stubs:
%assign v 0
%rep    0x21
        dd      trap_ %+ v
  %assign v v + 1
%endrep

task_a: dd      frame_a, stack_a, dir_a, table_a, task_b, 1, 'A'
task_b: dd      frame_b, stack_b, dir_b, table_b, task_a, 1, 'B'
current: dd     task_a
free:   dd      FREE
ticks:  dd      0
slice:  dd      SLICE
began:  dd      0
cursor: dd      0

%macro  FIRST_FRAME 1                   ; as if the task had been interrupted before its first instruction
        dd      USER_DS, USER_DS        ; es, ds
        times 8 dd 0                    ; pusha
        dd      0, 0                    ; vector, error
        dd      %1, USER_CS, 0x202, USER_END - 16, USER_DS ; IF is on in ring 3
%endmacro
        align   16
        times   1024 - F_SIZE db 0
frame_a: FIRST_FRAME start_a
stack_a:
        times   1024 - F_SIZE db 0
frame_b: FIRST_FRAME start_b
stack_b:

digits: db      "0123456789abcdef"
greeting: db    "kernel: ring 0, paging on, two tasks", 10, 0
text_demand: db "kernel: first touch of ", 0
text_mapped: db ": here is a frame", 10, 0
text_cli: db    "kernel: cli in ring 3 at ", 0
text_skipped: db ": not for you", 10, 0
text_timer: db  "kernel: the timer takes the CPU from ", 0
text_killed: db "kernel: killed task ", 0
text_vector: db ", vector ", 0
text_at: db     " at ", 0
text_cr2: db    ", cr2 ", 0
text_done: db   "kernel: nobody left to run", 10, 0
text_panic: db  10, "kernel: panic, vector ", 0

        section .bss
        alignb  4096
dir_a:  resd    1024
dir_b:  resd    1024
low_table: resd 1024
table_a: resd   1024
table_b: resd   1024
idt:    resq    0x81
tss:    resb    104
        resb    1024
boot_stack:

; ---- The tasks: ring 3 ---------------------------------------------------------------------------------------------------
%macro  WRITE   2                       ; a string from its label to the label after it
        mov     eax, SYS_WRITE
        mov     ebx, %1
        mov     ecx, %2 - %1
        int     0x80
%endmacro

        section .user progbits alloc exec nowrite align=4096
start_a:
        WRITE   a_hello, a_popf
        mov     eax, SYS_YIELD
        int     0x80
        pushf                           ; the first push: a page fault gives the stack its frame
        and     dword [esp], ~0x200     ; IF off
        popf                            ; sensitive, but not privileged: nothing happens, and nobody is told
        pushf
        pop     eax
        test    eax, 0x200
        jz      .off
        WRITE   a_popf, a_heap
.off:   mov     eax, SYS_YIELD
        int     0x80
        inc     dword [DEMAND + 0x1000] ; the first touch of the heap
        WRITE   a_heap, a_end
        mov     ecx, 4000               ; work, and no thought of anybody else: the timer must see to that
.count: inc     dword [DEMAND + 0x1000]
        loop    .count
        mov     eax, [0xDEADB000]       ; nobody's
        jmp     $

start_b:
        WRITE   b_hello, b_cli
        mov     eax, SYS_YIELD
        int     0x80
        cli                             ; privileged: #GP
        WRITE   b_cli, b_bye
        mov     eax, SYS_YIELD
        int     0x80
        mov     ecx, 4000
.count: inc     dword [DEMAND + 0x1000] ; the same address as task A's, another frame
        loop    .count
        WRITE   b_bye, b_end
        mov     eax, SYS_EXIT
        int     0x80

a_hello: db     "A: hello from ring 3, through int 0x80", 10
a_popf: db      "A: popf did not turn interrupts off", 10
a_heap: db      "A: my heap has a page now", 10
a_end:
b_hello: db     "B: hello from ring 3 too", 10
b_cli:  db      "B: cli did not turn interrupts off either", 10
b_bye:  db      "B: counted to 4000, bye", 10
b_end:
