; fib: calls, returns and the stack. Fibonacci numbers the slow way.

ITERATIONS equ  170

%include "boot.asm"

NUMBER  equ     24

main:   mov     r12d, edi
        xor     r13d, r13d
.round: mov     edi, NUMBER
        call    fib
        add     r13, rax
        rol     r13, 1
        dec     r12d
        jnz     .round
        mov     rax, r13
        ret

fib:    cmp     edi, 2                  ; EDI -> RAX
        jb      .small
        push    rbx
        mov     ebx, edi
        lea     edi, [rbx - 1]
        call    fib
        push    rax
        lea     edi, [rbx - 2]
        call    fib
        pop     rdx
        add     rax, rdx
        pop     rbx
        ret
.small: mov     eax, edi
        ret

        END_OF_IMAGE
