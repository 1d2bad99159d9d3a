; triple: a kernel whose interrupt table has one wrong number in it.  It says hello, divides by zero, and is gone.
;
;   00100000  code, tables, stack       flat protected mode, paging off, interrupts off

        bits    32

CODE    equ     0x08
DATA    equ     0x10
COM1    equ     0x3F8

        section .text
        align   4
        dd      0x1BADB002, 0, -0x1BADB002 ; multiboot, so that other loaders take it too

        global  start
start:  cli
        cld
        mov     esp, stack_top
        lgdt    [gdtr]
        jmp     CODE:.flat
.flat:  mov     eax, DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        call    make_idt
        mov     esi, hello
        call    print
        mov     ecx, 12
        call    average
        mov     ecx, 0                  ; nobody has checked this one
        call    average
        jmp     done

average:                                ; of ecx numbers whose sum is 1200: eax
        mov     eax, 1200
        xor     edx, edx
        div     ecx
        ret

make_idt:                               ; every exception to its handler
        xor     ecx, ecx
.gate:  mov     eax, [handlers + ecx * 4]
        mov     [idt + ecx * 8], ax
        mov     word [idt + ecx * 8 + 2], DATA ; here it is: a handler is code, and this selects data
        mov     word [idt + ecx * 8 + 4], 0x8E00
        shr     eax, 16
        mov     [idt + ecx * 8 + 6], ax
        inc     ecx
        cmp     ecx, 32
        jb      .gate
        lidt    [idtr]
        ret

divide_error:
        mov     esi, text_divide
        jmp     last_words
other:  mov     esi, text_other
last_words:
        call    print
done:   cli
        hlt
        jmp     done

print:  lodsb                           ; the string at esi, ended by 0
        test    al, al
        jz      .end
        mov     edx, COM1
        out     dx, al
        jmp     print
.end:   ret

        section .data
        align   8
gdt:    dq      0
        dq      0x00CF9A000000FFFF      ; 08 ring 0 code, 4 GiB
        dq      0x00CF92000000FFFF      ; 10 ring 0 data
gdtr:   dw      gdtr - gdt - 1
        dd      gdt
idtr:   dw      32 * 8 - 1
        dd      idt
handlers: dd    divide_error
        times 31 dd other
hello:  db      "kernel: averages", 13, 10, 0
text_divide: db "kernel: divided by zero, going on", 13, 10, 0
text_other: db  "kernel: an exception", 13, 10, 0

        section .bss
        alignb  16
idt:    resq    32
        resb    1024
stack_top:
