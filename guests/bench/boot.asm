; boot.asm: what every workload of `vmdbg bench` begins and ends with. One image, the same code wherever it runs.
;
;   A BIOS loads the first sector, which reads the others; vmdbg places the whole image.  Then long mode with paging on,
;   `main` with the iterations in RDI, and its checksum in RAX is sent to COM1.  Two ways to end: port F4 (vmdbg; QEMU's
;   isa-debug-exit) and "Shutdown" to port 8900 (Bochs).
;
;       7C00  the image, up to C000             10000  PML4, PDPT, PD: 1 GiB, linear = physical
;       7DF8  iterations (a parameter)          13000  free for the workload
;       7000  down: the stack (code and what is written never share a page: emulators are slow there)
;
; A workload defines ITERATIONS before it includes this, and `main` behind it.

        bits    16
        org     0x7C00

ORIGIN  equ     0x7C00
LOADED  equ     0xC000                  ; end of the image
MARK    equ     0x454D4456              ; its last word: everything is here
STACK   equ     0x7000
TABLES  equ     0x10000
COM1    equ     0x3F8
CODE    equ     0x08                    ; selectors
DATA    equ     0x10

start:  jmp     0:.here
.here:  xor     ax, ax
        mov     ds, ax
        mov     ss, ax
        mov     sp, STACK
        cld
        cmp     dword [LOADED - 4], MARK
        je      .all                    ; no BIOS was needed
        mov     es, ax
        mov     bx, start + 512
        mov     cx, 2                   ; cylinder 0, from sector 2
        mov     dh, 0
        mov     ax, 0x0200 + (LOADED - ORIGIN) / 512 - 1
        int     0x13
.all:   cli
        in      al, 0x92                ; A20 on
        or      al, 2
        and     al, 0xFE
        out     0x92, al

        mov     ax, TABLES >> 4
        mov     es, ax
        xor     eax, eax
        xor     di, di
        mov     cx, 0x3000 / 4
        rep     stosd
        mov     dword [es:0x0000], TABLES + 0x1003
        mov     dword [es:0x1000], TABLES + 0x2003
        mov     di, 0x2000
        mov     eax, 0x83               ; present, writable, 2 MiB
.page:  mov     [es:di], eax
        add     eax, 2 << 20
        add     di, 8
        cmp     di, 0x3000
        jne     .page

        mov     eax, cr4
        or      eax, 0x20               ; PAE
        mov     cr4, eax
        mov     eax, TABLES
        mov     cr3, eax
        mov     ecx, 0xC0000080         ; EFER: LME
        rdmsr
        or      eax, 0x100
        wrmsr
        lgdt    [gdtr]
        mov     eax, 0x80010011         ; PG, WP, ET, PE
        mov     cr0, eax
        jmp     CODE:long_mode

        bits    64
long_mode:
        mov     eax, DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     esp, STACK
        mov     edi, [iterations]
        call    main
        jmp     finish

        align   8
gdt:    dq      0
        dq      0x00AF9B000000FFFF      ; 08  code, 64 bits
        dq      0x00CF93000000FFFF      ; 10  data
gdtr:   dw      $ - gdt - 1
        dd      gdt

        times   504 - ($ - $$) db 0
iterations:
        dd      ITERATIONS
        dw      0
        dw      0xAA55

finish: mov     rbx, rax                ; the checksum, 16 digits
        mov     edx, COM1 + 3           ; LCR: 8 bits, no parity
        mov     al, 3
        out     dx, al
        mov     ecx, 16
.digit: rol     rbx, 4
        mov     eax, ebx
        and     eax, 15
        mov     al, [digits + rax]
        call    send
        dec     ecx
        jnz     .digit
        mov     al, 10
        call    send
        xor     eax, eax
        out     0xF4, al
        mov     esi, goodbye
        mov     edx, 0x8900
.word:  lodsb
        out     dx, al
        test    al, al
        jnz     .word
.rest:  hlt
        jmp     .rest

send:   mov     edx, COM1               ; AL to COM1; back when it has left the shift register
        out     dx, al
        mov     edx, COM1 + 5
.wait:  in      al, dx
        test    al, 0x40
        jz      .wait
        ret

digits: db      "0123456789abcdef"
goodbye: db     "Shutdown", 0

%macro END_OF_IMAGE 0
        times   LOADED - ORIGIN - 4 - ($ - $$) db 0
        dd      MARK
%endmacro
