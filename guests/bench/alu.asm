; alu: integer arithmetic without memory. A mix as compilers make it: add, shift, rotate, multiply, compare and branch.

ITERATIONS equ  6000000

%include "boot.asm"

main:   mov     rax, 0x9E3779B97F4A7C15
        mov     rbx, 0xD1B54A32D192ED03
        xor     r8d, r8d
        xor     r9d, r9d
        mov     r10d, 1
        mov     r11d, 3

.loop:  mov     rdx, rax                ; xorshift64
        shl     rdx, 13
        xor     rax, rdx
        mov     rdx, rax
        shr     rdx, 7
        xor     rax, rdx
        mov     rdx, rax
        shl     rdx, 17
        xor     rax, rdx

        add     r8, rax                 ; 128-bit sum
        adc     r9, 0
        lea     rbx, [rbx + rbx * 4 + 11]
        ror     rbx, 19
        imul    r10, rbx
        sub     r10, rax

        test    al, 1                   ; a coin
        jz      .even
        add     r11d, 7
        xor     r11d, eax
        jmp     .met
.even:  sub     r11d, 5
        rol     r11d, 3

.met:   movzx   esi, al                 ; narrow
        movsx   ecx, bx
        add     esi, ecx
        shl     r9, cl
        or      r9, rsi
        not     esi
        neg     ecx
        and     esi, ecx
        cmp     esi, r11d
        setl    cl
        cmovb   r8, r10
        movzx   ecx, cl
        add     r11d, ecx
        cmp     rbx, r8
        jbe     .low
        inc     r11d
.low:   dec     edi
        jnz     .loop

        add     rax, rbx
        xor     rax, r8
        add     rax, r9
        xor     rax, r10
        add     rax, r11
        ret

        END_OF_IMAGE
