"""Guest memory as meanings see it: segment, linear, physical; the software TLB; slots for accesses that need care.

    seg:offset --linear()--> linear address --locate()--> host address of the bytes

The TLB has a bank for user and one for supervisor accesses (implicit supervisor accesses to GDT, IDT, LDT and TSS use the
second whatever CPL is).  An entry matches if the page of the access's *last* byte is the entry's page, so an
access that crosses a page never matches.  Accesses that cross a page, touch a device, code or a watched page go
through slots: the driver runs that one instruction with cpu.slow = 1; locate() then hands out a copy of the bytes,
and the driver writes changed slots back when the instruction is done, in order.
"""

READ, WRITE = False, True
PAGE_MASK = 0xFFF
