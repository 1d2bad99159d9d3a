"""Which translated code lies on which page, and forgetting it when its bytes are written.

    page_head[page] -> Block -> next_in_page ...    page_code[page]: bit n = code was translated from its n-th 64 bytes

A dead block's first uop can no longer be entered: it costs more than any budget.
"""

from isa.lang.struct import words32, words64
from isa.lang.word import U8, U32, U64, outlined
from vmdbg.machine.state import Block, Shared, Uop

HELD = 1 << 30  # in uop.cost: more than any budget
BREAKPOINT, DEAD = 1, 2  # in uop.trap
CHAINS = 65536
BLOCK_SIZE = Block.size


def hash_of(pa, rip):
    return ((pa >> 1) ^ (pa >> 14) ^ (rip >> 20)) & (CHAINS - 1)


def block_at(shared, n):
    return Block(shared.blocks + U64(n) * BLOCK_SIZE)


@outlined
def drop_page(cpu, page):
    """Forget the code that was translated from a RAM page."""
    shared = Shared(cpu.shared)
    n = words32(shared.page_head)[page]
    words32(shared.page_head)[page] = U32(0)
    words64(cpu.page_code)[page] = U64(0)
    while n != 0:
        b = block_at(shared, n)
        following = b.next_in_page[0]
        if U64(b.page[0]) != page:
            following = b.next_in_page[1]
        if b.uop != 0:
            u = Uop(b.uop)
            u.cost, u.trap = u.cost | HELD, U8(DEAD)  # the rest of its cost may be given back yet
            b.uop = U64(0)
            unchain(shared, b, n)
            shared.invalidations = shared.invalidations + 1
        n = following


def unchain(shared, b, n):
    """Take block number n out of its hash chain."""
    heads = words32(shared.hash)
    h = hash_of(b.physical, b.rip)
    at = heads[h]
    if at == n:
        heads[h] = b.next
    else:
        while at != 0:
            here = block_at(shared, at)
            if here.next == n:
                here.next = b.next
                at = U32(0)
            else:
                at = here.next


def drop_code(cpu, pa, count):
    """Bytes pa .. pa + count - 1 of one page have been written: forget what was translated from them."""
    granules = words64(cpu.page_code)[pa >> 12]
    first = (pa >> 6) & 63
    last = ((pa + count - 1) >> 6) & 63
    hit = False
    while first <= last:
        if ((granules >> first) & 1) != 0:
            hit = True
        first = first + 1
    if hit:
        drop_page(cpu, pa >> 12)
