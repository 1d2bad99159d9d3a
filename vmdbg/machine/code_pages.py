"""Which translated code lies on which page, and forgetting it when its bytes are written.

    page_head[page] -> Block -> next_in_page ...
    page_code[page]: bit n = code was translated from its n-th granule of 64 bytes
    code_bytes[granule]: bit n = from its n-th byte, so that data beside code are written like any other (real-mode programs)

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
    unmark(cpu, page)
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


def unmark(cpu, page):
    """No byte of a page is translated any more."""
    granules, n = words64(cpu.page_code)[page], page << 6
    words64(cpu.page_code)[page] = U64(0)
    while granules != 0:
        if (granules & 1) != 0:
            words64(cpu.code_bytes)[n] = U64(0)
        granules = granules >> 1
        n = n + 1


def mark_bytes(cpu, at, size):
    """Code is translated from `size` bytes, at most 64, at backing offset `at`, within one page."""
    granules, bytes = words64(cpu.page_code), words64(cpu.code_bytes)
    first, last, low = at >> 6, (at + size - 1) >> 6, at & 63
    span = ~U64(0) >> (U64(64) - size)
    granules[at >> 12] = granules[at >> 12] | (U64(1) << (first & 63)) | (U64(1) << (last & 63))
    bytes[first] = bytes[first] | (span << low)
    if last != first:
        bytes[last] = bytes[last] | (span >> (U64(64) - low))


def touches_code(cpu, at, size):
    """Whether code was translated from any of `size` bytes, at most 64, at a backing offset; they lie in one page."""
    granules = words64(cpu.page_code)[at >> 12]
    first, last, low = at >> 6, (at + size - 1) >> 6, at & 63
    if (((granules >> (first & 63)) | (granules >> (last & 63))) & 1) == 0:
        return False
    bytes, span = words64(cpu.code_bytes), ~U64(0) >> (U64(64) - size)
    if (bytes[first] & (span << low)) != 0:
        return True
    return last != first and (bytes[last] & (span >> (U64(64) - low))) != 0


def drop_code(cpu, at, size):
    """Bytes at .. at + size - 1 of one page, at most 64, have been written: forget what was translated from them."""
    if touches_code(cpu, at, size):
        drop_page(cpu, at >> 12)
