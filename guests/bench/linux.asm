; A boot sector that reads pieces of a Linux system from its disk to where they belong, and enters the kernel in 32 bits
; (Documentation/arch/x86/boot.rst).  For machines that load no kernel by themselves; vmdbg/bench/boot.py fills in the table.
;
;   7C00  code     7DA0  four pieces: first sector, address, sectors; then the zero page's address and the entry     7DFE  AA55

        org     0x7C00
        bits    16

BUFFER  equ     0x40000                 ; 32 KiB
CHUNK   equ     64                      ; sectors

start:  cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, start
        sti
        cld
        mov     [drive], dl
        mov     si, pieces
piece:  cmp     si, end_of_pieces
        je      enter_kernel
chunk:  mov     eax, [si + 8]
        test    eax, eax
        jz      next
        cmp     eax, CHUNK
        jbe     read
        mov     eax, CHUNK
read:   mov     [count], ax
        mov     ebx, [si]
        mov     [sector], ebx
        push    si
        mov     si, packet
        mov     dl, [drive]
        mov     ah, 0x42                ; extended read
        int     0x13
        pop     si
        jc      fail
        mov     eax, [si + 4]
        mov     [target + 2], ax
        shr     eax, 16
        mov     [target + 4], al
        mov     [target + 7], ah
        mov     cx, [count]
        shl     cx, 8                   ; words
        push    si
        mov     si, move
        mov     ah, 0x87                ; move to extended memory
        int     0x15
        pop     si
        jc      fail
        movzx   eax, word [count]
        add     [si], eax
        sub     [si + 8], eax
        shl     eax, 9
        add     [si + 4], eax
        jmp     chunk
next:   add     si, 12
        jmp     piece

fail:   cli
        hlt
        jmp     fail

enter_kernel:
        cli
        in      al, 0x92
        or      al, 2                   ; A20
        out     0x92, al
        lgdt    [gdtr]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 0x10:protected

        bits    32
protected:
        mov     eax, 0x18
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        xor     ebx, ebx
        xor     ebp, ebp
        xor     edi, edi
        mov     esi, [zero_page]
        jmp     [entry]

        align   8
gdt:    dq      0, 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF    ; __BOOT_CS is 10h, __BOOT_DS 18h
gdtr:   dw      $ - gdt - 1
        dd      gdt
move:   dq      0, 0
        dw      0xFFFF, BUFFER & 0xFFFF, 0x9300 | BUFFER >> 16, 0
target: dw      0xFFFF, 0, 0x9300, 0
        dq      0, 0
packet: dw      16
count:  dw      0
        dw      0, BUFFER >> 4
sector: dq      0
drive:  db      0

        times   0x1A0 - ($ - $$) db 0
pieces: times   12 dd 0
end_of_pieces:
zero_page:
        dd      0
entry:  dd      0
        times   510 - ($ - $$) db 0
        dw      0xAA55
