; hello16: the smallest guest. A boot sector in real mode that says hello on the serial port and on the screen, then halts.
;
;   0000:7C00  this code, as a BIOS (or vmdbg) leaves it       0000:7C00 down  stack
;   B800:0000  the screen: 80x25 cells of character, attribute

        bits    16
        org     0x7C00

COM1    equ     0x3F8
PIT     equ     0x43                    ; the timer's control port
LSR     equ     COM1 + 5                ; line status; bit 5: the transmitter is empty
LIGHT   equ     0x1F                    ; white on blue

start:  jmp     0:.here                 ; CS = 0 whatever the BIOS chose
.here:  xor     ax, ax
        mov     ds, ax
        mov     ss, ax
        mov     sp, 0x7C00
        mov     ax, 0xB800
        mov     es, ax
        cld

        mov     si, hello
        xor     di, di
next:   lodsb
        test    al, al
        jz      done
        call    to_serial
        cmp     al, ' '
        jb      next                    ; line ends are for the serial port
        call    to_screen
        jmp     next

done:   mov     al, 0x30                ; the BIOS has started the timer: let it wait for a count that never comes
        out     PIT, al
.halt:  hlt                             ; until an interrupt comes, and again
        jmp     .halt

to_serial:                              ; AL to COM1, when it is ready; keeps AX
        push    ax
        mov     dx, LSR
.wait:  in      al, dx
        test    al, 0x20
        jz      .wait
        pop     ax
        mov     dx, COM1
        out     dx, al
        ret

to_screen:                              ; AL to the cell at ES:DI
        mov     ah, LIGHT
        stosw
        ret

hello:  db      "Hello from real mode: 16 bits, one ring, no walls.", 13, 10, 0

        times   510 - ($ - $$) db 0
        dw      0xAA55                  ; what makes a sector bootable
