; The BIOS: what a PC's firmware sets up before a boot sector, and the services it offers (IBM PS/2 and PC BIOS Technical
; Reference; BIOS Boot Specification 1.01; Enhanced Disk Drive 3.0; El Torito 1.0; PCI BIOS 2.1).
;
;   F000:C000  services and data        F000:E05B  power-on entry        F000:FFF0  where the CPU comes out of reset
;   0000:0000  interrupt vectors        0040:0000  BIOS data area        9FC0:0000  extended BIOS data area (memory_map.inc)
;
; It drives the board's devices by their registers and keeps everything it knows in memory.  IDE transfers are polled.

        bits    16
        cpu     386
        org     0xC000

ROM     equ     0xF000                  ; segments
BDA     equ     0x0040
EBDA    equ     0x9FC0
SCREEN  equ     0xB800
NO_SERVICE equ  0xFF53                  ; an IRET

%include "frame.inc"
%include "memory_map.inc"
%include "post.inc"
%include "boot.inc"
%include "cd_boot.inc"
%include "disk.inc"
%include "disk_extended.inc"
%include "ide.inc"
%include "video.inc"
%include "keyboard.inc"
%include "keys.inc"
%include "clock.inc"
%include "system.inc"
%include "block_move.inc"
%include "serial.inc"
%include "pci.inc"

; ---- places that programs know

%macro  place    1                       ; go on at offset %1 of the segment
        %if     $ - $$ + 0xC000 > %1
        %error  code runs over a fixed place
        %endif
        times   %1 - 0xC000 - ($ - $$) db 0
%endmacro

        place   0xE05B
        jmp     post

        place   0xE6E0                  ; the last instruction before a boot sector
hand_over:
        iret

        place   0xE6F2                  ; the bootstrap: INT 19h
bootstrap:
        jmp     boot

        place   0xE6F5
configuration:                          ; INT 15h, AH = C0h
        dw      8
        db      0xFC, 1, 0              ; AT, submodel, revision
        db      0x74                    ; second 8259, RTC, INT 15h AH=4Fh, EBDA
        times   4 db 0

        place   0xEFC7
floppy_parameters:                      ; what INT 1Eh points to
        db      0xAF, 0x02, 0x25, 2, 18, 0x1B, 0xFF, 0x6C, 0xF6, 0x0F, 0x08

        place   NO_SERVICE
        iret

        place   0xFFF0
        jmp     ROM:0xE05B
        db      "11/22/26", 0
        db      0xFC, 0
