; memory: loads and stores. Each round sieves primes, copies what it found in streams, and chases pointers in a shuffled ring.
;
;       400000  sieve, 256 KiB     500000  its copy     600000  ring of 8192 pointers, 64 bytes apart

ITERATIONS equ  100

%include "boot.asm"

SIEVE   equ     0x400000
SIZE    equ     0x40000
COPY    equ     0x500000
RING    equ     0x600000
NODES   equ     8192

main:   xor     r8d, r8d                ; the ring: node n leads to node n * 5 + 1 (modulo NODES), which visits them all
.node:  lea     eax, [r8 + r8 * 4 + 1]
        and     eax, NODES - 1
        shl     eax, 6
        add     eax, RING
        mov     ecx, r8d
        shl     ecx, 6
        mov     [RING + rcx], rax
        mov     [RING + rcx + 8], r8
        inc     r8d
        cmp     r8d, NODES
        jb      .node
        xor     r11d, r11d              ; checksum

.round: mov     eax, SIEVE              ; all may be primes
        mov     rdx, 0x0101010101010101
.clear: mov     [rax], rdx
        mov     [rax + 8], rdx
        mov     [rax + 16], rdx
        mov     [rax + 24], rdx
        add     rax, 32
        cmp     rax, SIEVE + SIZE
        jb      .clear

        mov     esi, 2
.prime: cmp     byte [SIEVE + rsi], 0
        je      .next
        mov     eax, esi
        imul    eax, esi
.strike:
        cmp     eax, SIZE
        jae     .next
        mov     byte [SIEVE + rax], 0
        add     eax, esi
        jmp     .strike
.next:  inc     esi
        cmp     esi, 512
        jb      .prime

        xor     eax, eax                ; a stream of quadwords
.copy:  mov     rcx, [SIEVE + rax]
        mov     rdx, [SIEVE + rax + 8]
        mov     [COPY + rax], rcx
        mov     [COPY + rax + 8], rdx
        add     r11, rcx
        xor     r11, rdx
        add     eax, 16
        cmp     eax, SIZE
        jb      .copy

        mov     eax, RING               ; around the ring, writing on the way
        mov     ecx, NODES
.chase: add     [rax + 16], rcx
        add     r11, [rax + 8]
        mov     rax, [rax]
        dec     ecx
        jnz     .chase
        rol     r11, 1
        dec     edi
        jnz     .round
        mov     rax, r11
        add     rax, [RING + 16]
        ret

        END_OF_IMAGE
